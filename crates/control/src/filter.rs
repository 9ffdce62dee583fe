//! The filter of a tap: which records are shown.
//!
//! ```text
//! filter    = condition { " and " condition }
//! condition = field operator value
//! field     = severity | signal | name | body | an attribute
//! operator  = "=" | "~" (contains) | ">=" (severity only)
//! value     = a word, or text in double quotes
//! ```

use std::fmt;
use std::str::FromStr;

/// The longest filter, in bytes.
const TEXT_LEN_MAX: usize = 1024;
/// The most conditions of a filter.
const CONDITIONS_MAX: usize = 16;
/// The operators, the longest first.
const OPERATORS: [(&str, Operator); 3] =
    [(">=", Operator::AtLeast), ("=", Operator::Equals), ("~", Operator::Contains)];

/// A filter: a record is shown if it meets all conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The conditions; none means that all records are shown.
    pub conditions: Vec<FieldCondition>,
}

/// A condition of a [`Filter`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldCondition {
    /// What is compared.
    pub field: FilterField,
    /// How.
    pub operator: Operator,
    /// With what.
    pub value: String,
}

/// What a [`FieldCondition`] looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterField {
    /// The severity of a log record.
    Severity,
    /// `logs`, `traces` or `metrics`.
    Signal,
    /// The name of a span, a metric or an event.
    Name,
    /// The body of a log record.
    Body,
    /// An attribute of the record, its resource or its scope.
    Attribute(String),
}

/// How a [`FieldCondition`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// The same text.
    Equals,
    /// The value is a part of the text.
    Contains,
    /// The same severity or a higher one.
    AtLeast,
}

/// A text that is not a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct FilterError {
    /// Where in the text, in characters from 1.
    pub column: usize,
    /// What is wrong there, with an example of what is right.
    pub problem: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the filter is wrong at character {}: {}", self.column, self.problem)
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let mut rest = Rest { text, at: 0 };
        if TEXT_LEN_MAX < text.len() {
            return Err(rest.error(format!("it is longer than {TEXT_LEN_MAX} bytes")));
        }
        let mut filter = Self::default();
        rest.skip_spaces();
        if rest.is_empty() {
            return Ok(filter);
        }
        loop {
            if filter.conditions.len() == CONDITIONS_MAX {
                return Err(rest.error(format!("it has more than {CONDITIONS_MAX} conditions")));
            }
            filter.conditions.push(rest.condition()?);
            rest.skip_spaces();
            if rest.is_empty() {
                return Ok(filter);
            }
            if rest.word() != "and" {
                return Err(rest.error("write `and` between two conditions"));
            }
            rest.take("and".len());
            rest.skip_spaces();
        }
    }
}

/// What is still to be read.
struct Rest<'t> {
    text: &'t str,
    /// In bytes.
    at: usize,
}

impl<'t> Rest<'t> {
    fn left(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.left().is_empty()
    }

    fn take(&mut self, len: usize) {
        self.at += len;
    }

    fn skip_spaces(&mut self) {
        let left = self.left();
        self.at += left.len() - left.trim_start().len();
    }

    /// The text up to the next space.
    fn word(&self) -> &'t str {
        self.left().split_whitespace().next().unwrap_or_default()
    }

    fn error(&self, problem: impl Into<String>) -> FilterError {
        let before = self.text.get(..self.at).unwrap_or_default();
        FilterError { column: before.chars().count() + 1, problem: problem.into() }
    }

    fn condition(&mut self) -> Result<FieldCondition, FilterError> {
        let left = self.left();
        let end = left.find(['=', '~', '>', '<', '!']);
        let name = left.get(..end.unwrap_or_default()).unwrap_or_default();
        let Some(end) = end.filter(|_| is_one_word(name)) else {
            return Err(self.error(
                "write a condition such as `severity>=warn`, `body~text` or `service.name=cart`",
            ));
        };
        let field = field(name.trim());
        self.take(end);
        let of_left = |(text, _): &&(&str, Operator)| self.left().starts_with(text);
        let Some((text, operator)) = OPERATORS.iter().find(of_left) else {
            return Err(self.error("write `=` (equals), `~` (contains) or, for severity, `>=`"));
        };
        check_operator(&field, *operator).map_err(|problem| self.error(problem))?;
        self.take(text.len());
        self.skip_spaces();
        let start = self.at;
        let value = self.value()?;
        let problem = check_value(&field, &value);
        problem.map_err(|problem| Rest { at: start, ..*self }.error(problem))?;
        Ok(FieldCondition { field, operator: *operator, value })
    }

    fn value(&mut self) -> Result<String, FilterError> {
        if let Some(quoted) = self.left().strip_prefix('"') {
            let Some((value, _)) = quoted.split_once('"') else {
                return Err(self.error("the closing `\"` is missing"));
            };
            self.take(value.len() + 2);
            return Ok(value.to_owned());
        }
        let word = self.word();
        if word.is_empty() {
            return Err(self.error("the value is missing; write `\"\"` for an empty one"));
        }
        self.take(word.len());
        Ok(word.to_owned())
    }
}

fn is_one_word(text: &str) -> bool {
    !text.trim().is_empty() && !text.trim().contains(char::is_whitespace)
}

fn field(name: &str) -> FilterField {
    match name {
        "severity" => FilterField::Severity,
        "signal" => FilterField::Signal,
        "name" => FilterField::Name,
        "body" => FilterField::Body,
        _ => FilterField::Attribute(name.to_owned()),
    }
}

fn check_operator(field: &FilterField, operator: Operator) -> Result<(), &'static str> {
    match (field, operator) {
        (FilterField::Severity, Operator::AtLeast) => Ok(()),
        (FilterField::Severity, _) => {
            Err("a severity is compared with `>=`, as in `severity>=warn`")
        }
        (_, Operator::AtLeast) => Err("only a severity is compared with `>=`; write `=` or `~`"),
        (FilterField::Signal, Operator::Contains) => Err("a signal is compared with `=`"),
        _ => Ok(()),
    }
}

fn check_value(field: &FilterField, value: &str) -> Result<(), &'static str> {
    let (known, problem): (&[&str], _) = match field {
        FilterField::Severity => (
            &["trace", "debug", "info", "warn", "error", "fatal"],
            "a severity is trace, debug, info, warn, error or fatal",
        ),
        FilterField::Signal => {
            (&["logs", "traces", "metrics"], "a signal is logs, traces or metrics")
        }
        _ => return Ok(()),
    };
    if known.contains(&value) { Ok(()) } else { Err(problem) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(field: FilterField, operator: Operator, value: &str) -> FieldCondition {
        FieldCondition { field, operator, value: value.to_owned() }
    }

    #[test]
    fn conditions_are_read_with_quotes_and_without() {
        let filter: Filter =
            r#" severity>=warn and body~"and  more" and http.status=500 and k = x "#.parse().unwrap();
        assert_eq!(
            filter.conditions,
            [
                condition(FilterField::Severity, Operator::AtLeast, "warn"),
                condition(FilterField::Body, Operator::Contains, "and  more"),
                condition(
                    FilterField::Attribute("http.status".to_owned()),
                    Operator::Equals,
                    "500"
                ),
                condition(FilterField::Attribute("k".to_owned()), Operator::Equals, "x"),
            ]
        );
        assert_eq!("  ".parse(), Ok(Filter::default()));
    }

    /// Scenario: pieces of filters, and characters of one to four bytes, in any order.
    /// Guarantees: each text is a filter within its limits, or an error at a character that the text has.
    #[test]
    fn any_text_is_a_filter_or_an_error_within_it() {
        const PIECES: [&str; 18] = [
            "severity",
            "signal",
            "name",
            "body",
            "http.status",
            ">=",
            "=",
            "~",
            "and",
            " ",
            "  ",
            "\"",
            "\\",
            "warn",
            "logs",
            "\u{fc}",
            "\u{20ac}",
            "\u{1f600}",
        ];
        // A generator of its own: the crate has no other need of one.
        let mut state = 21_u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(state >> 33).expect("31 bits") % below
        };
        let (mut filters, mut errors) = (0, 0);
        for _ in 0..200_000 {
            let len = 1 + next(9);
            let text: String = (0..len).map(|_| PIECES[next(PIECES.len())]).collect();
            match text.parse::<Filter>() {
                Ok(filter) => {
                    filters += 1;
                    assert!(filter.conditions.len() <= CONDITIONS_MAX, "{text}");
                }
                Err(error) => {
                    errors += 1;
                    assert!(
                        (1..=text.chars().count() + 1).contains(&error.column),
                        "{text}: {error}"
                    );
                }
            }
        }
        assert!(1_000 < filters && 1_000 < errors, "{filters} filters, {errors} errors");
    }

    #[test]
    fn an_error_names_the_place() {
        for (text, column, words) in [
            ("severity=warn", 9, "`severity>=warn`"),
            ("severity>=loud", 11, "trace, debug"),
            ("name=a or name=b", 8, "`and`"),
            ("name=a and", 11, "such as"),
            ("name>=a", 5, "only a severity"),
            ("signal=log", 8, "logs, traces or metrics"),
            ("body~\"x", 6, "closing"),
            ("body~", 6, "missing"),
            ("warn", 1, "such as"),
            ("x<5", 2, "`=` (equals)"),
            ("\u{fc}=1 \u{fc}", 5, "`and`"),
        ] {
            let error = text.parse::<Filter>().unwrap_err();
            assert_eq!(error.column, column, "{text}: {error}");
            assert!(error.problem.contains(words), "{text}: {error}");
        }
        assert!("a".repeat(2000).parse::<Filter>().is_err());
        assert!(vec!["a=b"; 17].join(" and ").parse::<Filter>().is_err());
    }
}

//! Conditions on records: the options, and whether a record matches them.

use gophership_otlp::AnyValueView;
use gophership_otlp::RecordView;
use gophership_otlp::Signal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::option_types::level::AttributeLevel;
use crate::component::option_types::severity::Severity;
use crate::component::option_types::text_pattern::TextPattern;

/// Matches a record if every option that is given matches.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Condition {
    /// The signal of the record.
    signal: Option<SignalName>,
    /// Log records below this severity. A record without a severity number has that of its severity
    /// text, such as `INFO`; one without either does not match.
    severity_below: Option<Severity>,
    /// Log records of this severity or above.
    severity_at_least: Option<Severity>,
    /// Spans with this status.
    status: Option<SpanStatus>,
    /// The attribute to test.
    attribute: Option<String>,
    /// The level of the attribute.
    on: AttributeLevel,
    /// The field to test, instead of an attribute.
    field: Option<RecordField>,
    /// The attribute or field has this value. Numbers are compared as numbers, booleans as text.
    equals: Option<String>,
    /// The attribute or field has one of these values.
    one_of: Vec<String>,
    /// The attribute or field begins with this.
    prefix: Option<String>,
    /// The attribute or field matches this regular expression, anywhere unless the expression has `^` or
    /// `$`.
    matches: Option<TextPattern>,
    /// `true`: the attribute is present, or the field is not empty. `false`: it is absent or empty.
    exists: Option<bool>,
}

/// A field of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RecordField {
    /// The body of a log record: a text, a number or a boolean.
    Body,
    /// The name of the span, of the metric of a data point, or of the event that a log record is.
    Name,
    /// The name of the instrumentation scope.
    ScopeName,
}

/// The status of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SpanStatus {
    /// The status is not set.
    Unset,
    /// The application set the status to OK.
    Ok,
    /// The operation failed.
    Error,
}

/// A signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignalName {
    /// Log records.
    #[default]
    Logs,
    /// Spans.
    Traces,
    /// Data points.
    Metrics,
}

impl SignalName {
    /// The same, as the wire view calls it.
    #[must_use]
    pub const fn signal(self) -> Signal {
        match self {
            Self::Logs => Signal::Logs,
            Self::Traces => Signal::Traces,
            Self::Metrics => Signal::Metrics,
        }
    }
}

impl SpanStatus {
    /// The number of the status code.
    #[must_use]
    pub const fn code(self) -> i32 {
        self as i32
    }
}

impl Condition {
    /// Says what is wrong with it beyond its types.
    #[must_use]
    pub fn problem(&self) -> Option<&'static str> {
        let tests_content = self.tests_value() || self.exists.is_some();
        match (&self.attribute, self.field, tests_content) {
            (Some(_), Some(_), _) => return Some("tests an `attribute` or a `field`, not both"),
            (None, None, true) => return Some("needs the name of an `attribute`, or a `field`"),
            (Some(_), None, false) => {
                return Some(
                    "needs one of `equals`, `one_of`, `prefix`, `matches`, `exists` for its \
                     attribute",
                );
            }
            (None, Some(_), false) => {
                return Some(
                    "needs one of `equals`, `one_of`, `prefix`, `matches`, `exists` for its field",
                );
            }
            (None, None, false)
                if !self.tests_severity() && self.status.is_none() && self.signal.is_none() =>
            {
                return Some(
                    "matches everything; give it a signal, a severity, a status, an attribute or \
                     a field",
                );
            }
            _ => {}
        }
        let is_of_logs = self.tests_severity() || self.field == Some(RecordField::Body);
        let signal = self.signal.map(SignalName::signal);
        let is_other = |only: Signal| signal.is_some_and(|signal| signal != only);
        if is_of_logs && self.status.is_some() {
            Some("matches nothing: only spans have a status, only log records a severity or a body")
        } else if is_of_logs && is_other(Signal::Logs) {
            Some("matches nothing: only log records have a severity or a body")
        } else if self.status.is_some() && is_other(Signal::Traces) {
            Some("matches nothing: only spans have a status")
        } else {
            None
        }
    }

    /// Whether a record of a signal matches.
    #[must_use]
    pub fn matches(&self, signal: Signal, record: &RecordView<'_>) -> bool {
        self.signal.is_none_or(|wanted| wanted.signal() == signal)
            && self.only_signal().is_none_or(|only| only == signal)
            && self.matches_severity(record)
            && self.status.is_none_or(|status| status.code() == record.status_code())
            && self.matches_content(record)
    }

    /// Whether records of a signal match, where that does not depend on the record.
    #[must_use]
    pub fn matches_signal(&self, signal: Signal) -> Option<bool> {
        let is_other = self.signal.is_some_and(|wanted| wanted.signal() != signal);
        let only = self.only_signal();
        if is_other || only.is_some_and(|only| only != signal) {
            return Some(false);
        }
        (only.is_none() && self.attribute.is_none() && self.field.is_none()).then_some(true)
    }

    /// Whether it says nothing about records of a signal: it is about what only records of another signal
    /// have, and names no signal.
    #[must_use]
    pub fn is_silent_about(&self, signal: Signal) -> bool {
        self.signal.is_none() && self.only_signal().is_some_and(|only| only != signal)
    }

    /// The only signal whose records have what it tests.
    fn only_signal(&self) -> Option<Signal> {
        if self.tests_severity() || self.field == Some(RecordField::Body) {
            return Some(Signal::Logs);
        }
        self.status.map(|_| Signal::Traces)
    }

    const fn tests_severity(&self) -> bool {
        self.severity_below.is_some() || self.severity_at_least.is_some()
    }

    fn tests_value(&self) -> bool {
        self.equals.is_some()
            || !self.one_of.is_empty()
            || self.prefix.is_some()
            || self.matches.is_some()
    }

    fn matches_severity(&self, record: &RecordView<'_>) -> bool {
        if !self.tests_severity() {
            return true;
        }
        let number = match record.severity_number() {
            0 => Severity::named(record.severity_text()).map_or(0, Severity::number),
            number => number,
        };
        number > 0
            && self.severity_below.is_none_or(|bound| number < bound.number())
            && self.severity_at_least.is_none_or(|bound| number >= bound.number())
    }

    fn matches_content(&self, record: &RecordView<'_>) -> bool {
        let value = match (&self.attribute, self.field) {
            (Some(key), _) => record.attribute_of(self.on.level(), key),
            (None, Some(field)) => field.of(record),
            (None, None) => return true,
        };
        if self.exists.is_some_and(|wanted| wanted != value.is_some()) {
            return false;
        }
        if !self.tests_value() {
            return true;
        }
        let Some(value) = value else { return false };
        let Some(text) = value.to_text() else { return false };
        let is_equal = |wanted: &String| *wanted == text || is_same_number(value, wanted);
        self.equals.as_ref().is_none_or(is_equal)
            && self.prefix.as_ref().is_none_or(|prefix| text.starts_with(prefix.as_str()))
            && self.matches.as_ref().is_none_or(|pattern| pattern.matches(&text))
            && (self.one_of.is_empty() || self.one_of.iter().any(is_equal))
    }
}

impl RecordField {
    /// What a record has there, if it has something.
    fn of<'a>(self, record: &RecordView<'a>) -> Option<AnyValueView<'a>> {
        let text = |text: &'a str| Some(text).filter(|text| !text.is_empty());
        match self {
            Self::Body => Some(record.body_value()).filter(|body| *body != AnyValueView::Empty),
            Self::Name => text(record.name()).map(AnyValueView::String),
            Self::ScopeName => text(record.scope_name()).map(AnyValueView::String),
        }
    }
}

/// Whether a value is a number, and the text is the same one: `200`, `200.0` and `2e2` are.
#[expect(clippy::cast_precision_loss, reason = "whole numbers are compared as they are first")]
#[expect(clippy::float_cmp, reason = "the same number is meant, not one nearby")]
fn is_same_number(value: AnyValueView<'_>, text: &str) -> bool {
    match value {
        AnyValueView::Int(number) => match text.parse::<i64>() {
            Ok(wanted) => wanted == number,
            Err(_) => text.parse::<f64>().is_ok_and(|wanted| wanted == number as f64),
        },
        AnyValueView::Double(number) => text.parse::<f64>().is_ok_and(|wanted| wanted == number),
        _ => false,
    }
}

//! Conditions on records: the options, and whether a record matches them.

use gophership_otlp::AnyValueView;
use gophership_otlp::RecordView;
use gophership_otlp::Signal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::option_types::level::AttributeLevel;

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
    /// The attribute to test.
    attribute: Option<String>,
    /// The level of the attribute.
    on: AttributeLevel,
    /// The attribute has this value. Numbers are compared as numbers, booleans as text.
    equals: Option<String>,
    /// The attribute has one of these values.
    one_of: Vec<String>,
    /// The attribute begins with this.
    prefix: Option<String>,
    /// `true`: the attribute is present. `false`: it is absent.
    exists: Option<bool>,
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

/// A severity range of the OpenTelemetry log data model.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Numbers 1 to 4.
    Trace,
    /// Numbers 5 to 8.
    Debug,
    /// Numbers 9 to 12.
    Info,
    /// Numbers 13 to 16.
    Warn,
    /// Numbers 17 to 20.
    Error,
    /// Numbers 21 to 24.
    Fatal,
}

impl Severity {
    /// The first number of the range.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32 * 4 + 1
    }
}

impl Severity {
    /// The severity that a text begins with the name of, in any case, as `INFO`, `info2` and `Warning` do.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        let names = [
            ("trace", Self::Trace),
            ("debug", Self::Debug),
            ("info", Self::Info),
            ("warn", Self::Warn),
            ("err", Self::Error),
            ("fatal", Self::Fatal),
            ("crit", Self::Fatal),
        ];
        let begins = |name: &str| {
            text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        names.into_iter().find(|(name, _)| begins(name)).map(|(_, severity)| severity)
    }
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

impl Condition {
    /// Says what is wrong with it beyond its types.
    #[must_use]
    pub fn problem(&self) -> Option<&'static str> {
        let tests_attribute = self.tests_value() || self.exists.is_some();
        match (&self.attribute, tests_attribute) {
            (None, true) => Some("needs the name of an `attribute`"),
            (Some(_), false) => {
                Some("needs one of `equals`, `one_of`, `prefix`, `exists` for its attribute")
            }
            (None, false) if !self.tests_severity() && self.signal.is_none() => {
                Some("matches everything; give it a signal, a severity or an attribute")
            }
            _ => None,
        }
    }

    /// Whether a record of a signal matches.
    #[must_use]
    pub fn matches(&self, signal: Signal, record: &RecordView<'_>) -> bool {
        self.signal.is_none_or(|wanted| wanted.signal() == signal)
            && self.matches_severity(signal, record)
            && self.matches_attribute(record)
    }

    /// Whether records of a signal match, where that does not depend on the record.
    #[must_use]
    pub fn matches_signal(&self, signal: Signal) -> Option<bool> {
        let is_other = self.signal.is_some_and(|wanted| wanted.signal() != signal);
        if is_other || self.tests_severity() && signal != Signal::Logs {
            return Some(false);
        }
        (!self.tests_severity() && self.attribute.is_none()).then_some(true)
    }

    /// Whether it says nothing about records of a signal: it is about severities, which only log records
    /// have, and names no signal.
    #[must_use]
    pub fn is_silent_about(&self, signal: Signal) -> bool {
        signal != Signal::Logs && self.signal.is_none() && self.tests_severity()
    }

    fn tests_severity(&self) -> bool {
        self.severity_below.is_some() || self.severity_at_least.is_some()
    }

    fn tests_value(&self) -> bool {
        self.equals.is_some() || !self.one_of.is_empty() || self.prefix.is_some()
    }

    fn matches_severity(&self, signal: Signal, record: &RecordView<'_>) -> bool {
        if !self.tests_severity() {
            return true;
        }
        let number = match record.severity_number() {
            0 => Severity::named(record.severity_text()).map_or(0, Severity::number),
            number => number,
        };
        signal == Signal::Logs
            && number > 0
            && self.severity_below.is_none_or(|bound| number < bound.number())
            && self.severity_at_least.is_none_or(|bound| number >= bound.number())
    }

    fn matches_attribute(&self, record: &RecordView<'_>) -> bool {
        let Some(key) = &self.attribute else { return true };
        let value = record.attribute_of(self.on.level(), key);
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
            && (self.one_of.is_empty() || self.one_of.iter().any(is_equal))
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

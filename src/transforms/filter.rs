//! The `filter` transform: takes records out by signal, severity and attributes; what it takes out
//! is counted in the ledger.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::ComponentId;
use crate::config::ComponentInfo;
use crate::config::OptionProblem;
use crate::config::Section;
use crate::config::TransformConfig;
use crate::config::running::BuildError;
use crate::config::running::Context;
use crate::config::running::Transform;
use crate::event::Batch;
use crate::event::Signal;
use crate::otlp::AnyValueView;
use crate::otlp::RecordView;
use crate::otlp::retain;

/// Takes records out: those that match `drop`, and, if `keep` is given, those that do not match it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct FilterConfig {
    /// Records that match any of these are taken out.
    drop: Vec<Condition>,
    /// Only records that match one of these stay; without it all stay.
    keep: Vec<Condition>,
}

/// Matches a record if everything that is given matches.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Condition {
    /// The signal of the record.
    signal: Option<SignalName>,
    /// Log records below this severity; a record without severity is never below.
    severity_below: Option<Severity>,
    /// Log records of this severity or above.
    severity_at_least: Option<Severity>,
    /// The attribute to look at.
    attribute: Option<String>,
    /// Where the attribute is looked for.
    on: AttributeLevel,
    /// The attribute has this value; numbers and booleans are compared as text.
    equals: Option<String>,
    /// The attribute has one of these values.
    one_of: Vec<String>,
    /// The attribute begins with this.
    prefix: Option<String>,
    /// Whether the attribute is there at all.
    exists: Option<bool>,
}

/// A signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum SignalName {
    /// Log records.
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
enum Severity {
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

/// Where an attribute is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum AttributeLevel {
    /// On the record itself.
    #[default]
    Record,
    /// On its resource.
    Resource,
    /// On its scope.
    Scope,
}

impl Severity {
    /// The first number of the range.
    const fn number(self) -> i32 {
        self as i32 * 4 + 1
    }
}

impl SignalName {
    const fn signal(self) -> Signal {
        match self {
            Self::Logs => Signal::Logs,
            Self::Traces => Signal::Traces,
            Self::Metrics => Signal::Metrics,
        }
    }
}

inventory::submit! {
    ComponentInfo {
        section: Section::Transform,
        name: "filter",
        summary: "Takes records out by signal, severity and attributes.",
        schema: |generator| generator.subschema_for::<FilterConfig>(),
    }
}

impl Condition {
    fn tests_value(&self) -> bool {
        self.equals.is_some() || !self.one_of.is_empty() || self.prefix.is_some()
    }

    fn problem(&self) -> Option<&'static str> {
        let tests_attribute = self.tests_value() || self.exists.is_some();
        let tests_severity = self.severity_below.is_some() || self.severity_at_least.is_some();
        match (&self.attribute, tests_attribute) {
            (None, true) => Some("needs the name of an `attribute`"),
            (Some(_), false) => {
                Some("needs one of `equals`, `one_of`, `prefix`, `exists` for its attribute")
            }
            (None, false) if !tests_severity && self.signal.is_none() => {
                Some("matches everything; give it a signal, a severity or an attribute")
            }
            _ => None,
        }
    }

    fn matches(&self, signal: Signal, record: &RecordView<'_>) -> bool {
        self.signal.is_none_or(|wanted| wanted.signal() == signal)
            && self.matches_severity(signal, record)
            && self.matches_attribute(record)
    }

    fn matches_severity(&self, signal: Signal, record: &RecordView<'_>) -> bool {
        if self.severity_below.is_none() && self.severity_at_least.is_none() {
            return true;
        }
        let number = record.severity_number();
        signal == Signal::Logs
            && number > 0
            && self.severity_below.is_none_or(|bound| number < bound.number())
            && self.severity_at_least.is_none_or(|bound| number >= bound.number())
    }

    fn matches_attribute(&self, record: &RecordView<'_>) -> bool {
        let Some(key) = &self.attribute else { return true };
        let value = match self.on {
            AttributeLevel::Record => record.attribute(key),
            AttributeLevel::Resource => record.resource_attribute(key),
            AttributeLevel::Scope => record.scope_attribute(key),
        };
        if self.exists.is_some_and(|wanted| wanted != value.is_some()) {
            return false;
        }
        if !self.tests_value() {
            return true;
        }
        let Some(text) = value.and_then(text_of) else { return false };
        self.equals.as_ref().is_none_or(|wanted| *wanted == text)
            && self.prefix.as_ref().is_none_or(|prefix| text.starts_with(prefix.as_str()))
            && (self.one_of.is_empty() || self.one_of.iter().any(|wanted| *wanted == text))
    }
}

/// The value as text, if it is a single value.
fn text_of(value: AnyValueView<'_>) -> Option<Cow<'_, str>> {
    match value {
        AnyValueView::String(text) => Some(Cow::Borrowed(text)),
        AnyValueView::Bool(value) => Some(Cow::Owned(value.to_string())),
        AnyValueView::Int(value) => Some(Cow::Owned(value.to_string())),
        AnyValueView::Double(value) => Some(Cow::Owned(value.to_string())),
        _ => None,
    }
}

#[typetag::serde(name = "filter")]
impl TransformConfig for FilterConfig {
    fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        if self.drop.is_empty() && self.keep.is_empty() {
            problems.push(OptionProblem::new("", "needs `drop` or `keep`: it filters nothing"));
        }
        for (name, conditions) in [("drop", &self.drop), ("keep", &self.keep)] {
            for (idx, condition) in conditions.iter().enumerate() {
                if let Some(reason) = condition.problem() {
                    problems.push(OptionProblem::new(format!("{name}.{idx}"), reason));
                }
            }
        }
        problems
    }

    fn build(&self, context: &Context) -> Result<Box<dyn Transform>, BuildError> {
        Ok(Box::new(Filter { id: context.id.clone(), config: self.clone() }))
    }
}

struct Filter {
    id: ComponentId,
    config: FilterConfig,
}

impl Filter {
    fn keeps(&self, signal: Signal, record: &RecordView<'_>) -> bool {
        let matches = |condition: &Condition| condition.matches(signal, record);
        !self.config.drop.iter().any(matches)
            && (self.config.keep.is_empty() || self.config.keep.iter().any(matches))
    }
}

impl Transform for Filter {
    fn apply(&mut self, mut batch: Batch) -> Option<Batch> {
        let signal = batch.signal();
        match retain(signal, batch.wire(), |record| self.keeps(signal, record)) {
            Ok(retained) if retained.kept == 0 => {
                batch.filtered();
                None
            }
            Ok(retained) => {
                batch.replace(retained.bytes, retained.kept);
                Some(batch)
            }
            Err(error) => {
                tracing::warn!(component = %self.id, %error, "Request cannot be filtered.");
                batch.rejected();
                None
            }
        }
    }
}

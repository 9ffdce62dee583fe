//! The `filter` transform: takes records out by signal, severity and attributes; what it takes out
//! is counted in the ledger.

use gophership_otlp::RecordView;
use gophership_otlp::retain;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::BuildError;
use crate::component::ComponentId;
use crate::component::ComponentInfo;
use crate::component::Condition;
use crate::component::Context;
use crate::component::OptionProblem;
use crate::component::Section;
use crate::component::Transform;
use crate::component::TransformConfig;
use crate::event::Batch;
use crate::event::Signal;
use crate::event::settle;

/// Drops records that match `drop` and, if `keep` is given, records that do not match `keep`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct FilterConfig {
    /// Records that match any of these conditions are dropped.
    drop: Vec<Condition>,
    /// Only records that match one of these conditions are kept; by default all are kept. Spans and data
    /// points are kept too if every condition is about severities and names no `signal`.
    keep: Vec<Condition>,
}

inventory::submit! {
    ComponentInfo {
        section: Section::Transform,
        name: "filter",
        summary: "Drops records by signal, severity and attributes.",
        schema: |generator| generator.subschema_for::<FilterConfig>(),
    }
}

#[typetag::serde(name = "filter")]
impl TransformConfig for FilterConfig {
    fn protects(&self) -> Option<&'static str> {
        Some("records that it drops")
    }

    fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        if self.drop.is_empty() && self.keep.is_empty() {
            problems.push(OptionProblem::new(
                "",
                "needs `drop` or `keep`; otherwise it filters nothing",
            ));
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
        let keep = &self.config.keep;
        !self.config.drop.iter().any(matches)
            && (keep.iter().all(|condition| condition.is_silent_about(signal))
                || keep.iter().any(matches))
    }
}

impl Transform for Filter {
    fn apply(&mut self, batch: Batch) -> Option<Batch> {
        let signal = batch.signal();
        let left = retain(signal, batch.wire(), |record| self.keeps(signal, record));
        settle(&self.id, "filtered", batch, left)
    }
}

#[cfg(test)]
mod tests {
    use gophership_otlp::DecodeLimits;
    use gophership_otlp::json_to_wire;
    use serde_json::json;

    use super::*;

    /// How many of the records, given as JSON, a filter keeps.
    fn kept(options: serde_json::Value, signal: Signal, records: &serde_json::Value) -> u64 {
        let config: FilterConfig = serde_json::from_value(options).unwrap();
        let filter = Filter { id: "it".parse().unwrap(), config };
        let body = match signal {
            Signal::Logs => json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}),
            _ => json!({"resourceSpans": [{"scopeSpans": [{"spans": records}]}]}),
        };
        let wire = json_to_wire(signal, body.to_string().as_bytes(), &DecodeLimits::default());
        retain(signal, &wire.unwrap(), |record| filter.keeps(signal, record)).unwrap().kept
    }

    #[test]
    fn a_condition_about_severities_takes_no_spans_out() {
        let spans = json!([{"name": "a"}, {"name": "b"}]);
        let logs = json!([{"severityNumber": 9}, {"severityNumber": 5}, {}]);
        let severity = json!({"keep": [{"severity_at_least": "info"}]});
        assert_eq!(kept(severity.clone(), Signal::Traces, &spans), 2);
        assert_eq!(kept(severity, Signal::Logs, &logs), 1);
        let told = json!({"keep": [{"severity_at_least": "info", "signal": "logs"}]});
        assert_eq!(kept(told, Signal::Traces, &spans), 0);
        let signal = json!({"keep": [{"signal": "logs"}]});
        assert_eq!(kept(signal, Signal::Traces, &spans), 0);
    }

    #[test]
    fn a_severity_text_counts_where_there_is_no_number() {
        let texts = ["INFO", "warning", "Info2", "ERR", "critical"]
            .map(|text| json!({"severityText": text}));
        let logs = json!([texts[0], texts[1], texts[2], texts[3], texts[4], {"severityText": "debug"}, {}]);
        assert_eq!(kept(json!({"keep": [{"severity_at_least": "info"}]}), Signal::Logs, &logs), 5);
        assert_eq!(kept(json!({"drop": [{"severity_below": "info"}]}), Signal::Logs, &logs), 6);
        let both = json!([{"severityNumber": 5, "severityText": "INFO"}]);
        assert_eq!(kept(json!({"keep": [{"severity_at_least": "info"}]}), Signal::Logs, &both), 0);
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        let status = |value| json!({"attributes": [{"key": "status", "value": value}]});
        let logs = json!([
            status(json!({"intValue": "200"})),
            status(json!({"doubleValue": 200.0})),
            status(json!({"stringValue": "200"})),
            status(json!({"intValue": "201"})),
        ]);
        for (wanted, expected) in [("200", 3), ("200.0", 2), ("2e2", 2), ("abc", 0)] {
            let options = json!({"keep": [{"attribute": "status", "equals": wanted}]});
            assert_eq!(kept(options, Signal::Logs, &logs), expected, "{wanted}");
            let options = json!({"keep": [{"attribute": "status", "one_of": ["x", wanted]}]});
            assert_eq!(kept(options, Signal::Logs, &logs), expected, "{wanted}");
        }
    }
}

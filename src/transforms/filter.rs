//! The `filter` transform: takes records out by signal, severity, status, fields and attributes; what it
//! takes out is counted in the ledger.

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
    /// Only records that match one of these conditions are kept; by default all are kept. A condition that
    /// names no `signal` says nothing about records that cannot have what it tests: with conditions on
    /// severities or bodies alone, all spans and data points are kept, and with conditions on the status
    /// alone, all log records and data points.
    keep: Vec<Condition>,
}

inventory::submit! {
    ComponentInfo::transform::<FilterConfig>(
        "filter",
        "Drops records by signal, severity and attributes.",
    )
}

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
    use serde_json::Value;
    use serde_json::json;

    use super::*;

    /// How many of the records, given as JSON, a filter keeps.
    fn kept(options: Value, signal: Signal, records: &Value) -> u64 {
        let config: FilterConfig = serde_json::from_value(options).unwrap();
        let filter = Filter { id: "it".parse().unwrap(), config };
        let body = match signal {
            Signal::Logs => json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}),
            Signal::Metrics => {
                let metric =
                    |name: &Value| json!({"name": name, "gauge": {"dataPoints": [{"asInt": 1}]}});
                let metrics: Vec<Value> = records.as_array().unwrap().iter().map(metric).collect();
                json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]})
            }
            Signal::Traces => json!({"resourceSpans": [{"scopeSpans": [{"spans": records}]}]}),
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
    fn bodies_names_and_status_are_tested_where_there_are_some() {
        let logs = json!([
            {"body": {"stringValue": "GET /healthz 200"}},
            {"body": {"stringValue": "request timed out"}},
            {"body": {"intValue": "7"}},
            {"eventName": "GET /healthz"},
        ]);
        let spans = json!([
            {"name": "GET /healthz", "status": {"code": 2}},
            {"name": "GET /cart", "status": {"code": 1}},
            {"name": "POST /cart", "status": {"message": "unset"}},
        ]);
        for (condition, of_logs, of_spans) in [
            (json!({"field": "body", "matches": "/healthz|timed? out"}), 2, 3),
            (json!({"field": "body", "matches": "^timed out"}), 0, 3),
            (json!({"field": "body", "equals": "7.0"}), 1, 3),
            (json!({"field": "body", "exists": false}), 1, 3),
            (json!({"field": "name", "prefix": "GET /healthz"}), 1, 1),
            (json!({"field": "name", "matches": "^(GET|POST) /cart$"}), 0, 2),
            (json!({"field": "name", "exists": true}), 1, 3),
            (json!({"field": "scope_name", "exists": true}), 0, 0),
            (json!({"status": "error"}), 4, 1),
            (json!({"status": "unset"}), 4, 1),
            (json!({"status": "ok", "field": "name", "equals": "GET /cart"}), 4, 1),
            (json!({"status": "ok", "signal": "traces"}), 0, 1),
        ] {
            let keep = json!({"keep": [condition]});
            assert_eq!(kept(keep.clone(), Signal::Logs, &logs), of_logs, "{condition}");
            assert_eq!(kept(keep, Signal::Traces, &spans), of_spans, "{condition}");
        }
        let metrics = json!({"keep": [{"field": "name", "matches": "^http\\."}]});
        assert_eq!(kept(metrics, Signal::Metrics, &json!(["http.size", "disk.used"])), 1);
    }

    #[test]
    fn conditions_that_match_nothing_or_everything_are_refused() {
        for (condition, expected) in [
            (json!({"attribute": "a", "field": "name", "equals": "x"}), "not both"),
            (json!({"field": "name"}), "needs one of"),
            (json!({"matches": "x"}), "or a `field`"),
            (json!({"status": "ok", "severity_below": "warn"}), "matches nothing"),
            (json!({"status": "ok", "signal": "logs"}), "only spans have a status"),
            (json!({"field": "body", "exists": true, "signal": "metrics"}), "or a body"),
            (json!({}), "matches everything"),
        ] {
            let config: FilterConfig =
                serde_json::from_value(json!({"drop": [condition]})).unwrap();
            let problems = config.problems();
            assert!(problems[0].message.contains(expected), "{condition}: {}", problems[0].message);
        }
        let wrong = json!({"drop": [{"field": "name", "matches": "a("}]});
        let error = serde_json::from_value::<FilterConfig>(wrong).unwrap_err().to_string();
        assert!(error.contains("is no regular expression: unclosed group"), "{error}");
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

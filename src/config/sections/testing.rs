//! Cases for `gophership test`: records that go in, and what is to come out.

use std::collections::BTreeMap;

use gophership_units::HumanDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::component::OptionProblem;
use crate::component::Severity;
use crate::component::SignalName;
use crate::component::SpanStatus;

/// A test case for `gophership test`: input records, and the expected output of transforms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestCase {
    /// What the test case shows, in words.
    pub name: String,
    /// The transform that receives the records.
    pub start: String,
    /// The last transform to run, or one of its outputs if it has several. By default the records
    /// go on as long as exactly one transform reads the previous one.
    #[serde(default)]
    pub end: Option<String>,
    /// The input records; each is a request of its own.
    pub input: Vec<TestRecord>,
    /// The expected output records, in order. Fields that are given must be equal; other fields may
    /// have any value. `null` means that the attribute must be absent.
    #[serde(default)]
    pub expect: Vec<TestRecord>,
    /// No record may come out. Use it instead of `expect`.
    #[serde(default)]
    pub dropped: bool,
}

/// A record in short form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TestRecord {
    /// The signal of the record.
    pub signal: SignalName,
    /// When the record is received, relative to the first record; for `input` only.
    pub at: HumanDuration,
    /// The body of a log record: a text, a number, a list or a mapping.
    pub body: Option<Value>,
    /// The severity of a log record: `trace`, `debug`, `info`, `warn`, `error`, `fatal`.
    pub severity: Option<Severity>,
    /// The name of a span, an event or a metric.
    pub name: Option<String>,
    /// The status of a span: `unset`, `ok`, `error`.
    pub status: Option<SpanStatus>,
    /// The trace id, in 32 hexadecimal digits.
    pub trace_id: Option<String>,
    /// The W3C trace state of a span.
    pub trace_state: Option<String>,
    /// The attributes of the record. Values are texts, numbers, lists or mappings.
    pub attributes: BTreeMap<String, Value>,
    /// The attributes of the record's resource.
    pub resource: BTreeMap<String, Value>,
    /// The attributes of the record's instrumentation scope.
    pub scope: BTreeMap<String, Value>,
}

impl TestCase {
    /// Returns what is wrong with the case that stands at `path`.
    pub(in crate::config) fn problems(&self, path: &str) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        let mut add = |option: &str, message: &str| {
            problems.push(OptionProblem::new(format!("{path}.{option}"), message));
        };
        if self.name.trim().is_empty() {
            add("name", "is empty: describe what the test case shows");
        }
        if self.input.is_empty() {
            add("input", "has no records");
        }
        if self.dropped != self.expect.is_empty() {
            add("expect", "give the expected records, or `dropped: true`");
        }
        for (name, records) in [("input", &self.input), ("expect", &self.expect)] {
            for (idx, record) in records.iter().enumerate() {
                let is_id =
                    |id: &String| id.len() == 32 && id.bytes().all(|it| it.is_ascii_hexdigit());
                if record.trace_id.as_ref().is_some_and(|id| !is_id(id)) {
                    add(&format!("{name}.{idx}.trace_id"), "must be 32 hexadecimal digits");
                }
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::load_with_tests as load;

    #[test]
    fn cases_that_cannot_be_are_found_with_the_rest() {
        for (case, words) in [
            ("{ name: n, start: x, input: [{}], dropped: true }", "`x`"),
            ("{ name: n, start: s, input: [{}], dropped: true }", "`s`"),
            ("{ name: n, start: a, input: [], dropped: true }", "has no records"),
            ("{ name: n, start: a, input: [{}] }", "`dropped: true`"),
            (
                "{ name: '', start: a, input: [{}], dropped: true }",
                "describe what the test case shows",
            ),
            ("{ name: n, start: a, input: [{ trace_id: 12 }], dropped: true }", "32 hexadecimal"),
            ("{ name: n, start: a, input: [{ boby: x }], dropped: true }", "boby"),
        ] {
            let errors = load(case).map(|_| ()).unwrap_err();
            assert!(errors.contains(words), "{case}: {errors}");
        }
    }

    #[test]
    fn values_of_every_kind_are_read() {
        let config = load(
            "{ name: n, start: c, input: [{ body: { a: [1, -2, 1.5, true, null, x] } }], dropped: true }",
        );
        let body = serde_json::json!({ "a": [1, -2, 1.5, true, null, "x"] });
        assert_eq!(config.unwrap().tests[0].input[0].body, Some(body));
    }
}

//! Cases for `gophership test`: records that go in, and what is to come out.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::component::OptionProblem;
use crate::config::condition::Severity;
use crate::config::condition::SignalName;
use crate::config::document::Config;
use crate::config::id::ComponentId;
use crate::config::output::OutputId;
use crate::config::units::HumanDuration;

/// A case for `gophership test`: what transforms make of a few records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestCase {
    /// What it shows, in words.
    pub name: String,
    /// The transform that gets the records.
    pub start: String,
    /// The last transform that they go through, or one of its outputs if it has several; without it
    /// they go on as long as exactly one transform reads the one before.
    #[serde(default)]
    pub end: Option<String>,
    /// The records that go in, one request each.
    pub input: Vec<TestRecord>,
    /// The records that are to come out, in their order. What is given must be the same; what is not
    /// given may be anything. An attribute that must not be there is given as `null`.
    #[serde(default)]
    pub expect: Vec<TestRecord>,
    /// Nothing is to come out; instead of `expect`.
    #[serde(default)]
    pub dropped: bool,
}

/// A record in short.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TestRecord {
    /// What it is.
    pub signal: SignalName,
    /// When it is received, counted from the first; for `input` only.
    pub at: HumanDuration,
    /// The body of a log record: a text, a number, a list or a mapping.
    pub body: Option<Value>,
    /// The severity of a log record: `trace`, `debug`, `info`, `warn`, `error`, `fatal`.
    pub severity: Option<Severity>,
    /// The name of a span, an event or a metric.
    pub name: Option<String>,
    /// The trace id, in 32 hexadecimal digits.
    pub trace_id: Option<String>,
    /// The W3C trace state of a span.
    pub trace_state: Option<String>,
    /// The attributes of the record: texts, numbers, lists or mappings.
    pub attributes: BTreeMap<String, Value>,
    /// The attributes of its resource.
    pub resource: BTreeMap<String, Value>,
    /// The attributes of its instrumentation scope.
    pub scope: BTreeMap<String, Value>,
}

impl TestCase {
    /// Returns what is wrong with the case that stands at `path`.
    pub(super) fn problems(&self, path: &str) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        let mut add = |option: &str, message: &str| {
            problems.push(OptionProblem::new(format!("{path}.{option}"), message));
        };
        if self.name.trim().is_empty() {
            add("name", "is empty: say what the case shows");
        }
        if self.input.is_empty() {
            add("input", "has no records");
        }
        if self.dropped != self.expect.is_empty() {
            add("expect", "give records that come out, or `dropped: true`");
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

/// A transform on the way of the records of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg<'c> {
    /// The transform.
    pub id: &'c ComponentId,
    /// Of several outputs those through which the records go on; empty if there is only one.
    pub ports: BTreeSet<Arc<str>>,
}

impl Config {
    /// Returns the transforms that the records of a case go through.
    ///
    /// # Errors
    ///
    /// In words, why they have no way or more than one.
    pub fn way<'c>(&'c self, case: &TestCase) -> Result<Vec<Leg<'c>>, String> {
        let known = |name: &str| {
            let found = self.transforms.keys().find(|id| id.as_str() == name);
            found.ok_or_else(|| format!("there is no transform `{name}`"))
        };
        let start = known(&case.start)?;
        let Some(end) = &case.end else { return self.onwards(start) };
        let (end, port) = match (known(end), OutputId::split(end)) {
            (Err(_), Some((id, port))) => (known(id)?, Some(port)),
            (end, _) => (end?, None),
        };
        let rest = self.back_to(start, end);
        let rest = rest.ok_or_else(|| format!("no way leads from `{start}` to `{end}`"))?;
        let ids: Vec<&ComponentId> = std::iter::once(start).chain(rest).collect();
        let next = ids.iter().skip(1).map(|id| self.inputs(id)).chain([[].as_slice()]);
        let leg =
            |(id, inputs): (&&'c ComponentId, &[OutputId])| Leg { id, ports: ports(id, inputs) };
        let mut way: Vec<Leg<'c>> = ids.iter().zip(next).map(leg).collect();
        if let Some(last) = way.last_mut() {
            last.ports.extend(port.map(Arc::from));
        }
        Ok(way)
    }

    /// The transforms from one on, as long as exactly one reads the one before.
    fn onwards<'c>(&'c self, start: &'c ComponentId) -> Result<Vec<Leg<'c>>, String> {
        let mut way: Vec<Leg<'_>> = Vec::new();
        let mut next = Some(start);
        while let Some(id) = next {
            if self.transforms.get(id).is_some_and(|entry| !entry.config.ports().is_empty()) {
                return Err(format!("`{id}` has several outputs: name one of them as the `end`"));
            }
            way.push(Leg { id, ports: BTreeSet::new() });
            let reads = |inputs: &[OutputId]| inputs.iter().any(|input| input.component == *id);
            let mut readers = self.transforms.iter().filter(|(_, entry)| reads(&entry.inputs));
            next = match (readers.next(), readers.next()) {
                (reader, None) => reader.map(|(id, _)| id),
                _ => return Err(format!("several transforms read `{id}`: name the `end`")),
            };
        }
        Ok(way)
    }

    fn inputs(&self, id: &ComponentId) -> &[OutputId] {
        self.transforms.get(id).map_or(&[], |entry| entry.inputs.as_slice())
    }

    /// The transforms behind `start` up to `end`; there are no circles.
    fn back_to<'c>(
        &'c self,
        start: &ComponentId,
        end: &'c ComponentId,
    ) -> Option<Vec<&'c ComponentId>> {
        if start == end {
            return Some(Vec::new());
        }
        let inputs = self.inputs(end).iter();
        let transforms = inputs.filter_map(|it| self.transforms.get_key_value(&it.component));
        let mut way = transforms.map(|(id, _)| id).find_map(|id| self.back_to(start, id))?;
        way.push(end);
        Some(way)
    }
}

/// The outputs of a component among some inputs.
fn ports(id: &ComponentId, inputs: &[OutputId]) -> BTreeSet<Arc<str>> {
    let own = inputs.iter().filter(|input| input.component == *id);
    own.filter_map(|input| input.port.clone()).collect()
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::config::load_text;

    const PIPELINE: &str = "
sources: { s: { type: demo } }
transforms:
  a: { type: enrich, inputs: [s] }
  b: { type: enrich, inputs: [a] }
  c: { type: enrich, inputs: [b] }
  d: { type: enrich, inputs: [b, a] }
sinks: { k: { type: blackhole, inputs: [c, d] } }
";

    fn load(tests: &str) -> Result<Config, String> {
        let text = format!("{PIPELINE}tests: [{tests}]");
        load_text("tests.yaml", &text, &|_| None).map_err(|errors| errors.to_string())
    }

    fn way(start: &str, end: &str) -> Result<String, String> {
        let case = format!("{{ name: n, start: {start}, {end} input: [{{}}], dropped: true }}");
        let config = load(&case)?;
        let way = config.way(&config.tests[0])?;
        Ok(way.iter().map(|leg| leg.id.as_str()).collect())
    }

    #[test]
    fn records_take_the_only_way_or_the_one_to_the_end() {
        assert_eq!(way("c", ""), Ok("c".to_owned()));
        assert_eq!(way("b", "end: b,"), Ok("b".to_owned()));
        assert_eq!(way("b", "end: c,"), Ok("bc".to_owned()));
        assert_eq!(way("a", "end: d,"), Ok("abd".to_owned()));
        assert!(way("a", "").unwrap_err().contains("several transforms read `a`"));
        assert!(way("c", "end: b,").unwrap_err().contains("no way leads"));
    }

    #[test]
    fn of_several_outputs_the_way_takes_those_that_lead_on() {
        let pipeline = "
sources: { s: { type: demo } }
transforms:
  r:
    type: route
    inputs: [s]
    routes: [{ name: x, when: { signal: logs } }, { name: y, when: { signal: traces } }]
  t: { type: enrich, inputs: [r.x, r.unmatched] }
sinks: { k: { type: blackhole, inputs: [t] } }
";
        let way = |end: &str| {
            let case = format!("{{ name: n, start: r, {end} input: [{{}}], dropped: true }}");
            let text = format!("{pipeline}tests: [{case}]");
            let config =
                load_text("tests.yaml", &text, &|_| None).map_err(|errors| errors.to_string())?;
            let way = config.way(&config.tests[0])?;
            let names: Vec<String> = way
                .iter()
                .map(|leg| format!("{}:{}", leg.id, Vec::from_iter(leg.ports.clone()).join("+")))
                .collect();
            Ok(names.join(" "))
        };
        assert_eq!(way("end: r.y,"), Ok("r:y".to_owned()));
        assert_eq!(way("end: t,"), Ok("r:unmatched+x t:".to_owned()));
        let words = |end: &str| -> String { way(end).unwrap_err() };
        assert!(words("").contains("`r` has several outputs"));
        assert!(words("end: r,").contains("`r` has several outputs"));
        assert!(words("end: r.z,").contains("no output"));
    }

    #[test]
    fn cases_that_cannot_be_are_found_with_the_rest() {
        for (case, words) in [
            ("{ name: n, start: x, input: [{}], dropped: true }", "`x`"),
            ("{ name: n, start: s, input: [{}], dropped: true }", "`s`"),
            ("{ name: n, start: a, input: [], dropped: true }", "has no records"),
            ("{ name: n, start: a, input: [{}] }", "`dropped: true`"),
            ("{ name: '', start: a, input: [{}], dropped: true }", "say what the case shows"),
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

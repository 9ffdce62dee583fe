//! The transforms that records go through: from one to another, or on the way to a sink.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::component::ComponentId;
use crate::component::OutputId;
use crate::config::document::config::Config;
use crate::config::sections::TestCase;

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
        let rest = rest.ok_or_else(|| format!("no path leads from `{start}` to `{end}`"))?;
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

    /// Returns the transforms on the way from the sources to a sink, `batch` left out: it changes only how
    /// requests travel.
    ///
    /// # Errors
    ///
    /// In words, why there is no such sink, or more than one way to it.
    pub fn way_to<'c>(&'c self, sink: &str) -> Result<Vec<Leg<'c>>, String> {
        let Some((_, entry)) = self.sinks.iter().find(|(id, _)| id.as_str() == sink) else {
            let others = self.sinks.iter().filter(|(_, entry)| !entry.config.is_vault());
            let names: Vec<&str> = others.map(|(id, _)| id.as_str()).collect();
            return Err(format!("there is no sink `{sink}`; there are: {}", names.join(", ")));
        };
        let mut way: Vec<Leg<'c>> = Vec::new();
        let mut inputs = entry.inputs.as_slice();
        loop {
            let of = |input: &OutputId| self.transforms.get_key_value(&input.component);
            let before: BTreeSet<&ComponentId> =
                inputs.iter().filter_map(of).map(|(id, _)| id).collect();
            let has_source = inputs.iter().any(|input| self.sources.contains_key(&input.component));
            match (before.first(), before.len(), has_source) {
                (None, ..) => break,
                (Some(id), 1, false) => {
                    let is_batch = self.transforms.get(*id).is_some_and(|it| it.kind == "batch");
                    if !is_batch {
                        way.push(Leg { id, ports: ports(id, inputs) });
                    }
                    inputs = self.inputs(id);
                }
                _ => return Err(format!("more than one path leads to the sink `{sink}`")),
            }
        }
        way.reverse();
        Ok(way)
    }

    /// Returns the transforms that keep something from getting out, with what that is.
    pub fn protecting(&self) -> impl Iterator<Item = (&ComponentId, &'static str)> {
        let all = self.transforms.iter();
        all.filter_map(|(id, entry)| entry.config.protects().map(|what| (id, what)))
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
    use crate::config::load_text;
    use crate::config::tests::load_with_tests as load;

    fn way(start: &str, end: &str) -> Result<String, String> {
        let case = format!("{{ name: n, start: {start}, {end} input: [{{}}], dropped: true }}");
        let config = load(&case)?;
        let way = config.way(&config.tests[0])?;
        Ok(way.iter().map(|leg| leg.id.as_str()).collect())
    }

    #[test]
    fn one_way_leads_to_a_sink_or_it_is_told() {
        let text = "
sources: { s: { type: demo } }
transforms:
  a: { type: redact, inputs: [s], patterns: [email] }
  b: { type: batch, inputs: [a] }
  c: { type: enrich, inputs: [b] }
sinks:
  k: { type: blackhole, inputs: [c] }
  l: { type: blackhole, inputs: [s] }
  m: { type: blackhole, inputs: [s, a] }
  n: { type: blackhole, inputs: [a, c] }
";
        let config = load_text("way.yaml", text, &|_| None).unwrap();
        let way = |sink: &str| -> Result<String, String> {
            Ok(config.way_to(sink)?.iter().map(|leg| leg.id.as_str()).collect())
        };
        assert_eq!((way("k"), way("l")), (Ok("ac".to_owned()), Ok(String::new())));
        assert!(way("m").unwrap_err().contains("more than one path"));
        assert!(way("n").unwrap_err().contains("more than one path"));
        assert!(way("o").unwrap_err().contains("there are: k, l, m, n"));
        let protecting: Vec<&str> = config.protecting().map(|(id, _)| id.as_str()).collect();
        assert_eq!(protecting, ["a"]);
    }

    #[test]
    fn records_take_the_only_way_or_the_one_to_the_end() {
        assert_eq!(way("c", ""), Ok("c".to_owned()));
        assert_eq!(way("b", "end: b,"), Ok("b".to_owned()));
        assert_eq!(way("b", "end: c,"), Ok("bc".to_owned()));
        assert_eq!(way("a", "end: d,"), Ok("abd".to_owned()));
        assert!(way("a", "").unwrap_err().contains("several transforms read `a`"));
        assert!(way("c", "end: b,").unwrap_err().contains("no path leads"));
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
}

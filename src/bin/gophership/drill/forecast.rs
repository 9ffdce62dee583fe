//! Which of a client's records should arrive at which backend: before the drill begins they go through the
//! transforms of the configuration here.
//!
//! Whatever decides by a record alone is followed exactly. A `throttle`, which decides by the pace of records, takes
//! everything in the drill. What depends on the zone is not followed: what it may take out is not judged, and a note
//! names it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use bytes::Bytes;
use gophership::component::ComponentId;
use gophership::component::OutputId;
use gophership::config::Config;
use gophership::config::Leg;
use gophership::config::TransformEntry;
use gophership::event::Batch;
use gophership::event::Provenance;
use gophership::event::Request;
use gophership::topology::SharedParts;
use gophership_otlp::Signal;
use gophership_testbed::Expectation;
use gophership_testbed::Kinds;
use gophership_testbed::RecordOracle;
use gophership_units::unix_ns;

use super::plan::BY_PACE;
use super::plan::EntryPoint;
use super::plan::Plan;
use super::plan::reach;
use crate::stages;
use crate::stages::Stage;

/// Remembers records, so the same one may pass once and be taken out the next time.
const BY_MEMORY: &str = "dedupe";
/// Changes only how records travel.
const PASSES_ALL: &str = "batch";

/// Goes through the transforms with the records of all clients, and tells the oracle what to expect; adds
/// to the notes of the plan what is not judged.
///
/// # Errors
///
/// In words, which transform cannot be built, or why nothing could be judged.
pub(super) fn forecast(
    config: &Config,
    plan: &mut Plan,
    clients: usize,
    oracle: &mut RecordOracle,
) -> Result<(), String> {
    let mut forecast = Forecast {
        config,
        shared: stages::shared(config),
        sinks: &plan.sinks,
        stages: BTreeMap::new(),
        doubts: vec![BTreeSet::new(); plan.sinks.len()],
    };
    let mut all = vec![Expectation::NOTHING; plan.sinks.len()];
    let mut expected = Vec::new();
    for client in 0..clients {
        let entry = &plan.entries[client % plan.entries.len()];
        for (sink, one) in forecast.of_client(entry, client, oracle)? {
            all[sink] = either(all[sink], one);
            expected.push((client, sink, one));
        }
    }
    let doubts = forecast.doubts;
    let is_reached = |sink: &usize| plan.entries.iter().any(|entry| entry.sinks.contains(sink));
    let reached: Vec<usize> = (0..plan.sinks.len()).filter(is_reached).collect();
    let notes: Vec<String> = reached
        .iter()
        .filter_map(|sink| note(&plan.sinks[*sink], all[*sink], &doubts[*sink]))
        .collect();
    if reached.iter().all(|sink| all[*sink].must.is_empty()) {
        return Err(notes.join("; "));
    }
    plan.notes.extend(notes);
    plan.is_judged = all.iter().map(|one| !one.must.is_empty()).collect();
    for (client, sink, one) in expected {
        oracle.expect(client, sink, one);
    }
    Ok(())
}

/// What is to be said about a sink that does not simply get everything.
fn note(sink: &str, all: Expectation, doubts: &BTreeSet<String>) -> Option<String> {
    let (must, may, of) = (all.must.len(), all.may.len(), Kinds::LEN);
    let names = doubts.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
    if may == 0 {
        let text = "the transforms remove every record that the drill sends before it reaches";
        Some(format!("{text} sink `{sink}`; the drill does not judge this sink"))
    } else if must == 0 {
        Some(format!(
            "the drill cannot predict which records {names} removes; it does not judge whether \
             records arrive at sink `{sink}`"
        ))
    } else if must < may {
        Some(format!(
            "the drill cannot predict which records {names} removes; it judges {must} of {of} kinds \
             of records at sink `{sink}`"
        ))
    } else if must < of {
        Some(format!("sink `{sink}` is to get {must} of {of} kinds of records, and no other"))
    } else {
        None
    }
}

/// What comes on one of several ways that are all taken.
fn either(one: Expectation, other: Expectation) -> Expectation {
    Expectation { must: one.must.or(other.must), may: one.may.or(other.may) }
}

/// What comes on one of several ways of which one is taken.
fn any(one: Expectation, other: Expectation) -> Expectation {
    Expectation { must: one.must.and(other.must), may: one.may.or(other.may) }
}

/// The transforms, and what of them cannot be foreseen.
struct Forecast<'c> {
    config: &'c Config,
    shared: SharedParts,
    sinks: &'c [String],
    /// Built when they are needed, by transform and output.
    stages: BTreeMap<OutputId, Vec<Stage>>,
    /// Of each sink, the transforms before it that cannot be followed.
    doubts: Vec<BTreeSet<String>>,
}

impl Forecast<'_> {
    /// What each sink behind an entry is to get of a client's records.
    fn of_client(
        &mut self,
        entry: &EntryPoint,
        client: usize,
        oracle: &RecordOracle,
    ) -> Result<Vec<(usize, Expectation)>, String> {
        // Whoever remembers the first records of each kind decides about the second ones.
        let first = self.of_entry(entry, &oracle.request(client, &[Kinds::numbers(0)]))?;
        let second = self.of_entry(entry, &oracle.request(client, &[Kinds::numbers(1)]))?;
        let mut expected = Vec::new();
        for sink in &entry.sinks {
            let both = any(first[*sink], second[*sink]);
            if first[*sink] != second[*sink] {
                let remember = self.config.transforms.iter().filter(|(_, it)| it.kind == BY_MEMORY);
                self.doubts[*sink].extend(remember.map(|(id, _)| id.to_string()));
            }
            expected.push((*sink, both));
        }
        Ok(expected)
    }

    /// A request goes straight, or through the vault and its replays.
    fn of_entry(&mut self, entry: &EntryPoint, wire: &Bytes) -> Result<Vec<Expectation>, String> {
        let config = self.config;
        let Some((id, source)) = config.sources.iter().find(|(id, _)| id.as_str() == entry.source)
        else {
            return Ok(vec![Expectation::NOTHING; self.sinks.len()]);
        };
        let pivot = source.config.pivot();
        let replays = config.sources.iter().filter(|(_, other)| {
            let replayed = other.config.replays();
            replayed.is_some() && replayed == pivot
        });
        let replays: Vec<&ComponentId> = replays.map(|(id, _)| id).collect();
        let straight = if source.config.is_journaled() { vec![] } else { vec![id] };
        let mut ways: Vec<(BTreeSet<String>, Vec<Expectation>)> = Vec::new();
        for starts in [straight, replays] {
            let mut all = vec![Expectation::NOTHING; self.sinks.len()];
            let mut reached = BTreeSet::new();
            for start in starts {
                reached.extend(reach(config, [start.to_string()].into()));
                let there = self.behind(&output(start, None), wire)?;
                all.iter_mut().zip(there).for_each(|(all, one)| *all = either(*all, one));
            }
            ways.push((reached, all));
        }
        let of_sink = |(idx, sink): (usize, &String)| {
            let ways = ways.iter().filter(|(reached, _)| reached.contains(sink));
            ways.map(|(_, all)| all[idx]).reduce(any).unwrap_or(Expectation::NOTHING)
        };
        Ok(self.sinks.iter().enumerate().map(of_sink).collect())
    }

    /// What each sink gets of the records that come out of an output.
    fn behind(&mut self, from: &OutputId, wire: &Bytes) -> Result<Vec<Expectation>, String> {
        let config = self.config;
        let mut all = vec![Expectation::NOTHING; self.sinks.len()];
        let mut kinds = Kinds::NONE;
        let _strangers = gophership_testbed::find(wire, |found| kinds.insert(found.seq));
        for (idx, name) in self.sinks.iter().enumerate() {
            let mut sinks = config.sinks.iter().filter(|(id, _)| id.as_str() == name);
            if sinks.any(|(_, sink)| sink.inputs.contains(from)) {
                all[idx] = either(all[idx], Expectation { must: kinds, may: kinds });
            }
        }
        for (id, entry) in config.transforms.iter().filter(|(_, it)| it.inputs.contains(from)) {
            let there = self.through(id, entry, wire)?;
            all.iter_mut().zip(there).for_each(|(all, one)| *all = either(*all, one));
        }
        Ok(all)
    }

    /// What each sink gets of the records that go into a transform.
    fn through(
        &mut self,
        id: &ComponentId,
        entry: &TransformEntry,
        wire: &Bytes,
    ) -> Result<Vec<Expectation>, String> {
        if [PASSES_ALL, BY_PACE].contains(&entry.kind.as_str()) {
            return self.behind(&output(id, None), wire);
        }
        let ports = entry.config.ports();
        let outputs: Vec<OutputId> = if ports.is_empty() {
            vec![output(id, None)]
        } else {
            ports.iter().map(|port| output(id, Some(port))).collect()
        };
        let mut all = vec![Expectation::NOTHING; self.sinks.len()];
        for from in outputs {
            for wire in self.apply(&from, wire)? {
                let there = self.behind(&from, &wire)?;
                all.iter_mut().zip(there).for_each(|(all, one)| *all = either(*all, one));
            }
        }
        if entry.shed_in.is_some() {
            // Under pressure they pass as they are.
            let passed = self.behind(&output(id, None), wire)?;
            all.iter_mut().zip(passed).for_each(|(all, one)| *all = any(*all, one));
            self.doubt(id, &all);
        }
        Ok(all)
    }

    /// Notes a transform for the sinks of which it leaves something open.
    fn doubt(&mut self, id: &ComponentId, all: &[Expectation]) {
        for (doubts, one) in self.doubts.iter_mut().zip(all) {
            if one.must != one.may {
                doubts.insert(id.to_string());
            }
        }
    }

    /// The requests that come out of an output of a transform when this one goes in.
    fn apply(&mut self, from: &OutputId, wire: &Bytes) -> Result<Vec<Bytes>, String> {
        if !self.stages.contains_key(from) {
            let leg = Leg { id: &from.component, ports: from.port.iter().cloned().collect() };
            let built = stages::build(self.config, &[leg], &self.shared)?;
            self.stages.insert(from.clone(), built);
        }
        let Some(stages) = self.stages.get_mut(from) else { return Ok(Vec::new()) };
        let records =
            gophership_otlp::prescan(Signal::Logs, wire).map_err(|e| e.to_string())?.records;
        let request = Request {
            signal: Signal::Logs,
            wire: wire.clone(),
            records,
            received_unix_ns: unix_ns(),
            provenance: Provenance::forever("drill"),
        };
        let batch = Batch::received(&request, None, self.shared.ledgers.source("drill"));
        let mut out = Vec::new();
        stages::go_through(stages, Some(batch), &mut out);
        let wires = out.into_iter().map(|batch| {
            let wire = batch.wire().clone();
            batch.delivered();
            wire
        });
        Ok(wires.collect())
    }
}

fn output(id: &ComponentId, port: Option<&std::sync::Arc<str>>) -> OutputId {
    OutputId { component: id.clone(), port: port.cloned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::plan::plan;
    use gophership_testbed::Intact;

    /// The plan and the oracle after a forecast for four clients.
    fn forecast_of(transforms: &str, sinks: &str) -> Result<(Plan, RecordOracle), String> {
        let text = format!(
            "
sources: {{ in: {{ type: otlp, pivot: v }}, again: {{ type: vault_replay, vault: v }} }}
transforms:\n{transforms}
sinks:\n  v: {{ type: raw_vault }}\n{sinks}"
        );
        let config = gophership::config::load_text("test.yaml", &text, &|_| None).unwrap();
        let mut plan = plan(&config)?;
        let routes = vec![plan.entries[0].sinks.clone(); 4];
        let mut oracle = RecordOracle::new(routes, plan.sinks.len(), Intact::Content);
        forecast(&config, &mut plan, 4, &mut oracle)?;
        Ok((plan, oracle))
    }

    const OUT: &str = "endpoint: 'http://localhost:4317' }";

    #[test]
    fn a_filter_and_a_route_are_followed_record_by_record() {
        let (plan, oracle) = forecast_of(
            "  f: { type: filter, inputs: [in, again], drop: [{ severity_below: info }] }
  r: { type: route, inputs: [f], routes: [{ name: bad, when: { severity_at_least: error } }] }",
            &format!(
                "  all: {{ type: otlp, inputs: [f], {OUT}\n  bad: {{ type: otlp, inputs: [r.bad], {OUT}
  rest: {{ type: otlp, inputs: [r.unmatched], {OUT}"
            ),
        )
        .unwrap();
        let of = |sink: usize| {
            let expected = oracle.expectation(0, sink).unwrap();
            assert_eq!(expected.must, expected.may);
            expected.must
        };
        let name = |name: &str| plan.sinks.iter().position(|sink| sink == name).unwrap();
        let (all, bad, rest) = (of(name("all")), of(name("bad")), of(name("rest")));
        assert_eq!((bad.and(rest), bad.or(rest)), (Kinds::NONE, all));
        // Of made-up records 15 of 100 are debug, and 5 errors.
        assert!((380..490).contains(&all.len()), "{}", all.len());
        assert!((5..60).contains(&bad.len()), "{}", bad.len());
        assert_eq!(plan.is_judged, [true; 3]);
        assert!(plan.notes.iter().all(|note| note.contains("of 512 kinds")), "{:?}", plan.notes);
    }

    #[test]
    fn sampling_by_trace_is_followed() {
        let (plan, oracle) = forecast_of(
            "  s: { type: sample, inputs: [in, again], rate: 0.25 }",
            &format!("  out: {{ type: otlp, inputs: [s], {OUT}"),
        )
        .unwrap();
        let expected = oracle.expectation(3, 0).unwrap();
        assert_eq!(expected.must, expected.may);
        assert!((80..180).contains(&expected.must.len()), "{}", expected.must.len());
        assert_eq!(plan.is_judged, [true]);
    }

    #[test]
    fn a_throttle_lets_everything_pass_and_is_named() {
        let (plan, oracle) = forecast_of(
            "  t: { type: throttle, inputs: [in, again], records: 10 }",
            &format!(
                "  all: {{ type: otlp, inputs: [in, again], {OUT}
  few: {{ type: otlp, inputs: [t], {OUT}"
            ),
        )
        .unwrap();
        assert_eq!(plan.is_judged, [true, true]);
        assert_eq!(plan.notes.len(), 1, "{:?}", plan.notes);
        assert!(plan.notes[0].contains("throttle `t`"), "{:?}", plan.notes);
        for sink in [0, 1] {
            assert_eq!(oracle.expectation(0, sink).unwrap(), Expectation::EVERYTHING);
        }
    }

    #[test]
    fn a_transform_that_is_left_out_under_pressure_decides_nothing_for_sure() {
        let (plan, oracle) = forecast_of(
            "  s: { type: sample, inputs: [in, again], rate: 0.5, shed_in: yellow }",
            &format!("  out: {{ type: otlp, inputs: [s], {OUT}"),
        )
        .unwrap();
        let expected = oracle.expectation(0, 0).unwrap();
        assert_eq!(expected.may, Kinds::ALL);
        assert!((150..350).contains(&expected.must.len()), "{}", expected.must.len());
        assert!(plan.notes[0].contains("`s`"), "{:?}", plan.notes);
    }

    #[test]
    fn where_nothing_could_be_judged_the_reason_is_said() {
        let out = format!("  out: {{ type: otlp, inputs: [t], {OUT}");
        let failed = |transform: &str| forecast_of(transform, &out).err().unwrap();
        let nothing = failed(
            "  t: { type: filter, inputs: [in, again], keep: [{ attribute: x, equals: y }] }",
        );
        assert!(nothing.contains("remove every record"), "{nothing}");
    }
}

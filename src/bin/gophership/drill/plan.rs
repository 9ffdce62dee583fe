//! What of a configuration can be drilled: from which source records come to which backends.

use std::collections::BTreeSet;

use gophership::config::Config;
use gophership_otlp_client::Protocol;
use gophership_testbed::Intact;

/// Takes records out by their pace, which is another one in the drill.
pub(super) const BY_PACE: &str = "throttle";

/// A listener and where its records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntryPoint {
    pub(super) source: String,
    pub(super) protocol: Protocol,
    /// Indices into [`Plan::sinks`].
    pub(super) sinks: Vec<usize>,
}

/// The ways of records, and what is to be said about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) entries: Vec<EntryPoint>,
    /// The `otlp` sinks.
    pub(super) sinks: Vec<String>,
    /// Of each, whether its backend is out.
    pub(super) is_out: Vec<bool>,
    /// Of each, whether it is known of some records that they must arrive there.
    pub(super) is_judged: Vec<bool>,
    /// What transforms leave of a record.
    pub(super) intact: Intact,
    pub(super) notes: Vec<String>,
}

impl Plan {
    /// Lets only these sinks be out, or all if none is named; says in words which name is none.
    pub(super) fn choose(&mut self, names: &[String]) -> Result<(), String> {
        if let Some(name) = names.iter().find(|name| !self.sinks.contains(name)) {
            let sinks = self.sinks.join(", ");
            return Err(format!(
                "the configuration has no `otlp` sink {name:?}; its `otlp` sinks are {sinks}"
            ));
        }
        let is_out = |sink: &String| names.is_empty() || names.contains(sink);
        self.is_out = self.sinks.iter().map(is_out).collect();
        Ok(())
    }

    /// Whether some backend takes everything always, and something must arrive there.
    pub(super) fn has_staying(&self) -> bool {
        self.is_out.iter().zip(&self.is_judged).any(|(is_out, is_judged)| !is_out && *is_judged)
    }
}

/// Plans the drill of a configuration, or says in words why it cannot be drilled.
pub(super) fn plan(config: &Config) -> Result<Plan, String> {
    let of_kind = |kind: &str| {
        let sinks = config.sinks.iter().filter(move |(_, entry)| entry.kind == kind);
        sinks.map(|(id, _)| id.to_string()).collect::<Vec<_>>()
    };
    let sinks = of_kind("otlp");
    let is_judged = vec![true; sinks.len()];
    let mut plan = Plan { intact: intact(config), sinks, is_judged, ..Plan::default() };
    let sources: Vec<_> = config.sources.iter().filter(|(_, entry)| entry.kind == "otlp").collect();
    if sources.is_empty() {
        return Err("the configuration has no `otlp` source for the clients".to_owned());
    }
    if plan.sinks.is_empty() {
        return Err("the configuration has no `otlp` sink for the outage".to_owned());
    }
    for (id, entry) in sources {
        let pivot = entry.config.pivot();
        let replays = config.sources.iter().filter(|(_, entry)| {
            let replayed = entry.config.replays();
            replayed.is_some() && replayed == pivot
        });
        let starts = replays.map(|(id, _)| id).chain([id]).map(ToString::to_string);
        let reached = reach(config, starts.collect());
        let sinks: Vec<usize> = (0..)
            .zip(&plan.sinks)
            .filter(|(_, id)| reached.contains(*id))
            .map(|(idx, _)| idx)
            .collect();
        if sinks.is_empty() {
            plan.notes
                .push(format!("source `{id}` leads to no `otlp` sink; the drill does not use it"));
            continue;
        }
        if pivot.is_none() {
            let note = "has no vault (`pivot`): requests wait until the backend accepts them";
            plan.notes.push(format!("source `{id}` {note}"));
        }
        let source = id.to_string();
        let protocol = match entry.config.values().unwrap_or_default() {
            options if options["grpc"].is_null() && options["http"].is_object() => Protocol::Http,
            _ => Protocol::Grpc,
        };
        plan.entries.push(EntryPoint { source, protocol, sinks });
    }
    if plan.entries.is_empty() {
        return Err("no `otlp` source leads to an `otlp` sink".to_owned());
    }
    for (id, _) in config.sources.iter().filter(|(_, entry)| entry.kind == "demo") {
        plan.notes.push(format!("source `{id}` generates records; the drill does not count them"));
    }
    for (id, _) in config.transforms.iter().filter(|(_, entry)| entry.kind == BY_PACE) {
        plan.notes.push(format!(
            "throttle `{id}` passes every record here: which records it removes depends on their rate"
        ));
    }
    for id in of_kind("file") {
        plan.notes.push(format!("sink `{id}` writes into the drill's own directory"));
    }
    Ok(plan)
}

/// What must come as it was sent, whatever transforms there are.
fn intact(config: &Config) -> Intact {
    let mut kinds = config.transforms.values().map(|entry| &entry.kind);
    if kinds.any(|kind| kind == "redact") {
        Intact::Stamp
    } else if config.transforms.is_empty() {
        Intact::Bytes
    } else {
        Intact::Content
    }
}

/// The components behind some, and these.
pub(super) fn reach(config: &Config, starts: BTreeSet<String>) -> BTreeSet<String> {
    let mut reached = starts;
    let transforms = config.transforms.iter().map(|(id, entry)| (id, &entry.inputs));
    let sinks = config.sinks.iter().map(|(id, entry)| (id, &entry.inputs));
    let parts: Vec<_> = transforms.chain(sinks).collect();
    loop {
        let is_next = |(id, inputs): &&(&_, &Vec<_>)| {
            let id: &gophership::component::ComponentId = id;
            let inputs: &[gophership::component::OutputId] = inputs;
            !reached.contains(id.as_str())
                && inputs.iter().any(|input| reached.contains(input.component.as_str()))
        };
        let next: Vec<String> =
            parts.iter().filter(is_next).map(|(id, _)| id.to_string()).collect();
        if next.is_empty() {
            break;
        }
        reached.extend(next);
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(text: &str) -> Result<Plan, String> {
        plan(&gophership::config::load_text("test.yaml", text, &|_| None).unwrap())
    }

    #[test]
    fn records_go_straight_and_through_the_vault() {
        let plan = planned(
            "
            sources:
              a: { type: otlp, pivot: v, ack: journaled, grpc: { listen: '127.0.0.1:1' } }
              b: { type: otlp, http: { listen: '127.0.0.1:2' } }
              r: { type: vault_replay, vault: v }
            transforms:
              t: { type: enrich, inputs: [r], resource: { x: { set: y } } }
            sinks:
              x: { type: otlp, inputs: [t], endpoint: 'http://localhost:4317' }
              y: { type: otlp, inputs: [b], endpoint: 'http://localhost:4317' }
              v: { type: raw_vault }
            ",
        )
        .unwrap();
        let entry = |source: &str, protocol, sinks: &[usize]| EntryPoint {
            source: source.to_owned(),
            protocol,
            sinks: sinks.to_vec(),
        };
        let entries = [entry("a", Protocol::Grpc, &[0]), entry("b", Protocol::Http, &[1])];
        assert_eq!(plan.entries, entries);
        assert_eq!(plan.intact, Intact::Content);
        assert_eq!(plan.notes.len(), 1, "{:?}", plan.notes);
    }

    #[test]
    fn behind_redact_bodies_are_not_compared() {
        let plan = planned(
            "
            sources: { in: { type: otlp } }
            transforms: { r: { type: redact, inputs: [in], patterns: [email] } }
            sinks: { out: { type: otlp, inputs: [r], endpoint: 'http://localhost:4317' } }
            ",
        );
        assert_eq!(plan.unwrap().intact, Intact::Stamp);
    }

    #[test]
    fn sinks_that_are_not_named_stay() {
        let sinks = vec!["a".to_owned(), "b".to_owned()];
        let mut plan = Plan { is_judged: vec![true; 2], sinks, ..Plan::default() };
        plan.choose(&["b".to_owned()]).unwrap();
        assert_eq!((&plan.is_out[..], plan.has_staying()), (&[false, true][..], true));
        plan.choose(&[]).unwrap();
        assert_eq!((&plan.is_out[..], plan.has_staying()), (&[true; 2][..], false));
        let reason = plan.choose(&["c".to_owned()]).unwrap_err();
        assert!(reason.contains("no `otlp` sink \"c\"; its `otlp` sinks are a, b"), "{reason}");
    }

    #[test]
    fn what_cannot_be_drilled_is_said_in_words() {
        let demo = "demo: { type: demo }";
        let otlp = "in: { type: otlp }";
        let out = "out: { type: otlp, endpoint: 'http://localhost:4317', inputs: ";
        for (sources, transforms, sinks, words) in [
            (demo, "", &*format!("{out} [demo] }}"), "no `otlp` source"),
            (otlp, "", "out: { type: blackhole, inputs: [in] }", "no `otlp` sink"),
            (
                "in: { type: otlp }\n  demo: { type: demo }",
                "",
                &*format!("{out} [demo] }}\n  hole: {{ type: blackhole, inputs: [in] }}"),
                "no `otlp` source leads to",
            ),
        ] {
            let text =
                format!("sources:\n  {sources}\ntransforms:\n  {transforms}\nsinks:\n  {sinks}\n");
            let reason = planned(&text).unwrap_err();
            assert!(reason.contains(words), "{reason}");
        }
    }
}

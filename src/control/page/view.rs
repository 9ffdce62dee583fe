//! What the page shows: the figures of one moment, how the components are connected, and the rates.

use gophership_control::proto;

use crate::config::Config;
use crate::control::history::History;
use crate::control::history::Rates;
use crate::control::history::ZoneSpan;

/// The figures of one moment.
#[derive(Debug)]
pub(super) struct View {
    /// What the process is doing now.
    pub(super) status: proto::StatusResponse,
    /// How the components are connected.
    pub(super) links: Vec<Link>,
    /// What moves.
    pub(super) rates: Rates,
    /// The zones of the last 15 minutes, oldest first.
    pub(super) zones: Vec<ZoneSpan>,
}

/// A connection of two components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Whose output it is.
    pub(super) from: String,
    /// The name of the output, if there are several.
    pub(super) output: Option<String>,
    /// Who reads it.
    pub(super) to: String,
    /// What goes that way.
    pub(super) kind: LinkKind,
}

/// What goes over a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkKind {
    /// Every request.
    Input,
    /// What the source puts into the vault.
    Pivot,
    /// What the source reads from the vault.
    Replay,
    /// The segments of the vault.
    Copy,
}

impl LinkKind {
    /// The name in the JSON.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Pivot => "pivot",
            Self::Replay => "replay",
            Self::Copy => "copy",
        }
    }
}

impl View {
    /// Puts together what is shown.
    pub(super) fn new(status: proto::StatusResponse, config: &Config, history: &History) -> Self {
        let (rates, zones) = (history.rates(), history.zones());
        Self { status, links: links(config), rates, zones }
    }

    /// The records of a bucket of the ledger, over all signals.
    pub(super) fn records(&self, bucket: &str) -> i64 {
        let rows = self.status.ledger.iter().filter(|row| row.bucket == bucket);
        rows.fold(0, |sum, row| sum.saturating_add(row.records))
    }

    /// What a source receives or a sink delivers, in records a second; `None` for a transform.
    pub(super) fn rate(&self, component: &proto::Component) -> Option<f64> {
        let rates = match component.section.as_str() {
            "source" => &self.rates.sources,
            "sink" => &self.rates.sinks,
            _ => return None,
        };
        Some(rates.get(&component.id).copied().unwrap_or(0.0))
    }
}

fn links(config: &Config) -> Vec<Link> {
    let mut links = Vec::new();
    let transforms = config.transforms.iter().map(|(id, entry)| (id, &entry.inputs));
    let sinks = config.sinks.iter().map(|(id, entry)| (id, &entry.inputs));
    for (id, inputs) in transforms.chain(sinks) {
        links.extend(inputs.iter().map(|input| Link {
            from: input.component.to_string(),
            output: input.port.as_deref().map(str::to_owned),
            to: id.to_string(),
            kind: LinkKind::Input,
        }));
    }
    let link = |from: &str, to: &str, kind| {
        let (from, to) = (from.to_owned(), to.to_owned());
        Link { from, output: None, to, kind }
    };
    for (id, source) in &config.sources {
        let pivot = source.config.pivot();
        links.extend(pivot.map(|vault| link(id.as_str(), vault, LinkKind::Pivot)));
        let vault = source.config.replays();
        links.extend(vault.map(|vault| link(vault, id.as_str(), LinkKind::Replay)));
    }
    for (id, sink) in &config.sinks {
        let vault = sink.config.copies();
        links.extend(vault.map(|vault| link(vault, id.as_str(), LinkKind::Copy)));
    }
    links
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::load_text;

    /// A source, a transform, a sink, a vault and its replay, with some figures.
    pub(in crate::control::page) fn view() -> View {
        let component = |id: &str, section: &str, kind: &str, batches| proto::Component {
            id: id.to_owned(),
            section: section.to_owned(),
            r#type: kind.to_owned(),
            edge_batches: batches,
            edge_bytes: batches * 1024,
            edge_permille: 125,
            records_per_second: None,
        };
        let status = proto::StatusResponse {
            version: "0.1.0".to_owned(),
            ready: true,
            uptime_seconds: 3723,
            zone: proto::Zone::Yellow.into(),
            zone_reason: "the edge of a&b is 70% full".to_owned(),
            zone_seconds: 61,
            zone_history: vec![proto::ZoneSpan { zone: proto::Zone::Green.into(), seconds: 30 }],
            components: vec![
                component("otlp", "source", "otlp", 0),
                component("replay", "source", "vault_replay", 0),
                component("even", "transform", "filter", 0),
                component("backend", "sink", "otlp", 7),
                component("vault", "sink", "raw_vault", 0),
            ],
            ledger: vec![proto::Bucket {
                signal: "logs".to_owned(),
                bucket: "received".to_owned(),
                records: 1_234_567,
            }],
            pressures: vec![proto::Pressure {
                kind: "edge".to_owned(),
                place: "backend".to_owned(),
                permille: 701,
            }],
            memory: vec![proto::MemoryShare {
                name: "edges".to_owned(),
                used_bytes: 1536,
                limit_bytes: 4096,
            }],
            vaults: vec![proto::Vault {
                id: "vault".to_owned(),
                used_bytes: 1 << 20,
                max_bytes: 1 << 22,
                backlog_requests: 42,
                ..proto::Vault::default()
            }],
            ..proto::StatusResponse::default()
        };
        let zones = vec![ZoneSpan { zone: crate::somatic::Zone::Green, seconds: 30 }];
        View { status, links: links(&config()), rates: Rates::default(), zones }
    }

    fn config() -> Config {
        let text = "
sources:
  otlp: { type: otlp, pivot: vault }
  replay: { type: vault_replay, vault: vault }
transforms:
  even: { type: filter, inputs: [otlp, replay], drop: [{ attribute: a, equals: b }] }
sinks:
  backend: { type: otlp, inputs: [even], endpoint: 'http://localhost:4317' }
  vault: { type: raw_vault }
";
        load_text("page.yaml", text, &|_| None).unwrap()
    }

    #[test]
    fn links_are_inputs_pivots_and_replays() {
        let shown = |link: &Link| format!("{} {} {}", link.from, link.kind.name(), link.to);
        let links: Vec<String> = links(&config()).iter().map(shown).collect();
        assert_eq!(
            links,
            [
                "otlp input even",
                "replay input even",
                "even input backend",
                "otlp pivot vault",
                "vault replay replay",
            ]
        );
    }
}

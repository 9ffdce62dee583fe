//! Random pipelines, and random changes of them.

use std::collections::BTreeMap;

use crate::harness::Backend;

/// How many sinks there can be.
pub(crate) const SINKS: usize = 4;

/// How a sink reads the sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    Straight,
    Enriched,
    Routed,
}

/// One sink of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sink {
    pub(crate) path: Path,
    /// Counts its names; `formerly` has those before.
    pub(crate) name: u64,
    pub(crate) gzip: bool,
}

/// What the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pipeline {
    pub(crate) sinks: BTreeMap<usize, Sink>,
    /// The number in the name of the replay.
    pub(crate) replay: u64,
    pub(crate) has_second_source: bool,
    pub(crate) vault: u64,
}

impl Pipeline {
    pub(crate) fn new() -> Self {
        let sinks = BTreeMap::from([(0, Sink::new(Path::Straight))]);
        Self { sinks, replay: 0, has_second_source: false, vault: 1 }
    }

    /// Changes something.
    pub(crate) fn mutate(&mut self, random: &mut fastrand::Rng) {
        let idx = random.usize(..SINKS);
        let path = [Path::Straight, Path::Enriched, Path::Routed][random.usize(..3)];
        match random.u8(..12) {
            0..3 => {
                self.sinks.entry(idx).or_insert_with(|| Sink::new(path));
            }
            3..5 if 1 < self.sinks.len() => {
                self.sinks.remove(&idx);
            }
            5 => self.replay += 1,
            6 => self.has_second_source ^= true,
            7 => self.vault = 1 + self.vault % 3,
            action => {
                let Some(sink) = self.sinks.get_mut(&idx) else { return };
                match action {
                    8 => sink.path = path,
                    9 => sink.gzip ^= true,
                    _ => sink.name += 1,
                }
            }
        }
    }

    pub(crate) fn yaml(&self, backends: &[Backend]) -> String {
        let replay = format!("replay{}", self.replay);
        let second = if self.has_second_source { ", second" } else { "" };
        let inputs = format!("otlp, {replay}{second}");
        let mut sinks = String::new();
        let mut paths: Vec<Path> = Vec::new();
        for (idx, sink) in &self.sinks {
            let Sink { path, name, gzip } = sink;
            paths.push(*path);
            let inputs = match path {
                Path::Straight => &inputs,
                Path::Enriched => "enrich",
                Path::Routed => "route.logs",
            };
            let former: Vec<String> = (0..*name).map(|name| format!("s{idx}_{name}")).collect();
            let former = former.join(", ");
            let compression = if *gzip { "gzip" } else { "none" };
            let sink = format!(
                "  s{idx}_{name}: {{ type: otlp, inputs: [{inputs}], endpoint: 'http://{}', \
                 formerly: [{former}], compression: {compression} }}\n",
                backends[*idx].address()
            );
            sinks.push_str(&sink);
        }
        let mut transforms = String::new();
        if paths.contains(&Path::Enriched) {
            let enrich =
                format!("  enrich: {{ type: enrich, inputs: [{inputs}], resource: {{ a: b }} }}\n");
            transforms.push_str(&enrich);
        }
        if paths.contains(&Path::Routed) {
            let route = format!(
                "  route: {{ type: route, inputs: [{inputs}], routes: [{{ name: logs, when: {{ signal: \
                 logs }} }}] }}\n"
            );
            transforms.push_str(&route);
        }
        if !transforms.is_empty() {
            transforms = format!("transforms:\n{transforms}");
        }
        let second = if self.has_second_source {
            "  second: { type: otlp, grpc: { listen: '$HTTP' }, pivot: vault }"
        } else {
            ""
        };
        let age = self.vault;
        format!(
            "shutdown: {{ grace: 2s }}
sources:
  otlp: {{ type: otlp, grpc: {{ listen: '$GRPC' }}, pivot: vault, patience: 300ms }}
  {replay}: {{ type: vault_replay, vault: vault }}
{second}
{transforms}sinks:
{sinks}  vault: {{ type: raw_vault, max_size: 512MiB, segment_size: 1MiB, durability: written, \
             segment_age: {age}m }}
"
        )
    }
}

impl Sink {
    pub(crate) const fn new(path: Path) -> Self {
        Self { path, name: 0, gzip: false }
    }
}

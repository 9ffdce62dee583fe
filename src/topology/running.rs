//! The running topology: one entry per component, and the wiring between them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::builder::Blueprint;
use super::builder::BuiltComponents;
use super::builder::SharedParts;
use super::graph::Graph;
use super::passing::Outlets;
use super::supervisor::Supervisor;
use crate::component::ComponentId;
use crate::component::OutputId;
use crate::component::Stop;
use crate::config::BufferConfig;
use crate::config::Config;
use crate::event::SinkId;
use crate::flow::Destination;
use crate::flow::EdgeLimits;
use crate::flow::EdgeReceiver;
use crate::flow::EdgeSender;
use crate::flow::Intake;
use crate::flow::Output;
use crate::flow::Pulse;
use crate::flow::Reflex;
use crate::flow::Routes;
use crate::flow::edge;

/// After its deadline a component that was told to give up has this long to do so.
const GIVE_UP_WITHIN: Duration = Duration::from_secs(1);

/// How often it looks whether every source has ended. Most never do: for them it is work for nothing.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What became of a component in a reload or shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComponentOutcome {
    /// It runs since now.
    Started,
    /// It runs on, untouched.
    Kept,
    /// It handed on all it had, and ended.
    Drained,
    /// Its deadline passed; what it had was given back to its sources.
    CutShort,
}

impl fmt::Display for ComponentOutcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Started => "started",
            Self::Kept => "kept",
            Self::Drained => "drained",
            Self::CutShort => "cut short",
        })
    }
}

/// A component that runs.
pub(super) struct Running {
    stop: Stop,
    task: JoinHandle<()>,
    /// Holds the edge of a sink open that is reached without it (a vault); dropping it ends the sink.
    ledger_store: Option<EdgeSender>,
}

/// Everything that runs, under one configuration.
pub struct RunningTopology {
    pub(super) config: Arc<Config>,
    pub(super) shared: SharedParts,
    pub(super) pulse: Pulse,
    pub(super) components: BTreeMap<ComponentId, Running>,
    /// Everything is to end: what has failed is not waited for.
    ending: Stop,
}

/// Pieces with their connections, ready to be started.
pub(super) struct Connected {
    pub(super) inlets: BTreeMap<ComponentId, Destination>,
    pub(super) outlets: BTreeMap<OutputId, Arc<Routes>>,
    receivers: BTreeMap<ComponentId, EdgeReceiver>,
    keepers: BTreeMap<ComponentId, EdgeSender>,
    pieces: BuiltComponents,
}

impl RunningTopology {
    /// Makes a topology in which nothing runs yet: the empty configuration.
    #[must_use]
    pub fn empty(shared: SharedParts, pulse: Pulse) -> Self {
        let config = Arc::new(Config::default());
        Self { config, shared, pulse, components: BTreeMap::new(), ending: Stop::new() }
    }

    /// The configuration that runs.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// What its components share.
    #[must_use]
    pub const fn shared(&self) -> &SharedParts {
        &self.shared
    }

    /// Waits until every source has ended by itself, because its work is done. Most never do.
    pub async fn sources_ended(&self) {
        let has_ended = |id: &ComponentId| {
            self.components.get(id).is_some_and(|running| running.task.is_finished())
        };
        loop {
            let mut sources = self.config.sources.keys().peekable();
            if sources.peek().is_some() && sources.all(has_ended) {
                tracing::info!("Every source has ended, so GopherShip ends too.");
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    pub(super) fn blueprint(&self, config: &Arc<Config>) -> Blueprint {
        Blueprint { config: Arc::clone(config), shared: self.shared.clone() }
    }

    /// Makes the edges in front of pieces and the outputs behind them.
    pub(super) fn connect(&self, config: &Config, pieces: BuiltComponents) -> Connected {
        let mut connected = Connected {
            inlets: BTreeMap::new(),
            outlets: BTreeMap::new(),
            receivers: BTreeMap::new(),
            keepers: BTreeMap::new(),
            pieces: BuiltComponents::default(),
        };
        let graph = Graph::new(config);
        for id in pieces.sources.keys().chain(pieces.transforms.keys()) {
            let outputs = graph.outputs(id).into_iter();
            connected.outlets.extend(outputs.map(|output| (output, Arc::default())));
        }
        for id in pieces.transforms.keys() {
            let Some(entry) = config.transforms.get(id) else { continue };
            connected.add_edge(id, limits(config, &entry.buffer), SinkId::NONE, None);
        }
        for (id, sink) in &pieces.sinks {
            let Some(entry) = config.sinks.get(id) else { continue };
            let (limits, intake) = (limits(config, &entry.buffer), sink.intake());
            // What a vault has is in a bucket of its own, and no sink's.
            let is_vault = intake.is_some();
            let row = if is_vault { SinkId::NONE } else { self.shared.ledgers.sink(id.as_str()) };
            connected.add_edge(id, limits, row, intake);
        }
        for id in &pieces.late {
            let Some(entry) = config.sinks.get(id) else { continue };
            let row = self.shared.ledgers.sink(id.as_str());
            connected.add_edge(id, limits(config, &entry.buffer), row, None);
        }
        connected.pieces = pieces;
        connected
    }

    /// Starts pieces: sinks first, sources last, so that no batch finds a component missing.
    pub(super) fn start(&mut self, blueprint: &Blueprint, mut connected: Connected) {
        let pieces = std::mem::take(&mut connected.pieces);
        let graph = Graph::new(&blueprint.config);
        let ready = pieces.sinks.into_iter().map(|(id, sink)| (id, Some(sink)));
        for (id, sink) in ready.chain(pieces.late.into_iter().map(|id| (id, None))) {
            let Some(receiver) = connected.receivers.remove(&id) else { continue };
            let (supervisor, stop) = self.supervisor(&id, blueprint);
            let ledger_store = connected.keepers.remove(&id);
            let task = supervisor.sink(sink, receiver);
            self.components.insert(id, Running { stop, task, ledger_store });
        }
        for (id, transform) in pieces.transforms {
            let Some(receiver) = connected.receivers.remove(&id) else { continue };
            let Some(outlets) = connected.take_outlets(&graph.outputs(&id)) else { continue };
            let (supervisor, stop) = self.supervisor(&id, blueprint);
            let task = supervisor.transform(transform, receiver, outlets);
            self.components.insert(id, Running { stop, task, ledger_store: None });
        }
        for (id, source) in pieces.sources {
            let only = OutputId::from(id.clone());
            let Some(routes) = connected.outlets.remove(&only) else { continue };
            let (supervisor, stop) = self.supervisor(&id, blueprint);
            let reflex = Reflex::new(self.shared.wiring.switch(), self.pulse.clone());
            let output = Output::new(routes, Some(reflex));
            let task = supervisor.source(source, output);
            self.components.insert(id, Running { stop, task, ledger_store: None });
        }
    }

    fn supervisor(&self, id: &ComponentId, blueprint: &Blueprint) -> (Supervisor, Stop) {
        let stop = Stop::new();
        let (blueprint, ending) = (blueprint.clone(), self.ending.clone());
        (Supervisor { id: id.clone(), blueprint, stop: stop.clone(), ending }, stop)
    }

    /// Stops everything: sources first, then what is downstream of them, vaults last.
    pub async fn shut_down(mut self, grace: Duration) -> Vec<(ComponentId, ComponentOutcome)> {
        let deadline = Instant::now() + grace;
        self.ending.cancel();
        let blueprint = self.blueprint(&self.config);
        let is_source = |id: &ComponentId| blueprint.config.sources.contains_key(id);
        let (sources, rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.components).into_iter().partition(|(id, _)| is_source(id));
        let (vaults, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            rest.into_iter().partition(|(id, _)| blueprint.is_vault(id));

        let mut outcomes = Vec::new();
        for (id, source) in &sources {
            source.stop.cancel();
            tracing::debug!(component = %id, "Stopping the component.");
        }
        finish_all(sources, deadline, &mut outcomes).await;
        self.shared.wiring.rewire(Graph::default(), BTreeMap::new(), BTreeMap::new());
        finish_all(others, deadline, &mut outcomes).await;
        finish_all(vaults, deadline.max(Instant::now() + GIVE_UP_WITHIN), &mut outcomes).await;
        outcomes
    }
}

impl Connected {
    /// Adds what was connected in a second step.
    pub(super) fn join(&mut self, other: Self) {
        self.inlets.extend(other.inlets);
        self.outlets.extend(other.outlets);
        self.receivers.extend(other.receivers);
        self.keepers.extend(other.keepers);
        self.pieces.sources.extend(other.pieces.sources);
        self.pieces.transforms.extend(other.pieces.transforms);
        self.pieces.sinks.extend(other.pieces.sinks);
        self.pieces.late.extend(other.pieces.late);
    }

    /// The outlets of a transform with these outputs.
    fn take_outlets(&mut self, outputs: &[OutputId]) -> Option<Outlets> {
        let mut output = |id: &OutputId| Some(Output::new(self.outlets.remove(id)?, None));
        match outputs {
            [only @ OutputId { port: None, .. }] => output(only).map(Outlets::One),
            several => several.iter().map(output).collect::<Option<_>>().map(Outlets::Several),
        }
    }

    fn add_edge(
        &mut self,
        id: &ComponentId,
        limits: EdgeLimits,
        sink: SinkId,
        intake: Option<Arc<dyn Intake>>,
    ) {
        let (sender, receiver) = edge::edge_of(sink, limits);
        self.receivers.insert(id.clone(), receiver);
        let inlet = match intake {
            Some(intake) => {
                self.keepers.insert(id.clone(), sender);
                Destination::Direct(intake)
            }
            None => Destination::Edge(sender),
        };
        self.inlets.insert(id.clone(), inlet);
    }
}

impl Running {
    /// Asks the component to stop; sources only, the others stop when their edge closes.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until the component has ended, or makes it end after the deadline.
    pub(super) async fn finish(mut self, deadline: Instant) -> ComponentOutcome {
        drop(self.ledger_store.take());
        if tokio::time::timeout_at(deadline, &mut self.task).await.is_ok() {
            return ComponentOutcome::Drained;
        }
        self.stop.cancel();
        if tokio::time::timeout(GIVE_UP_WITHIN, &mut self.task).await.is_err() {
            self.task.abort();
        }
        ComponentOutcome::CutShort
    }
}

/// Waits for several components at once.
pub(super) async fn finish_all(
    components: BTreeMap<ComponentId, Running>,
    deadline: Instant,
    outcomes: &mut Vec<(ComponentId, ComponentOutcome)>,
) {
    let waiting: Vec<_> = components
        .into_iter()
        .map(|(id, component)| (id, tokio::spawn(component.finish(deadline))))
        .collect();
    for (id, waiting) in waiting {
        outcomes.push((id, waiting.await.unwrap_or(ComponentOutcome::CutShort)));
    }
}

/// The limits of an edge: its own, or its part of what all edges together may hold. An edge that a
/// reload keeps keeps its limits.
fn limits(config: &Config, buffer: &BufferConfig) -> EdgeLimits {
    let of = |buffer: &BufferConfig| u128::from(buffer.bytes.bytes());
    // A vault takes batches without an edge.
    let sinks = config.sinks.values().filter(|sink| !sink.config.is_vault());
    let sinks: u128 = sinks.map(|sink| of(&sink.buffer)).sum();
    let transforms: u128 = config.transforms.values().map(|entry| of(&entry.buffer)).sum();
    let share = u128::from(config.somatic.memory.limits().edges);
    let part = of(buffer) * share / (sinks + transforms).max(1);
    let bytes = u64::try_from(part).unwrap_or(u64::MAX).min(buffer.bytes.bytes());
    EdgeLimits { batches: buffer.batches.get(), bytes }
}

#[cfg(test)]
mod tests {
    use super::limits;
    use crate::config::load_text;

    #[test]
    fn edges_together_stay_within_their_share() {
        let bytes = |budget: &str| {
            let text = format!(
                "sources: {{ d: {{ type: demo, pivot: v }} }}
sinks:
  a: {{ type: blackhole, inputs: [d], buffer: {{ bytes: 30MiB }} }}
  b: {{ type: blackhole, inputs: [d], buffer: {{ bytes: 10MiB }} }}
  v: {{ type: raw_vault, replay: off }}
somatic: {{ memory: {{ budget: {budget}, shares: {{ edges: 25% }} }} }}
"
            );
            let config = load_text("edges.yaml", &text, &|_| None).unwrap();
            ["a", "b"].map(|id| limits(&config, &config.sinks[id].buffer).bytes >> 20)
        };
        assert_eq!(bytes("160MiB"), [30, 10], "all fit");
        assert_eq!(bytes("80MiB"), [15, 5], "each has its part");
    }
}

//! The running topology: one entry per component, and the wiring between them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::builder::Blueprint;
use super::builder::Pieces;
use super::builder::Shared;
use super::graph::Graph;
use super::supervisor::Supervisor;
use crate::config::BufferConfig;
use crate::config::ComponentId;
use crate::config::Config;
use crate::config::running::Sink;
use crate::config::running::Stop;
use crate::flow::EdgeLimits;
use crate::flow::EdgeReceiver;
use crate::flow::EdgeSender;
use crate::flow::Output;
use crate::flow::Pulse;
use crate::flow::Routes;
use crate::flow::Target;
use crate::flow::edge;

/// After its deadline a component that was told to give up has this long to do so.
const GIVE_UP_WITHIN: Duration = Duration::from_secs(1);

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
    keeper: Option<EdgeSender>,
}

/// Everything that runs, under one configuration.
pub struct RunningTopology {
    pub(super) config: Arc<Config>,
    pub(super) shared: Shared,
    pub(super) pulse: Pulse,
    pub(super) components: BTreeMap<ComponentId, Running>,
}

/// Pieces with their connections, ready to be started.
pub(super) struct Connected {
    pub(super) inlets: BTreeMap<ComponentId, Target>,
    pub(super) outlets: BTreeMap<ComponentId, Arc<Routes>>,
    receivers: BTreeMap<ComponentId, EdgeReceiver>,
    keepers: BTreeMap<ComponentId, EdgeSender>,
    pieces: Pieces,
}

impl RunningTopology {
    /// Makes a topology in which nothing runs yet: the empty configuration.
    #[must_use]
    pub fn empty(shared: Shared, pulse: Pulse) -> Self {
        let config = Arc::new(Config::default());
        Self { config, shared, pulse, components: BTreeMap::new() }
    }

    /// The configuration that runs.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// What its components share.
    #[must_use]
    pub const fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn blueprint(&self, config: &Arc<Config>) -> Blueprint {
        Blueprint { config: Arc::clone(config), shared: self.shared.clone() }
    }

    /// Makes the edges in front of pieces and the outputs behind them.
    pub(super) fn connect(config: &Config, pieces: Pieces) -> Connected {
        let mut connected = Connected {
            inlets: BTreeMap::new(),
            outlets: BTreeMap::new(),
            receivers: BTreeMap::new(),
            keepers: BTreeMap::new(),
            pieces: Pieces::default(),
        };
        for id in pieces.sources.keys().chain(pieces.transforms.keys()) {
            connected.outlets.insert(id.clone(), Arc::default());
        }
        for id in pieces.transforms.keys() {
            let Some(entry) = config.transforms.get(id) else { continue };
            connected.add_edge(id, limits(&entry.buffer), None);
        }
        for (id, sink) in &pieces.sinks {
            let Some(entry) = config.sinks.get(id) else { continue };
            connected.add_edge(id, limits(&entry.buffer), Some(sink.as_ref()));
        }
        connected.pieces = pieces;
        connected
    }

    /// Starts pieces: sinks first, sources last, so that no batch finds a component missing.
    pub(super) fn start(&mut self, blueprint: &Blueprint, mut connected: Connected) {
        let pieces = std::mem::take(&mut connected.pieces);
        for (id, sink) in pieces.sinks {
            let Some(receiver) = connected.receivers.remove(&id) else { continue };
            let (supervisor, stop) = Self::supervisor(&id, blueprint);
            let keeper = connected.keepers.remove(&id);
            let task = supervisor.sink(sink, receiver);
            self.components.insert(id, Running { stop, task, keeper });
        }
        for (id, transform) in pieces.transforms {
            let Some(receiver) = connected.receivers.remove(&id) else { continue };
            let Some(routes) = connected.outlets.remove(&id) else { continue };
            let (supervisor, stop) = Self::supervisor(&id, blueprint);
            let task = supervisor.transform(transform, receiver, Output::new(routes, None));
            self.components.insert(id, Running { stop, task, keeper: None });
        }
        for (id, source) in pieces.sources {
            let Some(routes) = connected.outlets.remove(&id) else { continue };
            let (supervisor, stop) = Self::supervisor(&id, blueprint);
            let output = Output::new(routes, Some(self.pulse.clone()));
            let task = supervisor.source(source, output);
            self.components.insert(id, Running { stop, task, keeper: None });
        }
    }

    fn supervisor(id: &ComponentId, blueprint: &Blueprint) -> (Supervisor, Stop) {
        let stop = Stop::new();
        let blueprint = blueprint.clone();
        (Supervisor { id: id.clone(), blueprint, stop: stop.clone() }, stop)
    }

    /// Stops everything: sources first, then what is downstream of them, vaults last.
    pub async fn shut_down(mut self, grace: Duration) -> Vec<(ComponentId, ComponentOutcome)> {
        let deadline = Instant::now() + grace;
        let blueprint = self.blueprint(&self.config);
        let is_source = |id: &ComponentId| blueprint.config.sources.contains_key(id);
        let (sources, rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.components).into_iter().partition(|(id, _)| is_source(id));
        let (vaults, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            rest.into_iter().partition(|(id, _)| blueprint.is_vault(id));

        let mut outcomes = Vec::new();
        for (id, source) in &sources {
            source.stop.cancel();
            tracing::debug!(component = %id, "Component is asked to stop.");
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
    }

    fn add_edge(&mut self, id: &ComponentId, limits: EdgeLimits, sink: Option<&dyn Sink>) {
        let (sender, receiver) = edge::edge(limits);
        self.receivers.insert(id.clone(), receiver);
        let inlet = match sink.and_then(Sink::intake) {
            Some(intake) => {
                self.keepers.insert(id.clone(), sender);
                Target::Direct(intake)
            }
            None => Target::Edge(sender),
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
        drop(self.keeper.take());
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

fn limits(buffer: &BufferConfig) -> EdgeLimits {
    EdgeLimits { batches: buffer.batches.get(), bytes: buffer.bytes.bytes() }
}

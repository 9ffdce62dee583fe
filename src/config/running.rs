//! The running halves of components, and what they are given when they are built.

use std::any::Any;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use gophership_vault::Known;
use gophership_vault::Log;
use gophership_vault::SeqSet;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::ComponentId;
use crate::config::SinkCursors;
use crate::event::Batch;
use crate::event::Ledgers;
use crate::event::SinkSet;
use crate::event::SinkTable;
use crate::flow::EdgeReceiver;
use crate::flow::Intake;
use crate::flow::Output;
use crate::flow::TopologyView;
use crate::ledger::VaultMark;
use crate::metrics::Metrics;
use crate::net::Descriptors;
use crate::pool::Memory;
use crate::somatic::Brake;
use crate::somatic::Gauges;
use crate::somatic::Governor;
use crate::somatic::ZoneWatch;

pub use crate::config::component_error::BuildError;
pub use crate::config::component_error::RunError;

/// Asks a component to stop; what that means is said at each trait.
pub type Stop = CancellationToken;

/// What every component is given.
#[derive(Clone)]
pub struct Context {
    /// The component's own id.
    pub id: ComponentId,
    /// Where records are accounted for.
    pub ledgers: &'static Ledgers,
    /// Which sink has which lane.
    pub sink_set: Arc<SinkTable>,
    /// Where figures are kept.
    pub metrics: Arc<Metrics>,
    /// The pressure zone.
    pub zone: ZoneWatch,
    /// Where it tells how it is, for the controller.
    pub gauges: Arc<Gauges>,
    /// How much background work may be done.
    pub governor: Arc<Governor>,
    /// How long answers wait.
    pub brake: Arc<Brake>,
    /// The pipeline behind it.
    pub topology: Arc<dyn TopologyView>,
    /// The vaults of this process.
    pub vaults: Arc<Vaults>,
    /// The listening sockets of this process.
    pub listeners: Arc<Listeners>,
    /// The memory that components may use.
    pub memory: Arc<Memory>,
    /// Changes when the operator wants files that are written to be opened again.
    pub reopen: watch::Receiver<u64>,
    /// Where components keep what they must not lose.
    pub data_dir: PathBuf,
}

/// Takes requests in.
#[async_trait]
pub trait Source: Send {
    /// Runs until it is asked to stop; then it takes nothing new, and returns when what it has taken
    /// is answered for.
    ///
    /// # Errors
    ///
    /// Whatever ends it before it is asked to; it is built and started again, with a growing delay.
    async fn run(self: Box<Self>, output: Output, stop: Stop) -> Result<(), RunError>;
}

/// What a record takes in a list of changes: two entries, in a vector that grows.
pub const NOTED_BYTES: u64 = 192;

/// Changes batches on their way.
///
/// Most give back at once what they take. One that makes several batches of one, or keeps batches for
/// a while, says so with the other functions. What it keeps when it is dropped fails, and the sources
/// find another way for it.
pub trait Transform: Send {
    /// Returns the batch, changed or not, or settles it (filtered, rejected) and returns nothing.
    fn apply(&mut self, batch: Batch) -> Option<Batch>;

    /// How many bytes of memory it takes at most, beside the request, for one of so many bytes and records:
    /// for lists of what is to change, and for what comes out. What has more than there is is divided, and
    /// comes in pieces.
    fn need_bytes(&self, bytes: u64, records: u64) -> u64 {
        bytes.saturating_add(records.saturating_mul(NOTED_BYTES))
    }

    /// As [`apply`](Self::apply), in at most `room` bytes of memory. A transform whose need does not follow
    /// from bytes and records alone gives the batch back when it takes more, as it was.
    ///
    /// # Errors
    ///
    /// The batch.
    fn apply_within(&mut self, batch: Batch, _room: usize) -> Result<Option<Batch>, Batch> {
        Ok(self.apply(batch))
    }

    /// Divides a batch among the outputs of a transform that has several, or settles it: adds to `parts`
    /// what goes to which output. `reach` has for each, in the order of
    /// [`ports`](crate::config::TransformConfig::ports), whom it leads to now; nobody reads it if there is
    /// nobody. Such a transform is asked nothing else. What comes out takes at most `room` bytes.
    ///
    /// # Errors
    ///
    /// The batch, as it was, when that is not enough.
    fn share_out(
        &mut self,
        batch: Batch,
        _reach: &[SinkSet],
        parts: &mut Vec<(usize, Batch)>,
        room: usize,
    ) -> Result<(), Batch> {
        parts.extend(self.apply_within(batch, room)?.map(|batch| (0, batch)));
        Ok(())
    }

    /// Returns a further batch that is to go on now. It is asked until there is none: after each
    /// `apply`, when something is `due`, and after `finish`.
    fn ready(&mut self, _now: Instant) -> Option<Batch> {
        None
    }

    /// When a batch that is kept is to go on even if no other one comes.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// No batch comes any more: all that is kept is ready now.
    fn finish(&mut self) {}
}

/// Hands batches on, or keeps them.
#[async_trait]
pub trait Sink: Send + Sync {
    /// A way in that needs no edge, if the sink takes batches in the sender's own task.
    fn intake(&self) -> Option<Arc<dyn Intake>> {
        None
    }

    /// Runs until its edge is closed and everything in it is settled. `stop` cuts that short: what
    /// is left then is failed, and its source answers for it.
    ///
    /// # Errors
    ///
    /// Whatever ends it before that; it is built and started again, with a growing delay.
    async fn run(self: Box<Self>, input: EdgeReceiver, stop: Stop) -> Result<(), RunError>;
}

/// An open vault, for those who read it.
#[derive(Clone)]
pub struct VaultHandle {
    /// The log of stored requests.
    pub log: Arc<Log>,
    /// Where requests go that can never be delivered.
    pub dead_letters: Arc<dyn Intake>,
    /// What an earlier process left.
    pub inherited: Arc<Inherited>,
    /// The places of the sinks that it is replayed to.
    pub cursors: Arc<SinkCursors>,
}

/// What an earlier process left in a vault, and how much of it has been seen.
#[derive(Debug)]
pub struct Inherited {
    /// The last request of that process.
    through: u64,
    /// The requests that were seen.
    seen: Mutex<SeqSet>,
}

impl Inherited {
    /// Whether a request was left by an earlier process and is seen for the first time.
    #[must_use]
    pub fn is_news(&self, seq: u64) -> bool {
        seq <= self.through && self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(seq)
    }
}

/// What a vault does that opens and misses requests it had acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLoss {
    /// It says so and delivers the rest.
    #[default]
    Start,
    /// It does not start: an operator is to look first.
    Refuse,
}

/// The vaults that are open in this process, by the id of their sink.
#[derive(Default)]
pub struct Vaults {
    state: Mutex<VaultsState>,
    on_loss: OnLoss,
}

#[derive(Default)]
struct VaultsState {
    open: BTreeMap<ComponentId, VaultHandle>,
    /// What each vault told when it was closed, by its directory.
    last_words: BTreeMap<PathBuf, VaultMark>,
    /// What was in a directory when it was first opened.
    inherited: BTreeMap<PathBuf, Arc<Inherited>>,
    /// What the process before knew of a directory.
    known: BTreeMap<PathBuf, Known>,
}

impl Vaults {
    /// Makes the list, still empty.
    #[must_use]
    pub fn new(on_loss: OnLoss) -> Self {
        Self { state: Mutex::default(), on_loss }
    }

    /// What a vault is to do that misses acknowledged requests.
    #[must_use]
    pub const fn on_loss(&self) -> OnLoss {
        self.on_loss
    }

    /// Tells what the process before knew of each vault.
    pub fn expect(&self, known: &BTreeMap<PathBuf, Known>) {
        let entry = |(dir, known): (&PathBuf, &Known)| (absolute(dir), known.clone());
        self.lock().known = known.iter().map(entry).collect();
    }

    /// What the process before knew of the vault in a directory; nothing once it was opened by this one,
    /// which changes it.
    #[must_use]
    pub fn known(&self, dir: &Path) -> Known {
        let state = self.lock();
        let is_new = !state.inherited.contains_key(dir);
        state.known.get(&absolute(dir)).filter(|_| is_new).cloned().unwrap_or_default()
    }

    /// What each vault tells that was open in this process, by its directory; one that is closed told its
    /// last word before.
    #[must_use]
    pub fn marks(&self) -> BTreeMap<PathBuf, VaultMark> {
        let state = self.lock();
        let logs: Vec<Arc<Log>> =
            state.open.values().map(|handle| Arc::clone(&handle.log)).collect();
        let mut marks = state.last_words.clone();
        drop(state);
        marks.extend(logs.iter().map(|log| (log.dir().to_path_buf(), VaultMark::of(log))));
        marks
    }

    /// Makes a vault known, and returns what an earlier process left in it. What a sink missed that is
    /// removed is kept for `keep_removed`.
    pub fn offer(
        &self,
        id: &ComponentId,
        dir: &Path,
        log: Arc<Log>,
        dead_letters: Arc<dyn Intake>,
        keep_removed: Duration,
    ) -> Arc<Inherited> {
        let mut state = self.lock();
        let left = || Inherited { through: log.durable_seq(), seen: Mutex::default() };
        let inherited = state.inherited.entry(dir.to_owned()).or_insert_with(|| Arc::new(left()));
        let inherited = Arc::clone(inherited);
        let cursors = Arc::new(SinkCursors::new(Arc::clone(&log), keep_removed));
        let handle = VaultHandle { log, dead_letters, inherited: Arc::clone(&inherited), cursors };
        state.open.insert(id.clone(), handle);
        inherited
    }

    /// Forgets a vault that is about to be closed, but for what it tells; returns its log, which may have
    /// a later word.
    pub fn withdraw(&self, id: &ComponentId) -> Option<Arc<Log>> {
        let handle = self.lock().open.remove(id);
        handle.inspect(|handle| self.last_word(&handle.log)).map(|handle| handle.log)
    }

    /// Notes what a vault tells that is closed.
    pub fn last_word(&self, log: &Log) {
        self.lock().last_words.insert(log.dir().to_path_buf(), VaultMark::of(log));
    }

    /// Finds a vault.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<VaultHandle> {
        self.lock().open.get(id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, VaultsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn absolute(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf())
}

/// The listening sockets of this process, so that a source that is replaced by a reload hands its
/// socket on and no connection is refused in between.
pub struct Listeners {
    open: Mutex<BTreeMap<SocketAddr, Listening>>,
    /// How many file descriptors all connections of sources may use.
    descriptors: Arc<Descriptors>,
}

impl Default for Listeners {
    fn default() -> Self {
        Self { open: Mutex::default(), descriptors: Descriptors::new(u64::MAX) }
    }
}

/// An open socket, and what its source keeps there for a successor.
struct Listening {
    socket: std::net::TcpListener,
    kept: Option<Arc<dyn Any + Send + Sync>>,
}

impl Listeners {
    /// Returns a listener on an address; one that is already open is shared.
    ///
    /// # Errors
    ///
    /// What the system says when the address cannot be bound.
    pub fn bind(&self, address: SocketAddr) -> std::io::Result<tokio::net::TcpListener> {
        let mut open = self.lock();
        if let Some(listening) = open.get(&address) {
            return tokio::net::TcpListener::from_std(listening.socket.try_clone()?);
        }
        let socket = std::net::TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        if address.port() != 0 {
            open.insert(address, Listening { socket: socket.try_clone()?, kept: None });
        }
        tokio::net::TcpListener::from_std(socket)
    }

    /// Returns what was kept at an address that is bound, if it fits, or keeps something new there:
    /// what is to outlive the source, like its open connections.
    pub fn keep<T: Any + Send + Sync>(
        &self,
        address: SocketAddr,
        fits: impl FnOnce(&T) -> bool,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        let mut open = self.lock();
        let listening = open.get_mut(&address);
        let kept = listening.as_ref().and_then(|listening| listening.kept.clone());
        if let Some(kept) =
            kept.and_then(|kept| kept.downcast::<T>().ok()).filter(|kept| fits(kept))
        {
            return kept;
        }
        let fresh = Arc::new(make());
        if let Some(listening) = listening {
            listening.kept = Some(Arc::clone(&fresh) as Arc<dyn Any + Send + Sync>);
        }
        fresh
    }

    /// The file descriptors that connections of sources may use.
    #[must_use]
    pub fn descriptors(&self) -> Arc<Descriptors> {
        Arc::clone(&self.descriptors)
    }

    /// Closes the sockets that are not in `wanted` any more.
    pub fn retain(&self, wanted: &[SocketAddr]) {
        self.lock().retain(|address, _| wanted.contains(address));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Listening>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

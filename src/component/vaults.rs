//! The registry of vaults: one component opens a vault, others read it.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use gophership_vault::Known;
use gophership_vault::Log;
use gophership_vault::SeqSet;
use parking_lot::Mutex;
use parking_lot::MutexGuard;

use crate::component::cursors::SinkCursors;
use crate::component::dead_letters::DeadLetters;
use crate::component::dead_letters::LetterStore;
use crate::component::id::ComponentId;
use crate::component::replays::ReplayJobs;
use crate::ledger::VaultMark;

/// An open vault, for those who read it.
#[derive(Clone)]
pub struct VaultHandle {
    /// The log of stored requests.
    pub log: Arc<Log>,
    /// Where requests go that can never be delivered.
    pub dead_letters: Arc<DeadLetters>,
    /// What an earlier process left.
    pub inherited: Arc<Inherited>,
    /// The places of the sinks that it is replayed to.
    pub cursors: Arc<SinkCursors>,
    /// The replays of a range that operators asked for.
    pub jobs: Arc<ReplayJobs>,
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
        seq <= self.through && self.seen.lock().insert(seq)
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
    /// Numbers the replays that operators ask for.
    job_ids: Arc<AtomicU64>,
}

#[derive(Default)]
struct VaultsState {
    open: BTreeMap<ComponentId, VaultHandle>,
    /// What each vault told when it was closed, by its directory.
    last_marks: BTreeMap<PathBuf, VaultMark>,
    /// What was in a directory when it was first opened.
    inherited: BTreeMap<PathBuf, Arc<Inherited>>,
    /// What the process before knew of a directory.
    known: BTreeMap<PathBuf, Known>,
}

impl Vaults {
    /// Makes the list, still empty.
    #[must_use]
    pub fn new(on_loss: OnLoss) -> Self {
        Self { state: Mutex::default(), on_loss, job_ids: Arc::default() }
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
        let mut marks = state.last_marks.clone();
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
        dead_letters: Arc<dyn LetterStore>,
        keep_removed: Duration,
    ) -> Arc<Inherited> {
        let mut state = self.lock();
        let left = || Inherited { through: log.durable_seq(), seen: Mutex::default() };
        let inherited = state.inherited.entry(dir.to_owned()).or_insert_with(|| Arc::new(left()));
        let inherited = Arc::clone(inherited);
        let cursors = Arc::new(SinkCursors::new(Arc::clone(&log), keep_removed));
        let jobs = Arc::new(ReplayJobs::new(Arc::clone(&self.job_ids)));
        let dead_letters = Arc::new(DeadLetters::new(dead_letters));
        let of_it = Arc::clone(&inherited);
        let handle = VaultHandle { log, dead_letters, inherited: of_it, cursors, jobs };
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
        self.lock().last_marks.insert(log.dir().to_path_buf(), VaultMark::of(log));
    }

    /// Finds a vault.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<VaultHandle> {
        self.lock().open.get(id).cloned()
    }

    /// The dead letters of every open vault, in the order of their ids.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<(String, Arc<DeadLetters>)> {
        let state = self.lock();
        let letters = |(id, handle): (&ComponentId, &VaultHandle)| {
            (id.to_string(), Arc::clone(&handle.dead_letters))
        };
        state.open.iter().map(letters).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VaultsState> {
        self.state.lock()
    }
}

fn absolute(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf())
}

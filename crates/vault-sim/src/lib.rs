//! A file system in memory that fails, tears and loses power, for tests of whoever embeds the vault.
//!
//! Every file has the bytes its readers see, the bytes a power cut leaves, and the list of changes that
//! lie between; so have the names. A sync makes durable what was changed before it and nothing else.
//! What a power cut keeps of the rest is the test's choice, change by change ([`ChangeFate`]) and, inside a
//! write, sector by sector.
//!
//! ```text
//!  SimFileSystem --record--> Recording --play--> Playback: after the n-th change ...
//!                                                   --after_power_cut(fates)--> SimFileSystem
//! ```
//!
//! A failed sync is not repaired by the next one: the kernel takes the pages for clean, so what was
//! written before is lost although every later sync says `Ok`.

mod content;
mod disk;
mod files;
pub mod fuzzing;
mod playback;
mod trouble;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use content::FileContent;
use disk::DiskState;
use disk::FileId;
use gophership_vault::fs::FileSystem;

pub use disk::ChangeFate;
pub use disk::Op;
pub use playback::Playback;
pub use playback::Recording;
pub use trouble::Call;
pub use trouble::InjectedFault;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Armed {
    /// Any changing call when there is none.
    call: Option<Call>,
    left: u64,
    trouble: InjectedFault,
}

#[derive(Debug, Default)]
struct State {
    disk: DiskState,
    log: Option<(DiskState, Vec<Op>)>,
    armed: Vec<Armed>,
    /// These calls fail until they are mended, with this error of the system.
    broken: Option<(Vec<Call>, i32)>,
    unreadable: Vec<(FileId, Range<u64>)>,
    unopenable: Vec<FileId>,
    locks: BTreeSet<PathBuf>,
    calls: u64,
    syncs_for_credit: u64,
    is_off: bool,
    keeps_after_failed_sync: bool,
    capacity_bytes: Option<u64>,
    sync_pause: Duration,
}

impl State {
    fn apply(&mut self, op: Op) {
        self.disk.apply(&op);
        if let Some((_, ops)) = &mut self.log {
            ops.push(op);
        }
    }

    fn check_power(&self) -> io::Result<()> {
        if self.is_off { Err(io::Error::other("power is off")) } else { Ok(()) }
    }

    /// Counts a call; tells the trouble that was armed for it.
    fn meet(&mut self, call: Call) -> io::Result<Option<InjectedFault>> {
        self.check_power()?;
        let is_change = call != Call::Read;
        self.calls += u64::from(is_change);
        for armed in &mut self.armed {
            armed.left -= u64::from(armed.call.map_or(is_change, |wanted| wanted == call));
        }
        // Of several for this call the first one happens.
        let due = self.armed.iter().find(|armed| armed.left == 0).map(|armed| armed.trouble);
        let Some(trouble) = due else {
            let broken = self.broken.as_ref().filter(|(calls, _)| calls.contains(&call));
            return Ok(broken.map(|(_, errno)| InjectedFault::Errno(*errno)));
        };
        self.armed.retain(|armed| 0 < armed.left);
        self.is_off = trouble == InjectedFault::PowerCut;
        Ok(Some(trouble))
    }

    /// As [`State::meet`], for calls that are done wholly or not at all.
    fn meet_whole(&mut self, call: Call) -> io::Result<()> {
        self.meet(call)?.map_or(Ok(()), |trouble| Err(trouble.error()))
    }

    fn available_bytes(&self) -> u64 {
        let used_bytes = || self.disk.used_bytes();
        self.capacity_bytes.map_or(u64::MAX, |capacity| capacity.saturating_sub(used_bytes()))
    }
}

/// A file under its name.
type Named = (Arc<Path>, FileContent);

/// The simulated disk; clones share it.
#[derive(Debug, Clone, Default)]
pub struct SimFileSystem {
    state: Arc<Mutex<State>>,
}

impl SimFileSystem {
    fn of(disk: DiskState) -> Self {
        Self { state: Arc::new(Mutex::new(State { disk, ..State::default() })) }
    }

    /// A disk with exactly these files, all durable.
    #[must_use]
    pub fn with_contents(contents: &BTreeMap<PathBuf, Vec<u8>>) -> Self {
        let mut disk = DiskState::default();
        for (path, bytes) in contents {
            disk.put(path, FileContent::from_bytes(bytes));
        }
        Self::of(disk)
    }

    /// The same disk, as the vault takes it.
    #[must_use]
    pub fn shared(&self) -> Arc<dyn FileSystem> {
        Arc::new(self.clone())
    }

    /// Another disk with what readers of this one see, all durable, without its troubles.
    #[must_use]
    pub fn fork(&self) -> Self {
        let mut disk = DiskState::default();
        let state = lock(&self.state);
        for (path, file) in state.disk.files() {
            disk.put(path, state.disk.content(file).clone());
        }
        Self::of(disk)
    }

    /// Every file and its bytes.
    #[must_use]
    pub fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = lock(&self.state);
        let bytes = |file| state.disk.content(file).to_bytes();
        state.disk.files().map(|(path, file)| (path.to_path_buf(), bytes(file))).collect()
    }

    /// Every file's path and length, in order.
    #[must_use]
    pub fn paths(&self) -> Vec<(PathBuf, u64)> {
        let state = lock(&self.state);
        let bytes = |file| state.disk.content(file).len() as u64;
        state.disk.files().map(|(path, file)| (path.to_path_buf(), bytes(file))).collect()
    }

    /// One file's bytes; `None` when it is not there.
    #[must_use]
    pub fn bytes_of(&self, path: &Path) -> Option<Vec<u8>> {
        let state = lock(&self.state);
        Some(state.disk.content(state.disk.file(path)?).to_bytes())
    }

    /// Whether both disks show the same names and bytes.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let (left, right) = (self.files(), other.files());
        let is_same_file =
            |left: &Named, right: &Named| left.0 == right.0 && left.1.is_same(&right.1);
        left.len() == right.len()
            && left.iter().zip(&right).all(|(left, right)| is_same_file(left, right))
    }

    fn files(&self) -> Vec<Named> {
        let state = lock(&self.state);
        let file = |(path, file)| (Arc::clone(path), state.disk.content(file).clone());
        state.disk.files().map(file).collect()
    }

    /// Changes bytes of a file behind everyone's back, durably, as a bad device does.
    ///
    /// # Panics
    ///
    /// When the file would not fit the address space.
    pub fn poke(&self, path: &Path, offset: u64, bytes: &[u8]) {
        let offset = usize::try_from(offset).expect("simulated files are small");
        self.edit(path, |content| content.write(bytes, offset));
    }

    /// Cuts or lengthens a file behind everyone's back, durably.
    ///
    /// # Panics
    ///
    /// When the file would not fit the address space.
    pub fn set_len(&self, path: &Path, len: u64) {
        let len = usize::try_from(len).expect("simulated files are small");
        self.edit(path, |content| content.set_len(len));
    }

    fn edit(&self, path: &Path, change: impl Fn(&mut FileContent)) {
        let disk = &mut lock(&self.state).disk;
        if let Some(file) = disk.file(path) {
            disk.edit(file, change);
        }
    }

    /// Puts a file in place behind everyone's back, durably.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        lock(&self.state).disk.put(path, FileContent::from_bytes(bytes));
    }

    /// Takes a file away behind everyone's back, durably; returns its bytes.
    #[expect(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn take(&self, path: &Path) -> Option<Vec<u8>> {
        Some(lock(&self.state).disk.take(path)?.to_bytes())
    }

    /// Makes reads of a part of a file fail from now on.
    pub fn break_reads(&self, path: &Path, range: Range<u64>) {
        let state = &mut *lock(&self.state);
        if let Some(file) = state.disk.file(path) {
            state.unreadable.push((file, range));
        }
    }

    /// Ends what [`SimFileSystem::break_reads`] and [`SimFileSystem::break_opening`] began.
    pub fn mend_reads(&self) {
        let state = &mut *lock(&self.state);
        state.unreadable.clear();
        state.unopenable.clear();
    }

    /// Makes opening a file fail from now on.
    pub fn break_opening(&self, path: &Path) {
        let state = &mut *lock(&self.state);
        state.unopenable.extend(state.disk.file(path));
    }

    /// Arms trouble at the n-th changing call from now on, counted from 1.
    pub fn arm(&self, at: u64, trouble: InjectedFault) {
        lock(&self.state).armed.push(Armed { call: None, left: at.max(1), trouble });
    }

    /// Arms trouble at the n-th call of a kind from now on, counted from 1.
    pub fn arm_call(&self, call: Call, at: u64, trouble: InjectedFault) {
        lock(&self.state).armed.push(Armed { call: Some(call), left: at.max(1), trouble });
    }

    /// Makes every call of these kinds fail from now on with an error of the system.
    pub fn break_calls(&self, calls: &[Call], errno: i32) {
        lock(&self.state).broken = Some((calls.to_vec(), errno));
    }

    /// Ends what [`SimFileSystem::break_calls`] began.
    pub fn mend_calls(&self) {
        lock(&self.state).broken = None;
    }

    /// Takes back all trouble that was armed and did not happen.
    pub fn disarm(&self) {
        lock(&self.state).armed.clear();
    }

    /// Whether readers go on seeing what a failed sync has lost, until the power goes; at first they
    /// see the old bytes at once.
    pub fn keep_after_failed_sync(&self, keeps: bool) {
        lock(&self.state).keeps_after_failed_sync = keeps;
    }

    /// How long a sync of a file's data takes; records gather meanwhile. At first no time.
    pub fn set_sync_pause(&self, pause: Duration) {
        lock(&self.state).sync_pause = pause;
    }

    /// Number of changing calls so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        lock(&self.state).calls
    }

    /// Number of syncs asked of an open file after one of its syncs had failed: always without worth.
    #[must_use]
    pub fn syncs_for_credit(&self) -> u64 {
        lock(&self.state).syncs_for_credit
    }

    /// Limits the bytes of all files together.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        lock(&self.state).capacity_bytes = bytes;
    }

    /// Bytes of all files.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        lock(&self.state).disk.used_bytes()
    }

    /// From now on every call fails, as for a process whose machine is gone.
    pub fn cut_power(&self) {
        lock(&self.state).is_off = true;
    }

    /// The disk after a power cut: what is durable, and of the rest what the seed says.
    #[must_use]
    pub fn after_power_cut(&self, seed: u64) -> Self {
        let state = lock(&self.state);
        let changes = state.disk.loose();
        let mut random = seed;
        let mut fate = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            match random >> 61 {
                0..=2 => ChangeFate::Lost,
                3..=5 => ChangeFate::Kept,
                _ => ChangeFate::Torn(random),
            }
        };
        let fates: Vec<_> = changes.iter().map(|_| fate()).collect();
        Self::of(state.disk.after_power_cut(&changes, &fates))
    }

    /// The disk after the process was killed: everything it was told `Ok` about is there.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        self.fork()
    }

    /// Records every change from now on.
    pub fn record(&self) {
        let state = &mut *lock(&self.state);
        state.log = Some((state.disk.clone(), Vec::new()));
    }

    /// Notes a moment in the recording.
    pub fn mark(&self, value: u64) {
        let state = &mut *lock(&self.state);
        if !state.is_off {
            state.apply(Op::Mark(value));
        }
    }

    /// Ends the recording; empty when there was none.
    #[must_use]
    pub fn recorded(&self) -> Recording {
        let (start, ops) = lock(&self.state).log.take().unwrap_or_default();
        Recording { start, ops: ops.into() }
    }
}

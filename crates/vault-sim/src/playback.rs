//! Walks a recording and shows the disk as a power cut at each moment could leave it.

use std::sync::Arc;

use crate::SimFileSystem;
use crate::disk::ChangeFate;
use crate::disk::DiskState;
use crate::disk::LooseChange;
use crate::disk::Op;

/// A recording: the disk at its start, and everything that was done since.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    pub(super) start: DiskState,
    pub(super) ops: Arc<[Op]>,
}

impl Recording {
    /// Everything that was done.
    #[must_use]
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Starts to walk it.
    #[must_use]
    pub fn play(&self) -> Playback {
        let (disk, ops) = (self.start.clone(), Arc::clone(&self.ops));
        let changes = disk.loose();
        Playback { disk, ops, done: 0, changes }
    }
}

/// A moment of a [`Recording`].
#[derive(Debug, Clone)]
pub struct Playback {
    disk: DiskState,
    ops: Arc<[Op]>,
    done: usize,
    changes: Vec<LooseChange>,
}

impl Playback {
    /// Does the next thing and returns it; `None` at the end.
    pub fn step(&mut self) -> Option<Op> {
        let op = self.ops.get(self.done)?.clone();
        self.disk.apply(&op);
        self.done += 1;
        self.changes = self.disk.loose();
        Some(op)
    }

    /// Number of changes that are not durable at this moment.
    #[must_use]
    pub fn loose_len(&self) -> usize {
        self.changes.len()
    }

    /// Whether one of them consists of parts that may reach the device without the others.
    #[must_use]
    pub fn can_tear(&self, idx: usize) -> bool {
        self.changes.get(idx).is_some_and(|change| 1 < change.sectors)
    }

    /// The disk after a power cut at this moment, with a fate for each change; those without one are
    /// lost.
    #[must_use]
    pub fn after_power_cut(&self, fates: &[ChangeFate]) -> SimFileSystem {
        SimFileSystem::of(self.disk.after_power_cut(&self.changes, fates))
    }
}

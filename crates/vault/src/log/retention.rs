//! Retention: which segments may go, and in which order that happens on disk.
//!
//! A segment is deleted when it is sealed and undamaged, every registered cursor has durably passed
//! its last record, and a later segment exists (the newest one carries on the numbering). A vault no
//! cursor was ever registered with deletes nothing.
//!
//! Holds stand above that: their folder is read before anything is deleted, and when it cannot be
//! read nothing is. A copy to an archive needs no rule of its own: it reads through a cursor, and
//! what that cursor has not passed stays. What is being read without a cursor is pinned.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::VaultError;
use crate::log::cursor::Cursor;
use crate::log::holds;
use crate::log::holds::Hold;
use crate::log::pins::Pin;
use crate::log::view::Log;
use crate::log::view::LogState;
use crate::log::view::SegmentInfo;
use crate::segment::id::SegmentId;
use crate::segment::id::SegmentState;
use crate::segment::torn;
use crate::state::lock;

impl Log {
    /// Deletes every segment nobody needs any more and returns how many there were.
    ///
    /// Needs no free block. Called by the vault itself every second and whenever space is short.
    ///
    /// # Errors
    ///
    /// [`VaultError::Io`]; segments deleted before the error stay deleted.
    pub fn prune(&self) -> Result<usize, VaultError> {
        self.prune_chosen(|_| true).map(|deleted| deleted.len())
    }

    /// As [`Log::prune`], of those segments only that are chosen; returns which were deleted.
    ///
    /// # Errors
    ///
    /// As [`Log::prune`].
    pub fn prune_chosen(
        &self,
        is_chosen: impl Fn(&SegmentInfo) -> bool,
    ) -> Result<Vec<SegmentInfo>, VaultError> {
        if choose(&lock(&self.state)).is_empty() {
            return Ok(Vec::new());
        }
        let victims = {
            let _choosing = lock(&self.choosing);
            let holds = self.read_holds()?;
            let mut state = lock(&self.state);
            let mut victims = choose(&state);
            victims.retain(|victim| {
                is_chosen(victim)
                    && !self.pins.has(victim.id)
                    && !holds.iter().any(|hold| hold.covers(victim.id))
            });
            for victim in &victims {
                state.segments.remove(&victim.id);
            }
            victims
        };
        let mut first_error = None;
        for victim in &victims {
            match self.files.remove(&victim.path) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    // Back into the list: it still takes space and will be tried again.
                    self.register(victim.clone());
                    first_error.get_or_insert(VaultError::io("remove", &victim.path)(error));
                    continue;
                }
            }
            self.used_bytes.fetch_sub(victim.file_bytes, Ordering::AcqRel);
        }
        if let Some(error) = first_error {
            return Err(error);
        }
        if !victims.is_empty() {
            self.files.sync_dir(&self.dir).map_err(VaultError::io("sync", &self.dir))?;
            let ids: Vec<SegmentId> = victims.iter().map(|victim| victim.id).collect();
            let freed = torn::forget_tails(&*self.files, &self.dir, &ids)
                .map_err(VaultError::io("clear the quarantine of", &self.dir))?;
            self.used_bytes.fetch_sub(freed, Ordering::AcqRel);
        }
        Ok(victims)
    }

    /// The segments that nobody needs any more, held or not.
    #[must_use]
    pub fn unneeded(&self) -> Vec<SegmentInfo> {
        choose(&lock(&self.state))
    }

    /// Keeps segments `first..=last` from being deleted by retention, until the pin is dropped.
    #[must_use]
    pub fn pin(&self, first: SegmentId, last: SegmentId) -> Pin {
        self.pins.pin(first.get(), last.get())
    }

    /// Whether a segment is pinned.
    #[must_use]
    pub fn is_pinned(&self, id: SegmentId) -> bool {
        self.pins.has(id)
    }

    /// Reads the holds that are in force. Then nothing is on its way to deletion that one of them covers.
    ///
    /// # Errors
    ///
    /// [`VaultError::Io`].
    pub fn look_at_holds(&self) -> Result<Vec<Hold>, VaultError> {
        let _choosing = lock(&self.choosing);
        self.read_holds()
    }

    /// The same, for whoever chooses.
    pub(crate) fn read_holds(&self) -> Result<Vec<Hold>, VaultError> {
        let holds = holds::list(&*self.files, &self.dir)
            .map_err(VaultError::io("list the holds of", &self.dir))?;
        let is_held = |info: &&SegmentInfo| holds.iter().any(|hold| hold.covers(info.id));
        let held_bytes = self.unneeded().iter().filter(is_held).map(|info| info.file_bytes).sum();
        *lock(&self.held) = (holds.clone(), held_bytes);
        Ok(holds)
    }

    /// The holds as they were last read, which the vault does every second.
    #[must_use]
    pub fn holds(&self) -> Vec<Hold> {
        lock(&self.held).0.clone()
    }

    /// How many holds there are, and the bytes of the segments that nobody but them keeps.
    pub(crate) fn held(&self) -> (u64, u64) {
        let held = lock(&self.held);
        (held.0.len() as u64, held.1)
    }
}

/// Pure choice of what may go.
fn choose(state: &LogState) -> Vec<SegmentInfo> {
    if state.cursors.is_empty() {
        return Vec::new();
    }
    let is_passed = |info: &SegmentInfo| {
        let covers =
            |cursor: &Arc<Cursor>| lock(&cursor.saved).covers(info.first_seq, info.last_seq);
        state.cursors.values().all(covers)
    };
    let Some(newest) = state.segments.values().rev().find(|listed| 0 < listed.info.records) else {
        return Vec::new();
    };
    let newest = newest.info.id;
    let may_go = |info: &SegmentInfo| {
        info.state == SegmentState::Sealed && info.id < newest && is_passed(info)
    };
    let passed = state.segments.values().filter(|listed| listed.faults.is_empty());
    passed.map(|listed| &listed.info).filter(|info| may_go(info)).cloned().collect()
}

//! Retention: which segments may go, and in which order that happens on disk.
//!
//! A segment is deleted when it is sealed and undamaged, every registered cursor has durably passed
//! its last record, and a later segment exists (the newest one carries on the numbering). A vault no
//! cursor was ever registered with deletes nothing.
//!
//! Holds stand above that: their folder is read before anything is deleted, and when it cannot be
//! read nothing is. A copy to an archive needs no rule of its own: it reads through a cursor, and
//! what that cursor has not passed stays.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::VaultError;
use crate::log::cursor::Cursor;
use crate::log::holds;
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
        if choose(&lock(&self.state)).is_empty() {
            return Ok(0);
        }
        let holds = holds::list(&*self.files, &self.dir)
            .map_err(VaultError::io("list the holds of", &self.dir))?;
        let victims = {
            let mut state = lock(&self.state);
            let mut victims = choose(&state);
            victims.retain(|victim| !holds.iter().any(|hold| hold.covers(victim.id)));
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
        Ok(victims.len())
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

//! The writer thread's changes of segment: opening the next, ending the one in use.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::append::commit::Committer;
use crate::append::record::Completion;
use crate::append::segment::ActiveSegment;
use crate::append::spare_pool::Job;
use crate::format;
use crate::log::view::SegmentInfo;
use crate::segment::id::SegmentState;
use crate::segment::seal::Predecessor;
use crate::segment::spare::Spare;
use crate::state::lock;

impl<C: Completion> Committer<C> {
    /// Makes the next spare the active segment, with room for a group of this many bytes. Without a
    /// spare the segment in use stays in use, for records that still fit.
    pub(crate) fn open_segment(&mut self, group_bytes: u64) -> bool {
        let Some(spare) = self.spare_pool.take_spare(&self.log.is_full) else { return false };
        let spare = match self.enlarge(spare, group_bytes) {
            Ok(spare) => spare,
            Err(spare) => {
                if let Some(spare) = spare {
                    self.spare_pool.return_spare(spare, &self.log.is_full);
                }
                return false;
            }
        };
        self.retire_active();
        let (id, path, file_bytes) = (spare.id, spare.path.clone(), spare.bytes);
        let vault_id = self.log.vault_id;
        let now = Instant::now();
        let active = ActiveSegment::activate(spare, vault_id, self.next_seq, self.predecessor, now);
        self.log.register(SegmentInfo {
            id,
            state: SegmentState::Open,
            path,
            first_seq: self.next_seq,
            last_seq: self.next_seq - 1,
            records: 0,
            raw_bytes: 0,
            stored_bytes: 0,
            data_end: active.data_end(),
            file_bytes,
            created_unix_ns: active.created_unix_ns(),
            segment_crc: None,
            digest: None,
        });
        *lock(&self.log.active) = Some((id, Arc::clone(&active.file)));
        self.active = Some(active);
        self.tell_room();
        true
    }

    /// Lengthens a spare for a group that is larger than a segment; gives it back when it cannot, if it
    /// is still of use.
    fn enlarge(&self, mut spare: Spare, group_bytes: u64) -> Result<Spare, Option<Spare>> {
        let bytes = format::segment_bytes_for(group_bytes);
        if bytes <= spare.bytes || fits_spare(&spare, group_bytes) {
            return Ok(spare);
        }
        let more = bytes - spare.bytes;
        if self.max_bytes < self.log.used_bytes() + more {
            self.shared.gauges.asked_bytes.fetch_max(more, Ordering::AcqRel);
            return Err(Some(spare));
        }
        if let Err(error) = self.lengthen(&spare, bytes) {
            tracing::warn!(%error, segment = %spare.id, "Cannot enlarge a segment.");
            return Err(Some(spare));
        }
        if let Err(error) = spare.file.sync_all() {
            // No later sync of this file would be worth anything.
            tracing::warn!(%error, segment = %spare.id, "Cannot sync an enlarged segment.");
            if self.log.files.remove(&spare.path).is_ok() {
                self.log.used_bytes.fetch_sub(spare.bytes, Ordering::AcqRel);
            }
            return Err(None);
        }
        self.log.used_bytes.fetch_add(more, Ordering::AcqRel);
        spare.bytes = bytes;
        Ok(spare)
    }

    /// Takes more of the disk for a spare, but never the last of it, or nothing.
    fn lengthen(&self, spare: &Spare, bytes: u64) -> io::Result<()> {
        let left = self.log.files.available_bytes(&self.log.dir)?;
        if left < bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        spare.file.allocate(bytes).inspect_err(|_| {
            // Some file systems keep what they had found.
            drop(spare.file.truncate(spare.bytes));
        })
    }

    /// Ends the active segment and hands it over for sealing.
    pub(crate) fn retire_active(&mut self) {
        let Some(active) = self.close_active() else { return };
        if active.has_records() {
            let digested = self.buffer.end_segment();
            self.shared.gauges.unsealed_segments.fetch_add(1, Ordering::AcqRel);
            self.spare_pool.push(Job::Seal(Box::new(active.into_seal_job(digested))));
        } else {
            self.buffer.abandon_segment();
        }
    }

    /// Leaves the segment in use if its file was taken away: what is in it, the helper counts.
    pub(crate) fn leave_gone_segment(&mut self) {
        let gone = self.shared.gauges.gone_segment.load(Ordering::Acquire);
        if gone == 0 || self.active.as_ref().is_none_or(|active| active.id.get() != gone) {
            return;
        }
        // What is on its way goes there too, and counts with the rest.
        self.land_all();
        let Some(active) = self.close_active() else { return };
        self.buffer.abandon_segment();
        self.spare_pool.push(Job::Gone(active.id));
    }

    /// Takes the segment in use out of use; the next one is written after it.
    fn close_active(&mut self) -> Option<ActiveSegment> {
        let active = self.take_active()?;
        self.tell_room();
        let id = active.id;
        self.log.update(id, |info| info.state = SegmentState::Closed);
        self.predecessor = Predecessor {
            segment: id.get(),
            last_seq: self.next_seq - 1,
            crc: active.segment_crc(),
        };
        Some(active)
    }

    pub(crate) fn take_active(&mut self) -> Option<ActiveSegment> {
        lock(&self.log.active).take();
        self.active.take()
    }

    /// Hands an old segment over for sealing, if another one stands by.
    pub(crate) fn rotate_by_age(&mut self) {
        let is_old = self.active.as_ref().is_some_and(|active| {
            active.has_records() && self.segment_age_max <= active.opened_at.elapsed()
        });
        // Without a spare the room that is left is worth more than a sealed segment.
        if is_old && self.spare_pool.has_spare() {
            self.retire_active();
        }
    }
}

fn fits_spare(spare: &Spare, group_bytes: u64) -> bool {
    let data_bytes_max = spare.bytes.saturating_sub(format::footer_reserve_bytes(spare.bytes));
    format::BLOCK_BYTES + format::align_block(group_bytes) <= data_bytes_max
}

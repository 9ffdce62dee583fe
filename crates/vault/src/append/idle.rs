//! What the writer thread does when no record waits: it tells recovery what is durable, and ends
//! segments that are old.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::append::commit::Committer;
use crate::append::record::Completion;
use crate::append::segment::CommitStamp;
use crate::append::waits::IDLE_MAX;
use crate::format;
use crate::options::Durability;

/// A watermark is written after this much idle time.
const WATERMARK_AFTER: Duration = Duration::from_millis(100);
impl<C: Completion> Committer<C> {
    /// Nothing to do: tell recovery what is durable, rotate by age, sleep.
    pub(crate) fn idle(&mut self) {
        let is_due = self.announced_seq + 1 < self.next_seq;
        if is_due && WATERMARK_AFTER <= self.last_commit.elapsed() {
            if let Err(error) = self.write_watermark() {
                self.suspect(&error);
            }
            self.tell_room();
        }
        self.rotate_by_age();
        std::thread::park_timeout(if is_due { WATERMARK_AFTER } else { IDLE_MAX });
    }

    fn write_watermark(&mut self) -> io::Result<()> {
        // Below level `synced` a segment is synced for the first time when it is sealed.
        if self.durability != Durability::Synced
            && 0 < self.shared.gauges.unsealed_segments.load(Ordering::Acquire)
        {
            return Ok(());
        }
        let last_seq = self.next_seq - 1;
        self.announced_seq = last_seq;
        let Some(active) = self.active.as_mut() else { return Ok(()) };
        if self.durability != Durability::Synced {
            active.file.sync_data()?;
        }
        self.synced_seq = last_seq;
        if !active.fits(format::BLOCK_BYTES) {
            return Ok(());
        }
        self.commit_no = self.commit_no.wrapping_add(1);
        let stamp = CommitStamp {
            first_seq: self.next_seq,
            durable_seq: last_seq,
            commit_no: self.commit_no,
        };
        active.assemble_watermark(&mut self.buffer, last_seq, stamp)?;
        self.buffer.write(&*active.file)?;
        active.file.sync_data()?;
        self.log.publish(active.id, active.data_end(), last_seq, [0, 0]);
        Ok(())
    }
}

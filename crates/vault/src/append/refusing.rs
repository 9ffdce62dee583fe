//! What the writer thread does while nothing can be written: it refuses, and tries spares.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::append::commit::Committer;
use crate::append::outage::RetryResult;
use crate::append::record::Completion;
use crate::append::waits::IDLE_MAX;
use crate::buffer::AlignedBuffer;
use crate::format::BLOCK_LEN;
use crate::fs::is_no_room;
use crate::segment::spare::Spare;

impl<C: Completion> Committer<C> {
    /// From now on the vault refuses.
    pub(crate) fn begin_outage(&mut self, error: &io::Error, now: Instant) {
        if self.outages.is_on() {
            return;
        }
        self.outages.begin(now);
        self.tell_outage(error);
        let retry_in_seconds = self.outages.delay.as_secs_f64();
        tracing::error!(%error, vault = %self.log.dir.display(), retry_in_seconds,
            "Vault cannot write. It refuses requests and retries with new segments.");
    }

    /// Answers who came too late, and tries a spare when it is time. Returns false when the vault closes.
    pub(crate) fn sit_out(&mut self) -> bool {
        self.land_all();
        self.fail_gathered();
        while let Some(staged) = self.shared.queue.pop() {
            self.answer_one(staged, self.no_place_error());
        }
        if self.shared.gauges.is_closing.load(Ordering::SeqCst) {
            return false;
        }
        let now = Instant::now();
        let Some(outage) = &self.outages.current else { return true };
        if now < outage.next_try {
            std::thread::park_timeout(IDLE_MAX.min(outage.next_try - now));
            return true;
        }
        match self.try_spare() {
            RetryResult::Well => self.end_outage(),
            tried => {
                self.outages.wait_again(&tried, Instant::now());
                if let RetryResult::Failed(error) = tried {
                    self.tell_outage(&error);
                }
            }
        }
        true
    }

    /// For want of room it is full, else it has failed.
    fn tell_outage(&self, error: &io::Error) {
        let (gauges, is_full) = (&self.shared.gauges, is_no_room(error));
        let delay_ms = u64::try_from(self.outages.delay.as_millis()).unwrap_or(u64::MAX);
        gauges.retry_delay_ms.store(delay_ms, Ordering::Relaxed);
        self.log.is_out_of_blocks.store(is_full, Ordering::Release);
        gauges.has_failed.store(!is_full, Ordering::Release);
    }

    fn end_outage(&mut self) {
        let now = Instant::now();
        let Some(outage) = self.outages.current.take() else { return };
        self.outages.ended = Some(now);
        self.log.is_out_of_blocks.store(false, Ordering::Release);
        self.shared.gauges.has_failed.store(false, Ordering::Release);
        let (lasted, tries) = (now - outage.began, outage.tries);
        tracing::warn!(vault = %self.log.dir.display(), lasted_seconds = lasted.as_secs_f64(), failed_tries = tries,
            "Vault can write again.");
    }

    fn try_spare(&mut self) -> RetryResult {
        if let Err(error) = self.take_away_left_behind() {
            return RetryResult::Failed(error);
        }
        if !self.spare_pool.has_spare() {
            return RetryResult::NoSpare;
        }
        let Some(spare) = self.spare_pool.take_spare(&self.log.is_full) else {
            return RetryResult::NoSpare;
        };
        match prove(&spare) {
            Ok(()) => {
                self.spare_pool.return_spare(spare, &self.log.is_full);
                RetryResult::Well
            }
            Err(error) => {
                self.outages.left_behind.push((spare.path, spare.bytes));
                // Tried again before another spare is touched.
                let _stays = self.take_away_left_behind();
                RetryResult::Failed(error)
            }
        }
    }

    /// Nothing is written to those files any more, and they hold nothing.
    fn take_away_left_behind(&mut self) -> io::Result<()> {
        while let Some((path, bytes)) = self.outages.left_behind.last() {
            match self.log.files.remove(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            self.log.used_bytes.fetch_sub(*bytes, Ordering::AcqRel);
            self.outages.left_behind.pop();
        }
        Ok(())
    }
}

/// Writes and syncs a block of a spare, which stays what it is.
fn prove(spare: &Spare) -> io::Result<()> {
    let zeros = AlignedBuffer::new(BLOCK_LEN)?;
    spare.file.write_at(&zeros, 0)?;
    spare.file.sync_data()
}

//! Who is let in: a record is staged for the writer thread, or refused with the reason.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use crate::append::compression_policy::VaultLoad;
use crate::append::queue::Staged;
use crate::append::record::Completion;
use crate::append::record::NewRecord;
use crate::append::writer::Writer;
use crate::error::RefusalReason;
use crate::error::Refused;
use crate::format;

/// What counts as ordinary when room is asked for.
const ORDINARY_RECORD_BYTES: u64 = 1 << 20;

/// A full vault is not asked again sooner.
const VAULT_FULL_RETRY: Duration = Duration::from_secs(2);

impl<C: Completion> Writer<C> {
    /// Stages a record for the writer thread, or refuses it.
    ///
    /// Never blocks. Checksums and compresses in the caller's thread, into memory set aside beforehand:
    /// payloads up to 1 MiB allocate nothing.
    ///
    /// # Errors
    ///
    /// [`Refused`] with the completion, uncalled, and the reason.
    pub fn try_append(&self, record: NewRecord<'_>, done: C) -> Result<(), Refused<C>> {
        self.append(&record, None, done)
    }

    /// As [`Writer::try_append`], of a payload that the caller shares: instead of being copied it may
    /// be kept until it is written.
    ///
    /// # Errors
    ///
    /// As [`Writer::try_append`].
    pub fn try_append_shared(
        &self,
        record: NewRecord<'_>,
        payload: &Bytes,
        done: C,
    ) -> Result<(), Refused<C>> {
        self.append(&NewRecord { payload, ..record }, Some(payload), done)
    }

    fn append(
        &self,
        record: &NewRecord<'_>,
        shared: Option<&Bytes>,
        done: C,
    ) -> Result<(), Refused<C>> {
        if let Some(reason) = self.refusal(record) {
            return Err(self.refused(done, reason));
        }
        let load = || VaultLoad {
            fill_permille: self.log.fill_permille(),
            is_heavy: self.gauges().is_heavy.load(Ordering::Relaxed),
        };
        let staged = self.staging.stage(record, shared, load);
        let Some(staged) = staged else {
            return Err(self.refused(done, RefusalReason::StagingFull));
        };
        let span_bytes = staged.span_bytes();
        if self.is_out_of_room(span_bytes) {
            return Err(self.refused(done, self.no_room_reason()));
        }
        self.gauges().staged_bytes.fetch_add(span_bytes, Ordering::AcqRel);
        if let Err(staged) = self.shared.queue.push(Staged { record: staged, done }) {
            self.gauges().staged_bytes.fetch_sub(span_bytes, Ordering::AcqRel);
            return Err(self.refused(staged.done, RefusalReason::StagingFull));
        }
        self.committer.unpark();
        // The writer may have ended between the first look and the push; one of us sees the other.
        if self.gauges().is_ended.load(Ordering::SeqCst) {
            self.shared.drain(self.end_reason());
        }
        Ok(())
    }

    /// Whether a record of ordinary size would be taken now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let gauges = self.gauges();
        !gauges.is_closing.load(Ordering::Acquire)
            && !gauges.has_failed.load(Ordering::Acquire)
            && !self.is_out_of_room(ORDINARY_RECORD_BYTES.min(self.options.segment_bytes / 4))
            && !self.shared.queue.is_full()
            && self.staging.has_room()
    }

    /// When a refused append is worth another try; a hint, without jitter.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        self.retry_delay(if self.has_failed() {
            RefusalReason::Failed
        } else if self.log.is_full() {
            RefusalReason::VaultFull
        } else {
            RefusalReason::StagingFull
        })
    }

    /// Reasons that need no work to find.
    fn refusal(&self, record: &NewRecord<'_>) -> Option<RefusalReason> {
        let gauges = self.gauges();
        if gauges.has_failed.load(Ordering::Acquire) {
            return Some(RefusalReason::Failed);
        }
        if gauges.is_closing.load(Ordering::Acquire) {
            return Some(RefusalReason::Closed);
        }
        let too_large = |bytes: usize, limit_bytes: u64| {
            let bytes = bytes as u64;
            (limit_bytes < bytes).then_some(RefusalReason::TooLarge { bytes, limit_bytes })
        };
        too_large(record.attrs.len(), format::ATTRS_BYTES_MAX)
            .or_else(|| too_large(record.payload.len(), self.options.record_bytes_max))
            .or_else(|| {
                let least = format::record_span_bytes(record.attrs.len() as u64);
                self.is_out_of_room(least).then(|| self.no_room_reason())
            })
    }

    /// Whether the vault is full and the open segment does not take these bytes any more.
    fn is_out_of_room(&self, span_bytes: u64) -> bool {
        let gauges = self.gauges();
        self.log.is_full() && {
            let staged = gauges.staged_bytes.load(Ordering::Acquire);
            gauges.room_bytes.load(Ordering::Acquire) < staged + span_bytes
        }
    }

    /// Why there is no room: the vault is full, or its disk does not give another segment.
    fn no_room_reason(&self) -> RefusalReason {
        if self.has_failed() { RefusalReason::Failed } else { RefusalReason::VaultFull }
    }

    fn refused(&self, done: C, reason: RefusalReason) -> Refused<C> {
        Refused { done, reason, retry_after: self.retry_delay(reason) }
    }

    fn retry_delay(&self, reason: RefusalReason) -> Duration {
        match reason {
            RefusalReason::StagingFull => {
                self.commit_latency().clamp(Duration::from_millis(10), Duration::from_secs(1))
            }
            RefusalReason::VaultFull => VAULT_FULL_RETRY,
            RefusalReason::Failed => {
                let delay_ms = self.gauges().retry_delay_ms.load(Ordering::Relaxed);
                Duration::from_millis(delay_ms).max(VAULT_FULL_RETRY)
            }
            _ => Duration::from_secs(30),
        }
    }
}

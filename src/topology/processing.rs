//! The memory in which transforms work: a batch that needs more comes in pieces, or not at all.
//!
//! Half of the share `processing` belongs to the worker threads, an equal part to each, and is not asked
//! for: what fits into that is done at once, and no two workers write the same cache line. The other half
//! is a budget for batches that need more, one after another.

use std::sync::Arc;

use crate::component::ComponentId;
use crate::event::Batch;
use crate::event::Divided;
use crate::event::Pieces;
use crate::event::Unreadable;
use crate::event::without_empty;
use crate::pool::Budget;

/// A record that stands alone may take twice its size, and this beside.
const ALONE_BYTES: u64 = 1 << 20;

/// Where one transform has its memory from.
pub(super) struct Processing {
    id: ComponentId,
    share: Arc<Budget>,
    workers: u64,
}

/// Takes a batch, with the memory that there is for it; gives it back if that is not enough.
type Work<'w, T> = &'w mut (dyn FnMut(Batch, usize) -> Result<T, Batch> + Send);

impl Processing {
    /// `share` is what all transforms of the process have together.
    pub(super) fn new(id: ComponentId, share: Arc<Budget>) -> Self {
        let workers = tokio::runtime::Handle::current().metrics().num_workers();
        Self { id, share, workers: workers.max(1) as u64 }
    }

    /// The next piece of a batch that can be read.
    pub(super) fn next(&self, pieces: &mut Pieces) -> Option<Batch> {
        loop {
            match pieces.next()? {
                Ok(batch) => return Some(batch),
                Err(unreadable) => self.unreadable(*unreadable),
            }
        }
    }

    /// Does the work on a batch that needs about so many bytes; nothing if it is divided, then `pieces`
    /// has more, or was rejected.
    pub(super) async fn on<T>(
        &self,
        mut batch: Batch,
        need: u64,
        pieces: &mut Pieces,
        work: Work<'_, T>,
    ) -> Option<T> {
        let half = self.share.limit() / 2;
        let own = half / self.workers;
        if need <= own {
            match work(batch, room(own)) {
                Ok(done) => return Some(done),
                Err(back) => batch = back,
            }
        }
        if need <= half {
            let _grant = self.share.take(half).await;
            match work(batch, room(half)) {
                Ok(done) => return Some(done),
                Err(back) => batch = back,
            }
        }
        let excess = (half < need).then(|| need / half.max(1));
        match pieces.divide(batch, excess) {
            Divided::InPieces => None,
            Divided::Alone(batch) => self.alone(batch, work).await,
            Divided::Unreadable(unreadable) => {
                self.unreadable(*unreadable);
                None
            }
        }
    }

    /// Does the work on a batch that cannot be divided.
    async fn alone<T>(&self, mut batch: Batch, work: Work<'_, T>) -> Option<T> {
        match without_empty(&batch) {
            Ok(None) => {}
            Ok(Some(wire)) => {
                let records = batch.records();
                batch.replace(wire, records);
            }
            Err(error) => {
                self.unreadable(Unreadable { batch, error });
                return None;
            }
        }
        let bytes = batch.cost_bytes().saturating_mul(2).saturating_add(ALONE_BYTES);
        let most = self.share.limit().max(bytes);
        let grant = self.share.take(most).await;
        match work(batch, room(most)) {
            Ok(done) => Some(done),
            Err(batch) => {
                drop(grant);
                self.reject(batch, most);
                None
            }
        }
    }

    fn reject(&self, batch: Batch, bytes: u64) {
        let (component, signal) = (&self.id, batch.signal());
        let wire_bytes = batch.cost_bytes();
        tracing::warn!(
            %component, %signal, bytes = wire_bytes, memory_bytes = bytes,
            "Request needs more than its share of memory and cannot be split. The request is \
             rejected."
        );
        batch.rejected_for(&Arc::from(format!(
            "{component} needs more than {bytes} bytes of memory \
             (`somatic.memory.shares.processing`) to process the request, which cannot be split"
        )));
    }

    fn unreadable(&self, Unreadable { batch, error }: Unreadable) {
        tracing::warn!(
            component = %self.id, %error,
            "Cannot split a request: it is invalid. The request is rejected."
        );
        batch.rejected();
    }
}

fn room(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::event::Bucket;
    use crate::event::Ledger;
    use crate::event::Outcome;
    use crate::event::Provenance;
    use crate::event::Request;
    use crate::event::Signal;
    use crate::event::ack;
    use crate::event::ack::AckWaiter;

    const RECORDS: u64 = 1000;
    /// What a record takes in the work of these tests.
    const RECORD_BYTES: u64 = 100;

    fn message(number: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut len = content.len();
        while 0x7f < len {
            out.push(u8::try_from(len & 0x7f).unwrap() | 0x80);
            len >>= 7;
        }
        out.push(u8::try_from(len).unwrap());
        out.extend_from_slice(content);
        out
    }

    /// A request of empty log records, with a resource around them of about so many bytes, and as many
    /// resources that hold nothing.
    fn batch(records: u64, shell_bytes: usize, ledger: &'static Ledger) -> (Batch, AckWaiter) {
        let records_wire: Vec<u8> = (0..records).flat_map(|_| [0x12, 0]).collect();
        let schema_url = message(3, &vec![b'u'; shell_bytes]);
        let resource = [message(2, &records_wire), schema_url].concat();
        let wire = [vec![0x0a, 0], message(1, &resource)].concat();
        let request = Request {
            signal: Signal::Logs,
            wire: wire.into(),
            records,
            received_unix_ns: 0,
            provenance: Provenance::default(),
        };
        let (ticket, waiter) = ack::channel();
        (Batch::received(&request, Some(ticket), ledger), waiter)
    }

    struct Seen {
        pieces: Vec<u64>,
        /// The most memory that the work was given, and what was in use of the share then.
        most: (usize, u64),
    }

    /// Does a work that takes a constant for each record, or more where it is told to.
    async fn process(
        share: &Arc<Budget>,
        batch: Batch,
        need: impl Fn(&Batch) -> u64,
        takes: impl Fn(&Batch) -> u64 + Send + Sync,
    ) -> Seen {
        let processing = Processing::new("t".parse().unwrap(), Arc::clone(share));
        let mut seen = Seen { pieces: Vec::new(), most: (0, 0) };
        let mut pieces = Pieces::of(batch);
        while let Some(batch) = processing.next(&mut pieces) {
            let need = need(&batch);
            let mut work = |batch: Batch, room: usize| {
                seen.most = seen.most.max((room, share.used()));
                if (room as u64) < takes(&batch) {
                    return Err(batch);
                }
                Ok(batch)
            };
            if let Some(batch) = processing.on(batch, need, &mut pieces, &mut work).await {
                seen.pieces.push(batch.records());
                batch.delivered();
            }
        }
        seen
    }

    fn by_record(batch: &Batch) -> u64 {
        batch.records() * RECORD_BYTES
    }

    #[tokio::test]
    async fn what_fits_is_not_divided_and_small_batches_ask_for_nothing() {
        let (share, ledger) = (Budget::new("processing", 1 << 20), Ledger::leak());
        let (small, waiter) = batch(RECORDS, 0, ledger);
        let wire = small.wire().clone();
        let seen = process(&share, small, by_record, by_record).await;
        assert_eq!((seen.pieces, seen.most.1), (vec![RECORDS], 0));
        assert_eq!(waiter.outcome(), Some(Outcome::Delivered));
        assert!(wire.len() > 2000);
        // What turns out to need more than a worker's part asks for it.
        let (large, _waiter) = batch(5 * RECORDS, 0, ledger);
        let takes = |batch: &Batch| if share.used() == 0 { u64::MAX } else { by_record(batch) };
        let seen = process(&share, large, by_record, takes).await;
        assert_eq!((seen.pieces, seen.most), (vec![5 * RECORDS], (512 << 10, 512 << 10)));
        assert_eq!(share.used(), 0);
    }

    /// Guarantees: every record comes once, no piece was given more than half of the share, and the
    /// request is delivered when the last one is; whether the need is known before or only found out.
    #[tokio::test]
    async fn what_does_not_fit_comes_in_pieces() {
        for is_known in [true, false] {
            let (share, ledger) = (Budget::new("processing", 64 << 10), Ledger::leak());
            let (large, waiter) = batch(RECORDS, 100, ledger);
            let need = |batch: &Batch| if is_known { by_record(batch) } else { 0 };
            let seen = process(&share, large, need, by_record).await;
            assert_eq!(seen.pieces.iter().sum::<u64>(), RECORDS);
            assert!((4..=64).contains(&seen.pieces.len()), "{is_known}: {:?}", seen.pieces);
            assert_eq!(seen.most.0, 32 << 10);
            assert_eq!((waiter.outcome(), share.used()), (Some(Outcome::Delivered), 0));
            let total = |bucket| ledger.total(bucket);
            assert_eq!((total(Bucket::Delivered), total(Bucket::InFlight)), (1000, 0));
            assert_eq!(ledger.imbalance(Signal::Logs), 0);
        }
    }

    #[tokio::test]
    async fn what_cannot_be_divided_is_alone_or_rejected_with_the_reason() {
        let (share, ledger) = (Budget::new("processing", 64 << 10), Ledger::leak());
        let huge = 300 << 10;
        let (one, waiter) = batch(1, huge, ledger);
        let seen = process(&share, one, |_| 2 * huge as u64, |batch| batch.cost_bytes() * 2).await;
        assert_eq!((seen.pieces, waiter.outcome()), (vec![1], Some(Outcome::Delivered)));
        let (one, waiter) = batch(1, huge, ledger);
        let seen = process(&share, one, |_| 0, |_| u64::MAX).await;
        assert_eq!((seen.pieces, waiter.outcome()), (vec![], Some(Outcome::Rejected)));
        let reason = waiter.reason().unwrap();
        assert!(reason.contains("somatic.memory.shares.processing"), "{reason}");
    }

    /// Scenario: what surrounds the records is large, and takes more than there is.
    /// Guarantees: it is not repeated around each record, it is given up.
    #[tokio::test]
    async fn a_large_shell_is_not_repeated_for_ever() {
        let (share, ledger) = (Budget::new("processing", 64 << 10), Ledger::leak());
        let (shell, waiter) = batch(RECORDS, 1 << 20, ledger);
        let tries = std::sync::atomic::AtomicU32::new(0);
        let takes = |_: &Batch| {
            tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            u64::MAX
        };
        let seen = process(&share, shell, |_| 0, takes).await;
        assert_eq!((seen.pieces, waiter.outcome()), (vec![], Some(Outcome::Rejected)));
        assert!(tries.into_inner() < 10, "the rest is not tried after one was rejected");
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_rejected() {
        let (share, ledger) = (Budget::new("processing", 64 << 10), Ledger::leak());
        let (mut torn, waiter) = batch(RECORDS, 0, ledger);
        torn.replace(Bytes::from_static(&[0x0a, 9]), RECORDS);
        let seen = process(&share, torn, |_| 1 << 20, by_record).await;
        assert_eq!((seen.pieces, waiter.outcome()), (vec![], Some(Outcome::Rejected)));
    }
}

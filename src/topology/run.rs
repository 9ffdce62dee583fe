//! How much a transform takes before those that read what it sends have their turn.

use std::future::poll_fn;
use std::task::Poll;

use crate::event::Batch;
use crate::flow::EdgeLimits;

/// A transform pauses after one in so many of what the edge before it can hold.
const SHARE: u64 = 8;

/// What a transform has taken since its last pause. Without one it would fill the edge behind it, and so change the
/// zone, before the reader of that edge has run at all.
pub(super) struct Run {
    batches_left: u64,
    bytes_left: u64,
    limits: EdgeLimits,
}

impl Run {
    /// Begins a run of the reader of an edge with these limits.
    pub(super) fn of(limits: EdgeLimits) -> Self {
        let batches_left = (u64::from(limits.batches) / SHARE).max(1);
        Self { batches_left, bytes_left: (limits.bytes / SHARE).max(1), limits }
    }

    pub(super) fn add(&mut self, batch: &Batch) {
        self.batches_left = self.batches_left.saturating_sub(1);
        self.bytes_left = self.bytes_left.saturating_sub(batch.cost_bytes());
    }

    /// Goes to the end of the queue of its worker, if the run is over. Not with `yield_now` of tokio, which waits until
    /// the worker has nothing else to do: under load that is too late.
    pub(super) async fn pause(&mut self) {
        if self.batches_left != 0 && self.bytes_left != 0 {
            return;
        }
        *self = Self::of(self.limits);
        let mut is_back = false;
        poll_fn(|context| {
            if std::mem::replace(&mut is_back, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering;

    use bytes::Bytes;

    use super::*;
    use crate::event::Ledger;
    use crate::event::Provenance;
    use crate::event::Request;
    use crate::event::Signal;

    /// Scenario: a transform finds one batch of ten bytes after the other.
    /// Guarantees: other tasks have their turn before what it has taken would fill an eighth of an edge.
    #[tokio::test]
    async fn a_run_ends_before_an_edge_is_full() {
        let wire = Bytes::from_static(&[0; 10]);
        let (signal, provenance) = (Signal::Logs, Provenance::default());
        let request = Request { signal, wire, records: 1, received_unix_ns: 0, provenance };
        for limits in
            [EdgeLimits { batches: 64, bytes: 1 << 20 }, EdgeLimits { batches: 1024, bytes: 640 }]
        {
            let turns = Arc::<AtomicU64>::default();
            let counter = Arc::clone(&turns);
            let other = tokio::spawn(async move {
                counter.fetch_add(1, Ordering::Relaxed);
            });
            let (mut run, mut taken) = (Run::of(limits), 0);
            while turns.load(Ordering::Relaxed) == 0 {
                let batch = Batch::received(&request, None, Ledger::leak());
                run.add(&batch);
                batch.delivered();
                run.pause().await;
                taken += 1;
            }
            assert_eq!(taken, 8, "{limits:?}");
            other.await.unwrap();
        }
    }
}

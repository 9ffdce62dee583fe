//! A workload as the OpenTelemetry log SDK is specified: records that come by a schedule, a bounded queue,
//! one export at a time, retries within 10 seconds, then the batch is dropped.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use gophership_http_client::Answer;
use gophership_otlp::Signal;
use gophership_otlp_client::Reply;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::client;
use crate::client::AfterAttempt;
use crate::client::EXPORT_WITHIN;
use crate::client::PlannedExport;
use crate::client::Workload;
use crate::client::WorkloadClient;
use crate::queue::EXPORT_LEN_MAX;
use crate::queue::Queue;
use crate::queue::Schedule;
use crate::record_oracle::RecordOracle;
use crate::tally::RefusedAttempt;

/// Records wait so long for an export that is not full.
const SCHEDULE_DELAY: Duration = Duration::from_secs(1);

/// One client's records.
pub struct Sdk {
    idx: usize,
    schedule: Schedule,
    oracle: Arc<RecordOracle>,
    end: watch::Receiver<Option<Instant>>,
    queue: Queue,
    flush_at: Instant,
}

impl Sdk {
    /// The workload of the client that is number `idx` to the oracle; from the moment that `end` tells
    /// no record comes.
    #[must_use]
    pub fn new(
        idx: usize,
        schedule: Schedule,
        oracle: Arc<RecordOracle>,
        end: watch::Receiver<Option<Instant>>,
    ) -> Self {
        let flush_at = schedule.start + SCHEDULE_DELAY;
        Self { idx, schedule, oracle, end, queue: Queue::default(), flush_at }
    }

    /// Works until the end is told and the queue is empty.
    pub async fn run(self, client: WorkloadClient) {
        client::run(client, self).await;
    }

    fn note(&self) {
        let mut tally = self.oracle.client(self.idx);
        tally.offered = self.queue.offered();
        tally.dropped_by_queue = self.queue.dropped();
        tally.sent = self.queue.oldest();
        tally.settled = self.queue.oldest();
    }

    /// Takes an export out of the queue, which has one.
    fn take(&mut self) -> PlannedExport<Vec<Range<u32>>> {
        let seqs = self.queue.take();
        self.oracle.client(self.idx).sent = self.queue.oldest();
        if let (Some(first), Some(last)) = (seqs.first(), seqs.last()) {
            self.oracle.send(self.idx, first.start..last.end);
        }
        let wire = self.oracle.request(self.idx, &seqs);
        PlannedExport { signal: Signal::Logs, wire, content: seqs }
    }
}

impl Workload for Sdk {
    type Content = Vec<Range<u32>>;

    async fn next(&mut self) -> Option<PlannedExport<Self::Content>> {
        loop {
            let now = Instant::now();
            let end = *self.end.borrow_and_update();
            self.queue.feed(self.schedule.due(end.map_or(now, |end| end.min(now))));
            self.note();
            // Also at the end: applications do not all end in the same moment.
            let is_due = self.flush_at <= now;
            if EXPORT_LEN_MAX <= self.queue.len() || (is_due && 0 < self.queue.len()) {
                return Some(self.take());
            }
            if end.is_some() && self.queue.len() == 0 {
                return None;
            }
            if is_due {
                self.flush_at = now + SCHEDULE_DELAY;
            }
            let ready_at = self.queue.ready_at(&self.schedule, self.flush_at);
            let wake_at = end.map_or(ready_at, |_| self.flush_at);
            tokio::select! {
                () = tokio::time::sleep_until(wake_at) => {}
                changed = self.end.changed() => if changed.is_err() { return None },
            }
        }
    }

    fn seen(
        &mut self,
        seqs: &Vec<Range<u32>>,
        reply: Option<Reply>,
        begun: Instant,
    ) -> AfterAttempt {
        let ended = Instant::now();
        let took = ended - begun;
        self.flush_at = ended + SCHEDULE_DELAY;
        let phase = self.oracle.phase();
        let mut guard = self.oracle.client(self.idx);
        let tally = &mut *guard;
        if let Some(Reply { code: None, .. }) = reply {
            // The connection broke, or could not be made.
            tally.unanswered += 1;
            return AfterAttempt::Retry(None);
        }
        tally.answer(phase, took);
        let mut refused = |is_final| tally.refusals.push(RefusedAttempt { begun, ended, is_final });
        match reply.map(|reply| reply.answer) {
            Some(Answer::Delivered { rejected: 0, .. }) => {
                for seq in seqs.iter().cloned().flatten() {
                    tally.acknowledged.insert(seq);
                }
                return AfterAttempt::Over;
            }
            Some(Answer::Delivered { rejected, .. }) => {
                refused(true);
                tally.refuse(format!("{rejected} records rejected"));
                tally.dropped_after_export += rejected;
                return AfterAttempt::Over;
            }
            Some(Answer::Retry { after, reason }) => {
                refused(false);
                tally.refuse(reason);
                return AfterAttempt::Retry(after);
            }
            Some(Answer::Denied { reason } | Answer::Rejected { reason }) => {
                refused(true);
                tally.refuse(reason);
            }
            None => {
                // A last attempt, begun shortly before the end, is cut short by the client itself.
                refused(EXPORT_WITHIN / 2 <= took);
                tally.refuse("no answer within 10s".to_owned());
            }
        }
        tally.dropped_after_export += count(seqs);
        AfterAttempt::Over
    }

    fn given_up(&mut self, seqs: &Vec<Range<u32>>) {
        self.flush_at = Instant::now() + SCHEDULE_DELAY;
        self.oracle.client(self.idx).dropped_after_export += count(seqs);
    }
}

fn count(seqs: &[Range<u32>]) -> u64 {
    seqs.iter().map(|seqs| u64::from(seqs.end - seqs.start)).sum()
}

//! A client that behaves as the OpenTelemetry log SDK is specified: a bounded queue, one export at a
//! time, retries within 10 seconds, then the batch is dropped.
//!
//! Source: OTLP specification 1.11, "OTLP/gRPC Throttling", and the SDKs' retry policy: from 1 s to 5 s,
//! each pause half as long again as the one before, spread by a fifth.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use gophership::otlp_client::Verdict;

use super::books::Books;
use super::books::Refusal;
use super::courier::Answer;
use super::courier::Courier;
use super::queue::EXPORT_LEN_MAX;
use super::queue::Queue;
use super::queue::Schedule;

/// An export with its retries.
const EXPORT_WITHIN: Duration = Duration::from_secs(10);
/// Records wait so long for an export that is not full.
const SCHEDULE_DELAY: Duration = Duration::from_secs(1);
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(5);
const RETRY_GROWTH: f64 = 1.5;
const RETRY_SPREAD: f64 = 0.2;

/// One client.
pub(super) struct Client {
    pub(super) idx: usize,
    pub(super) schedule: Schedule,
    pub(super) courier: Courier,
    pub(super) books: Arc<Books>,
    /// From this moment on no record comes.
    pub(super) end: watch::Receiver<Option<Instant>>,
}

impl Client {
    /// Works until the end is told and the queue is empty.
    pub(super) async fn run(mut self) {
        let mut queue = Queue::default();
        let mut flush_at = self.schedule.start + SCHEDULE_DELAY;
        loop {
            let now = Instant::now();
            let end = *self.end.borrow_and_update();
            queue.feed(self.schedule.due(end.map_or(now, |end| end.min(now))));
            self.note(&queue);
            // Also at the end: applications do not all end in the same moment.
            let is_due = flush_at <= now;
            if EXPORT_LEN_MAX <= queue.len() || (is_due && 0 < queue.len()) {
                let seqs = queue.take();
                self.books.client(self.idx).sent = queue.oldest();
                self.export(seqs).await;
                flush_at = Instant::now() + SCHEDULE_DELAY;
                continue;
            }
            if end.is_some() && queue.len() == 0 {
                return;
            }
            if is_due {
                flush_at = now + SCHEDULE_DELAY;
            }
            let wake_at = end.map_or(queue.ready_at(&self.schedule, flush_at), |_| flush_at);
            tokio::select! {
                () = tokio::time::sleep_until(wake_at) => {}
                changed = self.end.changed() => if changed.is_err() { return },
            }
        }
    }

    fn note(&self, queue: &Queue) {
        let mut book = self.books.client(self.idx);
        book.offered = queue.offered();
        book.dropped_by_queue = queue.dropped();
        book.sent = queue.oldest();
        book.settled = queue.oldest();
    }

    /// Sees one export through, to its OK or to its drop.
    async fn export(&self, seqs: Vec<Range<u32>>) {
        let wire = self.books.shapes[self.idx].request(&seqs);
        let (Some(first), Some(last)) = (seqs.first(), seqs.last()) else { return };
        self.books.send(self.idx, first.start..last.end);
        let deadline = Instant::now() + EXPORT_WITHIN;
        let mut pause = RETRY_MIN;
        loop {
            let begun = Instant::now();
            let sent = self.courier.send(wire.clone());
            let answer = tokio::time::timeout_at(deadline, sent).await;
            let answer = answer.unwrap_or(Answer::Late);
            let Next::Retry(after) = self.judge(answer, begun, &seqs) else { return };
            let spread = pause.mul_f64(1.0 + RETRY_SPREAD * (2.0 * fastrand::f64() - 1.0));
            let until = Instant::now() + after.unwrap_or_default().max(spread);
            if deadline <= until {
                self.books.client(self.idx).dropped_after_export += count(&seqs);
                return;
            }
            tokio::time::sleep_until(until).await;
            pause = pause.mul_f64(RETRY_GROWTH).min(RETRY_MAX);
        }
    }

    /// Notes an answer, and says whether the export goes on.
    fn judge(&self, answer: Answer, begun: Instant, seqs: &[Range<u32>]) -> Next {
        let ended = Instant::now();
        let took = ended - begun;
        let phase = self.books.phase();
        let mut book = self.books.client(self.idx);
        if !matches!(answer, Answer::Unanswered) {
            book.answer(phase, took);
        }
        let is_final = match &answer {
            Answer::Refused(Verdict::Retry { .. }) => false,
            // A last attempt, begun shortly before the end, is cut short by the client itself.
            Answer::Late => EXPORT_WITHIN / 2 <= took,
            _ => true,
        };
        if !matches!(answer, Answer::Taken { rejected: 0 } | Answer::Unanswered) {
            book.refusals.push(Refusal { begun, ended, is_final });
        }
        match answer {
            Answer::Taken { rejected: 0 } => {
                for seq in seqs.iter().cloned().flatten() {
                    book.acknowledged.insert(seq);
                }
                return Next::Over;
            }
            Answer::Taken { rejected } => {
                book.refuse(format!("{rejected} records rejected"));
                book.dropped_after_export += rejected;
                return Next::Over;
            }
            Answer::Refused(Verdict::Retry { after, reason }) => {
                book.refuse(reason);
                return Next::Retry(after);
            }
            Answer::Unanswered => {
                book.unanswered += 1;
                return Next::Retry(None);
            }
            Answer::Refused(Verdict::Denied { reason } | Verdict::Rejected { reason }) => {
                book.refuse(reason);
            }
            Answer::Refused(Verdict::Delivered { message, .. }) => book.refuse(message),
            Answer::Late => book.refuse("no answer within 10s".to_owned()),
        }
        book.dropped_after_export += count(seqs);
        Next::Over
    }
}

/// What comes after an answer.
enum Next {
    Over,
    /// The export is sent again, not before this long.
    Retry(Option<Duration>),
}

fn count(seqs: &[Range<u32>]) -> u64 {
    seqs.iter().map(|seqs| u64::from(seqs.end - seqs.start)).sum()
}

//! What the oracle of records counts: of each client what it did and saw, of each backend what it took.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::arrived::Arrived;
use crate::bits::Bits;
use crate::delay::Delays;
use crate::phase::Phase;

/// Reasons of refusals that are told apart.
const REASONS_MAX: usize = 8;

/// An answer other than OK, or none.
#[derive(Clone, Copy, Debug)]
pub struct RefusedAttempt {
    /// When the attempt was begun.
    pub begun: Instant,
    /// When its answer came, or nobody waited for one any more.
    pub ended: Instant,
    /// Whether it did not say that sending again helps.
    pub is_final: bool,
}

/// What one client did and saw.
#[derive(Debug, Default)]
pub struct ClientTally {
    /// Records that came so far.
    pub offered: u32,
    /// Every record below this one was sent or dropped.
    pub(crate) sent: u32,
    /// Records that found no place in the queue.
    pub dropped_by_queue: u64,
    /// Records that were sent, and not taken in time.
    pub dropped_after_export: u64,
    /// Records that the server said it has.
    pub acknowledged: Bits,
    /// Every record below this one was acknowledged or dropped.
    pub(crate) settled: u32,
    /// How long each answer took, in microseconds, and in which part of the drill it came.
    pub answers: Vec<(Phase, u32)>,
    /// Exports that were refused.
    pub refused: u64,
    /// Why, each with how often.
    pub reasons: BTreeMap<String, u64>,
    /// And when.
    pub refusals: Vec<RefusedAttempt>,
    /// Attempts whose connection broke or could not be made.
    pub unanswered: u64,
}

impl ClientTally {
    /// Notes a refusal.
    pub(crate) fn refuse(&mut self, reason: String) {
        self.refused += 1;
        if self.reasons.len() < REASONS_MAX || self.reasons.contains_key(&reason) {
            *self.reasons.entry(reason).or_default() += 1;
        }
    }

    /// Notes an answer's time.
    pub(crate) fn answer(&mut self, phase: Phase, took: Duration) {
        self.answers.push((phase, u32::try_from(took.as_micros()).unwrap_or(u32::MAX)));
    }
}

/// What one backend took.
#[derive(Debug)]
pub struct BackendTally {
    /// Records.
    pub arrived: Arrived,
    /// Records that it was not to get.
    pub misrouted: u64,
    /// Requests that came while it was out.
    pub turned_away: u64,
    /// Of each client, the records below this one were sent before the backend's return.
    pub(crate) marks: Vec<u32>,
    /// How long records took.
    pub delays: Delays,
    /// When the last of those before the marks was taken.
    pub backlog_end: Option<Instant>,
}

impl BackendTally {
    /// For so many clients.
    pub(crate) fn new(clients: usize) -> Self {
        Self {
            arrived: Arrived::new(clients),
            misrouted: 0,
            turned_away: 0,
            marks: vec![0; clients],
            delays: Delays::default(),
            backlog_end: None,
        }
    }
}

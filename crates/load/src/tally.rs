//! What requests came to, counted.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::latency::Latencies;
use crate::outcome::SendOutcome;

/// Reasons that are told apart.
const REASONS_MAX: usize = 8;
const OTHER_REASONS: &str = "other reasons";

/// Requests, their records and, by their mean size, their bytes before compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Requests.
    pub requests: u64,
    /// Records.
    pub records: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Count {
    pub(crate) fn add(&mut self, records: u64, bytes: u64) {
        self.requests += 1;
        self.records += records;
        self.bytes += bytes;
    }
}

/// When a request was due, sent and answered, each after the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestTimes {
    pub(crate) due: Duration,
    pub(crate) sent: Duration,
    pub(crate) answered: Duration,
}

/// What requests came to.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Accepted, wholly or without some of their records, which count as accepted here.
    pub accepted: Count,
    /// Accepted without some of their records.
    pub partly_rejected: u64,
    /// The records that they were accepted without.
    pub rejected_records: u64,
    /// Refused.
    pub refused: Count,
    /// How many requests were refused with each gRPC code or HTTP status.
    pub refused_by_code: BTreeMap<String, u64>,
    /// There was no connection to send them over.
    pub not_connected: Count,
    /// Sent, and not answered as OTLP says.
    pub unanswered: Count,
    /// What was said, each with how often.
    pub reasons: BTreeMap<String, u64>,
    /// Of accepted requests, from when they were due to the answer.
    pub since_due: Latencies,
    /// The same from when they were sent.
    pub since_sent: Latencies,
    /// Of refused requests, from when they were due to the answer.
    pub refused_since_due: Latencies,
    /// Of accepted requests since it was last cleared, from when they were due.
    pub(crate) of_second: Latencies,
    /// When the last request was answered, after the start.
    pub last_answer: Duration,
}

impl Tally {
    /// Adds a request.
    pub(crate) fn add(
        &mut self,
        outcome: SendOutcome,
        times: RequestTimes,
        records: u64,
        bytes: u64,
    ) {
        let since_due = times.answered.saturating_sub(times.due);
        match outcome {
            SendOutcome::Accepted { rejected, said } => {
                self.accepted.add(records, bytes);
                self.partly_rejected += u64::from(0 < rejected);
                self.rejected_records += rejected.min(records);
                self.since_due.add(since_due);
                self.of_second.add(since_due);
                self.since_sent.add(times.answered.saturating_sub(times.sent));
                let colon = if said.is_empty() { "" } else { ": " };
                if 0 < rejected {
                    self.note(format!("accepted without {rejected} records{colon}{said}"));
                } else if !said.is_empty() {
                    self.note(format!("accepted with a remark: {said}"));
                }
            }
            SendOutcome::Refused { code, reason } => {
                self.refused.add(records, bytes);
                self.refused_since_due.add(since_due);
                *self.refused_by_code.entry(code).or_default() += 1;
                self.note(format!("refused: {reason}"));
            }
            SendOutcome::NotConnected { reason } => {
                self.not_connected.add(records, bytes);
                self.note(format!("not connected: {reason}"));
            }
            SendOutcome::Unanswered { reason } => {
                self.unanswered.add(records, bytes);
                self.note(format!("no answer: {reason}"));
            }
        }
        self.last_answer = self.last_answer.max(times.answered);
    }

    fn note(&mut self, reason: String) {
        let is_known = self.reasons.len() < REASONS_MAX || self.reasons.contains_key(&reason);
        let reason = if is_known { reason } else { OTHER_REASONS.to_owned() };
        *self.reasons.entry(reason).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: RequestTimes = RequestTimes {
        due: Duration::from_secs(1),
        sent: Duration::from_secs(3),
        answered: Duration::from_secs(4),
    };

    fn refused(reason: &str) -> SendOutcome {
        SendOutcome::Refused { code: "UNAVAILABLE".to_owned(), reason: reason.to_owned() }
    }

    #[test]
    fn latency_counts_from_when_a_request_was_due() {
        let mut tally = Tally::default();
        let accepted = SendOutcome::Accepted { rejected: 2, said: String::new() };
        tally.add(accepted, TIMES, 100, 25_000);
        assert_eq!(tally.accepted, Count { requests: 1, records: 100, bytes: 25_000 });
        assert_eq!((tally.partly_rejected, tally.rejected_records), (1, 2));
        let seconds = |latencies: &Latencies| latencies.percentiles().max.as_secs();
        assert_eq!((seconds(&tally.since_due), seconds(&tally.since_sent)), (3, 1));
        assert_eq!(tally.last_answer, TIMES.answered);
    }

    #[test]
    fn a_quick_refusal_does_not_lower_the_latency_of_what_was_accepted() {
        let mut tally = Tally::default();
        tally.add(refused("full"), TIMES, 100, 25_000);
        assert_eq!(tally.since_due.percentiles().count, 0);
        assert_eq!(tally.refused_since_due.percentiles().count, 1);
        assert_eq!(tally.refused_by_code["UNAVAILABLE"], 1);
    }

    #[test]
    fn reasons_are_bounded_and_none_is_left_out() {
        let mut tally = Tally::default();
        for number in 0..100 {
            tally.add(refused(&format!("full {}", number % 20)), TIMES, 1, 1);
        }
        assert_eq!(tally.reasons.len(), REASONS_MAX + 1);
        assert_eq!(tally.reasons.values().sum::<u64>(), 100);
    }
}

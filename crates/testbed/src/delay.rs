//! Delays: from the moment an export was first sent to the moment a backend took its records.

use std::ops::Range;
use std::time::Duration;

use tokio::time::Instant;

use crate::answers::LatencySummary;
use crate::phase::Phase;

/// When the records of an export left for the first time.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// The first of them, and the one behind the last; what a queue dropped may lie between.
    pub(crate) seqs: Range<u32>,
    pub(crate) at: Instant,
    pub(crate) phase: Phase,
}

/// The exports of one client, in their order.
#[derive(Debug, Default)]
pub(crate) struct Sends(Vec<Sent>);

impl Sends {
    /// Adds an export; its records are behind those of all others.
    pub(crate) fn note(&mut self, sent: Sent) {
        self.0.push(sent);
    }

    /// The export with this record.
    pub(crate) fn of(&self, seq: u32) -> Option<&Sent> {
        let behind = self.0.partition_point(|sent| sent.seqs.start <= seq);
        let found = self.0.get(behind.checked_sub(1)?)?;
        found.seqs.contains(&seq).then_some(found)
    }
}

/// The delays of what one backend took, by the part of the drill in which it was sent.
///
/// What waits through the outage belongs to the outage, not to the return that ends its wait.
#[derive(Debug, Default)]
pub struct Delays(Vec<(Phase, u32, u32)>);

impl Delays {
    /// Adds a record. Those of one request came at once, and are kept as one.
    pub(crate) fn add(&mut self, phase: Phase, delay: Duration) {
        let micros = u32::try_from(delay.as_micros()).unwrap_or(u32::MAX);
        match self.0.last_mut() {
            Some((last, time, count)) if (*last, *time) == (phase, micros) => *count += 1,
            _ => self.0.push((phase, micros, 1)),
        }
    }

    /// Sums up a part of the drill, record by record.
    #[must_use]
    pub fn of(&self, wanted: Phase) -> LatencySummary {
        let of_phase = self.0.iter().filter(|(phase, ..)| *phase == wanted);
        LatencySummary::of_runs(of_phase.map(|(_, micros, count)| (*micros, *count)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_found_in_its_export_and_what_was_not_sent_is_not() {
        let (mut sends, at) = (Sends::default(), Instant::now());
        for (seqs, phase) in [(0..512, Phase::WarmUp), (600..1112, Phase::Outage)] {
            sends.note(Sent { seqs, at, phase });
        }
        let phase = |seq| sends.of(seq).map(|sent| sent.phase);
        assert_eq!([phase(0), phase(511)], [Some(Phase::WarmUp); 2]);
        assert_eq!([phase(600), phase(1111)], [Some(Phase::Outage); 2]);
        assert_eq!([phase(512), phase(599), phase(1112)], [None; 3]);
        assert!(Sends::default().of(0).is_none());
    }

    #[test]
    fn every_record_counts_once_in_the_part_in_which_it_was_sent() {
        let mut delays = Delays::default();
        for _ in 0..98 {
            delays.add(Phase::WarmUp, Duration::from_millis(1));
        }
        delays.add(Phase::Outage, Duration::from_secs(40));
        delays.add(Phase::WarmUp, Duration::from_millis(3));
        delays.add(Phase::WarmUp, Duration::from_millis(9));
        let warm_up = delays.of(Phase::WarmUp);
        let millis = [warm_up.p50, warm_up.p99, warm_up.max].map(|time| time.as_millis());
        assert_eq!((warm_up.count, millis), (100, [1, 3, 9]));
        assert_eq!(delays.of(Phase::Outage).p50, Duration::from_secs(40));
        assert_eq!(delays.of(Phase::Return), LatencySummary::default());
    }
}

//! What was a moment ago: the zone of each second, and the figures of the last minute.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

use gophership_control::proto;

use crate::event::Bucket;
use crate::event::SinkBucket;
use crate::somatic::Zone;

/// The zone is remembered for 15 minutes.
pub(super) const ZONE_SECONDS: usize = 15 * 60;
/// One a second, for a minute.
const SAMPLES_MAX: usize = 61;
/// Rates are the mean of this time; the estimates of vaults and the round trips use all samples.
const RATE_OVER: Duration = Duration::from_secs(10);

/// What the process was a moment ago, in rings of bounded length.
#[derive(Debug)]
pub struct History {
    began: Instant,
    /// The highest zone of each second; the newest is that of `second`.
    zones: VecDeque<Zone>,
    /// The zone in force.
    zone: Zone,
    /// Since it began.
    second: u64,
    samples: VecDeque<Sample>,
}

/// The figures at one moment.
#[derive(Debug)]
struct Sample {
    at: Instant,
    totals: Totals,
    /// Records received, by source.
    sources: BTreeMap<String, i64>,
    /// Records delivered, by sink.
    sinks: BTreeMap<String, i64>,
    vaults: BTreeMap<String, VaultSample>,
    /// Requests that vaults keep, by sink.
    waiting: BTreeMap<String, u64>,
    /// How long answers took, by sink.
    round_trips: RoundTrips,
}

/// Counts of a histogram, by sink: how many answers came within each of the bounds, and how many later.
pub(super) type RoundTrips = BTreeMap<String, Vec<u64>>;

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    received: i64,
    delivered: i64,
    rejected: i64,
}

#[derive(Clone, Copy, Debug)]
struct VaultSample {
    backlog: u64,
    replayed: u64,
}

/// Events a second.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates {
    /// The time that they are the mean of; 0 before the second sample.
    pub(super) seconds: f64,
    /// Records received.
    pub(super) received: f64,
    /// Records delivered.
    pub(super) delivered: f64,
    /// Records refused, whatever the reason.
    pub(super) rejected: f64,
    /// Records received, by source.
    pub(super) sources: BTreeMap<String, f64>,
    /// Records delivered, by sink.
    pub(super) sinks: BTreeMap<String, f64>,
    /// What moves in each vault.
    pub(super) vaults: BTreeMap<String, VaultRates>,
    /// When each sink has what vaults keep for it, in seconds, as with [`VaultRates::drain_seconds`].
    pub(super) drains: BTreeMap<String, Option<u64>>,
}

/// How a vault is emptied.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct VaultRates {
    /// Requests replayed a second.
    pub(super) replayed: f64,
    /// When the backlog is gone if it shrinks on as it has since it was highest in the last minute; `None` unless it
    /// shrinks.
    pub(super) drain_seconds: Option<u64>,
}

/// A time in one zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ZoneSpan {
    /// The zone.
    pub(super) zone: Zone,
    /// For how long.
    pub(super) seconds: usize,
}

impl Default for History {
    fn default() -> Self {
        Self::new(Instant::now())
    }
}

impl History {
    /// Knows nothing yet.
    pub(super) fn new(now: Instant) -> Self {
        let zones = VecDeque::with_capacity(ZONE_SECONDS);
        let samples = VecDeque::with_capacity(SAMPLES_MAX);
        Self { began: now, zones, zone: Zone::Green, second: 0, samples }
    }

    /// Notes the zone in force. A second is as bad as its worst moment.
    pub(super) fn note_zone(&mut self, now: Instant, zone: Zone) {
        let second = now.saturating_duration_since(self.began).as_secs();
        let passed = second.saturating_sub(self.second);
        match self.zones.back_mut() {
            Some(last) if passed == 0 => *last = zone.max(*last),
            None => self.push(zone),
            Some(_) => {
                // Nobody looked; the zone was the one before.
                let missed = usize::try_from(passed - 1).unwrap_or(ZONE_SECONDS).min(ZONE_SECONDS);
                for _ in 0..missed {
                    self.push(self.zone);
                }
                self.push(zone);
            }
        }
        (self.zone, self.second) = (zone, second.max(self.second));
    }

    fn push(&mut self, zone: Zone) {
        if self.zones.len() == ZONE_SECONDS {
            self.zones.pop_front();
        }
        self.zones.push_back(zone);
    }

    /// Notes the figures.
    pub(super) fn note_figures(
        &mut self,
        now: Instant,
        status: &proto::StatusResponse,
        round_trips: RoundTrips,
    ) {
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { round_trips, ..Sample::new(now, status) });
    }

    /// The zones of the last 15 minutes, oldest first.
    pub(super) fn zones(&self) -> Vec<ZoneSpan> {
        let mut spans: Vec<ZoneSpan> = Vec::new();
        for &zone in &self.zones {
            match spans.last_mut() {
                Some(span) if span.zone == zone => span.seconds += 1,
                _ => spans.push(ZoneSpan { zone, seconds: 1 }),
            }
        }
        spans
    }

    /// The rates now.
    pub(super) fn rates(&self) -> Rates {
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else {
            return Rates::default();
        };
        let is_recent = |sample: &&Sample| last.at.duration_since(sample.at) <= RATE_OVER;
        let before = self.samples.iter().find(is_recent).unwrap_or(first);
        let seconds = last.at.duration_since(before.at).as_secs_f64();
        if seconds <= 0.0 {
            return Rates::default();
        }
        let rate = |before: i64, now: i64| real(now.saturating_sub(before).max(0)) / seconds;
        let rates = |before: &BTreeMap<String, i64>, now: &BTreeMap<String, i64>| {
            let one = |(id, now): (&String, &i64)| {
                // One without a row had booked nothing.
                (id.clone(), rate(before.get(id).copied().unwrap_or(0), *now))
            };
            now.iter().map(one).collect()
        };
        let vault = |(id, now): (&String, &VaultSample)| {
            let replayed = before.vaults.get(id);
            let replayed =
                replayed.map_or(0, |before| now.replayed.saturating_sub(before.replayed));
            let drain_seconds =
                self.drain(|sample| sample.vaults.get(id).map_or(0, |old| old.backlog));
            let replayed = rate(0, i64::try_from(replayed).unwrap_or(i64::MAX));
            (id.clone(), VaultRates { replayed, drain_seconds })
        };
        let drain = |id: &String| {
            let waiting = |sample: &Sample| sample.waiting.get(id).copied().unwrap_or(0);
            (id.clone(), self.drain(waiting))
        };
        Rates {
            seconds,
            drains: last.waiting.keys().map(drain).collect(),
            received: rate(before.totals.received, last.totals.received),
            delivered: rate(before.totals.delivered, last.totals.delivered),
            rejected: rate(before.totals.rejected, last.totals.rejected),
            sources: rates(&before.sources, &last.sources),
            sinks: rates(&before.sinks, &last.sinks),
            vaults: last.vaults.iter().map(vault).collect(),
        }
    }
}

impl History {
    /// When a backlog is gone if it shrinks on as it has since it was highest in the last minute.
    fn drain(&self, backlog: impl Fn(&Sample) -> u64) -> Option<u64> {
        let highest = self.samples.iter().max_by_key(|sample| backlog(sample))?;
        let last = self.samples.back()?;
        let lasted = last.at.duration_since(highest.at);
        drain_seconds(backlog(highest), backlog(last), lasted)
    }

    /// How many answers a sink got within the last minute, by how long they took.
    pub(super) fn round_trips(&self, sink: &str) -> Vec<u64> {
        let of = |sample: Option<&Sample>| {
            sample.and_then(|sample| sample.round_trips.get(sink)).cloned()
        };
        let mut counts = of(self.samples.back()).unwrap_or_default();
        // A sink that is new had no answer.
        let before = of(self.samples.front()).unwrap_or_default();
        for (count, before) in counts.iter_mut().zip(before) {
            *count = count.saturating_sub(before);
        }
        counts
    }
}

impl Sample {
    fn new(at: Instant, status: &proto::StatusResponse) -> Self {
        let mut totals = Totals::default();
        for row in &status.ledger {
            let total = match row.bucket.as_str() {
                name if name == Bucket::Received.name() => &mut totals.received,
                name if name == Bucket::Delivered.name() => &mut totals.delivered,
                name if name.starts_with("rejected") => &mut totals.rejected,
                _ => continue,
            };
            *total = total.saturating_add(row.records);
        }
        let vault = |vault: &proto::Vault| {
            let (backlog, replayed) = (vault.backlog_requests, vault.replayed_requests);
            (vault.id.clone(), VaultSample { backlog, replayed })
        };
        let sources = by_id(&status.sources, Bucket::Received.name());
        let sinks = by_id(&status.sinks, SinkBucket::Delivered.name());
        let vaults = status.vaults.iter().map(vault).collect();
        let waits = |it: &proto::SinkBacklog| (it.sink.clone(), it.requests);
        let waiting = status.sink_backlogs.iter().map(waits).collect();
        Self { at, totals, sources, sinks, vaults, waiting, round_trips: RoundTrips::new() }
    }
}

/// A line of each row, over all signals.
fn by_id(rows: &[proto::LedgerRow], line: &str) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for row in rows.iter().filter(|row| row.line == line) {
        let sum: &mut i64 = sums.entry(row.id.clone()).or_default();
        *sum = sum.saturating_add(row.records);
    }
    sums
}

/// When a backlog is gone that went from one number to another in some time.
fn drain_seconds(before: u64, now: u64, lasted: Duration) -> Option<u64> {
    if now == 0 {
        return Some(0);
    }
    let gone = before.checked_sub(now).filter(|gone| *gone != 0)?;
    let millis = u128::from(now) * lasted.as_millis() / u128::from(gone);
    u64::try_from(millis.div_ceil(1000)).ok()
}

#[expect(clippy::cast_precision_loss, reason = "a rate is shown with three digits")]
const fn real(records: i64) -> f64 {
    records as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(history: &History, millis: u64) -> Instant {
        history.began + Duration::from_millis(millis)
    }

    fn spans(notes: &[(u64, Zone)]) -> Vec<(Zone, usize)> {
        let mut history = History::new(Instant::now());
        for (millis, zone) in notes {
            history.note_zone(after(&history, *millis), *zone);
        }
        history.zones().iter().map(|span| (span.zone, span.seconds)).collect()
    }

    #[test]
    fn a_second_is_as_bad_as_its_worst_moment_and_the_next_begins_anew() {
        use Zone::{Green, Red, Yellow};
        let notes = [(0, Green), (400, Red), (500, Yellow), (1000, Yellow), (4100, Green)];
        assert_eq!(spans(&notes), [(Red, 1), (Yellow, 3), (Green, 1)]);
    }

    #[test]
    fn fifteen_minutes_are_kept_whatever_happens() {
        use Zone::{Green, Red};
        assert_eq!(spans(&[(0, Red), (5_000_000, Green)]), [(Red, 899), (Green, 1)]);
        let zone = |second: u64| if second.is_multiple_of(2) { Green } else { Red };
        let flapping: Vec<(u64, Zone)> =
            (0..2000).map(|second| (second * 1000, zone(second))).collect();
        assert_eq!(spans(&flapping).len(), ZONE_SECONDS);
    }

    fn status(received: i64, backlog: u64) -> proto::StatusResponse {
        let row = |bucket: &str, records| proto::Bucket {
            signal: "logs".to_owned(),
            bucket: bucket.to_owned(),
            records,
        };
        let source = proto::LedgerRow {
            id: "otlp".to_owned(),
            signal: "logs".to_owned(),
            line: "received".to_owned(),
            records: received,
        };
        let vault = proto::Vault {
            id: "vault".to_owned(),
            backlog_requests: backlog,
            replayed_requests: 100 - backlog,
            ..proto::Vault::default()
        };
        let waits = proto::SinkBacklog {
            sink: "backend".to_owned(),
            requests: backlog,
            ..proto::SinkBacklog::default()
        };
        proto::StatusResponse {
            ledger: vec![row("received", received), row("rejected_failed", 3)],
            sources: vec![source],
            vaults: vec![vault],
            sink_backlogs: vec![waits],
            ..proto::StatusResponse::default()
        }
    }

    #[test]
    fn rates_are_means_of_ten_seconds_and_a_vault_says_when_it_is_empty() {
        let mut history = History::new(Instant::now());
        assert!(history.rates().seconds.abs() < 1e-9);
        for second in 0..90 {
            let status = status(second * 50, 100 - second.unsigned_abs());
            let at = after(&history, second.unsigned_abs() * 1000);
            history.note_figures(at, &status, RoundTrips::new());
        }
        let rates = history.rates();
        assert!((rates.seconds - 10.0).abs() < 1e-9);
        assert!((rates.received - 50.0).abs() < 1e-9);
        assert!((rates.sources["otlp"] - 50.0).abs() < 1e-9);
        assert!(rates.rejected.abs() < 1e-9);
        assert!((rates.vaults["vault"].replayed - 1.0).abs() < 1e-9);
        assert_eq!(rates.vaults["vault"].drain_seconds, Some(11));
        assert_eq!(rates.drains["backend"], Some(11));
        assert_eq!(history.samples.len(), SAMPLES_MAX);
    }

    #[test]
    fn a_backlog_is_followed_from_its_highest_and_round_trips_are_those_of_a_minute() {
        let mut history = History::new(Instant::now());
        for (second, backlog) in [(0, 10), (10, 90), (20, 60)] {
            let counts = vec![second, 2 * second];
            let trips = RoundTrips::from([("backend".to_owned(), counts)]);
            history.note_figures(after(&history, second * 1000), &status(0, backlog), trips);
        }
        assert_eq!(history.rates().vaults["vault"].drain_seconds, Some(20));
        assert_eq!(history.round_trips("backend"), [20, 40]);
        assert!(history.round_trips("other").is_empty());
        for second in 21..90 {
            let trips = RoundTrips::from([("backend".to_owned(), vec![second, 50])]);
            history.note_figures(after(&history, second * 1000), &status(0, 0), trips);
        }
        assert_eq!(history.round_trips("backend"), [60, 0]);
    }

    #[test]
    fn a_backlog_that_grows_has_no_end() {
        let half_a_minute = Duration::from_secs(30);
        assert_eq!(drain_seconds(10, 20, half_a_minute), None);
        assert_eq!(drain_seconds(10, 10, half_a_minute), None);
        assert_eq!(drain_seconds(20, 10, half_a_minute), Some(30));
        assert_eq!(drain_seconds(0, 0, half_a_minute), Some(0));
    }
}

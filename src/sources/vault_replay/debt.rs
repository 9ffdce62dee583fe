//! What a vault keeps for each sink, as the log and the metrics tell it: one line when requests of a sink
//! begin to wait in the vault, and one when all of them are delivered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gophership_units::ns_of;
use gophership_units::seconds_of;
use gophership_units::unix_ns;
use gophership_vault::Backlog;
use gophership_vault::CursorHandle;
use gophership_vault::Log;
use tokio::time::Instant;

use crate::metrics::BacklogFigures;
use crate::metrics::Metrics;
use crate::metrics::SinkBacklogMetrics;
use crate::metrics::VaultMetrics;
use crate::somatic::Zone;

/// Requests that wait for less are not told: an edge that was full for a moment is no news.
const TOLD_AFTER: Duration = Duration::from_secs(1);

/// What was read from the vault for one sink, and delivered to it.
#[derive(Debug, Default)]
pub(super) struct LaneCounters {
    requests: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    read_requests: AtomicU64,
    read_records: AtomicU64,
}

/// The sums of [`LaneCounters`] at one moment, and what of the vault was not delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    requests: u64,
    records: u64,
    bytes: u64,
    read_requests: u64,
    read_records: u64,
    /// Requests that a backend refused for good.
    dead_letters: u64,
    /// Requests that are gone: lost, or dropped by a full vault or an operator.
    lost: u64,
}

impl Totals {
    /// What came since another moment.
    const fn since(self, before: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            records: self.records.saturating_sub(before.records),
            bytes: self.bytes.saturating_sub(before.bytes),
            dead_letters: self.dead_letters.saturating_sub(before.dead_letters),
            lost: self.lost.saturating_sub(before.lost),
            read_requests: self.read_requests.saturating_sub(before.read_requests),
            read_records: self.read_records.saturating_sub(before.read_records),
        }
    }
}

impl LaneCounters {
    pub(super) fn count(&self, records: u64, bytes: usize) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn read(&self, records: u64) {
        self.read_requests.fetch_add(1, Ordering::Relaxed);
        self.read_records.fetch_add(records, Ordering::Relaxed);
    }

    fn totals(&self, vault: &VaultMetrics) -> Totals {
        Totals {
            requests: self.requests.load(Ordering::Relaxed),
            records: self.records.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            read_requests: self.read_requests.load(Ordering::Relaxed),
            read_records: self.read_records.load(Ordering::Relaxed),
            dead_letters: vault.dead_lettered.get(),
            lost: vault.lost.get() + vault.dropped.get(),
        }
    }
}

impl Totals {
    /// How many records so many requests have, if they are like those that were read.
    fn records_of(self, requests: u64) -> Option<u64> {
        let records = u128::from(requests) * u128::from(self.read_records);
        u64::try_from(records.checked_div(u128::from(self.read_requests))?).ok()
    }
}

/// Since when requests wait, and whether that was told. Pure.
#[derive(Debug, Default)]
struct Debt {
    since: Option<(Instant, Totals)>,
    is_told: bool,
}

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// Requests wait for longer than a moment.
    Begun,
    /// Nothing waits any more: for how long something did, and what was delivered meanwhile.
    Over(Duration, Totals),
}

impl Debt {
    fn look(&mut self, now: Instant, is_waiting: bool, totals: Totals) -> Option<News> {
        if !is_waiting {
            let (since, before) = self.since.take()?;
            let delivered = totals.since(before);
            return std::mem::take(&mut self.is_told).then_some(News::Over(now - since, delivered));
        }
        let (since, _) = *self.since.get_or_insert((now, totals));
        if self.is_told || now - since < TOLD_AFTER {
            return None;
        }
        self.is_told = true;
        Some(News::Begun)
    }

    /// How many records wait in so many requests: as many as in those that were read since they wait, or before.
    fn records(&self, requests: u64, totals: Totals) -> u64 {
        let before = self.since.map_or_else(Totals::default, |(_, before)| before);
        let like_these = totals.since(before).records_of(requests);
        like_these.or_else(|| totals.records_of(requests)).unwrap_or(0)
    }

    /// For how long requests have waited.
    fn age(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |(since, _)| now - since)
    }
}

/// One sink and its place in the vault.
struct Watched {
    cursor: CursorHandle,
    delivered: Arc<LaneCounters>,
    metrics: SinkBacklogMetrics,
    debt: Debt,
    /// When the last debt that was told began and ended, in milliseconds since 1970; 0 for never.
    began_unix_ms: u64,
    ended_unix_ms: u64,
}

/// The debts of one vault, by sink. They outlive the readers, which end when sinks come and go.
pub(super) struct Debts {
    vault: String,
    log: Arc<Log>,
    metrics: Arc<Metrics>,
    by_sink: BTreeMap<String, Watched>,
}

impl Debts {
    pub(super) fn new(vault: &str, log: &Arc<Log>, metrics: &Arc<Metrics>) -> Self {
        let by_sink = BTreeMap::new();
        Self {
            vault: vault.to_owned(),
            log: Arc::clone(log),
            metrics: Arc::clone(metrics),
            by_sink,
        }
    }

    /// Watches the place of a sink; returns where what is delivered to it is counted.
    pub(super) fn watch(&mut self, sink: &str, cursor: CursorHandle) -> Arc<LaneCounters> {
        if let Some(watched) = self.by_sink.get_mut(sink) {
            watched.cursor = cursor;
            return Arc::clone(&watched.delivered);
        }
        let delivered = Arc::<LaneCounters>::default();
        let metrics = self.metrics.sink_backlog(sink);
        let of_sink = Watched {
            cursor,
            delivered: Arc::clone(&delivered),
            metrics,
            debt: Debt::default(),
            began_unix_ms: 0,
            ended_unix_ms: 0,
        };
        self.by_sink.insert(sink.to_owned(), of_sink);
        delivered
    }

    /// Forgets sinks that are gone.
    pub(super) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        let metrics = &self.metrics;
        self.by_sink.retain(|sink, _| {
            let stays = is_there(sink);
            if !stays {
                metrics.forget_sink_backlog(sink);
            }
            stays
        });
    }

    /// Tells what is new.
    pub(super) fn look(&mut self, zone: Zone, now: Instant) {
        let (vault, now_ns) = (self.metrics.vault(&self.vault), unix_ns());
        for (sink, watched) in &mut self.by_sink {
            let backlog = self.log.backlog_behind(&watched.cursor);
            let totals = watched.delivered.totals(&vault);
            let news = watched.debt.look(now, 0 < backlog.records, totals);
            let age = watched.debt.age(now);
            match news {
                Some(News::Begun) => {
                    watched.began_unix_ms = ms(now_ns.saturating_sub(ns_of(age)));
                    begun(&self.vault, sink, backlog, zone);
                }
                Some(News::Over(took, delivered)) => {
                    watched.ended_unix_ms = ms(now_ns);
                    over(&self.vault, sink, took, delivered);
                }
                None => {}
            }
            let oldest = self.log.oldest_behind(&watched.cursor, now_ns).unwrap_or(now_ns);
            watched.metrics.set(&BacklogFigures {
                requests: backlog.records,
                records: watched.debt.records(backlog.records, totals),
                bytes: backlog.stored_bytes,
                age,
                oldest: Duration::from_nanos(now_ns.saturating_sub(oldest)),
                began_unix_ms: watched.began_unix_ms,
                ended_unix_ms: watched.ended_unix_ms,
            });
        }
    }
}

/// A time in milliseconds since 1970.
const fn ms(unix_ns: u64) -> u64 {
    unix_ns / 1_000_000
}

fn begun(vault: &str, sink: &str, backlog: Backlog, zone: Zone) {
    tracing::warn!(
        %sink,
        %vault,
        requests = backlog.records,
        stored_bytes = backlog.stored_bytes,
        %zone,
        "The vault keeps requests for a sink that does not accept them now; senders get OK, and the replay \
         delivers the requests when the sink accepts them again."
    );
}

fn over(vault: &str, sink: &str, took: Duration, delivered: Totals) {
    tracing::info!(
        %sink,
        %vault,
        lasted_seconds = seconds_of(took),
        requests = delivered.requests,
        records = delivered.records,
        bytes = delivered.bytes,
        dead_letters = delivered.dead_letters,
        lost = delivered.lost,
        "The vault has delivered everything that it kept for the sink."
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(requests: u64) -> Totals {
        Totals {
            requests,
            records: 10 * requests,
            bytes: 100 * requests,
            read_requests: requests,
            read_records: 10 * requests,
            dead_letters: 0,
            lost: 0,
        }
    }

    #[test]
    fn records_are_estimated_from_the_requests_that_were_read_last() {
        let (mut debt, start) = (Debt::default(), Instant::now());
        assert_eq!(debt.records(7, Totals::default()), 0, "nothing is known");
        assert_eq!(debt.records(7, totals(2)), 70);
        assert_eq!(debt.look(start, true, totals(5)), None);
        assert_eq!(debt.records(7, totals(5)), 70, "as before they waited");
        let larger = Totals { read_requests: 7, read_records: 50 + 2 * 100, ..totals(5) };
        assert_eq!(debt.records(7, larger), 700, "as those that wait");
    }

    #[test]
    fn a_debt_is_told_when_it_lasts_and_when_it_is_over() {
        let (mut debt, start) = (Debt::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(debt.look(at(0), false, totals(5)), None);
        assert_eq!(debt.look(at(500), true, totals(5)), None);
        assert_eq!(debt.look(at(1000), true, totals(5)), None);
        assert_eq!(debt.look(at(1500), true, totals(6)), Some(News::Begun));
        assert_eq!(debt.look(at(2000), true, totals(7)), None);
        assert_eq!(debt.age(at(2000)), Duration::from_millis(1500));
        let over = News::Over(Duration::from_secs(2), totals(3));
        assert_eq!(debt.look(at(2500), false, totals(8)), Some(over));
        assert_eq!(debt.look(at(3000), false, totals(8)), None);
        assert_eq!(debt.age(at(3000)), Duration::ZERO);
    }

    #[test]
    fn a_moment_is_not_told() {
        let (mut debt, start) = (Debt::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        for round in 0..5 {
            assert_eq!(debt.look(at(1000 * round), true, totals(round)), None);
            assert_eq!(debt.look(at(1000 * round + 500), false, totals(round)), None);
        }
    }
}

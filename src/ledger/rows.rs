//! The books by source and by sink: a row for each name that there ever was.
//!
//! ```text
//!   each source   the equation of the whole, exactly: a vault names the source of what it holds
//!   each sink     taken = delivered + rejected + returned + interrupted + what it has now
//!   all together  what sinks have delivered = what became delivered of all sources
//! ```
//!
//! Whoever wrote books without rows left sums whose owners are not known: they have a row of their own.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde::Deserialize;
use serde::Serialize;

use super::holdings::Holdings;
use super::holdings::RecordCounts;
use super::holdings::Store;
use super::totals::INTERRUPTED;
use super::totals::LedgerTotals;
use super::totals::SignalTotals;
use crate::event::Bucket;
use crate::event::Ledgers;
use crate::event::OTHERS;
use crate::event::ROWS_OWN;
use crate::event::Signal;
use crate::event::SinkBucket;
use crate::event::UNKNOWN;

/// The lines of a sink's row, in the order of its equation, without what it has now. The last one is no
/// part of the sum.
pub const SINK_LINES: [&str; 6] = [
    SinkBucket::Taken.name(),
    SinkBucket::Delivered.name(),
    SinkBucket::Rejected.name(),
    SinkBucket::Returned.name(),
    INTERRUPTED,
    SinkBucket::DeadLettered.name(),
];

/// What a sink has now: taken, and nothing became of it yet.
#[must_use]
pub fn at_hand(sink: &LedgerTotals) -> i64 {
    let gone = [SinkBucket::Delivered, SinkBucket::Rejected, SinkBucket::Returned];
    let gone: i64 = gone.iter().map(|bucket| sink.get(bucket.name())).sum();
    sink.get(SinkBucket::Taken.name()) - gone - sink.get(INTERRUPTED)
}

/// Totals of each signal for each source and for each sink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LedgerRows {
    /// What became of the records of each source: the lines of the ledger.
    pub sources: BTreeMap<String, SignalTotals>,
    /// What became of the records that each sink took: [`SINK_LINES`].
    pub sinks: BTreeMap<String, SignalTotals>,
}

impl LedgerRows {
    /// What the ledgers of this process say now. While records move, two numbers may be read at
    /// different moments, so they are read again until they agree, a few times.
    #[must_use]
    pub fn of(ledgers: &Ledgers) -> Self {
        const READS_MAX: usize = 16;
        let mut rows = Self::read(ledgers);
        for _ in 1..READS_MAX {
            if rows.is_balanced() {
                break;
            }
            rows = Self::read(ledgers);
        }
        rows
    }

    fn read(ledgers: &Ledgers) -> Self {
        let mut rows = Self::default();
        for (name, sink_ledger) in ledgers.sinks() {
            let all_totals = rows.sinks.entry(name.to_owned()).or_default();
            for signal in Signal::ALL {
                // What was taken is read last: it is never less than what became of it.
                for bucket in SinkBucket::ALL.into_iter().rev() {
                    all_totals.of_mut(signal).add(bucket.name(), sink_ledger.count(signal, bucket));
                }
            }
        }
        for (name, ledger) in ledgers.sources() {
            rows.sources.insert(name.to_owned(), SignalTotals::of(ledger));
        }
        rows
    }

    /// Books without rows, as an earlier version kept them: nobody knows whose they are.
    #[must_use]
    pub fn unknown(all_totals: SignalTotals) -> Self {
        let mut rows = Self::default();
        rows.sources.insert(UNKNOWN.to_owned(), all_totals);
        rows.level();
        rows
    }

    /// The sum of all sources.
    #[must_use]
    pub fn total(&self) -> SignalTotals {
        let mut total = SignalTotals::default();
        for all_totals in self.sources.values() {
            total.add(all_totals);
        }
        total
    }

    /// What all sources have delivered, less what all sinks have: zero unless something was booked to one
    /// of them only.
    #[must_use]
    pub fn apart(&self, signal: Signal) -> i64 {
        let delivered = |side: &BTreeMap<String, SignalTotals>| -> i64 {
            let of = |all_totals: &SignalTotals| {
                all_totals.of_signal(signal).get(Bucket::Delivered.name())
            };
            side.values().map(of).sum()
        };
        delivered(&self.sources) - delivered(&self.sinks)
    }

    /// Records that sinks have although they are not in flight: zero unless one was settled that stays
    /// with a sink.
    #[must_use]
    pub fn stuck(&self, signal: Signal) -> i64 {
        let of_sinks: i64 =
            self.sinks.values().map(|all_totals| at_hand(all_totals.of_signal(signal))).sum();
        let of_source =
            |all_totals: &SignalTotals| all_totals.of_signal(signal).get(Bucket::InFlight.name());
        (of_sinks - self.sources.values().map(of_source).sum::<i64>()).max(0)
    }

    /// Whether every record is accounted for, source by source and sink by sink.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        self.sources.values().all(SignalTotals::is_balanced)
            && Signal::ALL.iter().all(|signal| self.apart(*signal) == 0 && self.stuck(*signal) == 0)
    }

    /// Books what no sink is known to have delivered as delivered by one who is not known.
    pub(super) fn level(&mut self) {
        for signal in Signal::ALL {
            let apart = self.apart(signal);
            if apart != 0 {
                let totals = self.sinks.entry(UNKNOWN.to_owned()).or_default().of_mut(signal);
                totals.add(SinkBucket::Taken.name(), apart);
                totals.add(SinkBucket::Delivered.name(), apart);
            }
        }
    }

    /// These rows and what a process after them has booked.
    #[must_use]
    pub fn and(&self, process: &Self) -> Self {
        let mut sum = self.clone();
        for (name, all_totals) in &process.sources {
            let row = sum.sources.entry(name.clone()).or_default();
            *row = row.and(all_totals);
        }
        for (name, all_totals) in &process.sinks {
            sum.sinks.entry(name.clone()).or_default().add(all_totals);
        }
        sum
    }

    /// What a store holds, by the rows of those who took it; a row for each that has none yet.
    #[must_use]
    pub fn held(&self, store: &Store) -> BTreeMap<String, RecordCounts> {
        let mut held: BTreeMap<String, RecordCounts> =
            self.sources.keys().map(|name| (name.clone(), RecordCounts::default())).collect();
        for (source, tally) in &store.by_source {
            let own = held.keys().filter(|name| *name != OTHERS).count();
            let has_own = held.contains_key(source) || own < ROWS_OWN;
            let row = if has_own { source } else { OTHERS };
            held.entry(row.to_owned()).or_default().add_all(tally);
        }
        held
    }

    /// Gives what vaults hold to its sources, where the books only say that it is there: an earlier
    /// version booked it.
    pub fn attribute(&mut self, holdings: &Holdings) {
        self.hand_over(&holdings.vaulted, Bucket::Vaulted);
        self.hand_over(&holdings.dead_letters, Bucket::DeadLettered);
    }

    fn hand_over(&mut self, store: &Store, bucket: Bucket) {
        let held = self.held(store);
        for signal in Signal::ALL {
            let booked = |rows: &Self, name: &str| {
                let all_totals = rows.sources.get(name);
                all_totals.map_or(0, |all_totals| all_totals.of_signal(signal).get(bucket.name()))
            };
            let of_unknown = held.get(UNKNOWN).map_or(0, |tally| tally.of(signal));
            let mut left = booked(self, UNKNOWN) - of_unknown;
            for (name, tally) in held.iter().filter(|(name, _)| *name != UNKNOWN) {
                let moved = left.min(tally.of(signal) - booked(self, name));
                if 0 < moved {
                    left -= moved;
                    for (name, records) in [(&**name, moved), (UNKNOWN, -moved)] {
                        let all_totals = self.sources.entry(name.to_owned()).or_default();
                        all_totals.of_mut(signal).add(Bucket::Recovered.name(), records);
                        all_totals.of_mut(signal).add(bucket.name(), records);
                    }
                }
            }
        }
    }

    /// The names of all sources that have a row, or are named by one of the stores.
    pub(super) fn names(&self, holdings: Option<&Holdings>) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = self.sources.keys().cloned().collect();
        for store in holdings.iter().flat_map(|held| [&held.vaulted, &held.dead_letters]) {
            names.extend(self.held(store).into_keys());
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Ledger;

    const LOGS: Signal = Signal::Logs;

    fn store(parts: &[(&str, i64)]) -> Store {
        let mut store = Store::default();
        for (source, records) in parts {
            store.records.add(LOGS, *records);
            store.by_source.entry((*source).to_owned()).or_default().add(LOGS, *records);
        }
        store
    }

    #[test]
    fn what_an_earlier_version_booked_is_given_to_the_sources_that_the_vault_names() {
        let ledger = Ledger::default();
        ledger.book(LOGS, Bucket::Received, 30);
        ledger.book(LOGS, Bucket::Delivered, 10);
        ledger.book(LOGS, Bucket::Vaulted, 20);
        let mut rows = LedgerRows::unknown(SignalTotals::of(&ledger));
        let total = rows.total();
        let holdings = Holdings { vaulted: store(&[("a", 12), ("b", 8)]), ..Holdings::default() };
        rows.attribute(&holdings);
        let lines = |name: &str| {
            let totals = rows.sources[name].of_signal(LOGS);
            ["received", "recovered", "delivered", "vaulted"].map(|line| totals.get(line))
        };
        assert_eq!([lines("a"), lines("b")], [[0, 12, 0, 12], [0, 8, 0, 8]]);
        assert_eq!(lines(UNKNOWN), [30, -20, 10, 0]);
        assert!(rows.is_balanced() && rows.total() == total);
        let again = rows.clone();
        rows.attribute(&holdings);
        assert_eq!(rows, again, "once is enough");
        assert_eq!(rows.sinks[UNKNOWN].of_signal(LOGS).get("delivered"), 10);
    }

    #[test]
    fn what_comes_when_all_rows_are_taken_is_shared() {
        let mut rows = LedgerRows::default();
        for number in 0..ROWS_OWN {
            rows.sources.insert(number.to_string(), SignalTotals::default());
        }
        let held = rows.held(&store(&[("7", 1), ("more", 2), ("yet more", 4)]));
        assert_eq!((held["7"].of(LOGS), held[OTHERS].of(LOGS)), (1, 6));
        assert_eq!(held.len(), ROWS_OWN + 1);
    }

    #[test]
    fn a_batch_booked_at_a_sink_alone_or_at_none_is_found() {
        let ledgers = Ledgers::default();
        ledgers.source("in").book(LOGS, Bucket::Received, 5);
        ledgers.source("in").book(LOGS, Bucket::Delivered, 5);
        let rows = LedgerRows::of(&ledgers);
        assert!(!rows.is_balanced() && rows.total().is_balanced());
        assert_eq!((rows.apart(LOGS), rows.stuck(LOGS)), (5, 0));
    }
}

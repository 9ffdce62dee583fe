//! The totals of the ledger, line by line, as they are added up over processes.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use crate::event::Bucket;
use crate::event::Ledger;
use crate::event::Signal;

/// What vaults took less what they gave between the last writing of a process that was killed and
/// its end. An origin; it can be negative.
pub const UNWRITTEN: &str = "unwritten";
/// In flight at the last writing of a process that was killed.
pub const INTERRUPTED: &str = "interrupted";
/// In no vault any more, although the books of a process that ended well say so.
pub const MISSING: &str = "missing";

/// Where records come from, beside the origins of the ledger.
const OWN_ORIGINS: [&str; 1] = [UNWRITTEN];

/// All lines, in the order of the equation: origins first.
pub const LINES: [&str; 16] = [
    "received",
    "recovered",
    "copies",
    UNWRITTEN,
    "in_flight",
    "delivered",
    "vaulted",
    "filtered",
    "dead_lettered",
    "dropped",
    "rejected_no_room",
    "rejected_by_backend",
    "rejected_failed",
    "rejected_abandoned",
    INTERRUPTED,
    MISSING,
];

/// Whether a line stands on the left of the equation.
#[must_use]
pub fn is_origin(line: &str) -> bool {
    let is_of_ledger = |bucket: &Bucket| bucket.is_origin() && bucket.name() == line;
    OWN_ORIGINS.contains(&line) || Bucket::ALL.iter().any(is_of_ledger)
}

/// The lines of one signal, in records; lines that are zero are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerTotals(BTreeMap<String, i64>);

impl LedgerTotals {
    /// The records of a line.
    #[must_use]
    pub fn get(&self, line: &str) -> i64 {
        self.0.get(line).copied().unwrap_or(0)
    }

    /// Adds records to a line.
    pub fn add(&mut self, line: &str, records: i64) {
        let sum = self.get(line).saturating_add(records);
        if sum == 0 {
            self.0.remove(line);
        } else {
            self.0.insert(line.to_owned(), sum);
        }
    }

    /// Takes all records out of a line and returns them.
    pub fn take(&mut self, line: &str) -> i64 {
        self.0.remove(line).unwrap_or(0)
    }

    /// The sum of the origins.
    #[must_use]
    pub fn origins(&self) -> i64 {
        self.0.iter().filter(|(line, _)| is_origin(line)).map(|(_, records)| records).sum()
    }

    /// The sum of everything that is no origin.
    #[must_use]
    pub fn destinations(&self) -> i64 {
        self.0.iter().filter(|(line, _)| !is_origin(line)).map(|(_, records)| records).sum()
    }

    /// Origins less destinations: zero when every record is accounted for.
    #[must_use]
    pub fn imbalance(&self) -> i64 {
        self.origins() - self.destinations()
    }

    /// Whether nothing was ever booked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One list of totals for each signal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalTotals {
    logs: LedgerTotals,
    traces: LedgerTotals,
    metrics: LedgerTotals,
}

impl SignalTotals {
    /// What a ledger of this process says now.
    #[must_use]
    pub fn of(ledger: &Ledger) -> Self {
        let mut all_totals = Self::default();
        for signal in Signal::ALL {
            for bucket in Bucket::ALL {
                all_totals.of_mut(signal).add(bucket.name(), ledger.count(signal, bucket));
            }
        }
        all_totals
    }

    /// The totals of a signal.
    #[must_use]
    pub const fn of_signal(&self, signal: Signal) -> &LedgerTotals {
        match signal {
            Signal::Logs => &self.logs,
            Signal::Traces => &self.traces,
            Signal::Metrics => &self.metrics,
        }
    }

    /// The totals of a signal, to be written.
    pub const fn of_mut(&mut self, signal: Signal) -> &mut LedgerTotals {
        match signal {
            Signal::Logs => &mut self.logs,
            Signal::Traces => &mut self.traces,
            Signal::Metrics => &mut self.metrics,
        }
    }

    /// Whether every record is accounted for.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        Signal::ALL.iter().all(|signal| self.of_signal(*signal).imbalance() == 0)
    }

    /// Adds the lines of other totals.
    pub(super) fn add(&mut self, other: &Self) {
        for signal in Signal::ALL {
            for (line, records) in &other.of_signal(signal).0 {
                self.of_mut(signal).add(line, *records);
            }
        }
    }

    /// These totals and what a process after them has booked. What that process has read from a vault
    /// was in the vault before, so it comes from nowhere new.
    #[must_use]
    pub fn and(&self, process: &Self) -> Self {
        let mut sum = self.clone();
        for signal in Signal::ALL {
            let totals = sum.of_mut(signal);
            for (line, records) in &process.of_signal(signal).0 {
                if line == Bucket::Recovered.name() {
                    totals.add(Bucket::Vaulted.name(), -records);
                } else {
                    totals.add(line, *records);
                }
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_of_the_ledger_is_a_line() {
        for bucket in Bucket::ALL {
            assert!(LINES.contains(&bucket.name()), "{}", bucket.name());
            assert_eq!(is_origin(bucket.name()), bucket.is_origin());
        }
        assert_eq!(LINES.len(), Bucket::ALL.len() + 3);
    }

    #[test]
    fn what_a_later_process_reads_from_the_vault_is_counted_once() {
        let signal = Signal::Traces;
        let ledger = Ledger::leak();
        ledger.book(signal, Bucket::Received, 10);
        ledger.book(signal, Bucket::Vaulted, 10);
        let before = SignalTotals::default().and(&SignalTotals::of(ledger));
        let later = Ledger::leak();
        // Recovered, replayed, delivered.
        later.book(signal, Bucket::Recovered, 10);
        later.book(signal, Bucket::Vaulted, 10);
        later.book(signal, Bucket::Copies, 10);
        later.book(signal, Bucket::Delivered, 10);
        later.withdraw(signal, Bucket::Vaulted, 10);
        let both = before.and(&SignalTotals::of(later));
        let totals = both.of_signal(signal);
        assert!(both.is_balanced());
        assert_eq!((totals.get("received"), totals.get("delivered")), (10, 10));
        assert_eq!((totals.get("vaulted"), totals.get("recovered")), (0, 0));
    }
}

//! Judges the books source by source and sink by sink. Pure.

use std::collections::BTreeMap;

use gophership::ledger::Holdings;
use gophership::ledger::LedgerRows;
use gophership::ledger::RecordCounts;
use gophership::ledger::at_hand;
use gophership_otlp::Signal;

use super::state::ProcessState;

/// What was found, and whether it is only to be noted.
pub(super) struct RowFinding {
    pub(super) text: String,
    pub(super) is_note: bool,
}

/// Judges the rows of one signal.
pub(super) fn judge(
    rows: &LedgerRows,
    held: &Holdings,
    state: ProcessState,
    signal: Signal,
) -> Vec<RowFinding> {
    let mut found = sources(rows, state, signal);
    if matches!(state, ProcessState::Quiet | ProcessState::Ended) {
        found.extend(vaults(rows, held, signal));
    }
    found.extend(sinks(rows, state, signal));
    let apart = rows.apart(signal);
    if apart != 0 && state != ProcessState::Moving {
        let text =
            format!("{signal}: sources count {apart} more records as delivered than sinks do");
        found.push(open(state, &text));
    }
    found
}

/// What only the next start can settle is no finding after a kill.
fn open(state: ProcessState, text: &str) -> RowFinding {
    if state == ProcessState::Killed {
        let text = format!("{text}: the ledger was last written while records moved.");
        return RowFinding { text, is_note: true };
    }
    let text = format!("{text}. This is a bug in GopherShip; please report it with this output.");
    RowFinding { text, is_note: false }
}

fn sources(rows: &LedgerRows, state: ProcessState, signal: Signal) -> Vec<RowFinding> {
    let of = |(name, totals): (&String, &gophership::ledger::SignalTotals)| {
        let apart = totals.of_signal(signal).imbalance();
        (apart != 0).then(|| {
            open(
                state,
                &format!("{signal} of source {name}: origins and destinations differ by {apart}"),
            )
        })
    };
    rows.sources.iter().filter_map(of).collect()
}

/// Compares what the vaults hold of each source with what is booked for it.
fn vaults(rows: &LedgerRows, held: &Holdings, signal: Signal) -> Vec<RowFinding> {
    let mut found = Vec::new();
    let mut compare = |held: &BTreeMap<String, RecordCounts>,
                       line: &str,
                       place: &str,
                       may_be_less: bool| {
        for (name, tally) in held {
            let all_totals = rows.sources.get(name);
            let booked = all_totals.map_or(0, |all_totals| all_totals.of_signal(signal).get(line));
            let more = tally.of(signal) - booked;
            let (count, word) = if more < 0 { (-more, "fewer") } else { (more, "more") };
            if 0 < more || more < 0 && !may_be_less {
                let text = format!(
                    "{signal} of source {name}: {place} hold {count} records {word} than its row \
                     says."
                );
                found.push(RowFinding { text, is_note: false });
            }
        }
    };
    compare(&rows.held(&held.vaulted), "vaulted", "the vaults", false);
    // Somebody may have taken dead letters out.
    compare(&rows.held(&held.dead_letters), "dead_lettered", "the dead-letter stores", true);
    found
}

fn sinks(rows: &LedgerRows, state: ProcessState, signal: Signal) -> Vec<RowFinding> {
    let mut found = Vec::new();
    for (name, all_totals) in &rows.sinks {
        let has = at_hand(all_totals.of_signal(signal));
        if has < 0 {
            let text = format!(
                "{signal} of sink {name}: {} more records are settled than the sink took",
                -has
            );
            found.push(open(state, &text));
        }
    }
    let stuck = rows.stuck(signal);
    if 0 < stuck && matches!(state, ProcessState::Quiet | ProcessState::Ended) {
        let text = format!("{signal}: sinks hold {stuck} records more than are in flight");
        found.push(open(state, &text));
    }
    found
}

//! Judges the books source by source and sink by sink. Pure.

use std::collections::BTreeMap;

use gophership::books::Holdings;
use gophership::books::Rows;
use gophership::books::Tally;
use gophership::books::at_hand;
use gophership_otlp::Signal;

use super::state::State;

/// What was found, and whether it is only to be noted.
pub(super) struct Found {
    pub(super) text: String,
    pub(super) is_note: bool,
}

/// Judges the rows of one signal.
pub(super) fn judge(rows: &Rows, held: &Holdings, state: State, signal: Signal) -> Vec<Found> {
    let mut found = sources(rows, state, signal);
    if matches!(state, State::Quiet | State::Ended) {
        found.extend(vaults(rows, held, signal));
    }
    found.extend(sinks(rows, state, signal));
    let apart = rows.apart(signal);
    if apart != 0 && state != State::Moving {
        let text = format!(
            "{signal}: {apart} more records of sources are delivered than sinks have delivered"
        );
        found.push(open(state, &text));
    }
    found
}

/// What only the next start can settle is no finding after a kill.
fn open(state: State, text: &str) -> Found {
    if state == State::Killed {
        let text = format!("{text}: the last writing was made while records moved.");
        return Found { text, is_note: true };
    }
    let text = format!("{text}. This is a bug in GopherShip; please report it with this page.");
    Found { text, is_note: false }
}

fn sources(rows: &Rows, state: State, signal: Signal) -> Vec<Found> {
    let of = |(name, sheet): (&String, &gophership::books::Sheets)| {
        let apart = sheet.of_signal(signal).imbalance();
        (apart != 0).then(|| {
            open(state, &format!("{signal} of {name}: origins and destinations differ by {apart}"))
        })
    };
    rows.sources.iter().filter_map(of).collect()
}

/// Compares what the vaults hold of each source with what is booked for it.
fn vaults(rows: &Rows, held: &Holdings, signal: Signal) -> Vec<Found> {
    let mut found = Vec::new();
    let mut compare =
        |held: &BTreeMap<String, Tally>, line: &str, place: &str, may_be_less: bool| {
            for (name, tally) in held {
                let sheets = rows.sources.get(name);
                let booked = sheets.map_or(0, |sheets| sheets.of_signal(signal).get(line));
                let more = tally.of(signal) - booked;
                let (count, word) = if more < 0 { (-more, "less") } else { (more, "more") };
                if 0 < more || more < 0 && !may_be_less {
                    let text = format!(
                        "{signal} of {name}: {place} hold {count} records {word} than its row says."
                    );
                    found.push(Found { text, is_note: false });
                }
            }
        };
    compare(&rows.held(&held.vaulted), "vaulted", "the vaults", false);
    // Somebody may have taken dead letters out.
    compare(&rows.held(&held.dead_letters), "dead_lettered", "the dead-letter stores", true);
    found
}

fn sinks(rows: &Rows, state: State, signal: Signal) -> Vec<Found> {
    let mut found = Vec::new();
    for (name, sheets) in &rows.sinks {
        let has = at_hand(sheets.of_signal(signal));
        if has < 0 {
            let text =
                format!("{signal} at {name}: {} records were settled that it never took", -has);
            found.push(open(state, &text));
        }
    }
    let stuck = rows.stuck(signal);
    if 0 < stuck && matches!(state, State::Quiet | State::Ended) {
        let text = format!("{signal}: sinks have {stuck} records more than are in flight");
        found.push(open(state, &text));
    }
    found
}

//! Judges what was seen: what does not add up, and what is known about the rest. Pure.

use gophership::ledger::INTERRUPTED;
use gophership::ledger::LedgerTotals;
use gophership::ledger::MISSING;
use gophership::ledger::UNWRITTEN;
use gophership_otlp::Signal;

use super::look::AuditView;
use super::rows;
use super::state::ProcessState;
use crate::vault::show_time;

/// What a look amounts to.
#[derive(Debug, Default)]
pub(super) struct AuditVerdict {
    /// What does not add up.
    pub(super) findings: Vec<String>,
    /// What explains numbers that somebody may wonder about.
    pub(super) notes: Vec<String>,
    /// Records move, so vaults and books are of different moments and were not compared.
    pub(super) is_moving: bool,
}

impl AuditVerdict {
    pub(super) fn is_balanced(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Judges one look.
pub(super) fn judge(look: &AuditView) -> AuditVerdict {
    let state = ProcessState::of(look);
    let mut verdict =
        AuditVerdict { is_moving: state == ProcessState::Moving, ..AuditVerdict::default() };
    let (rows, held) = (look.rows(), look.held());
    let totals = rows.total();
    for signal in Signal::ALL {
        let totals = totals.of_signal(signal);
        judge_equation(&mut verdict, state, signal, totals);
        let of_vaults = held.vaulted.records.of(signal);
        compare_vaults(&mut verdict, look, signal, of_vaults - totals.get("vaulted"));
        let of_dead_letters = held.dead_letters.records.of(signal);
        compare_dead_letters(
            &mut verdict,
            state,
            signal,
            of_dead_letters - totals.get("dead_lettered"),
        );
        for found in rows::judge(&rows, &held, state, signal) {
            let side = if found.is_note { &mut verdict.notes } else { &mut verdict.findings };
            side.push(found.text);
        }
        let missing = totals.get(MISSING);
        if missing != 0 {
            verdict.findings.push(format!(
                "{signal}: at a start {missing} records were missing from the vaults, according to \
                 the ledger. Run `gophership vault verify`, look into quarantine/ of the vaults, \
                 and find out whether files were deleted. Once the cause is known, move the ledger \
                 file away to start a new ledger."
            ));
        }
    }
    for (dir, requests) in &look.left {
        verdict.findings.push(format!(
            "the configuration does not contain the vault {}, which has {requests} undelivered \
             requests. Add the vault again, or send them with `gophership vault export` and remove \
             the directory.",
            dir.display()
        ));
    }
    find_losses(&mut verdict, look);
    if held.vaulted.faults + held.dead_letters.faults > 0 {
        let faults = held.vaulted.faults + held.dead_letters.faults;
        verdict.notes.push(format!(
            "the audit skipped {faults} damaged places in the vaults; see `gophership vault \
             verify`."
        ));
    }
    note_kill(&mut verdict, look, state);
    verdict
}

/// Tells requests that are gone, whatever the records say: they have numbers without gaps.
fn find_losses(verdict: &mut AuditVerdict, look: &AuditView) {
    for one in &look.missing {
        let (dir, count) = (one.dir.display(), one.count());
        let ranges: Vec<String> =
            one.ranges.iter().map(|(first, last)| format!("{first} to {last}")).collect();
        verdict.findings.push(format!(
            "vault {dir}: {count} acknowledged requests are missing (lost_records; sequence \
             numbers {}): their segments are gone, and some cursor had not passed them.",
            ranges.join(", ")
        ));
    }
    for (name, mark) in &look.snapshot.marks {
        if 0 < mark.lost_requests {
            verdict.findings.push(format!(
                "vault {}: {} acknowledged requests were lost while a server used the vault, \
                 because their files disappeared. The log says when, and \
                 `gophership_vault_lost_requests_total` counts them.",
                name.display(),
                mark.lost_requests
            ));
        }
    }
}

fn judge_equation(
    verdict: &mut AuditVerdict,
    state: ProcessState,
    signal: Signal,
    totals: &LedgerTotals,
) {
    let apart = totals.imbalance();
    if apart == 0 {
        return;
    }
    let sums = format!(
        "{signal}: origins {} and destinations {} differ by {apart}",
        totals.origins(),
        totals.destinations()
    );
    if state == ProcessState::Killed {
        verdict.notes.push(format!(
            "{sums}: the ledger was last written while records moved; the next start corrects it."
        ));
    } else {
        verdict.findings.push(format!(
            "{sums}: records were counted twice, or never. This is a bug in GopherShip; please \
             report it with this output."
        ));
    }
}

fn compare_vaults(verdict: &mut AuditVerdict, look: &AuditView, signal: Signal, more: i64) {
    let state = ProcessState::of(look);
    if more == 0 || state == ProcessState::Moving {
        return;
    }
    let snapshot = &look.snapshot;
    let written = show_time(snapshot.written_unix_ns);
    let text = if more < 0 {
        format!("{signal}: the vaults hold {} records fewer than the ledger says", -more)
    } else {
        format!("{signal}: the vaults hold {more} records more than the ledger says")
    };
    if state == ProcessState::Killed {
        verdict.notes.push(format!(
            "{text}: the vaults stored or delivered them between the last write of the ledger \
             ({written}) and the kill. The next start counts them as {UNWRITTEN}."
        ));
        return;
    }
    verdict.findings.push(if snapshot.is_unsettled {
        format!(
            "{text}. At the last start the vaults were too large to count, so the difference may \
             date from before that start, or be a loss since. Run `gophership vault verify` to \
             find damage."
        )
    } else {
        format!(
            "{text}. The vaults changed after the ledger was written ({written}). Run `gophership \
             vault verify`, look into quarantine/ of the vaults, and find out whether files were \
             changed or deleted."
        )
    });
}

fn compare_dead_letters(
    verdict: &mut AuditVerdict,
    state: ProcessState,
    signal: Signal,
    more: i64,
) {
    match state {
        _ if more == 0 || state == ProcessState::Moving => {}
        _ if more < 0 => verdict.notes.push(format!(
            "{signal}: {} records were removed from the dead-letter stores, or are lost.",
            -more
        )),
        ProcessState::Killed => verdict.notes.push(format!(
            "{signal}: {more} records became dead letters between the last write of the ledger and \
             the kill."
        )),
        ProcessState::Moving | ProcessState::Quiet | ProcessState::Ended => {
            verdict.findings.push(format!(
                "{signal}: the dead-letter stores hold {more} records more than the ledger says."
            ));
        }
    }
}

/// Says what the last kill left open.
fn note_kill(verdict: &mut AuditVerdict, look: &AuditView, state: ProcessState) {
    let snapshot = &look.snapshot;
    let mut in_flight = 0;
    if state == ProcessState::Killed {
        let totals = snapshot.totals();
        in_flight =
            Signal::ALL.iter().map(|signal| totals.of_signal(*signal).get("in_flight")).sum();
        let written = show_time(snapshot.written_unix_ns);
        verdict.notes.push(format!(
            "The server was killed after it wrote the ledger at {written}. {in_flight} records \
             were in flight then; the next start counts them as {INTERRUPTED}."
        ));
    }
    let sum_of = |line: &str| {
        let of = |kill: &gophership::ledger::Kill| {
            Signal::ALL.iter().map(|signal| kill.booked.of_signal(*signal).get(line)).sum()
        };
        snapshot.last_kill.as_ref().map_or(0, of)
    };
    let (interrupted, unwritten): (i64, i64) = (sum_of(INTERRUPTED), sum_of(UNWRITTEN));
    if let Some(kill) = &snapshot.last_kill {
        let (written, found) = (show_time(kill.written_unix_ns), show_time(kill.found_unix_ns));
        verdict.notes.push(format!(
            "{} of {} servers were killed. The last kill was between {written} and {found}: \
             {interrupted} records {INTERRUPTED}, {unwritten} {UNWRITTEN}.",
            snapshot.kills, snapshot.starts
        ));
    }
    if in_flight + interrupted > 0 {
        verdict.notes.push(
            "Interrupted records are safe if their sender had no OK and retries, or if a vault has \
             them too and delivers them. They are lost if a source with `ack: received` had \
             answered OK."
                .to_owned(),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use gophership::event::Bucket;
    use gophership::event::Ledgers;
    use gophership::ledger::Holdings;
    use gophership::ledger::LedgerRows;
    use gophership::ledger::LedgerSnapshot;
    use gophership::ledger::Standing;

    use super::*;

    const LOGS: Signal = Signal::Logs;

    /// A page after so many records were received and vaulted, and some of them replayed; the vault
    /// holds `held`.
    fn look(ledgers: &Ledgers, standing: Standing, is_kept: bool, held: i64) -> AuditView {
        let snapshot = LedgerSnapshot {
            standing,
            process: LedgerRows::of(ledgers),
            starts: 1,
            ..LedgerSnapshot::default()
        };
        let mut holdings = Holdings::default();
        holdings.vaulted.records.add(LOGS, held);
        holdings.vaulted.by_source.entry("in".to_owned()).or_default().add(LOGS, held);
        AuditView {
            snapshot,
            generation: 1,
            is_kept,
            vaults: vec![(PathBuf::from("vault"), holdings)],
            left: Vec::new(),
            missing: Vec::new(),
        }
    }

    fn vaulted(records: i64) -> &'static Ledgers {
        let ledgers = Ledgers::leak();
        ledgers.source("in").book(LOGS, Bucket::Received, records);
        ledgers.source("in").book(LOGS, Bucket::Vaulted, records);
        ledgers
    }

    #[test]
    fn a_batch_that_is_settled_twice_is_found() {
        let ledgers = vaulted(10);
        assert!(judge(&look(ledgers, Standing::Quiet, true, 10)).is_balanced());
        ledgers.source("in").book(LOGS, Bucket::Delivered, 5);
        let verdict = judge(&look(ledgers, Standing::Quiet, true, 10));
        assert!(verdict.findings[0].contains("differ by -5"), "{verdict:?}");
        assert!(verdict.findings[1].contains("logs of source in: origins"), "{verdict:?}");
        assert!(verdict.findings[2].contains("sources count 5 more records"), "{verdict:?}");
    }

    #[test]
    fn a_record_that_is_replayed_and_not_withdrawn_is_found_by_what_the_vault_holds() {
        let ledgers = vaulted(10);
        // Filtered behind the replay: no sink has it.
        ledgers.source("in").book(LOGS, Bucket::Copies, 4);
        ledgers.source("in").book(LOGS, Bucket::Filtered, 4);
        let forgotten = look(ledgers, Standing::Quiet, true, 6);
        let verdict = judge(&forgotten);
        assert_eq!(forgotten.snapshot.totals().of_signal(LOGS).imbalance(), 0);
        assert!(verdict.findings[0].contains("hold 4 records fewer"), "{verdict:?}");
        ledgers.source("in").withdraw(LOGS, Bucket::Vaulted, 4);
        assert!(judge(&look(ledgers, Standing::Quiet, true, 6)).is_balanced());
    }

    #[test]
    fn requests_that_are_gone_are_found_in_every_state() {
        for (standing, is_kept) in
            [(Standing::Moving, true), (Standing::Quiet, true), (Standing::Quiet, false)]
        {
            let mut gone = look(vaulted(10), standing, is_kept, 10);
            let dir = PathBuf::from("vault");
            gone.missing = vec![gophership::ledger::MissingRequests { dir, ranges: vec![(3, 5)] }];
            let verdict = judge(&gone);
            assert!(verdict.findings[0].contains("3 acknowledged requests are missing"));
            let mut lost = look(vaulted(10), standing, is_kept, 10);
            let mark = gophership::ledger::VaultMark { lost_requests: 7, ..Default::default() };
            lost.snapshot.marks.insert(PathBuf::from("vault"), mark);
            assert!(judge(&lost).findings[0].contains("7 acknowledged requests were lost"));
        }
    }

    #[test]
    fn what_is_withdrawn_from_the_wrong_source_is_found() {
        let ledgers = vaulted(10);
        ledgers.source("other").book(LOGS, Bucket::Received, 4);
        ledgers.source("other").book(LOGS, Bucket::Filtered, 4);
        ledgers.source("other").withdraw(LOGS, Bucket::Vaulted, 4);
        let verdict = judge(&look(ledgers, Standing::Quiet, true, 6));
        assert_eq!(verdict.findings.len(), 2, "{verdict:?}");
        let less = "logs of source in: the vaults hold 4 records fewer than its row says.";
        assert_eq!(verdict.findings[0], less);
    }

    /// A page with lines of one sink, and as much delivered.
    fn sink(standing: Standing, lines: &[(&str, i64)]) -> AuditView {
        let mut look = look(vaulted(0), standing, standing == Standing::Quiet, 0);
        let rows = &mut look.snapshot.before;
        let totals = rows.sinks.entry("out".to_owned()).or_default().of_mut(LOGS);
        for (line, records) in lines {
            totals.add(line, *records);
        }
        let delivered = totals.get("delivered");
        let totals = rows.sources.entry("in".to_owned()).or_default().of_mut(LOGS);
        totals.add("received", delivered);
        totals.add("delivered", delivered);
        look
    }

    #[test]
    fn a_batch_booked_at_the_wrong_sink_or_never_settled_there_is_found() {
        let even = [("taken", 9), ("delivered", 4), ("rejected", 2), ("returned", 3)];
        assert!(judge(&sink(Standing::Ended, &even)).is_balanced());
        let left = [("taken", 9), ("delivered", 4)];
        for standing in [Standing::Quiet, Standing::Ended] {
            let verdict = judge(&sink(standing, &left));
            assert!(verdict.findings[0].contains("sinks hold 5 records more"), "{verdict:?}");
        }
        let wrong = [("taken", 4), ("delivered", 4), ("returned", 1)];
        let verdict = judge(&sink(Standing::Quiet, &wrong));
        assert!(verdict.findings[0].contains("1 more records are settled than"), "{verdict:?}");
    }

    #[test]
    fn what_a_kill_leaves_open_is_a_note_and_what_moves_is_not_compared() {
        let ledgers = vaulted(10);
        let killed = judge(&look(ledgers, Standing::Quiet, false, 12));
        assert!(killed.is_balanced() && killed.notes[0].contains("2 records more"), "{killed:?}");
        let moving = judge(&look(ledgers, Standing::Moving, true, 12));
        assert!(moving.is_balanced() && moving.is_moving && moving.notes.is_empty(), "{moving:?}");
        assert!(!judge(&look(ledgers, Standing::Ended, false, 12)).is_balanced());
    }
}

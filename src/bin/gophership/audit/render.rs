//! How an audit looks: a page for people, one document for scripts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use gophership_units::columns;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use gophership::ledger::LINES;
use gophership::ledger::LedgerRows;
use gophership::ledger::LedgerTotals;
use gophership::ledger::RecordCounts;
use gophership::ledger::SINK_LINES;
use gophership::ledger::SignalTotals;
use gophership::ledger::Store;
use gophership::ledger::at_hand;
use gophership::ledger::is_origin;
use gophership_otlp::Signal;

use super::judge::AuditVerdict;
use super::look::AuditView;
use super::state::ProcessState;
use crate::vault::show_time;

/// What a sink has now, beside its lines.
const AT_HAND: &str = "in_flight";

/// For people.
pub(super) fn text(data_dir: &Path, look: &AuditView, verdict: &AuditVerdict) -> String {
    let snapshot = &look.snapshot;
    let mut text = format!(
        "ledger  {}\nbegun   {}\nwritten {}, {}\n\n",
        data_dir.join(gophership::ledger::FILE_NAME).display(),
        show_time(snapshot.begun_unix_ns),
        show_time(snapshot.written_unix_ns),
        match ProcessState::of(look) {
            ProcessState::Moving => "by a running server, while records moved",
            ProcessState::Quiet => "by a running server; no record has moved since",
            ProcessState::Ended => "by a server that stopped cleanly",
            ProcessState::Killed => "by a server that was killed",
        }
    );
    let rows = look.rows();
    text.push_str(&equation(&rows.total()));
    text.push_str(&by_source(&rows));
    text.push_str(&by_sink(&rows));
    text.push_str(&stores(data_dir, look));
    for note in &verdict.notes {
        let _infallible = writeln!(text, "note: {note}");
    }
    for finding in &verdict.findings {
        let _infallible = writeln!(text, "finding: {finding}");
    }
    text.push_str(match ProcessState::of(look) {
        _ if !verdict.is_balanced() => "NOT balanced\n",
        ProcessState::Moving => {
            "balanced: every record is accounted for; the vaults were not compared, because \
             records still move\n"
        }
        ProcessState::Killed => {
            "balanced, except for what the notes say about the kill; the next start corrects the \
             ledger\n"
        }
        ProcessState::Quiet | ProcessState::Ended => {
            "balanced: every record is accounted for, and the vaults match the ledger\n"
        }
    });
    text
}

fn equation(totals: &SignalTotals) -> String {
    let row = |name: &str, of: &dyn Fn(&LedgerTotals) -> i64| {
        let cells = Signal::ALL.iter().map(|signal| of(totals.of_signal(*signal)).to_string());
        std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>()
    };
    let lines = |wanted: bool| {
        let of_side = LINES.iter().filter(move |line| is_origin(line) == wanted);
        of_side
            .map(|line| row(&format!("  {}", line.replace('_', " ")), &|totals| totals.get(line)))
    };
    let mut rows = vec![row("origins", &LedgerTotals::origins)];
    rows.extend(lines(true));
    rows.push(row("destinations", &LedgerTotals::destinations));
    rows.extend(lines(false));
    rows.push(row("difference", &LedgerTotals::imbalance));
    let heads: Vec<String> =
        Signal::ALL.iter().map(|signal| format!(">{}", signal.name())).collect();
    let mut head = vec!["records"];
    head.extend(heads.iter().map(String::as_str));
    format!("{}\n", columns(&head, &rows))
}

/// A row for each signal of each source; lines that nobody has are left out.
fn by_source(rows: &LedgerRows) -> String {
    let is_used = |line: &&str| {
        let has = |all_totals: &SignalTotals| {
            Signal::ALL.iter().any(|s| all_totals.of_signal(*s).get(line) != 0)
        };
        rows.sources.values().any(has)
    };
    let lines: Vec<&str> = LINES.into_iter().filter(is_used).collect();
    let cells = |totals: &LedgerTotals| lines.iter().map(|line| totals.get(line)).collect();
    table("by source", &lines, &rows.sources, cells)
}

/// A row for each signal of each sink.
fn by_sink(rows: &LedgerRows) -> String {
    let heads: Vec<&str> = SINK_LINES.into_iter().chain([AT_HAND]).collect();
    let cells = |totals: &LedgerTotals| sink_lines(totals).map(|(_, records)| records).collect();
    table("by sink", &heads, &rows.sinks, cells)
}

fn table(
    title: &str,
    lines: &[&str],
    owners: &BTreeMap<String, SignalTotals>,
    cells: impl Fn(&LedgerTotals) -> Vec<i64>,
) -> String {
    let mut table = Vec::new();
    for (name, all_totals) in owners {
        for signal in Signal::ALL {
            let totals = all_totals.of_signal(signal);
            if !totals.is_empty() {
                let cells = cells(totals).into_iter().map(|records| records.to_string());
                let own = [format!("  {name}"), signal.name().to_owned()];
                table.push(own.into_iter().chain(cells).collect::<Vec<_>>());
            }
        }
    }
    if table.is_empty() {
        return String::new();
    }
    let heads: Vec<String> =
        lines.iter().map(|line| format!(">{}", line.replace('_', " "))).collect();
    let heads: Vec<&str> =
        [title, "signal"].into_iter().chain(heads.iter().map(String::as_str)).collect();
    format!("{}\n", columns(&heads, &table))
}

fn stores(data_dir: &Path, look: &AuditView) -> String {
    let mut rows = Vec::new();
    let mut row = |place: String, tally: &RecordCounts| {
        let cells = Signal::ALL.iter().map(|signal| tally.of(*signal).to_string());
        rows.push(std::iter::once(place).chain(cells).collect::<Vec<_>>());
    };
    for (dir, held) in &look.vaults {
        let name = gophership::ledger::name_of(data_dir, dir);
        row(format!("vault {}", name.display()), &held.vaulted.records);
        parts(&held.vaulted, &mut row);
        row("  its dead letters".to_owned(), &held.dead_letters.records);
        parts(&held.dead_letters, &mut row);
    }
    if rows.is_empty() {
        return String::new();
    }
    let heads: Vec<String> =
        Signal::ALL.iter().map(|signal| format!(">{}", signal.name())).collect();
    let mut head = vec!["held in vaults"];
    head.extend(heads.iter().map(String::as_str));
    format!("{}\n", columns(&head, &rows))
}

fn parts(store: &Store, row: &mut impl FnMut(String, &RecordCounts)) {
    for (source, tally) in &store.by_source {
        row(format!("    from {source}"), tally);
    }
    for (sink, tally) in &store.by_sink {
        let sink = sink.as_deref().unwrap_or("every sink");
        row(format!("    for {sink}"), tally);
    }
    for (cursor, tally) in &store.by_cursor {
        row(format!("    before cursor {cursor}"), tally);
    }
}

/// For scripts.
pub(super) fn document(data_dir: &Path, look: &AuditView, verdict: &AuditVerdict) -> Value {
    let (snapshot, rows) = (&look.snapshot, look.rows());
    let totals = rows.total();
    let signals: Map<String, Value> = Signal::ALL
        .iter()
        .map(|signal| (signal.name().to_owned(), of_signal(totals.of_signal(*signal))))
        .collect();
    let vaults: Vec<Value> = look
        .vaults
        .iter()
        .map(|(dir, held)| {
            json!({
                "dir": dir,
                "vaulted": of_store(&held.vaulted),
                "dead_letters": of_store(&held.dead_letters),
            })
        })
        .collect();
    json!({
        "ledger": data_dir.join(gophership::ledger::FILE_NAME),
        "begun": show_time(snapshot.begun_unix_ns),
        "written": show_time(snapshot.written_unix_ns),
        "state": ProcessState::of(look).name(),
        "servers": snapshot.starts,
        "killed": snapshot.kills,
        "signals": signals,
        "sources": of_rows(&rows.sources, of_signal),
        "sinks": of_rows(&rows.sinks, of_sink),
        "vaults": vaults,
        "lost_requests": look.lost_requests(),
        "balanced": verdict.is_balanced(),
        "compared": !verdict.is_moving,
        "findings": verdict.findings,
        "notes": verdict.notes,
    })
}

fn of_signal(totals: &LedgerTotals) -> Value {
    let lines: Map<String, Value> =
        LINES.iter().map(|line| ((*line).to_owned(), totals.get(line).into())).collect();
    json!({
        "lines": lines,
        "origins": totals.origins(),
        "destinations": totals.destinations(),
        "difference": totals.imbalance(),
    })
}

/// By name and signal, for what was ever booked.
fn of_rows(owners: &BTreeMap<String, SignalTotals>, one: impl Fn(&LedgerTotals) -> Value) -> Value {
    let of_signals = |all_totals: &SignalTotals| -> Map<String, Value> {
        let booked = Signal::ALL.iter().filter(|signal| !all_totals.of_signal(**signal).is_empty());
        booked.map(|s| (s.name().to_owned(), one(all_totals.of_signal(*s)))).collect()
    };
    let rows =
        owners.iter().map(|(name, all_totals)| (name.clone(), of_signals(all_totals).into()));
    rows.collect::<Map<String, Value>>().into()
}

fn of_sink(totals: &LedgerTotals) -> Value {
    let lines = sink_lines(totals).map(|(line, records)| (line.to_owned(), records.into()));
    lines.collect::<Map<String, Value>>().into()
}

/// The lines of a sink's row, and what it has now.
fn sink_lines(totals: &LedgerTotals) -> impl Iterator<Item = (&'static str, i64)> {
    let booked = SINK_LINES.into_iter().map(|line| (line, totals.get(line)));
    booked.chain([(AT_HAND, at_hand(totals))])
}

fn of_store(store: &Store) -> Value {
    let by_source: Map<String, Value> =
        store.by_source.iter().map(|(source, tally)| (source.clone(), of_tally(tally))).collect();
    let by_sink: Map<String, Value> = store
        .by_sink
        .iter()
        .map(|(sink, tally)| (sink.clone().unwrap_or_else(|| "*".to_owned()), of_tally(tally)))
        .collect();
    let by_cursor: Map<String, Value> =
        store.by_cursor.iter().map(|(cursor, tally)| (cursor.clone(), of_tally(tally))).collect();
    json!({
        "requests": store.requests,
        "records": of_tally(&store.records),
        "by_source": by_source,
        "by_sink": by_sink,
        "by_cursor": by_cursor,
        "damaged_places": store.faults,
    })
}

fn of_tally(tally: &RecordCounts) -> Value {
    Signal::ALL
        .iter()
        .map(|signal| (signal.name().to_owned(), tally.of(*signal).into()))
        .collect::<Map<String, Value>>()
        .into()
}

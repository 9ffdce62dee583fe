//! How the verdict is told: a table for people, one document for scripts.

use std::fmt::Write;

use gophership_units::columns;
use serde_json::Value;
use serde_json::json;

use gophership_testbed::LatencySummary;
use gophership_testbed::Phase;

use super::args::DrillArgs;
use super::verdict::Figures;
use super::verdict::Requirement;
use super::verdict::SinkDelays;
use super::verdict::megabytes;
use super::verdict::time;

/// A verdict and what it is about.
pub(super) struct Report<'a> {
    pub(super) args: &'a DrillArgs,
    pub(super) config: String,
    pub(super) notes: Vec<String>,
    pub(super) figures: Figures,
    pub(super) requirements: Vec<Requirement>,
    /// The directory and the log, if they are kept.
    pub(super) kept: Option<(String, String)>,
}

impl Report<'_> {
    /// Whether every requirement holds.
    pub(super) fn passed(&self) -> bool {
        self.requirements.iter().all(|one| one.holds)
    }

    fn subject(&self) -> String {
        let args = self.args;
        let outage = args.outage.name();
        let stay: Vec<&str> = self.staying().collect();
        let stay = match stay[..] {
            [] => String::new(),
            _ => format!(", {} stays healthy", stay.join(", ")),
        };
        let killed = if args.is_killed() { ", the server is killed during the outage" } else { "" };
        format!(
            "{}: the backend is out ({outage}) for {}{stay}, {} clients send {} records/s{killed}",
            self.config,
            time(args.lasts()),
            args.clients(),
            args.rate(),
        )
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n", self.subject());
        // Writing to a string cannot fail.
        for note in &self.notes {
            let _written = writeln!(text, "note: {note}");
        }
        let _written = write!(text, "\n{}", columns(&["figure", ">value"], &self.rows()));
        let verdict = |one: &Requirement| {
            let word = if one.holds { "pass" } else { "FAIL" };
            vec![one.name.to_owned(), one.limit.clone(), one.measured.clone(), word.to_owned()]
        };
        let rows: Vec<Vec<String>> = self.requirements.iter().map(verdict).collect();
        let head = ["requirement", "limit", ">measured", "verdict"];
        let _written = write!(text, "\n{}", columns(&head, &rows));
        for (client, first, last) in &self.figures.missing_runs {
            // Of these nothing is missing that the bit did not hit.
            let is_hit = self.figures.missing == 0;
            let what =
                if is_hit { "hit by the flipped bit" } else { "acknowledged and never delivered" };
            let _written = writeln!(text, "{what}: records {first} to {last} of client {client}");
        }
        for (reason, count) in &self.figures.reasons {
            let _written = writeln!(text, "refused {count} times: {reason}");
        }
        if let Some((dir, log)) = &self.kept {
            let _written = writeln!(text, "kept: {dir}\nlog of the server: {log}");
        }
        text
    }

    fn staying(&self) -> impl Iterator<Item = &str> {
        let delays = self.figures.delays.iter().filter(|delays| delays.stays);
        delays.map(|delays| delays.sink.as_str())
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let figures = &self.figures;
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        let mut rows: Vec<Vec<String>> = [
            ("records offered", figures.offered),
            ("records acknowledged", figures.acknowledged),
            ("records dropped, queue full", figures.dropped_by_queue),
            ("records dropped, export failed", figures.dropped_after_export),
            ("records delivered", figures.delivered),
            ("records removed by transforms", figures.removed),
            ("records not judged", figures.unjudged),
            ("records acknowledged and missing", figures.missing),
            ("extra copies delivered", figures.repeated),
            ("records altered", figures.altered),
            ("exports refused", figures.refused),
            ("exports without an answer", figures.unanswered),
            ("requests the backend refused", figures.turned_away),
        ]
        .into_iter()
        .map(|(name, value)| row(name, value.to_string()))
        .collect();
        for (phase, answers) in &figures.answers {
            let name = phase.map_or("answers, whole drill", |phase| phase.name());
            if answers.count == 0 {
                rows.push(row(name, "none".to_owned()));
                continue;
            }
            rows.push(row(&format!("{name} ({})", answers.count), times(answers)));
        }
        for delays in &figures.delays {
            for (phase, answers) in Phase::ALL.into_iter().zip(&delays.phases) {
                let name = format!("delay to {}, {}", delays.sink, phase.name());
                let is_none = answers.count == 0;
                rows.push(row(&name, if is_none { "none".to_owned() } else { times(answers) }));
            }
        }
        rows.push(row("offered per second, outage", figures.rates.0.to_string()));
        rows.push(row("acknowledged per second, outage", figures.rates.1.to_string()));
        rows.extend(self.vault_rows());
        rows.push(row("resident memory, maximum", megabytes(figures.resident_max)));
        rows.push(row("anonymous memory, maximum", megabytes(figures.anonymous_max)));
        rows.push(row("records in backlog at the return", figures.backlog.to_string()));
        let never = || "never".to_owned();
        rows.push(row("time to deliver the backlog", figures.drain.map_or_else(never, time)));
        if let Some(restart) = figures.restart {
            rows.push(row("time from kill to ready", time(restart)));
        }
        let changes: u64 = figures.transitions.values().sum();
        rows.push(row("zone changes", changes.to_string()));
        for (change, count) in &figures.transitions {
            rows.push(row(&format!("  {change}"), count.to_string()));
        }
        if figures.strangers > 0 {
            rows.push(row("records not sent by the drill", figures.strangers.to_string()));
        }
        rows
    }

    fn is_vault_watched(&self) -> bool {
        0 < self.figures.vault_bytes_max
    }

    fn vault_rows(&self) -> Vec<Vec<String>> {
        let figures = &self.figures;
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        let mut rows = Vec::new();
        if self.is_vault_watched() {
            rows.push(row("refused while there was room", figures.refused_with_room.to_string()));
            rows.push(row("refused for good", figures.refused_finally.to_string()));
            rows.push(row("vault full, maximum time", time(figures.full_for)));
            rows.push(row("vault size, maximum", megabytes(figures.vault_bytes_max)));
        }
        if let Some(hit) = &figures.hit {
            let place = format!("segment {}, byte {}", hit.segment, hit.offset);
            rows.push(row("bit flipped", place));
            let counts = format!("{}, missing {}", hit.records.len(), figures.excused);
            rows.push(row("records hit by the bit", counts));
        }
        rows
    }

    /// Of the vaults, if they were looked at.
    fn vault(&self) -> Value {
        let figures = &self.figures;
        let hit = figures.hit.as_ref().map(|hit| {
            json!({
                "segment": hit.segment,
                "byte": hit.offset,
                "requests_named_by_verify": hit.named,
                "requests_found_by_server": figures.found_corrupt,
                "records": hit.records.len(),
                "missing": figures.excused,
            })
        });
        if !self.is_vault_watched() {
            return Value::Null;
        }
        json!({
            "bytes_max": figures.vault_bytes_max,
            "full_seconds_max": figures.full_for.as_secs_f64(),
            "corrupted": hit,
        })
    }

    /// For scripts: records, exports, bytes and seconds.
    pub(super) fn document(&self) -> Value {
        let (args, figures) = (self.args, &self.figures);
        let answers = figures.answers.iter().map(|(phase, answers)| {
            let name = phase.map_or("whole", |phase| phase.name());
            (name.to_owned(), seconds(answers))
        });
        let answers: serde_json::Map<String, Value> = answers.collect();
        let requirement = |one: &Requirement| {
            let (limit, measured) = &one.figures;
            json!({ "name": one.name, "limit": limit, "measured": measured, "holds": one.holds })
        };
        let runs = figures.missing_runs.iter();
        let run = |(client, first, last): &(usize, u32, u32)| json!({ "client": client, "first": first, "last": last });
        let out = figures.delays.iter().filter(|delays| !delays.stays).map(|delays| &delays.sink);
        json!({
            "passed": self.passed(),
            "drill": {
                "config": self.config,
                "outage": args.outage.name(),
                "lasts_seconds": args.lasts().as_secs_f64(),
                "rate": args.rate(),
                "clients": args.clients(),
                "kill": args.is_killed(),
                "sinks_out": out.collect::<Vec<_>>(),
                "notes": self.notes,
            },
            "records": {
                "offered": figures.offered,
                "acknowledged": figures.acknowledged,
                "dropped_by_queue": figures.dropped_by_queue,
                "dropped_after_export": figures.dropped_after_export,
                "delivered": figures.delivered,
                "removed_by_transforms": figures.removed,
                "not_judged": figures.unjudged,
                "misrouted": figures.misrouted,
                "lost": figures.lost(),
                "missing": figures.missing,
                "missing_runs": runs.map(run).collect::<Vec<_>>(),
                "repeated": figures.repeated,
                "altered": figures.altered,
                "strangers": figures.strangers,
            },
            "exports": {
                "refused": figures.refused,
                "reasons": figures.reasons,
                "refused_finally": figures.refused_finally,
                "refused_with_room": figures.refused_with_room,
                "unanswered": figures.unanswered,
                "turned_away_by_backend": figures.turned_away,
                "unreadable": figures.unreadable,
            },
            "answers": answers,
            "delays": figures.delays.iter().map(delays).collect::<Vec<_>>(),
            "resident_bytes_max": figures.resident_max,
            "anonymous_bytes_max": figures.anonymous_max,
            "outage_rates": { "offered": figures.rates.0, "acknowledged": figures.rates.1 },
            "vault": self.vault(),
            "backlog_records": figures.backlog,
            "drain_seconds": figures.drain.map(|drain| drain.as_secs_f64()),
            "restart_seconds": figures.restart.map(|restart| restart.as_secs_f64()),
            "zone_changes": figures.transitions,
            "requirements": self.requirements.iter().map(requirement).collect::<Vec<_>>(),
            "kept": self.kept.as_ref().map(|(dir, log)| json!({ "dir": dir, "log": log })),
        })
    }
}

fn times(answers: &LatencySummary) -> String {
    let [p50, p99, max] = [answers.p50, answers.p99, answers.max].map(time);
    format!("p50 {p50}, p99 {p99}, max {max}")
}

fn seconds(answers: &LatencySummary) -> Value {
    json!({
        "count": answers.count,
        "p50_seconds": answers.p50.as_secs_f64(),
        "p99_seconds": answers.p99.as_secs_f64(),
        "max_seconds": answers.max.as_secs_f64(),
    })
}

fn delays(delays: &SinkDelays) -> Value {
    let phases = Phase::ALL.into_iter().zip(&delays.phases);
    let phases: serde_json::Map<String, Value> =
        phases.map(|(phase, answers)| (phase.name().to_owned(), seconds(answers))).collect();
    json!({ "sink": delays.sink, "stays": delays.stays, "records": phases })
}

//! Replays that were started by hand, and draining.

use std::fmt::Write;

use gophership_control::proto;
use gophership_units::utc_text;
use serde_json::Value;
use serde_json::json;

use super::document;
use super::line;
use super::table;
use crate::args::Format;

/// Renders a replay that was started and goes on.
pub(crate) fn started(progress: &proto::ReplayProgress, format: Format) -> String {
    if format != Format::Table {
        return document(&range_value(progress), format);
    }
    let (id, of) = (progress.id, origin(progress));
    let to = progress.sinks.join(", ");
    let text =
        format!("replay {id} of {of} to {to} has started; `gs-ctl replay ls` shows its progress");
    sentence(&text)
}

/// Renders what a replay would send.
pub(crate) fn counted(progress: &proto::ReplayProgress, format: Format) -> String {
    if format != Format::Table {
        return document(&range_value(progress), format);
    }
    let proto::ReplayProgress { found_requests, found_records, found_bytes, .. } = progress;
    let of = origin(progress);
    let to = progress.sinks.join(", ");
    let mut text = format!(
        "a replay of {of} would send {found_requests} requests with {found_records} \
         records and {found_bytes} bytes to {to}"
    );
    if let (Some(oldest), Some(newest)) =
        (time(progress.oldest_unix_ms), time(progress.newest_unix_ms))
    {
        // Writing to a string cannot fail.
        let _written = write!(text, "; received {oldest} to {newest}");
    }
    sentence(&text)
}

/// Renders how far a replay is.
pub(crate) fn range(progress: &proto::ReplayProgress, format: Format) -> String {
    match format {
        Format::Table => range_line(progress),
        Format::Json | Format::Yaml => document(&range_value(progress), format),
    }
}

/// Renders how far a replay is: a line, a line of JSON, or a document of YAML.
pub(crate) fn range_event(progress: &proto::ReplayProgress, format: Format) -> String {
    match format {
        Format::Table => range_line(progress),
        Format::Json => format!("{}\n", range_value(progress)),
        Format::Yaml => format!("---\n{}", document(&range_value(progress), format)),
    }
}

/// How far a replay is, in one line for a terminal.
pub(crate) fn range_line(progress: &proto::ReplayProgress) -> String {
    let read = percent(progress.read_bytes, progress.total_bytes);
    let mut text = format!(
        "replay {} {}: {read}% read, {} found, {} delivered, {} rejected",
        progress.id,
        progress.state,
        progress.found_requests,
        progress.delivered_requests,
        progress.rejected_requests
    );
    if !progress.error.is_empty() {
        // Writing to a string cannot fail.
        let _written = write!(text, "; {}", progress.error);
    }
    sentence(&text)
}

/// Renders the replays that were started by hand.
pub(crate) fn replays(answer: &proto::ListReplaysResponse, format: Format) -> String {
    if format != Format::Table {
        let replays: Vec<_> = answer.replays.iter().map(range_value).collect();
        return document(&json!({ "replays": replays }), format);
    }
    if answer.replays.is_empty() {
        return "no replay was started by hand\n".to_owned();
    }
    let head = ["ID", "VAULT", "STATE", "READ", "FOUND", "DELIVERED", "REJECTED", "TO"];
    let mut rows = vec![head.map(String::from).to_vec()];
    for replay in &answer.replays {
        rows.push(vec![
            replay.id.to_string(),
            replay.vault.clone(),
            replay.state.clone(),
            format!("{}%", percent(replay.read_bytes, replay.total_bytes)),
            replay.found_requests.to_string(),
            replay.delivered_requests.to_string(),
            replay.rejected_requests.to_string(),
            replay.sinks.join(","),
        ]);
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _written = table(&rows, 1, &mut text);
    for replay in answer.replays.iter().filter(|replay| !replay.from.is_empty()) {
        let what = format!("replay {} reads the archive {}", replay.id, replay.from);
        let _written = line(&what, &mut text);
    }
    for replay in answer.replays.iter().filter(|replay| !replay.error.is_empty()) {
        let _written = line(&format!("replay {}: {}", replay.id, replay.error), &mut text);
    }
    text
}

/// What a replay reads.
fn origin(progress: &proto::ReplayProgress) -> String {
    let proto::ReplayProgress { vault, from, .. } = progress;
    if from.is_empty() { format!("the vault {vault}") } else { format!("the archive {from}") }
}

fn range_value(progress: &proto::ReplayProgress) -> Value {
    json!({
        "id": progress.id,
        "vault": progress.vault,
        "from": (!progress.from.is_empty()).then_some(&progress.from),
        "sinks": progress.sinks,
        "state": progress.state,
        "error": progress.error,
        "reason": progress.reason,
        "read_bytes": progress.read_bytes,
        "total_bytes": progress.total_bytes,
        "requests": progress.found_requests,
        "records": progress.found_records,
        "bytes": progress.found_bytes,
        "oldest": time(progress.oldest_unix_ms),
        "newest": time(progress.newest_unix_ms),
        "delivered_requests": progress.delivered_requests,
        "rejected_requests": progress.rejected_requests,
        "elapsed_ms": progress.elapsed_ms,
    })
}

/// What is left to do, in one line.
pub(crate) fn draining(left: &proto::DrainResponse) -> String {
    format!(
        "draining: {} bytes unanswered, {} records in flight, {} batches in queues",
        left.unanswered_bytes, left.in_flight_records, left.queued_batches
    )
}

/// Renders what became of a drain.
pub(crate) fn drained(left: &proto::DrainResponse, format: Format) -> String {
    if format != Format::Table {
        let value = json!({
            "draining": left.draining,
            "done": left.done,
            "late": left.late,
            "unanswered_bytes": left.unanswered_bytes,
            "in_flight_records": left.in_flight_records,
            "queued_batches": left.queued_batches,
            "vault_requests": left.vault_requests,
        });
        return document(&value, format);
    }
    let mut text = match (left.draining, left.done) {
        (false, _) => sentence("GopherShip takes requests"),
        (true, true) => sentence(
            "drained: GopherShip takes no requests, and each one that it took is delivered or in a \
             vault",
        ),
        (true, false) if left.late => {
            sentence(&format!("NOT DRAINED when the deadline was over; {}", draining(left)))
        }
        (true, false) => sentence(&draining(left)),
    };
    if left.draining && left.vault_requests != 0 {
        let waiting =
            format!("replays still have to deliver {} requests of vaults", left.vault_requests);
        text.push_str(&sentence(&waiting));
    }
    text
}

fn sentence(text: &str) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _written = line(text, &mut out);
    out
}

fn percent(done: u64, total: u64) -> u64 {
    let percent = u128::from(done) * 100 / u128::from(total.max(1));
    u64::try_from(percent).unwrap_or(100).min(100)
}

fn time(unix_ms: u64) -> Option<String> {
    (unix_ms != 0).then(|| utc_text(unix_ms.saturating_mul(1_000_000)))
}

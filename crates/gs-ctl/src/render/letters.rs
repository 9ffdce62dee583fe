//! Dead letters.

use std::fmt::Write;

use gophership_control::proto;
use gophership_units::grouped;
use gophership_units::utc_text;
use serde_json::Value;
use serde_json::json;

use super::WIDTH;
use super::cell;
use super::document;
use super::line;
use super::table;
use crate::args::Format;
use crate::letters::ListedLetters;

/// No reason is cut shorter.
const REASON_LEN_MIN: usize = 12;

/// Renders a list: sums, or letters one by one.
pub(crate) fn letters(listed: &ListedLetters, format: Format) -> String {
    if format != Format::Table {
        return document(&listed_value(listed), format);
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _written = listed_table(listed, &mut text);
    text
}

fn listed_value(listed: &ListedLetters) -> Value {
    let (name, items) = if listed.is_each {
        ("letters", listed.letters.iter().map(letter_value).collect())
    } else {
        ("groups", listed.groups.iter().map(group_value).collect::<Vec<_>>())
    };
    json!({
        name: items,
        "has_more": listed.has_more,
        "damaged_places": listed.damaged,
        "redrives": listed.redrives.iter().map(redrive_value).collect::<Vec<_>>(),
    })
}

fn group_value(group: &proto::LetterGroup) -> Value {
    json!({
        "vault": group.vault,
        "sink": group.sink,
        "sink_is_gone": group.sink_is_gone,
        "reason": group.reason,
        "letters": group.letters,
        "records": group.records,
        "bytes": group.bytes,
        "oldest": time(group.oldest_unix_ms),
        "newest": time(group.newest_unix_ms),
    })
}

fn letter_value(letter: &proto::DeadLetter) -> Value {
    json!({
        "id": letter.id,
        "vault": letter.vault,
        "sink": letter.sink,
        "source": letter.source,
        "signal": letter.signal,
        "records": letter.records,
        "bytes": letter.bytes,
        "reason": letter.reason,
        "refused": time(letter.refused_unix_ms),
        "received": time(letter.received_unix_ms),
    })
}

fn listed_table(listed: &ListedLetters, out: &mut String) -> std::fmt::Result {
    if listed.groups.is_empty() && listed.letters.is_empty() {
        writeln!(out, "no dead letters")?;
    } else if listed.is_each {
        letters_table(listed, out)?;
    } else {
        groups_table(listed, out)?;
    }
    if listed.has_more {
        line("there are more lines: use --limit 0, or narrow the selection", out)?;
    }
    if listed.damaged != 0 {
        let text = format!(
            "skipped {} damaged places in the store; see `gophership vault verify --deadletter`",
            listed.damaged
        );
        line(&text, out)?;
    }
    for redrive in listed.redrives.iter().filter(|redrive| !redrive.done) {
        line(&sentence(redrive), out)?;
    }
    Ok(())
}

/// A line for each letter, which ends with as much of the reason as there is room for.
fn letters_table(listed: &ListedLetters, out: &mut String) -> std::fmt::Result {
    let head = ["ID", "AGE", "SINK", "SOURCE", "SIGNAL", "RECORDS", "BYTES", "REASON"];
    let mut rows = vec![head.map(String::from).to_vec()];
    for letter in &listed.letters {
        rows.push(vec![
            letter.id.clone(),
            age(listed.now_unix_ms, letter.refused_unix_ms),
            letter.sink.clone(),
            letter.source.clone(),
            letter.signal.clone(),
            letter.records.to_string(),
            letter.bytes.to_string(),
            letter.reason.clone(),
        ]);
    }
    fit_last(&mut rows);
    table(&rows, 1, out)
}

/// A line for each group of letters, and the reason below it.
fn groups_table(listed: &ListedLetters, out: &mut String) -> std::fmt::Result {
    let head = ["VAULT", "SINK", "LETTERS", "RECORDS", "BYTES", "OLDEST", "NEWEST"];
    let mut rows = vec![head.map(String::from).to_vec()];
    for group in &listed.groups {
        rows.push(vec![
            group.vault.clone(),
            group.sink.clone(),
            group.letters.to_string(),
            group.records.to_string(),
            group.bytes.to_string(),
            age(listed.now_unix_ms, group.oldest_unix_ms),
            age(listed.now_unix_ms, group.newest_unix_ms),
        ]);
    }
    let mut text = String::new();
    table(&rows, 2, &mut text)?;
    // Where the names are long there is a second table, whose lines are not for groups alone.
    let is_one = text.lines().count() == rows.len();
    let mut lines = text.lines();
    if is_one {
        writeln!(out, "{}", lines.next().unwrap_or_default())?;
    } else {
        out.push_str(&text);
        writeln!(out)?;
    }
    for group in &listed.groups {
        match lines.next().filter(|_| is_one) {
            Some(row) => writeln!(out, "{row}")?,
            None => writeln!(out, "{} {}", cell(&group.vault), cell(&group.sink))?,
        }
        let reason = if group.reason.is_empty() { "unknown" } else { &group.reason };
        line(&format!("reason: {reason}"), out)?;
        if group.sink_is_gone {
            let text = format!(
                "no replay of the vault leads to {} any more: `redrive --to SINK` sends these letters \
                 elsewhere",
                group.sink
            );
            line(&text, out)?;
        }
    }
    Ok(())
}

/// Cuts the cells of the last column to what the others leave of a line.
fn fit_last(rows: &mut [Vec<String>]) {
    let last = rows.first().map_or(0, |row| row.len().saturating_sub(1));
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|text| text.chars().count()).max()
    };
    let used: usize = (0..last).map(|column| width(column).unwrap_or(0) + 2).sum();
    let room = WIDTH.saturating_sub(used).max(REASON_LEN_MIN);
    for text in rows.iter_mut().filter_map(|row| row.get_mut(last)) {
        if room < text.chars().count() {
            let head: String = text.chars().take(room - 2).collect();
            *text = format!("{}..", head.trim_end());
        }
    }
}

/// Renders a letter with its content, which is OTLP JSON.
pub(crate) fn letter(letter: &proto::DeadLetter, content: &[u8], format: Format) -> String {
    let content: Value = serde_json::from_slice(content).unwrap_or_default();
    if format != Format::Table {
        return document(&json!({ "letter": letter_value(letter), "content": content }), format);
    }
    let mut text = String::new();
    let facts = [
        ("id", letter.id.clone()),
        ("sink", letter.sink.clone()),
        ("source", letter.source.clone()),
        ("signal", letter.signal.clone()),
        ("records", letter.records.to_string()),
        ("bytes", letter.bytes.to_string()),
        ("received", time(letter.received_unix_ms)),
        ("refused", time(letter.refused_unix_ms)),
        ("reason", letter.reason.clone()),
    ];
    for (name, value) in facts {
        // Writing to a string cannot fail.
        let _written = line(&format!("{name}: {value}"), &mut text);
    }
    let _written = write!(text, "\n{content:#}\n");
    text
}

/// Renders what was begun, or how it ended.
pub(crate) fn redrives(
    answer: &proto::RedriveDeadLettersResponse,
    is_dry_run: bool,
    format: Format,
) -> String {
    if format != Format::Table {
        let redrives: Vec<_> = answer.redrives.iter().map(redrive_value).collect();
        return document(&json!({ "dry_run": is_dry_run, "redrives": redrives }), format);
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    if answer.redrives.is_empty() {
        let _written = writeln!(text, "no dead letters are selected");
    }
    for redrive in &answer.redrives {
        let what = if is_dry_run {
            let (letters, records) = (grouped(redrive.letters), grouped(redrive.records));
            format!("vault {}: {letters} letters, {records} records would be sent", redrive.vault)
        } else {
            sentence(redrive)
        };
        let _written = line(&what, &mut text);
    }
    text
}

/// How far all are, in one line.
pub(crate) fn redrive_line(answer: &proto::RedriveDeadLettersResponse) -> String {
    let sum = |of: fn(&proto::Redrive) -> u64| answer.redrives.iter().map(of).sum::<u64>();
    format!(
        "{} of {} letters delivered, {} refused again, {} failed",
        grouped(sum(|redrive| redrive.delivered_letters)),
        grouped(sum(|redrive| redrive.letters)),
        grouped(sum(|redrive| redrive.refused_letters)),
        grouped(sum(|redrive| redrive.failed_letters)),
    )
}

fn sentence(redrive: &proto::Redrive) -> String {
    let vault = &redrive.vault;
    let so_far =
        redrive_line(&proto::RedriveDeadLettersResponse { redrives: vec![redrive.clone()] });
    match (redrive.done, redrive.stopped.as_str()) {
        (false, _) => format!(
            "vault {vault}: redrive under way: {so_far}. `gs-ctl dead-letters ls` shows its progress."
        ),
        (true, "") => match not_sent(redrive) {
            0 => format!("vault {vault}: {so_far}"),
            left => format!(
                "vault {vault}: {so_far}, {} not sent: their sinks are not in the configuration (use --to), or \
                 they are not OTLP",
                grouped(left)
            ),
        },
        (true, why) => {
            let left = grouped(not_sent(redrive));
            format!("vault {vault}: {so_far}, {left} not sent: {why}")
        }
    }
}

fn not_sent(redrive: &proto::Redrive) -> u64 {
    let sent = redrive.delivered_letters + redrive.refused_letters + redrive.failed_letters;
    redrive.letters.saturating_sub(sent)
}

fn redrive_value(redrive: &proto::Redrive) -> Value {
    json!({
        "vault": redrive.vault,
        "letters": redrive.letters,
        "records": redrive.records,
        "delivered_letters": redrive.delivered_letters,
        "delivered_records": redrive.delivered_records,
        "refused_letters": redrive.refused_letters,
        "refused_records": redrive.refused_records,
        "failed_letters": redrive.failed_letters,
        "failed_records": redrive.failed_records,
        "not_sent_letters": not_sent(redrive),
        "done": redrive.done,
        "stopped": redrive.stopped,
    })
}

/// Renders what was deleted, or only counted.
pub(crate) fn dropped(
    answer: &proto::DropDeadLettersResponse,
    is_dry_run: bool,
    format: Format,
) -> String {
    let proto::DropDeadLettersResponse { letters, records, .. } = answer;
    if format != Format::Table {
        let value = json!({ "dry_run": is_dry_run, "letters": letters, "records": records });
        return document(&value, format);
    }
    let what = format!("{} letters, {} records", grouped(*letters), grouped(*records));
    match (letters, is_dry_run) {
        (0, _) => "no dead letters are selected\n".to_owned(),
        (_, true) => format!("{what} would be deleted\n"),
        (_, false) => format!("deleted {what}\n"),
    }
}

/// What is asked before letters are deleted.
pub(crate) fn drop_question(counted: &proto::DropDeadLettersResponse) -> String {
    let (letters, records) = (grouped(counted.letters), grouped(counted.records));
    format!("Delete {letters} letters, {records} records? They cannot be delivered afterwards.")
}

fn time(unix_ms: u64) -> String {
    utc_text(unix_ms.saturating_mul(1_000_000))
}

/// How long ago something was, in its largest unit.
fn age(now_unix_ms: u64, unix_ms: u64) -> String {
    let seconds = now_unix_ms.saturating_sub(unix_ms) / 1000;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ages_are_short() {
        let numbers = [0_u64, 999, 4_800, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "4,800", "1,234,567"]);
        let ages = [0, 119_000, 7_199_000, 7_200_000, 172_800_000].map(|ms| age(ms, 0));
        assert_eq!(ages, ["0s", "119s", "119m", "2h", "2d"]);
    }
}

//! What the process was told to do, and what it says of itself: configuration, log, replays, zone.

use std::fmt::Write;

use gophership_control::json::vault_hold;
use gophership_control::json::zone_name;
use gophership_control::proto;
use gophership_units::utc_text;
use serde_json::Value;
use serde_json::json;

use super::document;
use super::line;
use super::said;
use super::table;
use super::vault::hold_text;
use crate::args::Format;

/// Renders the configuration in force. It is a document, so the table is YAML.
pub(crate) fn config(answer: &proto::ShowConfigResponse, format: Format) -> String {
    let value: Value = serde_json::from_str(&answer.json).unwrap_or_default();
    match format {
        Format::Table | Format::Yaml => document(&value, Format::Yaml),
        Format::Json => document(&value, format),
    }
}

/// Renders what became of a reload.
pub(crate) fn reload(answer: &proto::ReloadResponse, format: Format) -> String {
    if format != Format::Table {
        return document(&reload_value(answer), format);
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _written = match (answer.done, answer.error.as_str()) {
        (false, _) => line("reload ordered; `gs-ctl status` shows its outcome", &mut text),
        (true, "") => {
            let head = format!("configuration generation {} is in force", answer.generation);
            line(&head, &mut text).and_then(|()| changes(answer, "OUTCOME", &mut text))
        }
        (true, error) => failed(error, answer.generation, &mut text),
    };
    text
}

/// Renders what a reload would change.
pub(crate) fn difference(answer: &proto::ReloadResponse, format: Format) -> String {
    if format != Format::Table {
        return document(&reload_value(answer), format);
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _written = match answer.error.as_str() {
        "" => changes(answer, "CHANGE", &mut text),
        error => failed(error, answer.generation, &mut text),
    };
    text
}

fn failed(error: &str, generation: u64, out: &mut String) -> std::fmt::Result {
    writeln!(out, "FAILED; configuration generation {generation} stays in force:")?;
    error.lines().try_for_each(|text| line(text, out))
}

fn changes(answer: &proto::ReloadResponse, head: &str, out: &mut String) -> std::fmt::Result {
    if !answer.settings.is_empty() {
        line(&format!("changed settings: {}", answer.settings.join(", ")), out)?;
    }
    let mut rows = vec![vec!["COMPONENT".to_owned(), head.to_owned()]];
    for change in &answer.components {
        rows.push(vec![change.id.clone(), change.outcome.clone()]);
    }
    table(&rows, 1, out)
}

fn reload_value(answer: &proto::ReloadResponse) -> Value {
    let change =
        |change: &proto::ComponentChange| json!({ "id": change.id, "outcome": change.outcome });
    json!({
        "done": answer.done,
        "generation": answer.generation,
        "components": answer.components.iter().map(change).collect::<Vec<_>>(),
        "settings": answer.settings,
        "error": answer.error,
    })
}

/// Renders which lines are logged, and which were before.
pub(crate) fn log_filter(filter: &str, before: Option<&str>, format: Format) -> String {
    let sentence = match before {
        None => format!("log filter {filter}"),
        Some(before) => format!("log filter {filter} (before: {before})"),
    };
    said(&sentence, &json!({ "filter": filter, "before": before }), format)
}

/// Renders that replays are paused, or go on.
pub(crate) fn paused(answer: proto::PauseReplayResponse, format: Format) -> String {
    let sentence = if answer.paused { "replays are paused" } else { "replays go on" };
    said(sentence, &json!({ "paused": answer.paused }), format)
}

/// Renders the backlog of each vault.
pub(crate) fn replay(status: &proto::StatusResponse, format: Format) -> String {
    if format != Format::Table {
        let vault = |vault: &proto::Vault| {
            json!({
                "id": vault.id,
                "backlog_requests": vault.backlog_requests,
                "replayed_requests": vault.replayed_requests,
                "dead_lettered_requests": vault.dead_lettered_requests,
            })
        };
        let vaults: Vec<_> = status.vaults.iter().map(vault).collect();
        return document(&json!({ "paused": status.replay_paused, "vaults": vaults }), format);
    }
    let mut text = String::new();
    if status.replay_paused {
        text.push_str("replays are paused by an operator\n");
    }
    let mut rows =
        vec![["VAULT", "BACKLOG", "REPLAYED", "DEAD LETTERS"].map(String::from).to_vec()];
    for vault in &status.vaults {
        let numbers =
            [vault.backlog_requests, vault.replayed_requests, vault.dead_lettered_requests];
        let numbers = numbers.iter().map(ToString::to_string);
        rows.push(std::iter::once(vault.id.clone()).chain(numbers).collect());
    }
    // Writing to a string cannot fail.
    let _written = table(&rows, 1, &mut text);
    text
}

/// Renders a change of the zone: a line, a line of JSON, or a document of YAML.
pub(crate) fn event(event: &proto::WatchResponse, format: Format) -> String {
    let (time, zone) = (utc_text(event.unix_ms.saturating_mul(1_000_000)), zone_name(event.zone));
    let held = zone_name(event.held);
    let value = json!({ "time": time, "zone": zone, "reason": event.reason, "held": held });
    match format {
        Format::Table => {
            let held = if held == "none" { String::new() } else { format!(", held at {held}") };
            let mut text = String::new();
            // Writing to a string cannot fail.
            let _written = line(&format!("{time} zone {zone}: {}{held}", event.reason), &mut text);
            text
        }
        Format::Json => format!("{value}\n"),
        Format::Yaml => format!("---\n{}", document(&value, format)),
    }
}

/// Renders what the vaults hold.
pub(crate) fn vaults(answer: &proto::ListVaultsResponse, format: Format) -> String {
    if format != Format::Table {
        let vaults: Vec<_> = answer.vaults.iter().map(vault_value).collect();
        return document(&json!({ "vaults": vaults }), format);
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _written = vault_tables(answer, &mut text);
    text
}

fn time(unix_ms: u64) -> Option<String> {
    (unix_ms != 0).then(|| utc_text(unix_ms.saturating_mul(1_000_000)))
}

fn vault_value(vault: &proto::VaultContent) -> Value {
    let cursor = |cursor: &proto::VaultCursor| json!({ "name": cursor.name, "backlog_requests": cursor.backlog_requests });
    json!({
        "id": vault.id,
        "dir": vault.dir,
        "segments": vault.segments,
        "requests": vault.requests,
        "file_bytes": vault.file_bytes,
        "raw_bytes": vault.raw_bytes,
        "oldest": time(vault.oldest_unix_ms),
        "newest": time(vault.newest_unix_ms),
        "cursors": vault.cursors.iter().map(cursor).collect::<Vec<_>>(),
        "holds": vault.holds.iter().map(vault_hold).collect::<Vec<_>>(),
        "error": vault.error,
    })
}

fn vault_tables(answer: &proto::ListVaultsResponse, out: &mut String) -> std::fmt::Result {
    let head = ["VAULT", "SEGMENTS", "REQUESTS", "DISK BYTES", "OLDEST"];
    let mut rows = vec![head.map(String::from).to_vec()];
    let mut cursors = vec![["VAULT", "CURSOR", "BACKLOG"].map(String::from).to_vec()];
    for vault in &answer.vaults {
        rows.push(vec![
            vault.id.clone(),
            vault.segments.to_string(),
            vault.requests.to_string(),
            vault.file_bytes.to_string(),
            time(vault.oldest_unix_ms).unwrap_or_else(|| "-".to_owned()),
        ]);
        for cursor in &vault.cursors {
            let backlog = cursor.backlog_requests.to_string();
            cursors.push(vec![vault.id.clone(), cursor.name.clone(), backlog]);
        }
    }
    table(&rows, 1, out)?;
    if cursors.len() > 1 {
        writeln!(out)?;
        table(&cursors, 2, out)?;
    }
    for vault in &answer.vaults {
        for hold in &vault.holds {
            line(&format!("{} is held: {}", vault.id, hold_text(hold)), out)?;
        }
        if !vault.error.is_empty() {
            line(&format!("cannot read {}: {}", vault.id, vault.error), out)?;
        }
    }
    Ok(())
}

//! The status of a process, and its ledger.

use std::fmt::Write;

use gophership_control::json;
use gophership_control::json::component;
use gophership_control::json::is_ready;
use gophership_control::json::ledger as ledger_by_signal;
use gophership_control::json::list;
use gophership_control::json::memory_share;
use gophership_control::json::percent;
use gophership_control::json::pressure;
use gophership_control::json::stall;
use gophership_control::json::vault;
use gophership_control::json::zone_name;
use gophership_control::proto;
use serde_json::Value;
use serde_json::json;

use super::deliveries;
use super::document;
use super::line;
use super::s3;
use super::table;
use super::troubles::outages_over;
use super::troubles::troubles;
use super::vault::compression_text;
use super::vault::hold_text;
use crate::args::Format;

/// Less is not worth a line in the table.
const SHOWN_PERMILLE: u32 = 10;

/// So much of the time, in millionths, is as good as all of it.
const NEARLY_ALL: u32 = 950_000;

/// Renders the status.
pub(crate) fn status(status: &proto::StatusResponse, format: Format) -> String {
    match format {
        Format::Table => {
            let mut text = String::new();
            // Writing to a string cannot fail.
            let _written = status_table(status, &mut text);
            text
        }
        Format::Json | Format::Yaml => document(&status_value(status), format),
    }
}

/// Renders the ledger alone.
pub(crate) fn ledger(status: &proto::StatusResponse, format: Format) -> String {
    match format {
        Format::Table => {
            let mut text = String::new();
            // Writing to a string cannot fail.
            let _written = ledger_table(status, &mut text);
            text
        }
        Format::Json | Format::Yaml => document(&ledger_value(status), format),
    }
}

/// Renders whether the process is ready.
pub(crate) fn health(status: &proto::StatusResponse, format: Format) -> String {
    let zone = zone_name(status.zone);
    match format {
        Format::Table => {
            let ready = format!("ready, zone {zone}\n");
            let mut text = if is_ready(status) { ready } else { "NOT READY\n".to_owned() };
            // Writing to a string cannot fail.
            let _written = troubles(status, &mut text);
            text
        }
        Format::Json | Format::Yaml => {
            let degraded = json::degraded(status);
            document(
                &json!({ "ready": is_ready(status), "zone": zone, "degraded": degraded }),
                format,
            )
        }
    }
}

/// Rows of the ledger: records by id, signal and line.
fn by_id(rows: &[proto::LedgerRow]) -> Value {
    let mut ids = json!({});
    for row in rows {
        ids[row.id.as_str()][row.signal.as_str()][row.line.as_str()] = json!(row.records);
    }
    ids
}

fn status_value(status: &proto::StatusResponse) -> Value {
    let left_vaults = list(&status.left_vaults, |left| {
        json!({
            "dir": left.dir,
            "requests": left.requests,
            "dead_letters": left.dead_letters,
        })
    });
    json!({
        "version": status.version,
        "ready": is_ready(status),
        "uptime_seconds": status.uptime_seconds,
        "zone": zone_name(status.zone),
        "zone_reason": status.zone_reason,
        "zone_seconds": status.zone_seconds,
        "sensed": zone_name(status.sensed),
        "observing": status.observing,
        "held": zone_name(status.held),
        "held_reason": status.held_reason,
        "held_seconds_left": status.held_seconds_left,
        "pressures": list(&status.pressures, pressure),
        "background_percent": f64::from(status.background_millionths) / 10_000.0,
        "stuck": status.stuck,
        "stalls": list(&status.stalls, stall),
        "degraded": json::degraded(status),
        "outages": list(&status.outages, outage_value),
        "sink_backlogs": list(&status.sink_backlogs, json::sink_backlog),
        "warnings": status.warnings,
        "tasks": status.tasks,
        "rates": json::rates(status),
        "zone_history": list(&status.zone_history, json::zone_span),
        "deliveries": list(&status.deliveries, json::delivery),
        "ledger_imbalance": status.imbalance_records,
        "replay_paused": status.replay_paused,
        "log_filter": status.log_filter,
        "generation": status.generation,
        "draining": status.draining.as_ref().map(draining_value),
        "last_reload": status.last_reload.as_ref().map(reload_value),
        "memory": list(&status.memory, memory_share),
        "components": list(&status.components, component),
        "vaults": list(&status.vaults, vault),
        "left_vaults": left_vaults,
        "s3_sinks": list(&status.s3_sinks, s3::sink_value),
        "s3_replays": list(&status.s3_replays, s3::replay_value),
        "ledger": ledger_by_signal(status),
        "sources": by_id(&status.sources),
        "sinks": by_id(&status.sinks),
    })
}

fn ledger_value(status: &proto::StatusResponse) -> Value {
    json!({
        "ledger": ledger_by_signal(status),
        "sources": by_id(&status.sources),
        "sinks": by_id(&status.sinks),
    })
}

fn reload_value(reload: &proto::LastReload) -> Value {
    json!({ "ok": reload.ok, "seconds_ago": reload.seconds_ago, "error": reload.error })
}

fn draining_value(draining: &proto::Draining) -> Value {
    json!({ "seconds": draining.seconds, "reason": draining.reason })
}

fn outage_value(outage: &proto::Outage) -> Value {
    json!({ "place": outage.place, "seconds": outage.seconds, "reason": outage.reason })
}

fn status_table(status: &proto::StatusResponse, out: &mut String) -> std::fmt::Result {
    headline(status, out)?;
    troubles(status, out)?;
    outages_over(status, out)?;
    let reload = match &status.last_reload {
        None => String::new(),
        Some(reload) if reload.ok => format!(", reloaded {} s ago", reload.seconds_ago),
        Some(reload) => {
            format!("; the reload {} s ago FAILED: {}", reload.seconds_ago, reload.error)
        }
    };
    for text in format!("configuration generation {}{reload}", status.generation).lines() {
        line(text, out)?;
    }
    writeln!(out)?;

    let header = ["COMPONENT", "SECTION", "TYPE", "WAITING", "BYTES", "FULL"].map(String::from);
    let mut rows = vec![header.to_vec()];
    for component in &status.components {
        rows.push(vec![
            component.id.clone(),
            component.section.clone(),
            component.r#type.clone(),
            component.edge_batches.to_string(),
            component.edge_bytes.to_string(),
            format!("{:.1}%", percent(component.edge_permille)),
        ]);
    }
    table(&rows, 1, out)?;
    deliveries::table_of(&status.deliveries, out)?;
    vault_table(status, out)?;
    s3::sinks_table(&status.s3_sinks, out)?;
    s3::replays_table(&status.s3_replays, out)?;
    memory_table(status, out)?;
    pressure_table(status, out)?;
    writeln!(out)?;
    ledger_table(status, out)
}

/// The process, its zone, and what is unusual about it.
fn headline(status: &proto::StatusResponse, out: &mut String) -> std::fmt::Result {
    let held = hold(status);
    let proto::StatusResponse { version, uptime_seconds, tasks, .. } = status;
    writeln!(out, "gophership {version}, up {uptime_seconds} s, {tasks} tasks")?;
    if let Some(rates) = status.rates.filter(|rates| rates.over_seconds != 0.0) {
        let proto::Rates { received, delivered, rejected, .. } = rates;
        writeln!(
            out,
            "records/s: {received:.1} received, {delivered:.1} delivered, {rejected:.1} rejected"
        )?;
    }
    let zone = format!(
        "zone {} for {} s: {}{held}",
        zone_name(status.zone),
        status.zone_seconds,
        status.zone_reason
    );
    line(&zone, out)?;
    if status.observing {
        writeln!(out, "mode observe: the sensors ask for {}", zone_name(status.sensed))?;
    }
    match status.background_millionths {
        NEARLY_ALL.. => {}
        0 => writeln!(out, "background work is paused")?,
        share => {
            writeln!(out, "background work runs at {:.0}% speed", f64::from(share) / 10_000.0)?;
        }
    }
    if status.replay_paused {
        writeln!(out, "replays are paused by an operator")?;
    }
    if let Some(proto::Draining { seconds, reason }) = &status.draining {
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        line(&format!("NOT READY: an operator drains GopherShip for {seconds} s{reason}"), out)?;
    }
    if status.stuck {
        writeln!(out, "NOT READY: a source does not answer its senders")?;
    } else if !status.ready && status.draining.is_none() {
        writeln!(out, "NOT READY: GopherShip is starting or stopping")?;
    }
    Ok(())
}

fn vault_table(status: &proto::StatusResponse, out: &mut String) -> std::fmt::Result {
    if status.vaults.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let head = [
        "VAULT",
        "USED BYTES",
        "MAX BYTES",
        "BACKLOG",
        "OLDEST",
        "EMPTY IN",
        "REPLAYED",
        "STATE",
        "SEGMENTS",
        "BACKLOG BYTES",
        "COMPRESSED",
    ];
    let mut rows = vec![head.map(String::from).to_vec()];
    for vault in &status.vaults {
        rows.push(vec![
            vault.id.clone(),
            vault.used_bytes.to_string(),
            vault.max_bytes.to_string(),
            vault.backlog_requests.to_string(),
            format!("{} s", vault.oldest_seconds),
            vault.drain_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds} s")),
            vault.replayed_requests.to_string(),
            vault_state(vault).to_owned(),
            vault.segments.to_string(),
            vault.backlog_bytes.to_string(),
            compression_text(vault.compression_ratio),
        ]);
    }
    table(&rows, 1, out)?;
    for vault in &status.vaults {
        for hold in &vault.holds {
            line(&format!("{} is held: {}", vault.id, hold_text(hold)), out)?;
        }
    }
    Ok(())
}

/// The shares of the memory budget of which something is used.
fn memory_table(status: &proto::StatusResponse, out: &mut String) -> std::fmt::Result {
    let used: Vec<_> = status.memory.iter().filter(|share| share.used_bytes != 0).collect();
    if used.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut rows = vec![["MEMORY", "USED BYTES", "LIMIT BYTES"].map(String::from).to_vec()];
    for share in used {
        let (used, limit) = (share.used_bytes.to_string(), share.limit_bytes.to_string());
        rows.push(vec![share.name.clone(), used, limit]);
    }
    table(&rows, 1, out)
}

fn ledger_table(status: &proto::StatusResponse, out: &mut String) -> std::fmt::Result {
    let mut rows = vec![["LEDGER", "SIGNAL", "RECORDS"].map(String::from).to_vec()];
    for row in status.ledger.iter().filter(|row| row.records != 0) {
        rows.push(vec![row.bucket.clone(), row.signal.clone(), row.records.to_string()]);
    }
    if rows.len() == 1 {
        return writeln!(out, "no records yet");
    }
    table(&rows, 1, out)?;
    match status.imbalance_records {
        0 => writeln!(out, "the ledger balances")?,
        records => {
            let text = format!(
                "the ledger is {records} records out of balance; for a moment that is normal under load"
            );
            line(&text, out)?;
        }
    }
    ledger_rows("SOURCE", &status.sources, out)?;
    ledger_rows("SINK", &status.sinks, out)
}

/// A line for each signal of each source or sink, a column for each line that somebody has.
fn ledger_rows(head: &str, rows: &[proto::LedgerRow], out: &mut String) -> std::fmt::Result {
    let mut heads: Vec<&str> = Vec::new();
    let mut owners: Vec<(&str, &str)> = Vec::new();
    for row in rows {
        let owner = (row.id.as_str(), row.signal.as_str());
        if !heads.contains(&row.line.as_str()) {
            heads.push(&row.line);
        }
        if !owners.contains(&owner) {
            owners.push(owner);
        }
    }
    if owners.is_empty() {
        return Ok(());
    }
    let upper = heads.iter().map(|line| line.replace('_', " ").to_uppercase());
    let first = [head.to_owned(), "SIGNAL".to_owned()];
    let mut cells = vec![first.into_iter().chain(upper).collect::<Vec<_>>()];
    for (id, signal) in owners {
        let records = |line: &&str| {
            let is_it = |row: &&proto::LedgerRow| {
                row.id == id && row.signal == signal && row.line == **line
            };
            rows.iter().find(is_it).map_or(0, |row| row.records).to_string()
        };
        let own = [id.to_owned(), signal.to_owned()];
        cells.push(own.into_iter().chain(heads.iter().map(records)).collect());
    }
    writeln!(out)?;
    table(&cells, 2, out)
}

/// The operator's hold in words, if there is one.
fn hold(status: &proto::StatusResponse) -> String {
    let zone = match zone_name(status.held) {
        "none" => return String::new(),
        zone => zone,
    };
    let left = status.held_seconds_left.map_or_else(String::new, |left| format!(", {left} s left"));
    format!(", held at {zone} by override{left}")
}

/// What presses most, one line for each that is not at rest.
fn pressure_table(status: &proto::StatusResponse, out: &mut String) -> std::fmt::Result {
    let mut pressures: Vec<_> =
        status.pressures.iter().filter(|pressure| SHOWN_PERMILLE <= pressure.permille).collect();
    if pressures.is_empty() {
        return Ok(());
    }
    pressures.sort_by_key(|pressure| std::cmp::Reverse(pressure.permille));
    writeln!(out)?;
    let mut rows = vec![["KIND", "PLACE", "PRESSURE"].map(String::from).to_vec()];
    for pressure in pressures {
        let percent = format!("{:.1}%", percent(pressure.permille));
        rows.push(vec![pressure.kind.clone(), pressure.place.clone(), percent]);
    }
    table(&rows, 1, out)
}

fn vault_state(vault: &proto::Vault) -> &'static str {
    match (vault.failed, vault.full) {
        (true, _) => "FAILED",
        (false, true) => "FULL",
        (false, false) => "ok",
    }
}

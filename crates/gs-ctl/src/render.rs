//! Answers as tables, JSON and YAML.

use std::fmt::Write;

use serde_json::Value;
use serde_json::json;

use gophership_control::proto;

use crate::Format;

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

/// Renders the answer to an override.
pub(crate) fn zone(answer: &proto::OverrideResponse, format: Format) -> String {
    match format {
        Format::Table => format!("zone {} ({})\n", zone_name(answer.zone), answer.reason),
        Format::Json | Format::Yaml => {
            document(&json!({ "zone": zone_name(answer.zone), "reason": answer.reason }), format)
        }
    }
}

fn document(value: &Value, format: Format) -> String {
    let text = match format {
        Format::Yaml => serde_yaml::to_string(value).unwrap_or_default(),
        Format::Table | Format::Json => format!("{value:#}"),
    };
    format!("{}\n", text.trim_end())
}

fn zone_name(zone: i32) -> &'static str {
    match proto::Zone::try_from(zone) {
        Ok(proto::Zone::Green) => "green",
        Ok(proto::Zone::Yellow) => "yellow",
        Ok(proto::Zone::Red) => "red",
        Ok(proto::Zone::Unspecified) | Err(_) => "none",
    }
}

/// A list of one JSON value for each item.
fn list<T>(items: &[T], one: impl Fn(&T) -> Value) -> Value {
    items.iter().map(one).collect()
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
    let mut ledger = serde_json::Map::new();
    for row in &status.ledger {
        let signal = ledger.entry(row.signal.clone()).or_insert_with(|| json!({}));
        signal[row.bucket.as_str()] = json!(row.records);
    }
    let components = list(&status.components, |component| {
        json!({
            "id": component.id,
            "section": component.section,
            "type": component.r#type,
            "edge": {
                "batches": component.edge_batches,
                "bytes": component.edge_bytes,
                "occupancy_percent": percent(component.edge_permille),
            },
        })
    });
    let vaults = list(&status.vaults, |vault| {
        json!({
            "id": vault.id,
            "used_bytes": vault.used_bytes,
            "backlog_requests": vault.backlog_requests,
            "failed": vault.failed,
            "full": vault.full,
        })
    });
    let left_vaults =
        list(&status.left_vaults, |left| json!({ "dir": left.dir, "requests": left.requests }));
    let pressures = list(&status.pressures, |pressure| {
        json!({
            "kind": pressure.kind,
            "place": pressure.place,
            "percent": percent(pressure.permille),
        })
    });
    let stalls = list(&status.stalls, |stall| {
        json!({
            "component": stall.component,
            "waits": stall.waits,
            "waiting": stall.waiting,
            "seconds": stall.seconds,
        })
    });
    json!({
        "version": status.version,
        "uptime_seconds": status.uptime_seconds,
        "zone": zone_name(status.zone),
        "zone_reason": status.zone_reason,
        "zone_seconds": status.zone_seconds,
        "sensed": zone_name(status.sensed),
        "observing": status.observing,
        "held": zone_name(status.held),
        "held_reason": status.held_reason,
        "held_seconds_left": status.held_seconds_left,
        "pressures": pressures,
        "background_percent": f64::from(status.background_millionths) / 10_000.0,
        "stuck": status.stuck,
        "stalls": stalls,
        "outages": list(&status.outages, outage_value),
        "generation": status.generation,
        "components": components,
        "vaults": vaults,
        "left_vaults": left_vaults,
        "ledger": ledger,
        "sources": by_id(&status.sources),
        "sinks": by_id(&status.sinks),
    })
}

fn outage_value(outage: &proto::Outage) -> Value {
    json!({ "place": outage.place, "seconds": outage.seconds, "reason": outage.reason })
}

/// What stands still, and what is out.
fn troubles(status: &proto::StatusResponse, out: &mut String) -> std::fmt::Result {
    for stall in &status.stalls {
        let proto::Stall { component, waits, waiting, seconds } = stall;
        writeln!(out, "{component} makes no progress for {seconds} s: {waiting} {waits}")?;
    }
    for proto::LeftVault { dir, requests } in &status.left_vaults {
        writeln!(
            out,
            "the configuration does not contain the vault {dir}, which has {requests} undelivered \
             requests"
        )?;
    }
    for outage in &status.outages {
        // A backend says what it likes, and this goes to a terminal.
        let reason = outage.reason.replace(char::is_control, " ");
        writeln!(out, "{} is out for {} s: {reason}", outage.place, outage.seconds)?;
    }
    Ok(())
}

fn status_table(status: &proto::StatusResponse, out: &mut String) -> std::fmt::Result {
    let held = hold(status);
    writeln!(out, "gophership {}, up {} s", status.version, status.uptime_seconds)?;
    writeln!(
        out,
        "zone {} for {} s: {}{held}",
        zone_name(status.zone),
        status.zone_seconds,
        status.zone_reason
    )?;
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
    if status.stuck {
        writeln!(out, "NOT READY: a source does not answer its senders")?;
    }
    troubles(status, out)?;
    writeln!(out, "configuration generation {}\n", status.generation)?;

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
    table(&rows, out)?;

    if !status.vaults.is_empty() {
        writeln!(out)?;
        let mut rows = vec![["VAULT", "USED BYTES", "BACKLOG", "STATE"].map(String::from).to_vec()];
        for vault in &status.vaults {
            rows.push(vec![
                vault.id.clone(),
                vault.used_bytes.to_string(),
                vault.backlog_requests.to_string(),
                vault_state(vault).to_owned(),
            ]);
        }
        table(&rows, out)?;
    }

    pressure_table(status, out)?;

    writeln!(out)?;
    let mut rows = vec![["LEDGER", "SIGNAL", "RECORDS"].map(String::from).to_vec()];
    for row in status.ledger.iter().filter(|row| row.records != 0) {
        rows.push(vec![row.bucket.clone(), row.signal.clone(), row.records.to_string()]);
    }
    if rows.len() == 1 {
        return writeln!(out, "no records yet");
    }
    table(&rows, out)?;
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
    table(&cells, out)
}

fn percent(permille: u32) -> f64 {
    f64::from(permille) / 10.0
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
    table(&rows, out)
}

fn vault_state(vault: &proto::Vault) -> &'static str {
    match (vault.failed, vault.full) {
        (true, _) => "FAILED",
        (false, true) => "FULL",
        (false, false) => "ok",
    }
}

/// Writes rows in columns as wide as their widest cell.
fn table(rows: &[Vec<String>], out: &mut String) -> std::fmt::Result {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            write!(line, "{cell:<width$}  ")?;
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

//! The parts of a status as JSON, under the names that users see: `gs-ctl status -o json` and `/status.json`
//! are made of them.

use gophership_units::utc_text;
use serde_json::Value;
use serde_json::json;

use crate::proto;

/// Returns the name of a zone; `none` if there is no zone.
#[must_use]
pub fn zone_name(zone: i32) -> &'static str {
    match proto::Zone::try_from(zone) {
        Ok(proto::Zone::Green) => "green",
        Ok(proto::Zone::Yellow) => "yellow",
        Ok(proto::Zone::Red) => "red",
        Ok(proto::Zone::Unspecified) | Err(_) => "none",
    }
}

/// Returns thousandths as percent.
#[must_use]
pub fn percent(permille: u32) -> f64 {
    f64::from(permille) / 10.0
}

/// Whether the process serves requests as it should.
#[must_use]
pub const fn is_ready(status: &proto::StatusResponse) -> bool {
    status.ready && !status.stuck
}

/// Returns a list of one value for each item.
pub fn list<T>(items: &[T], one: impl Fn(&T) -> Value) -> Value {
    items.iter().map(one).collect()
}

/// Returns a component and the queue in front of it.
#[must_use]
pub fn component(component: &proto::Component) -> Value {
    json!({
        "id": component.id,
        "section": component.section,
        "type": component.r#type,
        "edge": {
            "batches": component.edge_batches,
            "bytes": component.edge_bytes,
            "occupancy_percent": percent(component.edge_permille),
        },
        "records_per_second": component.records_per_second,
    })
}

/// Returns a pressure.
#[must_use]
pub fn pressure(pressure: &proto::Pressure) -> Value {
    let proto::Pressure { kind, place, permille } = pressure;
    json!({ "kind": kind, "place": place, "percent": percent(*permille) })
}

/// Returns what makes no progress.
#[must_use]
pub fn stall(stall: &proto::Stall) -> Value {
    let proto::Stall { component, waits, waiting, seconds } = stall;
    json!({ "component": component, "waits": waits, "waiting": waiting, "seconds": seconds })
}

/// Returns a share of the memory.
#[must_use]
pub fn memory_share(share: &proto::MemoryShare) -> Value {
    let proto::MemoryShare { name, used_bytes, limit_bytes } = share;
    json!({ "share": name, "used_bytes": used_bytes, "limit_bytes": limit_bytes })
}

/// Returns a vault.
#[must_use]
pub fn vault(vault: &proto::Vault) -> Value {
    json!({
        "id": vault.id,
        "used_bytes": vault.used_bytes,
        "backlog_requests": vault.backlog_requests,
        "failed": vault.failed,
        "full": vault.full,
        "max_bytes": vault.max_bytes,
        "replayed_requests": vault.replayed_requests,
        "dead_lettered_requests": vault.dead_lettered_requests,
        "lost_requests": vault.lost_requests,
        "dropped_requests": vault.dropped_requests,
        "segments": vault.segments,
        "backlog_bytes": vault.backlog_bytes,
        "oldest_seconds": vault.oldest_seconds,
        "replayed_requests_per_second": vault.replayed_requests_per_second,
        "drain_seconds": vault.drain_seconds,
        "compression_ratio": (vault.compression_ratio * 100.0).round() / 100.0,
        "holds": list(&vault.holds, vault_hold),
    })
}

/// Returns a line for each sink that does not deliver all that it gets.
#[must_use]
pub fn degraded(status: &proto::StatusResponse) -> Value {
    crate::degraded(status).iter().map(crate::Degraded::line).collect()
}

/// Returns what a vault keeps for one sink.
#[must_use]
pub fn sink_backlog(backlog: &proto::SinkBacklog) -> Value {
    json!({
        "sink": backlog.sink,
        "requests": backlog.requests,
        "records": backlog.records,
        "bytes": backlog.bytes,
        "seconds": backlog.seconds,
        "oldest_seconds": backlog.oldest_seconds,
        "drain_seconds": backlog.drain_seconds,
        "began": moment(backlog.began_unix_ms),
        "ended": moment(backlog.ended_unix_ms),
    })
}

/// A time in milliseconds since 1970 as text; nothing for 0.
fn moment(unix_ms: u64) -> Option<String> {
    (unix_ms != 0).then(|| utc_text(unix_ms.saturating_mul(1_000_000)))
}

/// Returns what moves.
#[must_use]
pub fn rates(status: &proto::StatusResponse) -> Value {
    let rates = status.rates.unwrap_or_default();
    json!({
        "over_seconds": rates.over_seconds,
        "received_records_per_second": rates.received,
        "delivered_records_per_second": rates.delivered,
        "rejected_records_per_second": rates.rejected,
    })
}

/// Returns a time in one zone.
#[must_use]
pub fn zone_span(span: &proto::ZoneSpan) -> Value {
    json!({ "zone": zone_name(span.zone), "seconds": span.seconds })
}

/// Returns how a sink with a network backend does.
#[must_use]
pub fn delivery(delivery: &proto::Delivery) -> Value {
    let endpoint = |endpoint: &proto::DeliveryEndpoint| json!({ "name": endpoint.name, "circuit": endpoint.circuit });
    json!({
        "id": delivery.id,
        "endpoints": list(&delivery.endpoints, endpoint),
        "in_flight_requests": delivery.in_flight,
        "limit_requests": delivery.limit,
        "answered_last_minute": delivery.answered,
        "p50_seconds": delivery.p50_seconds,
        "p99_seconds": delivery.p99_seconds,
    })
}

/// Returns what keeps requests of a vault from being deleted.
#[must_use]
pub fn vault_hold(hold: &proto::VaultHold) -> Value {
    let until = hold.until_unix_ms.map(|ms| utc_text(ms.saturating_mul(1_000_000)));
    json!({
        "name": hold.name,
        "first_segment": hold.first_segment,
        "last_segment": hold.last_segment,
        "until": until,
        "reason": hold.reason,
    })
}

/// Returns the ledger by signal and bucket.
#[must_use]
pub fn ledger(status: &proto::StatusResponse) -> Value {
    let mut ledger = json!({});
    for row in &status.ledger {
        ledger[row.signal.as_str()][row.bucket.as_str()] = json!(row.records);
    }
    ledger
}

//! The zone as a stream: what it is, and every change from then on.

use std::pin::Pin;

use futures_util::Stream;
use futures_util::stream;
use gophership_control::proto;
use gophership_units::unix_ns;
use tonic::Status;

use super::status::wire_zone;
use crate::topology::Zones;

/// What a client that watches is sent.
pub(super) type ZoneEvents =
    Pin<Box<dyn Stream<Item = Result<proto::WatchResponse, Status>> + Send>>;

/// Begins with the zone in force. A client that does not keep up misses changes in between, and always gets
/// the last one; nothing waits for it.
pub(super) fn of(zones: &Zones) -> ZoneEvents {
    let (zones, mut watch) = (zones.clone(), zones.watch());
    watch.mark_changed();
    let next = |(zones, mut watch): (Zones, crate::somatic::ZoneWatch)| async move {
        // It fails when the process ends.
        watch.changed().await.ok()?;
        let _seen = *watch.borrow_and_update();
        let event = event(&zones);
        Some((Ok(event), (zones, watch)))
    };
    Box::pin(stream::unfold((zones, watch), next))
}

fn event(zones: &Zones) -> proto::WatchResponse {
    let report = zones.report();
    proto::WatchResponse {
        unix_ms: unix_ns() / 1_000_000,
        zone: wire_zone(Some(report.zone)),
        reason: report.reason,
        held: wire_zone(report.held.map(|hold| hold.zone)),
    }
}

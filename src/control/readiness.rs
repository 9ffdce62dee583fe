//! What `/readyz` answers: whether requests are taken, and what is wrong although they are.

use std::sync::atomic::Ordering;
use std::time::Duration;

use gophership_units::HumanDuration;
use http::StatusCode;

use super::state::ControlService;
use crate::metrics::SinkBacklog;

/// An edge that was full for a moment is no news.
const TOLD_AFTER: Duration = Duration::from_secs(1);

impl ControlService {
    /// The status and the text of `/readyz`. A backend that is out does not make it 503: requests are
    /// taken, and are safe in the vault.
    pub(super) fn readiness(&self) -> (StatusCode, String) {
        if !self.ready.load(Ordering::Acquire) {
            return (StatusCode::SERVICE_UNAVAILABLE, "starting or stopping\n".to_owned());
        }
        if self.maintenance.drain.is_draining() {
            return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
        }
        if self.zones.is_intake_stuck() {
            let stalls = self.zones.stalls();
            let lines: Vec<String> = stalls.iter().map(ToString::to_string).collect();
            return (StatusCode::SERVICE_UNAVAILABLE, format!("stalled\n{}\n", lines.join("\n")));
        }
        let mut lines = vec![format!("ready, zone {}", self.zones.report().zone)];
        for outage in self.zones.outages() {
            let lasts = whole_seconds(outage.lasts);
            let (place, reason) = (outage.place, outage.reason);
            lines.push(format!("degraded: {place} has been out for {lasts}: {reason}"));
        }
        for SinkBacklog { sink, requests, records, bytes, age } in self.metrics.sink_backlogs() {
            if 0 < requests && TOLD_AFTER <= age {
                let age = whole_seconds(age);
                lines.push(format!(
                    "degraded: for {age} the vault has kept requests for sink {sink}: {requests} requests, \
                     {records} records, {bytes} bytes"
                ));
            }
        }
        (StatusCode::OK, lines.join("\n") + "\n")
    }
}

fn whole_seconds(duration: Duration) -> HumanDuration {
    HumanDuration(Duration::from_secs(duration.as_secs()))
}

//! What `/readyz` answers: whether requests are taken, and what is wrong although they are.

use std::sync::atomic::Ordering;

use http::StatusCode;

use super::state::ControlService;

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
        lines.extend(self.degraded().iter().map(|one| format!("degraded: {}", one.line())));
        (StatusCode::OK, lines.join("\n") + "\n")
    }
}

//! An operator holds a zone, or lets the sensors decide again.

use std::time::Duration;

use gophership_control::proto;
use gophership_units::one_line;
use tonic::Status;

use super::access::Caller;
use super::changes::check_reason;
use super::changes::outcome;
use super::state::ControlService;
use super::status::wire_zone;
use crate::somatic::OverrideCommand;
use crate::somatic::Zone;

impl ControlService {
    /// Carries the override out, and notes it in the audit log.
    pub(super) async fn override_zone(
        &self,
        caller: &Caller,
        request: proto::OverrideRequest,
    ) -> Result<proto::OverrideResponse, Status> {
        let (detail, reason) = (override_detail(&request), request.reason.clone());
        let result = self.hold(request);
        let said = |answer: &proto::OverrideResponse| format!("zone {}", zone_name(answer.zone));
        self.note(caller, "Override", &detail, &reason, outcome(&result, said)).await;
        result
    }

    /// Holds a zone, or follows the sensors again; in force when it returns.
    fn hold(&self, request: proto::OverrideRequest) -> Result<proto::OverrideResponse, Status> {
        let proto::OverrideRequest { zone, ttl_seconds, reason } = request;
        check_reason(&reason)?;
        // It goes to the log and to terminals.
        let reason = one_line(&reason).into_owned();
        let hold = |zone| {
            let ttl = ttl_seconds.map(Duration::from_secs);
            OverrideCommand::Hold { zone, ttl, reason }
        };
        let command = match proto::Zone::try_from(zone) {
            Ok(proto::Zone::Unspecified) => OverrideCommand::Auto,
            Ok(proto::Zone::Green) => hold(Zone::Green),
            Ok(proto::Zone::Yellow) => hold(Zone::Yellow),
            Ok(proto::Zone::Red) => hold(Zone::Red),
            Err(_) => return Err(Status::invalid_argument("unknown zone")),
        };
        let report = self.zones.command(command);
        let zone = wire_zone(Some(report.zone));
        Ok(proto::OverrideResponse { zone, reason: report.reason })
    }
}

fn override_detail(request: &proto::OverrideRequest) -> String {
    let zone = match proto::Zone::try_from(request.zone) {
        Ok(proto::Zone::Unspecified) => "auto",
        _ => zone_name(request.zone),
    };
    match request.ttl_seconds {
        Some(ttl) => format!("zone={zone} ttl={ttl}s"),
        None => format!("zone={zone}"),
    }
}

fn zone_name(zone: i32) -> &'static str {
    match proto::Zone::try_from(zone) {
        Ok(proto::Zone::Green) => "green",
        Ok(proto::Zone::Yellow) => "yellow",
        Ok(proto::Zone::Red) => "red",
        Ok(proto::Zone::Unspecified) | Err(_) => "unknown",
    }
}

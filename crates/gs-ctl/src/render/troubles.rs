//! What somebody who looks at the status must not miss.

use gophership_control::proto;
use gophership_units::utc_text;

use super::line;

/// Writes what stands still, what is out, and what the configuration allows although it is risky.
pub(super) fn troubles(status: &proto::StatusResponse, out: &mut String) -> std::fmt::Result {
    for stall in &status.stalls {
        let proto::Stall { component, waits, waiting, seconds } = stall;
        let text = format!("{component} makes no progress for {seconds} s: {waiting} {waits}");
        line(&text, out)?;
    }
    for proto::LeftVault { dir, requests, dead_letters } in &status.left_vaults {
        let text = format!(
            "the configuration does not contain the vault or spool {dir}, which has {requests} undelivered \
             requests and {dead_letters} dead letters"
        );
        line(&text, out)?;
    }
    for degraded in gophership_control::degraded(status) {
        line(&format!("degraded: {}", degraded.line()), out)?;
    }
    for warning in &status.warnings {
        line(&format!("warning: {warning}"), out)?;
    }
    Ok(())
}

/// Writes when the last backlog of each sink began and ended, and whether anything was lost.
pub(super) fn outages_over(status: &proto::StatusResponse, out: &mut String) -> std::fmt::Result {
    for proto::SinkBacklog { sink, began_unix_ms, ended_unix_ms, .. } in &status.sink_backlogs {
        if *began_unix_ms != 0 && began_unix_ms <= ended_unix_ms {
            let [began, ended] =
                [began_unix_ms, ended_unix_ms].map(|ms| utc_text(ms.saturating_mul(1_000_000)));
            let text = format!(
                "the vault kept requests for sink {sink} from {began} to {ended}; none is left there"
            );
            line(&text, out)?;
        }
    }
    if status.vaults.is_empty() {
        return Ok(());
    }
    let sum = |of: fn(&proto::Vault) -> u64| status.vaults.iter().map(of).sum::<u64>();
    let lost = sum(|vault| vault.lost_requests.saturating_add(vault.dropped_requests));
    let letters = sum(|vault| vault.dead_lettered_requests);
    line(&format!("since the start: {lost} requests lost, {letters} dead letters"), out)
}

//! What somebody who looks at the status must not miss.

use gophership_control::proto;

use super::line;

/// Writes what stands still, what is out, and what the configuration allows although it is risky.
pub(super) fn troubles(status: &proto::StatusResponse, out: &mut String) -> std::fmt::Result {
    for stall in &status.stalls {
        let proto::Stall { component, waits, waiting, seconds } = stall;
        let text = format!("{component} makes no progress for {seconds} s: {waiting} {waits}");
        line(&text, out)?;
    }
    for proto::LeftVault { dir, requests } in &status.left_vaults {
        let text = format!(
            "the configuration does not contain the vault {dir}, which has {requests} undelivered \
             requests"
        );
        line(&text, out)?;
    }
    for proto::Outage { place, seconds, reason } in &status.outages {
        line(&format!("{place} is out for {seconds} s: {reason}"), out)?;
    }
    for warning in &status.warnings {
        line(&format!("warning: {warning}"), out)?;
    }
    Ok(())
}

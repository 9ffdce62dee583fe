//! What recovery found to be damaged, for the log.

use gophership_vault::DamagedRange;
use gophership_vault::FaultKind;
use gophership_vault::RecoveryReport;
use gophership_vault::SeqRanges;

use crate::component::BuildError;
use crate::component::Context;
use crate::component::OnLoss;

/// Says what recovery found; with `--strict`, acknowledged requests that are gone end the start.
pub(super) fn tell(context: &Context, report: &RecoveryReport) -> Result<(), BuildError> {
    if !report.missing_cursors.is_empty() {
        tracing::error!(vault = %context.id, cursors = report.missing_cursors.join(", "),
            "Cursor files were missing and are created again. Some requests may be delivered \
             twice.");
    }
    let is_damage = |fault: &DamagedRange| fault.kind != FaultKind::TornTail;
    if report.acknowledged_lost.is_empty() && !report.faults.iter().any(is_damage) {
        return Ok(());
    }
    let lost = report.lost_records();
    let quarantined =
        report.quarantined.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    tracing::error!(
        vault = %context.id,
        acknowledged_lost = lost,
        seqs = %SeqRanges(&report.acknowledged_lost),
        quarantined,
        faults = report.faults.len(),
        "Vault is damaged. Run `gophership vault verify` for details."
    );
    if context.vaults.on_loss() == OnLoss::Refuse && 0 < lost {
        return Err(BuildError::Option(format!(
            "{lost} acknowledged requests are missing from the vault; without --strict GopherShip \
             starts and delivers the rest"
        )));
    }
    Ok(())
}

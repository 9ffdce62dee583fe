//! `gophership vault repair`: mends a vault that is not in use.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde_json::Value;
use serde_json::json;

use gophership_vault::RepairAction;
use gophership_vault::RepairStep;
use gophership_vault::Throttle;
use gophership_vault::Verification;

use super::Failure;
use super::args::RepairArgs;
use super::exit;
use super::place::VaultTarget;
use super::table;
use super::verify;

pub(super) fn run(args: &RepairArgs) -> Result<u8, Failure> {
    let target = VaultTarget { socket: None, ..args.place.find_whole()? };
    let read_bytes = Arc::new(AtomicU64::new(0));
    let steps = verify::watched(&target, args.quiet, &read_bytes, || {
        Ok(gophership_vault::repair(&target.dir, args.dry_run, &read_bytes)?)
    })?;
    if args.dry_run {
        let done = None;
        table::print(args.output, || text(&steps, done), || document(&steps, done))?;
        return Ok(0);
    }
    let left = verify::verify(&target, None, args.quiet, Throttle::default())?;
    table::print(args.output, || text(&steps, Some(&left)), || document(&steps, Some(&left)))?;
    Ok(if left.findings.is_empty() { 0 } else { exit::FAULTS })
}

fn sentence(step: &RepairStep) -> String {
    let (planned, name) = match step.action {
        RepairAction::Seal => ("write the footer that a crash prevented", "seal"),
        RepairAction::SealTorn => {
            ("copy the incomplete end to quarantine, write the footer", "seal")
        }
        RepairAction::FinishRename => ("rename the sealed segment to its final name", "rename"),
        RepairAction::RebuildFooter => ("rewrite the damaged footer", "rebuild"),
        RepairAction::BringBack => ("restore the intact segment from quarantine", "bring back"),
        RepairAction::SetAside => {
            ("move the damaged segment to quarantine, with a report", "set aside")
        }
        RepairAction::RebuildId => ("rewrite `vault_id` from the segments", "rebuild"),
        RepairAction::ResetCursor => ("reset the damaged cursor to the oldest request", "reset"),
        RepairAction::RemoveUnfinished => ("remove a file that never became a segment", "remove"),
        _ => ("mend", "mend"),
    };
    let file = step.path.file_name().unwrap_or_default().to_string_lossy();
    format!("{name:<10}  {file}: {planned}")
}

fn text(steps: &[RepairStep], left: Option<&Verification>) -> String {
    let mut text = String::new();
    for step in steps {
        // Writing to a string cannot fail.
        let _written = writeln!(text, "{}", sentence(step));
    }
    match left {
        None if steps.is_empty() => text.push_str("nothing to do\n"),
        None => {
            let steps = table::count(steps.len() as u64, "step");
            let _written = writeln!(text, "\n{steps} to do; nothing was changed");
        }
        Some(left) if left.findings.is_empty() => {
            let records = table::count(left.records, "request");
            let _written = writeln!(text, "the vault is intact: {records}");
        }
        Some(left) => {
            if !steps.is_empty() {
                text.push('\n');
            }
            text.push_str("remaining faults:\n\n");
            text.push_str(&verify::findings(&left.findings));
        }
    }
    text
}

fn document(steps: &[RepairStep], left: Option<&Verification>) -> Value {
    let step = |step: &RepairStep| {
        json!({
            "segment": step.segment,
            "action": step.action.name(),
            "path": step.path.display().to_string(),
        })
    };
    json!({
        "dry_run": left.is_none(),
        "steps": steps.iter().map(step).collect::<Vec<_>>(),
        "sound": left.map(|left| left.findings.is_empty()),
        "faults": left.map(|left| left.findings.iter().map(verify::finding).collect::<Vec<_>>()),
    })
}

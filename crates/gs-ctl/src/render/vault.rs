//! What was done with vaults: verified, held, released, pruned.

use std::fmt::Write;

use gophership_control::json::vault_hold;
use gophership_control::proto;
use gophership_units::ByteSize;
use gophership_units::utc_text;
use serde_json::Value;
use serde_json::json;

use super::document;
use super::line;
use super::table;
use crate::args::Format;

/// A number of things, in words.
fn count(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// How many times larger the requests of a vault are than what it stores of them.
pub(super) fn compression_text(ratio: f64) -> String {
    if ratio == 0.0 { "-".to_owned() } else { format!("{ratio:.1} times") }
}

/// A hold in words: its name, its end and its reason.
pub(super) fn hold_text(hold: &proto::VaultHold) -> String {
    let mut text = hold.name.clone();
    if let (Some(first), Some(last)) = (hold.first_segment, hold.last_segment) {
        // Writing to a string cannot fail.
        let _written = write!(text, ", segments {first} to {last}");
    }
    if let Some(until) = hold.until_unix_ms {
        let _written = write!(text, ", until {}", utc_text(until.saturating_mul(1_000_000)));
    }
    if !hold.reason.is_empty() {
        let _written = write!(text, " ({})", hold.reason);
    }
    text
}

/// Renders a hold that was placed.
pub(crate) fn held(answer: &proto::HoldVaultResponse, format: Format) -> String {
    let hold = answer.hold.clone().unwrap_or_default();
    if format != Format::Table {
        let value = json!({
            "vault": answer.vault,
            "hold": vault_hold(&hold),
            "segments": answer.segments,
            "file_bytes": answer.file_bytes,
        });
        return document(&value, format);
    }
    let mut text = String::new();
    let kept = count(answer.segments, "segment");
    let head = format!(
        "the vault {} is held by {}; {kept} with {} bytes are kept now",
        answer.vault,
        hold_text(&hold),
        answer.file_bytes
    );
    // Writing to a string cannot fail.
    let _written = line(&head, &mut text);
    text
}

/// Renders a hold that was released.
pub(crate) fn released(answer: &proto::ReleaseVaultResponse, format: Format) -> String {
    if format != Format::Table {
        let holds: Vec<_> = answer.holds.iter().map(vault_hold).collect();
        let value = json!({ "vault": answer.vault, "released": answer.name, "holds": holds });
        return document(&value, format);
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _written = line(
        &format!("released the hold {} of the vault {}", answer.name, answer.vault),
        &mut text,
    );
    for hold in &answer.holds {
        let _written = line(&format!("still held: {}", hold_text(hold)), &mut text);
    }
    text
}

/// Renders how far a verification is, in one line.
pub(crate) fn verifying(vault: &str, progress: &proto::VerifyVaultResponse) -> String {
    let proto::VerifyVaultResponse { done_bytes, total_bytes, .. } = progress;
    let percent = u128::from(*done_bytes) * 100 / u128::from((*total_bytes).max(1));
    let (done, total) = (ByteSize(*done_bytes), ByteSize(*total_bytes));
    format!("verifying {vault}: {percent}%, {done} of {total}")
}

/// Renders what was found in vaults.
pub(crate) fn verified(results: &[(String, proto::VaultVerification)], format: Format) -> String {
    if format != Format::Table {
        let vaults: Vec<_> = results.iter().map(|(vault, it)| verified_value(vault, it)).collect();
        return document(&json!({ "vaults": vaults }), format);
    }
    let mut text = String::new();
    for (vault, result) in results {
        // Writing to a string cannot fail.
        let _written = verified_table(vault, result, &mut text);
    }
    text
}

fn verified_value(vault: &str, result: &proto::VaultVerification) -> Value {
    let finding = |finding: &proto::VaultFinding| {
        json!({
            "segment": finding.segment,
            "fault": finding.fault,
            "meaning": finding.meaning,
            "path": finding.path,
            "start": finding.start,
            "end": finding.end,
            "lost_first_seq": finding.lost_first_seq,
            "lost_last_seq": finding.lost_last_seq,
        })
    };
    json!({
        "id": vault,
        "sound": result.findings_total == 0,
        "segments": result.segments,
        "requests": result.requests,
        "read_bytes": result.read_bytes,
        "gone_segments": result.gone_segments,
        "lost_requests": result.lost_requests,
        "findings_total": result.findings_total,
        "findings": result.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn verified_table(
    vault: &str,
    result: &proto::VaultVerification,
    out: &mut String,
) -> std::fmt::Result {
    let verdict = match (result.findings_total, result.lost_requests) {
        (0, _) => "sound".to_owned(),
        (faults, 0) => format!("{}, no request lost", count(faults, "FAULT")),
        (faults, lost) => format!("{}, {} lost", count(faults, "FAULT"), count(lost, "request")),
    };
    let mut text = format!(
        "{vault}: {verdict}; {} in {}, {} bytes read",
        count(result.requests, "request"),
        count(result.segments, "segment"),
        result.read_bytes
    );
    if result.gone_segments != 0 {
        let gone = count(result.gone_segments, "segment");
        write!(text, ", {gone} deleted by the server meanwhile")?;
    }
    line(&text, out)?;
    if result.findings.is_empty() {
        return Ok(());
    }
    let mut rows = vec![["SEGMENT", "FAULT", "BYTES", "LOST"].map(String::from).to_vec()];
    for finding in &result.findings {
        let lost = match (finding.lost_first_seq, finding.lost_last_seq) {
            (Some(first), Some(last)) => format!("{first}..{last}"),
            _ => "-".to_owned(),
        };
        rows.push(vec![
            finding.segment.map_or_else(|| "-".to_owned(), |id| id.to_string()),
            finding.fault.clone(),
            format!("{}..{}", finding.start, finding.end),
            lost,
        ]);
    }
    table(&rows, 1, out)?;
    let mut kinds: Vec<_> =
        result.findings.iter().map(|finding| (&finding.fault, &finding.meaning)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.iter().try_for_each(|(fault, meaning)| line(&format!("{fault}: {meaning}"), out))
}

/// What is deleted, in words.
fn pruned_text(answer: &proto::PruneVaultResponse) -> String {
    let bytes: u64 = answer.segments.iter().map(|one| one.file_bytes).sum();
    let undelivered: u64 = answer.segments.iter().map(|one| one.undelivered_requests).sum();
    format!(
        "{} of {bytes} bytes with {}",
        count(answer.segments.len() as u64, "segment"),
        count(undelivered, "undelivered request")
    )
}

/// The question before something is deleted that somebody needs.
pub(crate) fn prune_question(planned: &proto::PruneVaultResponse) -> String {
    format!("Delete {} from the vault {}?", pruned_text(planned), planned.vault)
}

/// Renders what was deleted, or would be.
pub(crate) fn pruned(answer: &proto::PruneVaultResponse, format: Format) -> String {
    if format != Format::Table {
        let one = |one: &proto::PrunedSegment| {
            json!({
                "segment": one.segment,
                "file_bytes": one.file_bytes,
                "requests": one.requests,
                "undelivered_requests": one.undelivered_requests,
            })
        };
        let value = json!({
            "vault": answer.vault,
            "dry_run": answer.dry_run,
            "segments": answer.segments.iter().map(one).collect::<Vec<_>>(),
        });
        return document(&value, format);
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _written = pruned_table(answer, &mut text);
    text
}

fn pruned_table(answer: &proto::PruneVaultResponse, out: &mut String) -> std::fmt::Result {
    if !answer.segments.is_empty() {
        let head = ["SEGMENT", "BYTES", "REQUESTS", "UNDELIVERED"].map(String::from);
        let row = |one: &proto::PrunedSegment| {
            let numbers = [one.segment, one.file_bytes, one.requests, one.undelivered_requests];
            numbers.iter().map(ToString::to_string).collect()
        };
        let rows: Vec<Vec<String>> =
            std::iter::once(head.to_vec()).chain(answer.segments.iter().map(row)).collect();
        table(&rows, 1, out)?;
    }
    let what = pruned_text(answer);
    let text = if answer.dry_run {
        format!("the vault {} would lose {what}; nothing was deleted", answer.vault)
    } else {
        format!("deleted {what} from the vault {}", answer.vault)
    };
    line(&text, out)
}

//! `gophership vault ls s3://..`: what is in an archive, as its manifests say.

use std::fmt::Write as _;

use serde_json::Value;
use serde_json::json;

use gophership_archive::Manifest;
use gophership_archive::vault_id_text;

use super::Failure;
use super::archive::ArchiveTarget;
use super::archive_reader::manifests;
use super::args::FilterArgs;
use super::args::OutputFormat;
use super::table;
use super::when;

/// Lists the segments.
pub(super) fn run(target: &ArchiveTarget, output: OutputFormat) -> Result<u8, Failure> {
    let manifests = manifests(target, &FilterArgs::default())?;
    table::print(output, || text(&manifests), || document(target, &manifests))?;
    Ok(0)
}

/// Sums over segments.
#[derive(Default)]
struct Totals {
    requests: u64,
    raw_bytes: u64,
    object_bytes: u64,
}

fn totals(manifests: &[Manifest]) -> Totals {
    let mut totals = Totals::default();
    for manifest in manifests {
        totals.requests += manifest.requests;
        totals.raw_bytes += manifest.raw.bytes;
        totals.object_bytes += manifest.object.bytes;
    }
    totals
}

fn received(manifest: &Manifest) -> (u64, u64) {
    manifest.received.map_or((0, 0), |it| (it.first_unix_ns, it.last_unix_ns))
}

fn row(manifest: &Manifest) -> Vec<String> {
    let (first, last) = received(manifest);
    vec![
        vault_id_text(manifest.vault_id),
        manifest.node.clone(),
        manifest.segment.to_string(),
        manifest.first_seq.to_string(),
        manifest.last_seq.to_string(),
        manifest.requests.to_string(),
        table::size(manifest.raw.bytes),
        table::size(manifest.object.bytes),
        when::show(first),
        when::show(last),
    ]
}

fn text(manifests: &[Manifest]) -> String {
    let head = [
        "vault",
        "node",
        ">segment",
        ">first",
        ">last",
        ">requests",
        ">raw",
        ">object",
        "received from",
        "to",
    ];
    let rows: Vec<Vec<String>> = manifests.iter().map(row).collect();
    let mut text = gophership_units::columns(&head, &rows);
    let totals = totals(manifests);
    // Writing to a string cannot fail.
    let _written = writeln!(
        text,
        "\n{} in {}, {} raw, {} in the bucket",
        table::count(totals.requests, "request"),
        table::count(manifests.len() as u64, "segment"),
        table::size(totals.raw_bytes),
        table::size(totals.object_bytes),
    );
    text
}

fn document(target: &ArchiveTarget, manifests: &[Manifest]) -> Value {
    let segment = |manifest: &Manifest| {
        let (first, last) = received(manifest);
        json!({
            "vault_id": vault_id_text(manifest.vault_id),
            "node": manifest.node,
            "segment": manifest.segment,
            "first_seq": manifest.first_seq,
            "last_seq": manifest.last_seq,
            "requests": manifest.requests,
            "damaged_requests": manifest.damaged_requests,
            "raw_bytes": manifest.raw.bytes,
            "object_bytes": manifest.object.bytes,
            "first_received": when::show(first),
            "last_received": when::show(last),
            "signals": manifest.signals,
            "sources": manifest.sources,
        })
    };
    let totals = totals(manifests);
    json!({
        "archive": target.archive.url(),
        "segments": manifests.iter().map(segment).collect::<Vec<_>>(),
        "totals": {
            "segments": manifests.len(),
            "requests": totals.requests,
            "raw_bytes": totals.raw_bytes,
            "object_bytes": totals.object_bytes,
        },
    })
}

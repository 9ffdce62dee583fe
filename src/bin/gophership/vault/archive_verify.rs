//! `gophership vault verify s3://..`: whether every segment of an archive can be restored, and is sound.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::num::NonZeroUsize;

use serde_json::Value;
use serde_json::json;

use gophership_archive::Manifest;
use gophership_archive::vault_id_text;
use gophership_vault::OfflineItem;
use gophership_vault::OfflineReader;

use super::Failure;
use super::archive::ArchiveTarget;
use super::archive::failure;
use super::archive::panicked;
use super::archive_reader::manifests;
use super::archive_reader::restore;
use super::args::FilterArgs;
use super::args::VerifyArgs;
use super::exit;
use super::progress::Progress;
use super::table;

/// What was verified, and what is wrong.
#[derive(Default)]
struct Verified {
    segments: u64,
    requests: u64,
    raw_bytes: u64,
    object_bytes: u64,
    /// Vault, segment, and what is wrong with it.
    faults: Vec<(u128, u64, String)>,
    /// Keys of objects whose manifest is missing: of uploads that have not ended.
    incomplete: Vec<String>,
}

/// Restores each segment, reads it and compares it with its manifest.
pub(super) fn run(target: &ArchiveTarget, args: &VerifyArgs) -> Result<u8, Failure> {
    if args.jobs.is_some_and(|jobs| jobs != NonZeroUsize::MIN) {
        return Err(Failure::usage(
            "an archive is verified one segment at a time: leave out --jobs",
        ));
    }
    let manifests = manifests(target, &FilterArgs::default())?;
    let total_bytes: u64 = manifests.iter().map(|manifest| manifest.raw.bytes).sum();
    let mut progress = Progress::new(args.quiet);
    let mut verified = Verified::default();
    for manifest in &manifests {
        let done_bytes = verified.raw_bytes;
        progress.show(done_bytes, total_bytes);
        match restore(target, manifest, &mut progress, done_bytes, total_bytes)? {
            Ok(path) => {
                if let Some(problem) = read_all(manifest, &path)? {
                    verified.fault(manifest, problem);
                }
                // If it stays, it goes with its folder.
                let _removed = std::fs::remove_file(&path);
            }
            Err(problem) => verified.fault(manifest, problem),
        }
        verified.segments += 1;
        verified.requests += manifest.requests;
        verified.raw_bytes += manifest.raw.bytes;
        verified.object_bytes += manifest.object.bytes;
    }
    drop(progress);
    verified.check_chains(&manifests);
    verified.find_incomplete(target, &manifests)?;
    table::print(args.output, || verified.text(), || verified.document(target))?;
    Ok(if verified.faults.is_empty() { 0 } else { exit::FAULTS })
}

/// Reads every request of a restored segment; says what is wrong.
fn read_all(manifest: &Manifest, path: &std::path::Path) -> Result<Option<String>, Failure> {
    let mut reader = OfflineReader::open(path)?;
    let (mut requests, mut damaged) = (0, 0);
    while let Some(item) = reader.next()? {
        match item {
            OfflineItem::Record(_) => requests += 1,
            OfflineItem::Fault(_) => damaged += 1,
        }
    }
    let is_as_told = requests == manifest.requests && damaged <= manifest.damaged_requests;
    Ok((!is_as_told).then(|| {
        format!(
            "it has {requests} intact and {damaged} damaged requests; its manifest says {} and {}",
            manifest.requests, manifest.damaged_requests
        )
    }))
}

impl Verified {
    fn fault(&mut self, manifest: &Manifest, problem: String) {
        self.faults.push((manifest.vault_id, manifest.segment, problem));
    }

    /// Each segment names the digest of the one before it.
    fn check_chains(&mut self, manifests: &[Manifest]) {
        for pair in manifests.windows(2) {
            let [before, after] = pair else { continue };
            let is_next = before.vault_id == after.vault_id && before.segment + 1 == after.segment;
            if is_next && after.chain.previous_digest != before.chain.digest {
                let problem = format!("it does not follow segment {}", before.segment);
                self.fault(after, problem);
            }
        }
    }

    /// Objects of which no manifest says anything.
    fn find_incomplete(
        &mut self,
        target: &ArchiveTarget,
        manifests: &[Manifest],
    ) -> Result<(), Failure> {
        let vaults: BTreeSet<u128> = manifests.iter().map(|manifest| manifest.vault_id).collect();
        for vault_id in vaults {
            let of_vault = manifests.iter().filter(|manifest| manifest.vault_id == vault_id);
            let known: BTreeSet<u64> = of_vault.map(|manifest| manifest.segment).collect();
            let archive = target.archive.clone();
            let found = target.begin(async move {
                archive.without_manifest(vault_id, |segment| known.contains(&segment)).await
            });
            self.incomplete
                .extend(found.recv().map_err(|_| panicked())?.map_err(|error| failure(&error))?);
        }
        Ok(())
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if !self.faults.is_empty() {
            let row = |(vault_id, segment, problem): &(u128, u64, String)| {
                vec![vault_id_text(*vault_id), segment.to_string(), problem.clone()]
            };
            let rows: Vec<Vec<String>> = self.faults.iter().map(row).collect();
            text = gophership_units::columns(&["vault", ">segment", "fault"], &rows);
            text.push('\n');
        }
        let verdict = match self.faults.len() as u64 {
            0 => "sound".to_owned(),
            faults => table::count(faults, "fault"),
        };
        // Writing to a string cannot fail.
        let _written = writeln!(
            text,
            "{verdict}: {} in {}, {} raw, {} read",
            table::count(self.requests, "request"),
            table::count(self.segments, "segment"),
            table::size(self.raw_bytes),
            table::size(self.object_bytes),
        );
        if !self.incomplete.is_empty() {
            let objects = table::count(self.incomplete.len() as u64, "object");
            let _written = writeln!(
                text,
                "{objects} without a manifest: the upload has not ended, or the manifest was deleted"
            );
        }
        text
    }

    fn document(&self, target: &ArchiveTarget) -> Value {
        let fault = |(vault_id, segment, problem): &(u128, u64, String)| json!({ "vault_id": vault_id_text(*vault_id), "segment": segment, "fault": problem });
        json!({
            "archive": target.archive.url(),
            "sound": self.faults.is_empty(),
            "segments": self.segments,
            "requests": self.requests,
            "raw_bytes": self.raw_bytes,
            "read_bytes": self.object_bytes,
            "faults": self.faults.iter().map(fault).collect::<Vec<_>>(),
            "without_manifest": self.incomplete,
        })
    }
}

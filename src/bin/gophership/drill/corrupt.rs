//! Flips a bit of a request that only the vault of a killed server has, and notes whose records it hits.

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;

use gophership_vault::OfflineItem;
use gophership_vault::OfflineReader;
use gophership_vault::RecordSelection;
use gophership_vault::SegmentSurvey;
use gophership_vault::Survey;
use gophership_vault::SurveyState;
use gophership_vault::VerifyOptions;

/// Directories below the data in which vaults are looked for.
const DEPTH_MAX: u32 = 4;

/// What was hit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) segment: u64,
    pub(super) offset: u64,
    /// The requests that `gophership vault verify` names as lost.
    pub(super) named: u64,
    /// Their records: client and number.
    pub(super) records: Vec<(u32, u32)>,
}

/// A stored request, where it stands, and its records.
struct Stored {
    seq: u64,
    offset: u64,
    records: Vec<(u32, u32)>,
}

/// Flips a bit in the middle of a request, in the middle of the backlog; no server may run.
pub(super) fn flip(data: &Path) -> Result<Hit, String> {
    let mut vaults = Vec::new();
    find_vaults(data, DEPTH_MAX, &mut vaults);
    let segments = vaults.iter().flat_map(|dir| {
        let survey = Survey::take(dir).map(|survey| survey.segments).unwrap_or_default();
        let is_fit = |segment: &SegmentSurvey| {
            segment.state == SurveyState::Sealed && !segment.is_delivered && 1 < segment.records
        };
        survey.into_iter().filter(is_fit).map(|segment| (dir.clone(), segment)).collect::<Vec<_>>()
    });
    let segments: Vec<(PathBuf, SegmentSurvey)> = segments.collect();
    let (dir, segment) = segments.get(segments.len() / 2).ok_or(
        "no sealed and undelivered segment of the vault can be corrupted at the kill: increase \
         --rate, or decrease `segment_size`",
    )?;
    let failed = |error: &dyn std::fmt::Display| {
        format!("cannot corrupt {}: {error}", segment.path.display())
    };
    let stored = read(dir, segment.id.get()).map_err(|error| failed(&error))?;
    let middle = stored.len() / 2;
    let (Some(before), Some(after)) = (stored.get(middle - 1), stored.get(middle)) else {
        return Err(failed(&"the segment has a single request"));
    };
    let offset = before.offset.midpoint(after.offset);
    let flipped = File::options().read(true).write(true).open(&segment.path).and_then(|file| {
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset)?;
        file.write_all_at(&[byte[0] ^ 1], offset)
    });
    flipped.map_err(|error| failed(&error))?;
    let options = VerifyOptions {
        jobs: NonZeroUsize::MIN,
        segment: Some(segment.id),
        read_bytes: std::sync::Arc::default(),
        throttle: gophership_vault::Throttle::default(),
        is_cancelled: std::sync::Arc::default(),
    };
    let verified = gophership_vault::verify(dir, &options).map_err(|error| failed(&error))?;
    let lost: Vec<(u64, u64)> = verified.findings.iter().filter_map(|found| found.lost).collect();
    let is_lost = |seq: u64| lost.iter().any(|(first, last)| (*first..=*last).contains(&seq));
    let records = stored.into_iter().filter(|stored| is_lost(stored.seq));
    Ok(Hit {
        segment: segment.id.get(),
        offset,
        named: lost.iter().map(|(first, last)| last - first + 1).sum(),
        records: records.flat_map(|stored| stored.records).collect(),
    })
}

fn find_vaults(dir: &Path, depth: u32, found: &mut Vec<PathBuf>) {
    if gophership_vault::is_vault(dir) {
        found.push(dir.to_path_buf());
        return;
    }
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries.filter(|_| depth > 0) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            find_vaults(&entry.path(), depth - 1, found);
        }
    }
}

/// Reads a segment's requests, in their order.
fn read(dir: &Path, segment: u64) -> Result<Vec<Stored>, gophership_vault::VaultError> {
    let selection =
        RecordSelection { segments: Some((segment, segment)), ..RecordSelection::default() };
    let mut reader = OfflineReader::open_selected(dir, &selection)?;
    let mut stored = Vec::new();
    while let Some(item) = reader.next()? {
        if let OfflineItem::Record(record) = item {
            let mut numbers = Vec::new();
            gophership_testbed::find(&record.payload, |found| {
                numbers.push((found.client, found.seq));
            });
            stored.push(Stored { seq: record.seq, offset: reader.place().1, records: numbers });
        }
    }
    Ok(stored)
}

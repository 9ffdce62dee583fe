//! Flipped bits, everywhere in a segment (B1) and in every segment of a vault (B7).

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::path::PathBuf;

use gophership_vault::Options;
use gophership_vault::Reader;
use gophership_vault::RecoveryReport;
use gophership_vault::Writer;
use gophership_vault::recover_on;
use gophership_vault_sim::SimFileSystem;

use super::bench;
use super::bench::Bench;
use super::oracle;
use super::oracle::CURSOR;
use super::oracle::Ids;
use super::parse;
use super::parse::Region;
use crate::suite::Run;
use crate::suite::Suite;

/// The suites of this file.
pub(super) fn suites() -> Vec<Suite> {
    vec![
        Suite {
            id: "B1",
            title: "one flipped bit in every byte of a sealed and an open segment: noticed, no wrong \
                    byte delivered, a body costs its record, anything else at most one",
            fast: 100_000,
            long: 900_000,
            run: flip_every_byte,
        },
        Suite {
            id: "B7",
            title: "660 flips, ten in each of 66 segments: exactly the requests are lost whose bodies or headers were hit",
            fast: 20,
            long: 1_000,
            run: flip_whole_vault,
        },
    ]
}

/// One segment of 256 KiB and what is in it.
pub(super) struct Specimen {
    pub(super) files: SimFileSystem,
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    pub(super) regions: Vec<(Range<usize>, Region)>,
    pub(super) sent: Vec<Vec<u8>>,
    pub(super) all: Ids,
    pub(super) is_sealed: bool,
}

impl Specimen {
    /// Fills a segment; an open one is left as a kill leaves it after a moment of rest.
    pub(super) fn new(is_sealed: bool, first_id: u64) -> Self {
        let files = SimFileSystem::default();
        let options = Options { segment_bytes: 256 << 10, ..bench::options() };
        let opened = Writer::open_on(&files.shared(), options);
        let bench = Bench::new(&files, opened.expect("a healthy disk opens").0);
        let mut sent = vec![Vec::new(); 128];
        let mut all = Ids::default();
        for group in 0..8 {
            let ids = first_id + group * 5..first_id + group * 5 + 5;
            for id in ids.clone() {
                let len = if id % 2 == 0 { 4000 + 37 * id } else { 9000 + 41 * id };
                let len = usize::try_from(len).expect("small");
                sent[usize::try_from(id).expect("small")] = bench::payload(id, len);
                all.insert(id);
            }
            let group: Vec<_> =
                ids.map(|id| (id, &sent[usize::try_from(id).expect("small")][..])).collect();
            assert_eq!(bench.append_all(&group).len(), group.len(), "a healthy disk takes all");
        }
        let path = bench.writer.log().segments()[0].path.clone();
        if is_sealed {
            bench.writer.close().expect("a healthy disk closes");
        } else {
            let has_watermark = || {
                let regions = parse::regions(&files.bytes_of(&path).unwrap_or_default());
                regions.iter().any(|(_, region)| *region == Region::Watermark)
            };
            assert!(bench::comes_true(has_watermark), "a watermark follows when idle");
        }
        let path = bench.writer.log().segments()[0].path.clone();
        assert_eq!(bench.writer.log().segments().len(), 1, "everything fits one segment");
        let files = files.after_kill();
        for (other, _) in files.paths() {
            if bench::has_extension(&other, "open") && other != path {
                files.take(&other);
            }
        }
        let bytes = files.bytes_of(&path).expect("the segment is there");
        let regions = parse::regions(&bytes);
        Self { files, path, bytes, regions, sent, all, is_sealed }
    }

    /// The regions a range of bytes touches.
    pub(super) fn touched(&self, range: &Range<usize>) -> Vec<Region> {
        let is_touched = |part: &Range<usize>| part.start < range.end && range.start < part.end;
        self.regions.iter().filter(|(part, _)| is_touched(part)).map(|(_, r)| *r).collect()
    }

    /// Recovers and reads a damaged copy: what is there, and whether the damage was noticed.
    pub(super) fn survivors(&self, files: &SimFileSystem) -> Result<(Ids, bool), String> {
        let recovered = recover_on(&files.shared(), &bench::dir());
        let (log, report) = recovered.map_err(|error| format!("does not recover: {error:?}"))?;
        let ids = oracle::read_all(&log, CURSOR, &self.sent)
            .map_err(|error| format!("{error}; {report:?} {:?}", files.paths()))?;
        let is_told = !report.faults.is_empty() || 0 < log.corrupt_records();
        // What costs no record has no number; the offline reader names it.
        let is_noticed = is_told || oracle::has_faults_offline(files)?;
        let is_loss_told = !report.acknowledged_lost.is_empty() || 0 < log.corrupt_records();
        if ids != self.all && !is_loss_told && !self.is_cut_short(&report) {
            let lost = self.all.without(ids).list();
            return Err(format!("{lost:?} are gone and nothing says so: {report:?}"));
        }
        Ok((ids, is_noticed))
    }

    /// The end is gone, and with it all that told what was acknowledged: then there is no number, and
    /// behind the last whole group of an open segment nothing at all.
    fn is_cut_short(&self, report: &RecoveryReport) -> bool {
        let told = self.all.0.count_ones().into();
        if self.is_sealed { !report.quarantined.is_empty() } else { report.next_seq <= told }
    }
}

fn flip_every_byte(run: &mut Run) {
    let wanted = usize::try_from(run.runs).unwrap_or(usize::MAX) / 2;
    for is_sealed in [true, false] {
        let specimen = Specimen::new(is_sealed, 1);
        let flips = flips(&specimen, wanted, run.seed);
        let (mut bodies, mut unseen) = (0_u64, 0_u64);
        for (at, bit) in flips {
            match flip(&specimen, at, bit) {
                Ok((is_body, is_noticed)) => {
                    bodies += u64::from(is_body);
                    unseen += u64::from(!is_noticed);
                }
                Err(what) => run.violation(
                    run.seed,
                    format!("sealed {is_sealed}, byte {at}, bit {bit}: {what}"),
                ),
            }
            run.done(1);
        }
        let kind = if is_sealed { "sealed" } else { "open" };
        run.note(format!("{kind}: {bodies} in bodies; {unseen} in the index, which costs nothing"));
    }
}

/// Headers and footers with all eight bits of every byte, and of bodies and padding every byte with one
/// bit, thinned to what is wanted.
fn flips(specimen: &Specimen, wanted: usize, seed: u64) -> Vec<(usize, u32)> {
    let mut flips = Vec::new();
    let mut others = Vec::new();
    for (range, region) in &specimen.regions {
        for at in range.clone() {
            match region {
                Region::Beyond => {}
                _ if specimen.bytes[at] == 0 || matches!(region, Region::Body(_)) => {
                    others.push((at, u32::try_from(at % 8).expect("small")));
                }
                _ => flips.extend((0..8).map(|bit| (at, bit))),
            }
        }
    }
    let step = others.len().div_ceil(wanted.saturating_sub(flips.len()).max(1)).max(1);
    let first = usize::try_from(seed).unwrap_or(0) % step;
    flips.extend(others.into_iter().skip(first).step_by(step));
    flips
}

/// Flips one bit; says whether it was a body's, and whether it was noticed.
fn flip(specimen: &Specimen, at: usize, bit: u32) -> Result<(bool, bool), String> {
    let files = specimen.files.fork();
    files.poke(&specimen.path, at as u64, &[specimen.bytes[at] ^ (1 << bit)]);
    let (ids, is_noticed) = specimen.survivors(&files)?;
    let lost = specimen.all.without(ids);
    let region = specimen.touched(&(at..at + 1))[0];
    // A damaged index only costs time: records are found without it.
    if !is_noticed && region != Region::Index {
        return Err(format!("{region:?}: not noticed"));
    }
    let count = lost.0.count_ones();
    let is_fair = match region {
        Region::Body(id) => count == 1 && lost.contains(id),
        Region::RecordHeader(id) => count == 0 || (count == 1 && lost.contains(id)),
        _ => count == 0,
    };
    if !is_fair {
        return Err(format!("{region:?}: lost {:?}", lost.list()));
    }
    Ok((matches!(region, Region::Body(_)), is_noticed))
}

const SEGMENTS: usize = 66;
const FLIPS_EACH: usize = 10;

fn flip_whole_vault(run: &mut Run) {
    let files = SimFileSystem::default();
    let options = Options { max_bytes: 16 << 20, ..bench::options() };
    let opened = Writer::open_on(&files.shared(), options);
    let bench = Bench::new(&files, opened.expect("a healthy disk opens").0);
    let mut sent = vec![Vec::new()];
    while bench.writer.log().segments().len() <= SEGMENTS {
        let id = sent.len() as u64;
        sent.push(bench::payload(id * 2, 1800));
        assert_eq!(bench.append_all(&[(id, &sent[sent.len() - 1])]).len(), 1);
    }
    bench.writer.close().expect("a healthy disk closes");
    let segments = bench.writer.log().segments();
    drop(bench);
    let mut lost_max = 0;
    for seed in run.seed..run.seed + run.runs {
        let mut random = fastrand::Rng::with_seed(seed);
        let bad = files.fork();
        let mut hit = Hit::default();
        for segment in &segments[..SEGMENTS] {
            hit.flip(&bad, &segment.path, &mut random);
        }
        match ids_left(&bad, &sent) {
            Ok(left) => {
                let lost: BTreeSet<u64> =
                    (1..sent.len() as u64).filter(|id| !left.contains(id)).collect();
                lost_max = lost_max.max(lost.len());
                if let Some(what) = hit.unexplained(&lost) {
                    run.violation(seed, what);
                }
            }
            Err(what) => run.violation(seed, what),
        }
        run.done(1);
    }
    run.note(format!("{} requests, at most {lost_max} lost by 660 flips", sent.len() - 1));
}

/// The requests that flips have hit.
#[derive(Default)]
struct Hit {
    bodies: BTreeSet<u64>,
    headers: BTreeSet<u64>,
}

impl Hit {
    /// Flips bits of a segment, and notes whose they are.
    fn flip(&mut self, files: &SimFileSystem, path: &Path, random: &mut fastrand::Rng) {
        let bytes = files.bytes_of(path).expect("is there");
        for _ in 0..FLIPS_EACH {
            let at = random.usize(..bytes.len());
            files.poke(path, at as u64, &[bytes[at] ^ (1 << random.u32(0..8))]);
        }
        let damaged = files.bytes_of(path).expect("is there");
        let is_hit = |range: &Range<usize>| bytes[range.clone()] != damaged[range.clone()];
        for (range, region) in parse::regions(&bytes) {
            match region {
                Region::Body(id) if is_hit(&range) => self.bodies.insert(id),
                Region::RecordHeader(id) if is_hit(&range) => self.headers.insert(id),
                _ => false,
            };
        }
    }

    /// What is lost without a hit of its own, or is there with a body that was hit.
    fn unexplained(&self, lost: &BTreeSet<u64>) -> Option<String> {
        let is_hit = |id: &&u64| self.bodies.contains(id) || self.headers.contains(id);
        let innocent: Vec<&u64> = lost.iter().filter(|id| !is_hit(id)).collect();
        let survived: Vec<&u64> = self.bodies.difference(lost).collect();
        if innocent.is_empty() && survived.is_empty() {
            return None;
        }
        Some(format!(
            "lost without a hit: {innocent:?}; hit in their bodies and there: {survived:?}"
        ))
    }
}

fn ids_left(files: &SimFileSystem, sent: &[Vec<u8>]) -> Result<BTreeSet<u64>, String> {
    let recovered = recover_on(&files.shared(), &bench::dir());
    let (log, report) = recovered.map_err(|error| format!("does not recover: {error:?}"))?;
    let mut reader = Reader::open(&log, CURSOR).map_err(|error| format!("{error:?}"))?;
    let mut left = BTreeSet::new();
    while let Some(record) = reader.next().map_err(|error| format!("{error:?}"))? {
        left.insert(oracle::check_record(&record, sent)?);
        reader.ack(record.seq);
    }
    // What recovery finds at the end of a segment is missed there, what a reader finds is counted there.
    let told = report.lost_records() + log.corrupt_records();
    let lost = sent.len() - 1 - left.len();
    if told < lost as u64 {
        return Err(format!("{lost} lost and only {told} of them are told"));
    }
    Ok(left)
}

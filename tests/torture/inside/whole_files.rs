//! Segments deleted, renamed, exchanged and copied (B5).

use std::collections::BTreeSet;
use std::path::PathBuf;

use gophership_vault::Reader;
use gophership_vault::SegmentInfo;
use gophership_vault::Writer;
use gophership_vault::recover_on;
use gophership_vault_sim::SimFileSystem;

use super::bench;
use super::bench::Bench;
use super::oracle;
use super::oracle::CURSOR;
use crate::suite::Run;
use crate::suite::Suite;

/// The suites of this file.
pub(super) fn suites() -> Vec<Suite> {
    vec![Suite {
        id: "B5",
        title: "segments deleted, renamed, exchanged, copied: it starts, holes are told with their exact \
                seqs, every other record is there",
        fast: 200,
        long: 2_000,
        run: shuffle,
    }]
}

fn shuffle(run: &mut Run) {
    for seed in run.seed..run.seed + run.runs {
        let mut random = fastrand::Rng::with_seed(seed);
        let (files, sent, segments) = vault(&mut random);
        let (what, gone) = damage(&files, &segments, &mut random);
        if let Err(error) = judge(&files, &sent, &segments, &gone) {
            run.violation(seed, format!("{what}: {error}"));
        }
        run.done(1);
    }
}

fn vault(random: &mut fastrand::Rng) -> (SimFileSystem, Vec<Vec<u8>>, Vec<SegmentInfo>) {
    let files = SimFileSystem::default();
    let opened = Writer::open_on(&files.shared(), bench::options());
    let bench = Bench::new(&files, opened.expect("a healthy disk opens").0);
    let mut sent = vec![Vec::new()];
    let wanted = random.usize(5..9);
    while bench.writer.log().segments().len() < wanted {
        let id = sent.len() as u64;
        sent.push(bench::payload(id * 2, random.usize(2000..9000)));
        assert_eq!(bench.append_all(&[(id, &sent[sent.len() - 1])]).len(), 1);
    }
    bench.writer.close().expect("a healthy disk closes");
    let segments = bench.writer.log().segments();
    (files.after_kill(), sent, segments)
}

fn numbered(number: u64) -> PathBuf {
    bench::dir().join(format!("seg-{number:020}.gsv"))
}

/// Does one thing; tells what, and the places of the segments that can no longer be read.
fn damage(
    files: &SimFileSystem,
    segments: &[SegmentInfo],
    random: &mut fastrand::Rng,
) -> (String, Vec<usize>) {
    // The newest has no successor that tells of it.
    let one = random.usize(..segments.len() - 1);
    let other = (one + 1 + random.usize(..segments.len() - 2)) % (segments.len() - 1);
    let path = &segments[one].path;
    let bytes = files.bytes_of(path).expect("is there");
    let beyond = segments[segments.len() - 1].id.get() + 10;
    match random.u32(0..4) {
        0 => {
            files.take(path);
            (format!("deleted {one}"), vec![one])
        }
        1 => {
            files.take(path);
            files.put(&numbered(beyond), &bytes);
            (format!("renamed {one}"), vec![one])
        }
        2 => {
            let theirs = files.bytes_of(&segments[other].path).expect("is there");
            files.put(path, &theirs);
            files.put(&segments[other].path, &bytes);
            (format!("exchanged {one} and {other}"), vec![one, other])
        }
        _ => {
            files.put(&numbered(beyond), &bytes);
            (format!("copied {one}"), Vec::new())
        }
    }
}

fn judge(
    files: &SimFileSystem,
    sent: &[Vec<u8>],
    segments: &[SegmentInfo],
    gone: &[usize],
) -> Result<(), String> {
    let recovered = recover_on(&files.shared(), &bench::dir());
    let (log, report) = recovered.map_err(|error| format!("does not recover: {error:?}"))?;
    let mut reader = Reader::open(&log, CURSOR).map_err(|error| format!("{error:?}"))?;
    let mut left = BTreeSet::new();
    while let Some(record) = reader.next().map_err(|error| format!("{error:?}"))? {
        oracle::check_record(&record, sent)?;
        if !left.insert(record.seq) {
            return Err(format!("seq {} came twice", record.seq));
        }
        reader.ack(record.seq);
    }
    let seqs = |idx: &usize| segments[*idx].first_seq..=segments[*idx].last_seq;
    let missing: BTreeSet<u64> = gone.iter().flat_map(seqs).collect();
    let expected: BTreeSet<u64> =
        (1..sent.len() as u64).filter(|seq| !missing.contains(seq)).collect();
    if left != expected {
        let lost: Vec<_> = expected.difference(&left).collect();
        let more: Vec<_> = left.difference(&expected).collect();
        return Err(format!("lost {lost:?}, more {more:?}; {report:?}"));
    }
    let told: BTreeSet<u64> =
        report.acknowledged_lost.iter().flat_map(|(first, last)| *first..=*last).collect();
    if told != missing {
        return Err(format!("{missing:?} are gone, told are {told:?}; {report:?}"));
    }
    Ok(())
}

//! The fuzz targets over their committed corpus, and over seeded mutations of it (F1 to F6).

use std::fs;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::path::Path;

use gophership_vault_sim::fuzzing;
use gophership_vault_sim::fuzzing::Specimen;

use crate::suite::Run;
use crate::suite::Suite;

/// The suites of this file.
pub(super) fn suites() -> Vec<Suite> {
    let suite = |id, title, fast, long, run| Suite { id, title, fast, long, run };
    vec![
        suite(
            "F1",
            "any bytes as a slot file: no payload longer than its slot",
            1_000_000,
            10_000_000,
            |run| {
                drive(run, "slot_file", &fuzzing::slot_file);
            },
        ),
        suite(
            "F2",
            "any bytes as a record header: what is believed is consistent",
            5_000_000,
            100_000_000,
            |run| {
                drive(run, "record_header", &fuzzing::record_header);
            },
        ),
        suite(
            "F3",
            "any bytes as header, index and trailer of a segment",
            1_000_000,
            30_000_000,
            |run| {
                drive(run, "footer", &fuzzing::footer);
            },
        ),
        suite("F4", "any bytes in a segment: no panic, no wrong byte", 20_000, 300_000, |run| {
            let specimen = Specimen::new();
            drive(run, "segment_reader", &|bytes| specimen.segment_reader(bytes));
        }),
        suite("F5", "any acts on a directory: no panic, no wrong byte", 10_000, 300_000, |run| {
            let specimen = Specimen::new();
            drive(run, "recovery_dir", &|bytes| specimen.recovery_dir(bytes));
        }),
        suite(
            "F6",
            "any bytes as an LZ4 body: no panic, bounded memory",
            3_000_000,
            30_000_000,
            |run| {
                drive(run, "lz4_record", &fuzzing::lz4_record);
            },
        ),
    ]
}

/// Longest input.
const BYTES_MAX: usize = 4096;

/// Gives a target its corpus, then mutations of it.
fn drive(run: &mut Run, target: &str, entry: &dyn Fn(&[u8])) {
    let corpus = corpus(target);
    let mut failed = 0;
    let mut give = |run: &mut Run, seed: u64, bytes: &[u8]| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| entry(bytes))) {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            let shown = &bytes[..bytes.len().min(128)];
            run.violation(seed, format!("{}: {shown:02x?}", text.unwrap_or_default()));
            failed += 1;
        }
        run.done(1);
    };
    if corpus.is_empty() {
        run.violation(run.seed, format!("fuzz/corpus/{target} has no file"));
    }
    for bytes in &corpus {
        give(run, 0, bytes);
    }
    for seed in run.seed..run.seed + run.runs {
        let bytes = mutation(seed, &corpus);
        give(run, seed, &bytes);
    }
    run.note(format!("{} files of corpus", corpus.len()));
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| fs::read(path).ok()).collect()
}

/// Bytes made of a file of the corpus, or of nothing.
fn mutation(seed: u64, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = match random.choice(corpus) {
        Some(bytes) if random.u8(0..4) != 0 => bytes.clone(),
        _ => (0..random.usize(0..200)).map(|_| random.u8(..)).collect(),
    };
    for _ in 0..random.u32(1..6) {
        let at = random.usize(0..=bytes.len());
        match random.u8(0..6) {
            0 => bytes.insert(at, random.u8(..)),
            1 => bytes.truncate(at),
            2 => bytes.extend((0..random.usize(0..64)).map(|_| random.u8(..))),
            3 => {
                let end = random.usize(at..=bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = *random.choice(&[0, 1, 0x7f, 0x80, 0xff, *byte ^ 1]).unwrap_or(&0);
                }
            }
        }
    }
    bytes.truncate(BYTES_MAX);
    bytes
}

//! Segments that end in a torn tail: sealed, sound, and gone when nobody needs them.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use gophership_vault::FaultKind;
use gophership_vault::Options;
use gophership_vault::Reader;
use gophership_vault::SegmentState;
use gophership_vault::SystemFileSystem;
use gophership_vault::Throttle;
use gophership_vault::VerifyOptions;
use gophership_vault::fs::FileSystem;
use gophership_vault::recover_on;
use gophership_vault::verify;
use gophership_vault_sim::SimFileSystem;

use super::Bench;
use super::payload;
use super::sim_dir;
use super::sim_options;
use super::small_options;
use super::wait_until;

/// A segment far larger than any group, as it is by default.
fn large_segments() -> Options {
    Options { segment_bytes: 8 << 20, max_bytes: 64 << 20, ..sim_options() }
}

/// Kills a vault with three good records, and leaves half of a group behind them.
fn torn(options: Options, garbage_from: u64) -> SimFileSystem {
    let files = SimFileSystem::default();
    let (bench, _) = Bench::open_sim(&files, options);
    for id in 1..=3 {
        bench.append(id, &payload(id, 3000)).expect("is stored");
    }
    let left = files.after_kill();
    let segment = bench.writer.log().segments()[0].clone();
    left.poke(&segment.path, segment.data_end + garbage_from, &[7; 9000]);
    left
}

fn names_in(files: &SimFileSystem, folder: &Path) -> Vec<String> {
    let inside = files.paths().into_iter().filter(|(path, _)| path.parent() == Some(folder));
    inside
        .map(|(path, _)| path.file_name().expect("has a name").to_string_lossy().into_owned())
        .collect()
}

/// Scenario: after a crash the last segment, of which little is used, ends in half a group.
/// Guarantees: it is sealed and no damage; what was torn is kept as long as the segment; both go when
/// every cursor has passed it.
#[test]
fn a_torn_segment_goes_as_any_other() {
    let files = torn(large_segments(), 0);
    let (bench, report) = Bench::open_sim(&files, large_segments());
    assert_eq!((report.torn_tails, report.quarantined.len()), (1, 0), "{report:?}");
    let log = bench.writer.log();
    let segment = log.segments()[0].clone();
    assert_eq!(segment.state, SegmentState::Sealed);
    let aside = sim_dir().join("quarantine");
    let tail = files.bytes_of(&aside.join(&names_in(&files, &aside)[0])).expect("is kept");
    assert_eq!(tail.len(), 3 * 4096, "no more than was used");
    assert_eq!(&tail[..9000], &[7; 9000]);

    bench.append(4, &payload(4, 3000)).expect("is stored");
    let mut reader = Reader::open(&log, "test").expect("opens");
    while let Some(record) = reader.next().expect("reads") {
        reader.ack(record.seq);
    }
    reader.save().expect("saves");
    wait_until("it is deleted", || log.segments().iter().all(|it| it.id != segment.id));
    wait_until("its tail too", || names_in(&files, &aside).is_empty());
    // The file of a new cursor is counted at the next start.
    wait_until("both are free", || log.used_bytes() + 2 * 4096 == files.used_bytes());
}

/// Scenario: the tail is torn inside of the block in which the last good record ends.
/// Guarantees: verification finds nothing wrong with what recovery sealed.
#[test]
fn a_segment_torn_inside_a_block_is_sound_when_it_is_sealed() {
    let dir = tempfile::tempdir().expect("makes a directory");
    let options = small_options(&dir.path().join("vault"));
    let (bench, _) = Bench::open(options.clone());
    bench.append(1, &payload(1, 3000)).expect("is stored");
    for id in 2..=40 {
        while !bench.offer(id, &payload(id, 3000)) {}
    }
    for _ in 2..=40 {
        bench.answer().1.expect("is stored");
    }
    drop(bench);
    // Unsealed again, and cut in the middle of a record of a group that was never acknowledged.
    let files: Arc<dyn FileSystem> = Arc::new(SystemFileSystem);
    let sealed =
        std::fs::read_dir(&options.dir).expect("lists").map(|entry| entry.expect("lists").path());
    let mut sealed: Vec<_> =
        sealed.filter(|path| path.extension().is_some_and(|it| it == "gsv")).collect();
    sealed.sort();
    let last = sealed.last().expect("one is sealed");
    let bytes = std::fs::read(last).expect("reads");
    let headers: Vec<usize> = (4096..bytes.len() - 4)
        .filter(|at| at % 8 == 0 && bytes[*at..].starts_with(b"GSR1"))
        .collect();
    let in_a_block =
        headers.iter().rfind(|at| **at % 4096 != 0).expect("one begins inside a block");
    let mut torn = bytes.clone();
    torn[in_a_block + 64 + 100..].fill(0);
    torn.resize(64 << 10, 0);
    std::fs::write(last.with_extension("open"), torn).expect("writes");
    std::fs::remove_file(last).expect("removes");

    let (_, report) = recover_on(&files, &options.dir).expect("recovers");
    let kinds: Vec<FaultKind> = report.faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(kinds, [FaultKind::TornTail], "{report:?}");
    let whole = VerifyOptions {
        jobs: NonZeroUsize::MIN,
        segment: None,
        read_bytes: Arc::default(),
        throttle: Throttle::default(),
        is_cancelled: Arc::default(),
    };
    let verified = verify(&options.dir, &whole).expect("verifies");
    assert!(verified.findings.is_empty(), "{verified:?}");
}

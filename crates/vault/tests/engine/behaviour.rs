//! What a vault does when nothing goes wrong.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use gophership_vault::Durability;
use gophership_vault::OfflineItem;
use gophership_vault::OfflineReader;
use gophership_vault::Options;
use gophership_vault::Reader;
use gophership_vault::RecordCompression;
use gophership_vault::RefusalReason;
use gophership_vault::SegmentState;
use gophership_vault::VaultError;
use gophership_vault::Writer;
use gophership_vault_sim::SimFileSystem;

use super::Bench;
use super::attrs;
use super::check_identical;
use super::payload;
use super::read_all;
use super::sim_options;
use super::small_options;
use super::wait_until;

/// A directory on the disk and one in memory: direct I/O has rules on the first only.
fn with_each_file_system(test: impl Fn(&Path)) {
    test(tempfile::tempdir().expect("makes a directory").path());
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        test(tempfile::tempdir_in(memory).expect("makes a directory").path());
    }
}

#[test]
fn records_of_every_size_come_back_bit_identical() {
    with_each_file_system(|dir| {
        for durability in [Durability::Memory, Durability::Written, Durability::Synced] {
            for compression in [RecordCompression::None, RecordCompression::Lz4] {
                let dir = dir.join(format!("{durability:?}-{compression:?}"));
                let options = Options { durability, compression, ..small_options(&dir) };
                let (bench, _) = Bench::open(options);
                let sizes = [0, 1, 63, 4032, 4096, 60_000, 70_000, 1 << 20, (1 << 20) + 1, 5 << 20];
                let mut appended = BTreeMap::new();
                for (size, id) in sizes.iter().chain(&sizes).zip(1..) {
                    let payload = payload(id, *size);
                    bench.append(id, &payload).expect("is stored");
                    appended.insert(id, payload);
                }
                bench.writer.close().expect("closes");
                let records = read_all(&bench.writer.log(), "test");
                check_identical(&records, &appended);
                assert_eq!(records.len(), appended.len());
            }
        }
    });
}

#[test]
fn eight_threads_append_and_a_reader_follows() {
    let dir = tempfile::tempdir().expect("makes a directory");
    let (bench, _) = Bench::open(small_options(dir.path()));
    let appended: BTreeMap<_, _> =
        (1..=800).map(|id| (id, payload(id, usize::try_from(id * 7).expect("small")))).collect();
    let log = bench.writer.log();
    let records = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reader = Reader::open(&log, "test").expect("opens");
            let mut records = Vec::new();
            while records.len() < 800 {
                match reader.next().expect("reads") {
                    Some(record) => {
                        reader.ack(record.seq);
                        records.push(record);
                    }
                    None => drop(reader.wait(Duration::from_secs(1))),
                }
            }
            records
        });
        for thread in 0..8 {
            let (writer, to, appended) = (&bench.writer, bench.to.clone(), &appended);
            scope.spawn(move || {
                for id in (1..=800).filter(|id| id % 8 == thread) {
                    let attrs = attrs(id);
                    let payload = &appended[&id];
                    let record = gophership_vault::NewRecord {
                        signal: 2,
                        received_unix_ns: id,
                        attrs: &attrs,
                        payload,
                    };
                    let mut done = super::Answer { id, to: to.clone() };
                    while let Err(refused) = writer.try_append(record, done) {
                        assert_eq!(refused.reason, RefusalReason::StagingFull);
                        done = refused.done;
                        std::thread::yield_now();
                    }
                }
            });
        }
        reader.join().expect("reads everything")
    });
    for _ in 0..800 {
        bench.answer().1.expect("is stored");
    }
    check_identical(&records, &appended);
    assert_eq!(records.len(), 800);
    assert!(2 < bench.writer.stats().segments);
}

#[test]
fn a_clean_restart_reads_only_footers_and_goes_on_numbering() {
    with_each_file_system(|dir| {
        let dir = dir.join("vault");
        let mut appended = BTreeMap::new();
        for round in 0..4 {
            let (bench, report) = Bench::open(small_options(&dir));
            assert_eq!(report.scanned_segments, 0);
            assert_eq!(report.next_seq, round * 50 + 1);
            assert!(report.faults.is_empty() && report.quarantined.is_empty());
            for id in round * 50 + 1..=round * 50 + 50 {
                let payload = payload(id, 3000);
                assert_eq!(bench.append(id, &payload).expect("is stored").seq, id);
                appended.insert(id, payload);
            }
            bench.writer.close().expect("closes");
        }
        let (bench, _) = Bench::open(small_options(&dir));
        let sealed = |info: &gophership_vault::SegmentInfo| info.state == SegmentState::Sealed;
        assert!(bench.writer.log().segments().iter().all(sealed));
        let records = read_all(&bench.writer.log(), "test");
        check_identical(&records, &appended);
        assert_eq!(records.len(), 200);
    });
}

#[test]
fn a_segment_is_sealed_at_its_age() {
    let dir = tempfile::tempdir().expect("makes a directory");
    let segment_age_max = Duration::from_millis(50);
    let (bench, _) = Bench::open(Options { segment_age_max, ..small_options(dir.path()) });
    bench.append(1, b"one").expect("is stored");
    let log = bench.writer.log();
    wait_until("sealed by age", || log.segments()[0].state == SegmentState::Sealed);
    bench.append(2, b"two").expect("is stored");
    assert_eq!(log.segments().len(), 2);
}

#[test]
fn retention_waits_for_every_saved_cursor() {
    let dir = tempfile::tempdir().expect("makes a directory");
    let (bench, _) = Bench::open(small_options(dir.path()));
    for id in 1..=100 {
        bench.append(id, &payload(id, 4000)).expect("is stored");
    }
    let log = bench.writer.log();
    wait_until("sealing is done", || {
        log.segments().iter().rev().skip(1).all(|info| info.state == SegmentState::Sealed)
    });
    assert_eq!(log.prune().expect("prunes"), 0, "without a cursor nothing is deleted");
    let mut slow = Reader::open(&log, "slow").expect("opens");
    let mut fast = Reader::open(&log, "fast").expect("opens");
    while let Some(record) = fast.next().expect("reads") {
        fast.ack(record.seq);
    }
    fast.save().expect("saves");
    assert_eq!(log.prune().expect("prunes"), 0, "the slow cursor holds everything");
    assert_eq!(slow.backlog().records, 100);
    let handle = slow.handle();
    while let Some(record) = slow.next().expect("reads") {
        handle.ack(record.seq);
    }
    assert_eq!(log.prune().expect("prunes"), 0, "acknowledged is not yet saved");
    slow.save().expect("saves");
    let used_bytes = log.used_bytes();
    assert!(0 < log.prune().expect("prunes"));
    assert!(log.used_bytes() < used_bytes);
    assert_eq!(slow.backlog().records, 0);
    drop((slow, fast));
    bench.writer.close().expect("closes");
    let (bench, report) = Bench::open(small_options(dir.path()));
    assert!(report.acknowledged_lost.is_empty() && report.faults.is_empty(), "{report:?}");
    assert_eq!(bench.append(101, b"x").expect("is stored").seq, 101);
}

#[test]
fn the_oldest_waiting_record_lies_in_the_time_of_its_segment() {
    let dir = tempfile::tempdir().expect("makes a directory");
    let (bench, _) = Bench::open(small_options(dir.path()));
    let log = bench.writer.log();
    assert_eq!(log.oldest_waiting(u64::MAX), None, "nobody waits");
    let mut reader = Reader::open(&log, "test").expect("opens");
    assert_eq!(log.oldest_waiting(u64::MAX), None, "there is nothing");
    for id in 1..=10 {
        bench.append(id, &payload(id, 10)).expect("is stored");
    }
    let created = log.segments()[0].created_unix_ns;
    assert_eq!(log.oldest_waiting(created + 1000), Some(created));
    for _ in 0..5 {
        let record = reader.next().expect("reads").expect("is there");
        reader.ack(record.seq);
    }
    assert_eq!(log.oldest_waiting(created + 1000), Some(created + 500), "half of them are gone");
    while let Some(record) = reader.next().expect("reads") {
        reader.ack(record.seq);
    }
    assert_eq!(log.oldest_waiting(created + 1000), None);
}

#[test]
fn only_unacknowledged_records_come_again() {
    let dir = tempfile::tempdir().expect("makes a directory");
    let (bench, _) = Bench::open(small_options(dir.path()));
    for id in 1..=60 {
        bench.append(id, &payload(id, 2000)).expect("is stored");
    }
    let mut reader = Reader::open(&bench.writer.log(), "test").expect("opens");
    while let Some(record) = reader.next().expect("reads") {
        if !record.seq.is_multiple_of(10) {
            reader.ack(record.seq);
        }
    }
    assert_eq!(reader.backlog().records, 6);
    reader.save().expect("saves");
    assert!(matches!(
        Reader::open(&bench.writer.log(), "test"),
        Err(VaultError::CursorInUse { .. })
    ));
    drop(reader);
    drop(bench);
    let (bench, _) = Bench::open(small_options(dir.path()));
    let seqs: Vec<_> = read_all(&bench.writer.log(), "test").iter().map(|r| r.seq).collect();
    assert_eq!(seqs, [10, 20, 30, 40, 50, 60]);
}

#[test]
fn a_reader_waits_for_acknowledgements_but_not_for_every_single_one() {
    let dir = tempfile::tempdir().expect("makes a directory");
    let durability = Durability::Written;
    let (bench, _) = Bench::open(Options { durability, ..small_options(dir.path()) });
    for id in 1..=4200 {
        while !bench.offer(id, b"x") {
            std::thread::yield_now();
        }
    }
    for _ in 1..=4200 {
        bench.answer().1.expect("is stored");
    }
    let mut reader = Reader::open(&bench.writer.log(), "test").expect("opens");
    let mut count = 0;
    while reader.next().expect("reads").is_some() {
        count += 1;
    }
    assert_eq!(count, 4096);
    reader.ack(2);
    assert_eq!(reader.next().expect("reads").expect("one more").seq, 4097);
    assert!(reader.next().expect("reads").is_none());
    // The first one stays; the others pass it.
    (3..=4097).for_each(|seq| reader.ack(seq));
    for seq in 4098..=4200 {
        assert_eq!(reader.next().expect("reads").expect("goes on").seq, seq);
        reader.ack(seq);
    }
    reader.save().expect("saves");
    drop(reader);
    let mut reader = Reader::open(&bench.writer.log(), "test").expect("opens");
    assert_eq!(reader.next().expect("reads").expect("was never acknowledged").seq, 1);
    assert!(reader.next().expect("reads").is_none());
}

#[test]
fn a_second_writer_is_refused_and_bad_options_are_named() {
    let dir = tempfile::tempdir().expect("makes a directory");
    let (bench, _) = Bench::open(small_options(dir.path()));
    let second = Writer::<super::Answer>::open(small_options(dir.path()));
    assert!(matches!(second.map(|_| ()), Err(VaultError::Locked { .. })));
    drop(bench);
    let tiny = Options { max_bytes: 1 << 20, ..Options::new(dir.path()) };
    let refused = Writer::<super::Answer>::open(tiny).map(|_| ()).expect_err("is refused");
    assert!(refused.to_string().contains("max_bytes is 1048576"), "{refused}");
}

#[test]
fn what_can_never_fit_is_refused_for_good_and_a_closed_vault_says_so() {
    let dir = tempfile::tempdir().expect("makes a directory");
    let (bench, _) = Bench::open(small_options(dir.path()));
    let (to, _answers) = std::sync::mpsc::channel();
    let payload = vec![0; (8 << 20) + 1];
    let record = gophership_vault::NewRecord {
        signal: 1,
        received_unix_ns: 0,
        attrs: &[],
        payload: &payload,
    };
    let refused = bench.writer.try_append(record, super::Answer { id: 1, to: to.clone() });
    assert!(!refused.expect_err("is refused").is_retryable());
    bench.writer.close().expect("closes");
    let record = gophership_vault::NewRecord { payload: b"x", ..record };
    let refused = bench.writer.try_append(record, super::Answer { id: 1, to });
    assert_eq!(refused.expect_err("is refused").reason, RefusalReason::Closed);
    assert!(!bench.writer.has_room());
}

#[test]
fn the_offline_reader_sees_the_same_records() {
    let dir = tempfile::tempdir().expect("makes a directory");
    let (bench, _) = Bench::open(small_options(dir.path()));
    let mut appended = BTreeMap::new();
    for id in 1..=100 {
        let payload = payload(id, 3000);
        bench.append(id, &payload).expect("is stored");
        appended.insert(id, payload);
    }
    // Once on the living vault, once on the closed one.
    for _ in 0..2 {
        let mut offline = OfflineReader::open(dir.path()).expect("opens");
        let mut records = Vec::new();
        while let Some(item) = offline.next().expect("reads") {
            match item {
                OfflineItem::Record(record) => records.push(record),
                OfflineItem::Fault(fault) => panic!("unexpected {fault:?}"),
            }
        }
        check_identical(&records, &appended);
        assert_eq!(records.len(), 100);
        bench.writer.close().expect("closes");
    }
}

/// Scenario: a cursor is saved again and again while nobody acknowledges anything.
/// Guarantees: the disk is left alone until there is something new.
#[test]
fn a_cursor_at_rest_writes_nothing() {
    let files = SimFileSystem::default();
    let (bench, _) = Bench::open_sim(&files, sim_options());
    bench.append(1, b"one").expect("is stored");
    let mut reader = Reader::open(&bench.writer.log(), "test").expect("opens");
    let record = reader.next().expect("reads").expect("is there");
    bench.writer.close().expect("closes");
    let calls = files.calls();
    reader.save().expect("saves");
    assert_eq!(files.calls(), calls, "nothing is new");
    reader.ack(record.seq);
    reader.save().expect("saves");
    assert!(calls < files.calls());
}

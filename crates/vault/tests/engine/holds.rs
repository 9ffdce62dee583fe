//! Holds against everything that deletes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;

use gophership_vault::DroppedRecord;
use gophership_vault::Hold;
use gophership_vault::Log;
use gophership_vault::Options;
use gophership_vault::Reader;
use gophership_vault::SegmentState;
use gophership_vault::WhenFull;
use gophership_vault::place_hold;
use gophership_vault::release_hold;

use super::Bench;
use super::payload;
use super::small_options;
use super::wait_until;

fn hold(segments: Option<(u64, u64)>) -> Hold {
    Hold::new("incident", segments)
}

fn ids(log: &Log) -> BTreeSet<u64> {
    log.segments().iter().map(|info| info.id.get()).collect()
}

#[test]
fn retention_leaves_held_segments_until_they_are_released() {
    let dir = tempfile::tempdir().expect("makes a directory");
    let (bench, _) = Bench::open(small_options(dir.path()));
    for id in 1..=100 {
        bench.append(id, &payload(id, 4000)).expect("is stored");
    }
    let log = bench.writer.log();
    wait_until("sealing is done", || {
        log.segments().iter().rev().skip(1).all(|info| info.state == SegmentState::Sealed)
    });
    let (first, newest) = (log.segments()[0].id.get(), log.segments().len() as u64);
    place_hold(dir.path(), &hold(Some((first + 1, first + 2)))).expect("places");
    let mut reader = Reader::open(&log, "test").expect("opens");
    while let Some(record) = reader.next().expect("reads") {
        reader.ack(record.seq);
    }
    reader.save().expect("saves");
    wait_until("what is not held is deleted", || {
        log.prune().expect("prunes");
        ids(&log).len() == 3
    });
    assert!(ids(&log).is_superset(&[first + 1, first + 2].into()), "{:?}", ids(&log));
    assert_eq!(log.prune().expect("prunes"), 0);
    assert_eq!(release_hold(dir.path(), "incident").expect("releases"), 1);
    wait_until("what was held is deleted", || {
        log.prune().expect("prunes");
        ids(&log).len() == 1
    });
    assert!(3 < newest, "there was something to delete");
}

#[test]
fn a_folder_of_holds_that_cannot_be_read_stops_deletion() {
    let dir = tempfile::tempdir().expect("makes a directory");
    let (bench, _) = Bench::open(small_options(dir.path()));
    // A file where the folder should be.
    std::fs::write(dir.path().join("holds"), b"").expect("writes");
    let log = bench.writer.log();
    let mut reader = Reader::open(&log, "test").expect("opens");
    for id in 1..=60 {
        bench.append(id, &payload(id, 4000)).expect("is stored");
    }
    while let Some(record) = reader.next().expect("reads") {
        reader.ack(record.seq);
    }
    reader.save().expect("saves");
    wait_until("there is something to delete", || log.prune().is_err());
    assert!(1 < ids(&log).len());
    std::fs::remove_file(dir.path().join("holds")).expect("removes");
    wait_until("it is deleted", || log.prune().is_ok() && ids(&log).len() <= 2);
}

#[test]
fn dropping_the_oldest_passes_over_what_is_held() {
    let dir = tempfile::tempdir().expect("makes a directory");
    let options = Options {
        when_full: WhenFull::DropOldest,
        max_bytes: 512 << 10,
        record_bytes_max: 128 << 10,
        staging_bytes: 256 << 10,
        ..small_options(dir.path())
    };
    let (bench, _) = Bench::open(options);
    bench.append(2, &payload(2, 4000)).expect("is stored");
    let log = bench.writer.log();
    let first = log.segments()[0].id.get();
    place_hold(dir.path(), &hold(Some((first, first)))).expect("places");
    for id in 2..=200 {
        bench.append(id * 2, &payload(id * 2, 4000)).expect("is stored, always");
    }
    assert!(0 < bench.writer.stats().dropped_records);
    let left = ids(&log);
    assert!(left.contains(&first) && !left.contains(&(first + 1)), "{left:?}");
}

#[test]
fn an_operator_drops_a_segment_that_is_neither_held_nor_pinned() {
    let dir = tempfile::tempdir().expect("makes a directory");
    let (bench, _) = Bench::open(small_options(dir.path()));
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    bench.writer.observe_drops(Arc::new(move |record: &DroppedRecord<'_>| {
        sink.lock().unwrap().push(record.seq);
    }));
    for id in 1..=60 {
        bench.append(id, &payload(id, 4000)).expect("is stored");
    }
    let log = bench.writer.log();
    wait_until("sealing is done", || 2 < log.discardable().len());
    let victim = log.discardable()[1].clone();
    let first = victim.first_seq;
    let discard = || log.discard(victim.id, |_| vec![(first, first + 1)]).expect("works");
    let pin = log.pin(victim.id, victim.id);
    assert!(discard().is_none(), "it is being read");
    drop(pin);
    place_hold(dir.path(), &hold(None)).expect("places");
    assert!(discard().is_none(), "it is held");
    release_hold(dir.path(), "incident").expect("releases");
    assert_eq!(discard().expect("is dropped").id, victim.id);
    assert!(discard().is_none(), "it is gone");
    assert!(!ids(&log).contains(&victim.id.get()));
    assert_eq!(*told.lock().unwrap(), [first, first + 1]);
    assert_eq!(bench.writer.stats().dropped_records, 2);
}

//! Damage: flipped bytes, cut files, zeroed and swapped blocks, broken cursors.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gophership_vault::Reader;
use gophership_vault::Throttle;
use gophership_vault_sim::SimFileSystem;

use super::Bench;
use super::check_identical;
use super::payload;
use super::read_all;
use super::recover_and_read;
use super::sim_dir;
use super::sim_options;

type Contents = BTreeMap<PathBuf, Vec<u8>>;

const RECORDS: u64 = 6;

/// A small vault with one segment, sealed or as a crash leaves it, and what was appended.
fn vault(is_sealed: bool) -> (Contents, PathBuf, BTreeMap<u64, Vec<u8>>) {
    let files = SimFileSystem::default();
    let (bench, _) = Bench::open_sim(&files, sim_options());
    let mut appended = BTreeMap::new();
    for group in 0..RECORDS / 3 {
        let ids = group * 3 + 1..=group * 3 + 3;
        for id in ids.clone() {
            let bytes = payload(id, 2500);
            assert!(bench.offer(id, &bytes));
            appended.insert(id, bytes);
        }
        for _ in ids {
            bench.answer().1.expect("is stored");
        }
    }
    if is_sealed {
        bench.writer.close().expect("closes");
    } else {
        files.cut_power();
    }
    drop(bench);
    let mut contents = files.after_power_cut(0).contents();
    let name = if is_sealed { "gsv" } else { "open" };
    let is_it = |path: &PathBuf| path.extension().is_some_and(|extension| extension == name);
    let target = contents.keys().find(|path| is_it(path)).expect("one segment").clone();
    // Spares only cost time here.
    contents.retain(|path, _| path.extension().is_none_or(|e| e != "open") || *path == target);
    (contents, target, appended)
}

/// Opens, reads everything and returns the number of records; nothing may be wrong or invented.
fn survivors(contents: &Contents, appended: &BTreeMap<u64, Vec<u8>>) -> (u64, bool) {
    let files = SimFileSystem::with_contents(contents);
    let (records, is_noticed) = recover_and_read(&files);
    check_identical(&records, appended);
    (records.len() as u64, is_noticed)
}

fn data_end(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn flip_every_byte(is_sealed: bool) {
    let (contents, target, appended) = vault(is_sealed);
    let end = data_end(&contents[&target]).next_multiple_of(4096);
    for at in 0..end {
        let mut bad = contents.clone();
        let bytes = bad.get_mut(&target).expect("is there");
        bytes[at] ^= 1 << (at % 8);
        let (count, is_noticed) = survivors(&bad, &appended);
        // The last group of an open segment was acknowledged, but nothing on disk says so yet.
        assert!(RECORDS <= count + 1, "byte {at}: {count} of {RECORDS}");
        assert!(is_noticed || count == RECORDS, "byte {at}: loss unnoticed");
    }
}

#[test]
fn a_flipped_byte_of_a_sealed_segment_costs_at_most_one_record() {
    flip_every_byte(true);
}

#[test]
fn a_flipped_byte_of_an_open_segment_costs_at_most_one_record() {
    flip_every_byte(false);
}

#[test]
fn a_truncated_segment_keeps_its_prefix() {
    for is_sealed in [true, false] {
        let (contents, target, appended) = vault(is_sealed);
        let end = data_end(&contents[&target]);
        let mut last_count = 0;
        for len in (0..=end).step_by(101) {
            let mut bad = contents.clone();
            bad.get_mut(&target).expect("is there").truncate(len);
            let (count, _) = survivors(&bad, &appended);
            assert!(last_count <= count, "a longer file keeps no less: {len}");
            last_count = count;
        }
        assert!(RECORDS <= last_count + 3);
    }
}

#[test]
fn zeroed_and_swapped_blocks_cost_only_their_own_records() {
    for is_sealed in [true, false] {
        let (contents, target, appended) = vault(is_sealed);
        let blocks = data_end(&contents[&target]).div_ceil(4096);
        for block in 0..blocks {
            let mut bad = contents.clone();
            bad.get_mut(&target).expect("is there")[block * 4096..][..4096].fill(0);
            let (count, _) = survivors(&bad, &appended);
            assert!(RECORDS <= count + 3, "zeroed block {block}: {count}");
            for other in 0..block {
                let mut bad = contents.clone();
                let bytes = bad.get_mut(&target).expect("is there");
                let (left, right) = bytes.split_at_mut(block * 4096);
                left[other * 4096..][..4096].swap_with_slice(&mut right[..4096]);
                let (count, _) = survivors(&bad, &appended);
                assert!(RECORDS <= count + 6, "swapped {other} and {block}: {count}");
            }
        }
    }
}

/// Scenario: a sealed segment loses its footer and the body of its last record.
/// Guarantees: what had its final name was acknowledged; the record is told lost, not taken for a torn
/// tail.
#[test]
fn a_sealed_segment_has_no_torn_tail() {
    let (mut contents, target, appended) = vault(true);
    let bytes = contents.get_mut(&target).expect("is there");
    let trailer = bytes.len() - 4096;
    bytes[trailer..].fill(0);
    let last = bytes.windows(4).rposition(|word| word == b"GSR1").expect("has records");
    bytes[last + 80] ^= 1;
    let files = SimFileSystem::with_contents(&contents);
    let (log, report) =
        gophership_vault::recover_on(&files.shared(), &sim_dir()).expect("recovers");
    assert_eq!(report.acknowledged_lost, [(RECORDS, RECORDS)], "{report:?}");
    assert_eq!((report.torn_tails, report.quarantined.len()), (0, 1), "{report:?}");
    let records = read_all(&log, "test");
    check_identical(&records, &appended);
    assert_eq!(records.len() as u64, RECORDS - 1);
}

#[test]
fn a_segment_under_another_number_is_not_believed() {
    let (contents, target, appended) = vault(true);
    let mut bad = contents.clone();
    let bytes = bad[&target].clone();
    bad.insert(sim_dir().join("seg-00000000000000000900.gsv"), bytes);
    let (count, is_noticed) = survivors(&bad, &appended);
    assert_eq!((count, is_noticed), (RECORDS, true));
}

#[test]
fn a_missing_segment_is_reported_with_its_records() {
    let files = SimFileSystem::default();
    let (bench, _) = Bench::open_sim(&files, sim_options());
    let mut appended = BTreeMap::new();
    for id in 1..=60 {
        let bytes = payload(id * 2, 5000);
        bench.append(id * 2, &bytes).expect("is stored");
        appended.insert(id * 2, bytes);
    }
    bench.writer.close().expect("closes");
    let segments = bench.writer.log().segments();
    drop(bench);
    let gone = &segments[2];
    let mut contents = files.contents();
    contents.remove(&gone.path);
    let files = SimFileSystem::with_contents(&contents);
    let (bench, report) = Bench::open_sim(&files, sim_options());
    assert_eq!(report.acknowledged_lost, [(gone.first_seq, gone.last_seq)]);
    let records = read_all(&bench.writer.log(), "test");
    check_identical(&records, &appended);
    assert_eq!(records.len() as u64, 60 - gone.records);
    assert_eq!(bench.writer.log().backlog().records, 0);
}

/// Scenario: the header of the only segment is gone, and its first records with it.
/// Guarantees: they are told as lost, although nothing on disk names the first seq any more.
#[test]
fn records_lost_together_with_the_header_of_their_segment_are_told() {
    let files = SimFileSystem::default();
    let (bench, _) = Bench::open_sim(&files, sim_options());
    for id in 1..=6 {
        bench.append(id, &payload(id * 2, 5000)).expect("is stored");
    }
    let path = bench.writer.log().segments()[0].path.clone();
    let files = files.after_kill();
    drop(bench);
    files.poke(&path, 600, &[1]);
    files.poke(&path, 4096, &[0; 6000]);
    let (bench, report) = Bench::open_sim(&files, sim_options());
    let left = read_all(&bench.writer.log(), "test");
    let first = left[0].seq;
    assert!(1 < first, "something was lost");
    assert_eq!(report.acknowledged_lost, [(1, first - 1)]);
}

#[test]
fn damage_while_running_is_passed_and_set_aside() {
    let files = SimFileSystem::default();
    let (bench, _) = Bench::open_sim(&files, sim_options());
    for id in 1..=40 {
        bench.append(id, &payload(id * 2, 5000)).expect("is stored");
    }
    bench.writer.close().expect("closes");
    let first = bench.writer.log().segments()[0].path.clone();
    drop(bench);
    let mut contents = files.contents();
    contents.get_mut(&first).expect("is there")[4096 + 200] ^= 1;
    let files = SimFileSystem::with_contents(&contents);
    let (bench, report) = Bench::open_sim(&files, sim_options());
    assert_eq!(report.scanned_segments, 0, "the footer is good, nothing else was read");
    assert_eq!(read_all(&bench.writer.log(), "test").len(), 39);
    assert_eq!(bench.writer.stats().corrupt_records, 1);
    super::wait_until("set aside", || bench.writer.stats().quarantined_segments == 1);
    let json = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    super::wait_until("report", || files.contents().keys().any(json));
    drop(bench);
    let (bench, report) = Bench::open_sim(&files, sim_options());
    assert_eq!(report.quarantined.len(), 1);
    assert_eq!(read_all(&bench.writer.log(), "other").len(), 39, "its good records stay");
}

/// Scenario: the disk changes a byte of an acknowledged record before its segment is sealed; nobody reads.
/// Guarantees: the vault notices by itself, sets the segment aside and keeps its good records.
#[test]
fn what_the_disk_did_not_keep_is_noticed_without_a_reader() {
    let files = SimFileSystem::default();
    let (bench, _) = Bench::open_sim(&files, sim_options());
    bench.append(1, &payload(2, 5000)).expect("is stored");
    let path = bench.writer.log().segments()[0].path.clone();
    let offset = 4096 + 200;
    let byte = files.bytes_of(&path).expect("is there")[offset];
    files.poke(&path, offset as u64, &[byte ^ 1]);
    for id in 2..=40 {
        bench.append(id, &payload(id * 2, 5000)).expect("is stored");
    }
    super::wait_until("set aside", || bench.writer.stats().quarantined_segments == 1);
    super::wait_until("all read back", || bench.writer.stats().unread_segments == 0);
    assert_eq!(bench.writer.stats().suspect_segments, 1);
    assert_eq!(read_all(&bench.writer.log(), "test").len(), 39, "its good records stay");
}

/// Scenario: segments are sealed while background work pauses; then it may go on.
/// Guarantees: none is read back before.
#[test]
fn nothing_is_read_back_while_background_work_pauses() {
    let (bench, _) = Bench::open_sim(&SimFileSystem::default(), sim_options());
    let (is_paused, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
    let (paused, asks) = (Arc::clone(&is_paused), Arc::clone(&asked));
    bench.writer.govern(Throttle::new(move |_worked| {
        asks.fetch_add(1, Ordering::Relaxed);
        (!paused.load(Ordering::Relaxed)).then_some(Duration::ZERO)
    }));
    for id in 1..=40 {
        bench.append(id, &payload(id * 2, 5000)).expect("is stored");
    }
    super::wait_until("some are sealed", || 2 <= bench.writer.stats().unread_segments);
    let before = bench.writer.stats().unread_segments;
    super::wait_until("it asked and asked", || 3 <= asked.load(Ordering::Relaxed));
    assert!(before <= bench.writer.stats().unread_segments);
    is_paused.store(false, Ordering::Relaxed);
    super::wait_until("all read back", || bench.writer.stats().unread_segments == 0);
}

#[test]
fn a_broken_cursor_repeats_records_and_skips_none() {
    let files = SimFileSystem::default();
    let (bench, _) = Bench::open_sim(&files, sim_options());
    let mut reader = Reader::open(&bench.writer.log(), "test").expect("opens");
    for id in 1..=30 {
        bench.append(id, &payload(id, 100)).expect("is stored");
        let record = reader.next().expect("reads").expect("is durable");
        reader.ack(record.seq);
        if id == 10 || id == 20 {
            reader.save().expect("saves");
        }
    }
    drop(reader);
    bench.writer.close().expect("closes");
    drop(bench);
    let contents = files.contents();
    let path = sim_dir().join("cursors/test");
    let first_unread = |contents: &Contents| {
        let files = SimFileSystem::with_contents(contents);
        let (bench, report) = Bench::open_sim(&files, sim_options());
        let first = read_all(&bench.writer.log(), "test").first().map(|record| record.seq);
        (first, report.damaged_cursors.len())
    };
    assert_eq!(first_unread(&contents), (Some(21), 0));
    for at in (0..8192).step_by(61) {
        let mut bad = contents.clone();
        bad.get_mut(&path).expect("is there")[at] ^= 4;
        let (first, damaged) = first_unread(&bad);
        assert!(first == Some(21) || first == Some(11), "byte {at}: {first:?}");
        assert_eq!(damaged, 0);
    }
    let mut bad = contents.clone();
    bad.get_mut(&path).expect("is there").fill(7);
    assert_eq!(first_unread(&bad), (Some(1), 1));
    let mut bad = contents.clone();
    bad.get_mut(&sim_dir().join("vault_id")).expect("is there").fill(7);
    assert_eq!(first_unread(&bad), (Some(21), 0), "segments tell the id");
}

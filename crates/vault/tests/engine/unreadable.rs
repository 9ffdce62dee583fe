//! Disks that do not answer, for a while or for good.

use std::time::Duration;

use gophership_vault::Options;
use gophership_vault::ReadOrder;
use gophership_vault::Reader;
use gophership_vault::SegmentInfo;
use gophership_vault::SegmentState;
use gophership_vault::WhenFull;
use gophership_vault::recover_on;
use gophership_vault_sim::SimFileSystem;

use super::Bench;
use super::payload;
use super::read_all;
use super::sim_options;
use super::wait_until;

const RECORDS: u64 = 40;

/// A vault with some sealed segments.
fn filled(options: Options) -> (SimFileSystem, Bench, Vec<SegmentInfo>) {
    let files = SimFileSystem::default();
    let (bench, _) = Bench::open_sim(&files, options);
    for id in 1..=RECORDS {
        bench.append(id * 2, &payload(id * 2, 9000)).expect("is stored");
    }
    let log = bench.writer.log();
    let is_sealed = |info: &&SegmentInfo| info.state == SegmentState::Sealed;
    wait_until("sealed", || 3 <= log.segments().iter().filter(is_sealed).count());
    let sealed = log.segments().iter().filter(is_sealed).cloned().collect();
    (files, bench, sealed)
}

fn patient(read_patience: Duration) -> Options {
    Options { read_patience, ..sim_options() }
}

fn seqs_of(reader: &mut Reader) -> Vec<u64> {
    let mut seqs = Vec::new();
    while let Ok(Some(record)) = reader.next() {
        reader.ack(record.seq);
        seqs.push(record.seq);
    }
    seqs
}

/// Scenario: a segment, or a part of it, cannot be read for a while; the reader is asked all the time.
/// Guarantees: each time it says so, and when the disk answers again every record comes, in order.
#[test]
fn what_a_disk_does_not_answer_for_a_while_is_not_passed() {
    for order in [ReadOrder::OldestFirst, ReadOrder::NewestFirst] {
        for is_whole in [false, true] {
            let (files, bench, sealed) = filled(patient(Duration::from_mins(1)));
            let path = &sealed[1].path;
            if is_whole {
                files.break_opening(path);
            } else {
                files.break_reads(path, 12_000..30_000);
            }
            let mut reader = Reader::open_in(&bench.writer.log(), "test", order).expect("opens");
            let mut seqs = seqs_of(&mut reader);
            for _ in 0..5 {
                let again = reader.next().map(|record| record.map(|record| record.seq));
                assert!(again.is_err(), "{order:?} {is_whole}: {again:?}");
            }
            files.mend_reads();
            seqs.extend(seqs_of(&mut reader));
            seqs.sort_unstable();
            assert_eq!(seqs, (1..=RECORDS).collect::<Vec<_>>(), "{order:?} {is_whole}");
            assert_eq!(bench.writer.log().corrupt_records(), 0);
        }
    }
}

/// Scenario: a segment can never be opened again, as long as readers have patience and longer.
/// Guarantees: all other records come, and what is missing is told.
#[test]
fn a_segment_that_cannot_be_opened_is_passed_in_the_end() {
    for order in [ReadOrder::OldestFirst, ReadOrder::NewestFirst] {
        let (files, bench, sealed) = filled(patient(Duration::from_millis(50)));
        let bad = &sealed[1];
        files.break_opening(&bad.path);
        let mut reader = Reader::open_in(&bench.writer.log(), "test", order).expect("opens");
        let mut seqs = Vec::new();
        wait_until("all others came", || {
            seqs.extend(seqs_of(&mut reader));
            seqs.len() as u64 == RECORDS - bad.records
        });
        assert!(!seqs.iter().any(|seq| (bad.first_seq..=bad.last_seq).contains(seq)));
        assert_eq!(bench.writer.log().corrupt_records(), bad.records, "{order:?}");
        assert!(reader.next().expect("goes on").is_none());
    }
}

/// Scenario: at a start one segment cannot be opened: one in the middle, or the last.
/// Guarantees: the vault starts, every other record comes, what is missing is told, and no number is
/// used twice.
#[test]
fn a_segment_that_cannot_be_opened_does_not_prevent_a_start() {
    for is_last in [false, true] {
        let (files, bench, sealed) = filled(sim_options());
        bench.writer.close().expect("closes");
        let all = bench.writer.log().segments();
        let bad = if is_last { all.last().expect("there are some") } else { &sealed[1] };
        let path = bad.path.with_extension("gsv");
        files.break_opening(&path);
        let (log, report) = recover_on(&files.shared(), &super::sim_dir()).expect("recovers");
        assert!(RECORDS < report.next_seq, "{report:?}");
        let left = read_all(&log, "test");
        assert_eq!(left.len() as u64, RECORDS - bad.records);
        assert_eq!(report.quarantined, [bad.id]);
        if !is_last {
            assert_eq!(report.acknowledged_lost, [(bad.first_seq, bad.last_seq)]);
        }
    }
}

/// Scenario: a full vault is to drop its oldest segment, which cannot be opened.
/// Guarantees: it goes, counted, and the vault takes more.
#[test]
fn a_segment_that_cannot_be_opened_is_dropped_all_the_same() {
    let options = Options {
        when_full: WhenFull::DropOldest,
        max_bytes: 1 << 20,
        ..patient(Duration::from_mins(1))
    };
    let (files, bench, sealed) = filled(options);
    files.break_opening(&sealed[0].path);
    for id in 1..=200 {
        bench.append(id * 2, &payload(id * 2, 9000)).expect("is stored, always");
    }
    assert!(bench.writer.log().segments()[0].id > sealed[0].id);
    assert!(sealed[0].records <= bench.writer.stats().dropped_records);
}

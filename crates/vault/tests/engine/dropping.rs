//! Dropping the oldest segment of a full vault, where that is asked for.

use std::sync::Arc;
use std::sync::Mutex;

use gophership_vault::DroppedRecord;
use gophership_vault::Options;
use gophership_vault::Reader;
use gophership_vault::WhenFull;
use gophership_vault_sim::InjectedFault;
use gophership_vault_sim::SimFileSystem;

use super::Bench;
use super::payload;
use super::sim_options;

fn dropping() -> Options {
    Options { when_full: WhenFull::DropOldest, max_bytes: 512 << 10, ..sim_options() }
}

fn read_all(bench: &Bench) -> Vec<u64> {
    let mut reader = Reader::open(&bench.writer.log(), "test").expect("opens");
    let mut seqs = Vec::new();
    while let Some(record) = reader.next().expect("reads") {
        seqs.push(record.seq);
    }
    seqs
}

#[test]
fn the_oldest_records_make_way_and_each_is_told() {
    let files = SimFileSystem::default();
    let (bench, _) = Bench::open_sim(&files, dropping());
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    bench.writer.observe_drops(Arc::new(move |record: &DroppedRecord<'_>| {
        let id = record.attrs.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        sink.lock().unwrap().push((record.signal, id));
    }));
    let mut reader = Reader::open(&bench.writer.log(), "test").expect("opens");
    for id in 1..=100 {
        // Not divisible by 3: those have their id as attributes. Even: they do not compress.
        let id = id * 6 + 2;
        bench.append(id, &payload(id, 9000)).expect("is stored, always");
        if id == 62 {
            // The first ten are delivered, so nobody misses them.
            while reader.next().expect("reads").is_some_and(|record| {
                reader.ack(record.seq);
                record.seq < 10
            }) {}
            reader.save().expect("saves");
        }
    }
    let stats = bench.writer.stats();
    assert!(stats.used_bytes <= 512 << 10 && 0 < stats.dropped_records, "{stats:?}");
    drop(reader);
    // Its helper may still drop a segment, for the room of the next spare. Closed, it drops no more; opened
    // with more room neither.
    drop(bench);
    let (bench, report) = Bench::open_sim(&files, sim_options());
    assert!(report.acknowledged_lost.is_empty() && report.faults.is_empty(), "{report:?}");
    let left = read_all(&bench);
    let first = left[0];
    assert_eq!(left, (first..=100).collect::<Vec<_>>());
    assert_eq!(bench.writer.stats().dropped_records, first - 1 - 10);
    let told = told.lock().unwrap();
    assert_eq!(told.len() as u64, first - 1 - 10);
    assert_eq!(told.first(), Some(&(1, 11 * 6 + 2)));
}

#[test]
fn what_was_dropped_without_any_reader_is_no_loss_either() {
    let files = SimFileSystem::default();
    let (bench, _) = Bench::open_sim(&files, dropping());
    for id in 1..=100 {
        bench.append(id * 2, &payload(id * 2, 9000)).expect("is stored, always");
    }
    drop(bench);
    let (bench, report) = Bench::open_sim(&files, sim_options());
    assert!(report.acknowledged_lost.is_empty(), "{report:?}");
    let left = read_all(&bench);
    assert_eq!(left.last(), Some(&100));
    assert!(1 < left[0]);
}

#[test]
fn a_power_cut_at_any_call_tells_the_dropped_from_the_lost() {
    for cut_at in (1..400).step_by(3) {
        let files = SimFileSystem::default();
        let (bench, _) = Bench::open_sim(&files, dropping());
        files.arm(cut_at, InjectedFault::PowerCut);
        for id in 1..=60 {
            if !bench.offer(id * 2, &payload(id * 2, 9000)) || bench.answer().1.is_err() {
                break;
            }
        }
        drop(bench.writer.close());
        let (_bench, report) = Bench::open_sim(&files.after_power_cut(cut_at), dropping());
        assert!(report.acknowledged_lost.is_empty(), "cut at {cut_at}: {report:?}");
    }
}

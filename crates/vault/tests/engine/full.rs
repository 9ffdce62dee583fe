//! Full disks and full budgets.

use std::time::Duration;
use std::time::Instant;

use gophership_vault::NewRecord;
use gophership_vault::Options;
use gophership_vault::Reader;
use gophership_vault::RefusalReason;
use gophership_vault_sim::SimFileSystem;

use super::Bench;
use super::payload;
use super::sim_options;
use super::wait_until;

/// Appends until the vault is full; returns how many were stored.
fn fill(bench: &Bench, first_id: u64) -> u64 {
    let mut stored = 0;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(Instant::now() < deadline, "the vault never fills");
        let id = first_id + stored;
        let payload = payload(id * 2, 9000);
        let record = NewRecord { signal: 1, received_unix_ns: id, attrs: &[], payload: &payload };
        match bench.writer.try_append(record, super::Answer { id, to: bench.to.clone() }) {
            Ok(()) if bench.answer().1.is_ok() => stored += 1,
            Ok(()) => {}
            Err(refused) => {
                assert!(refused.is_retryable());
                // Retention may just be making room: only a refusal that stays is the limit.
                if refused.reason == RefusalReason::VaultFull && stays_full(bench) {
                    return stored;
                }
            }
        }
    }
}

fn stays_full(bench: &Bench) -> bool {
    let until = Instant::now() + Duration::from_millis(500);
    while Instant::now() < until {
        if bench.writer.has_room() {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    true
}

fn drain(reader: &mut Reader) -> u64 {
    let mut count = 0;
    while let Some(record) = reader.next().expect("reads") {
        reader.ack(record.seq);
        count += 1;
    }
    reader.save().expect("saving needs no space");
    count
}

/// Scenario: fill to the limit, read and acknowledge, again and again.
/// Guarantees: refusals are retryable, the limit is kept, it resumes by itself within two seconds.
fn full_and_back(files: &SimFileSystem, options: Options) {
    let max_bytes = options.max_bytes;
    let (bench, _) = Bench::open_sim(files, options);
    let mut reader = Reader::open(&bench.writer.log(), "test").expect("opens");
    let mut id = 1;
    for _ in 0..3 {
        let stored = fill(&bench, id);
        assert!(0 < stored);
        assert!(bench.writer.stats().is_full && !bench.writer.has_room());
        assert!(bench.writer.stats().used_bytes <= max_bytes);
        assert_eq!(bench.writer.fill_permille(), 1000, "whichever of disk and budget is short");
        assert_eq!(drain(&mut reader), stored);
        id += stored;
        let freed = Instant::now();
        wait_until("room again", || bench.writer.has_room());
        assert!(freed.elapsed() < Duration::from_secs(2));
        assert!(bench.writer.fill_permille() < 1000);
    }
}

#[test]
fn a_spent_budget_refuses_and_resumes() {
    full_and_back(&SimFileSystem::default(), Options { max_bytes: 1 << 20, ..sim_options() });
}

#[test]
fn a_full_disk_refuses_and_resumes() {
    let files = SimFileSystem::default();
    files.set_capacity(Some(1 << 20));
    full_and_back(&files, sim_options());
}

/// Scenario: restart with no byte free.
/// Guarantees: it opens, everything is there, and it takes records once there is space.
#[test]
fn a_full_disk_can_be_opened_and_drained() {
    let files = SimFileSystem::default();
    files.set_capacity(Some(1 << 20));
    let (bench, _) = Bench::open_sim(&files, sim_options());
    let mut reader = Reader::open(&bench.writer.log(), "test").expect("opens");
    let stored = fill(&bench, 1);
    reader.save().expect("saves");
    drop(reader);
    files.cut_power();
    drop(bench);
    let files = files.after_power_cut(1);
    let used = files.contents().values().map(|bytes| bytes.len() as u64).sum();
    files.set_capacity(Some(used));
    let (bench, report) = Bench::open_sim(&files, sim_options());
    assert!(report.acknowledged_lost.is_empty());
    let mut reader = Reader::open(&bench.writer.log(), "test").expect("opens");
    assert_eq!(drain(&mut reader), stored);
    wait_until("room again", || bench.append(10_000, b"after").is_ok());
}

//! Crashes, power cuts and failing disks.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use gophership_vault::Durability;
use gophership_vault::Options;
use gophership_vault::Reader;
use gophership_vault::Writer;
use gophership_vault_sim::InjectedFault;
use gophership_vault_sim::SimFileSystem;

use super::Answer;
use super::Bench;
use super::check_identical;
use super::payload;
use super::read_all;
use super::sim_options;
use super::small_options;

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("makes a directory");
    for entry in fs::read_dir(from).expect("lists") {
        let entry = entry.expect("lists");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("is known").is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            // Files are renamed under us; a sealed one is then found under its new name or not at all.
            drop(fs::copy(entry.path(), &target));
        }
    }
}

/// Scenario: the process is killed at any moment; here the directory is copied between two appends.
/// Guarantees: everything acknowledged before is there, bit-identical, and the vault goes on.
#[test]
fn what_was_acknowledged_survives_a_kill() {
    let dir = tempfile::tempdir().expect("makes a directory");
    let durability = Durability::Written;
    let living = dir.path().join("living");
    let options = Options { durability, ..small_options(&living) };
    let (bench, _) = Bench::open(options.clone());
    let mut appended = BTreeMap::new();
    for id in 1..=90 {
        let payload = payload(id, 5000);
        bench.append(id, &payload).expect("is stored");
        appended.insert(id, payload);
        if id % 9 != 0 {
            continue;
        }
        // Wait for renames to settle: a copy is no snapshot.
        let log = bench.writer.log();
        super::wait_until("sealed", || {
            let is_closed = |info: &gophership_vault::SegmentInfo| {
                info.state == gophership_vault::SegmentState::Closed
            };
            !log.segments().iter().any(is_closed)
        });
        let copy = dir.path().join(format!("copy-{id}"));
        copy_dir(&living, &copy);
        let (copied, report) = Bench::open(Options { dir: copy, ..options.clone() });
        assert_eq!(report.next_seq, id + 1, "{report:?}");
        assert!(report.acknowledged_lost.is_empty());
        copied.append(1000, b"after").expect("is stored");
        let mut expected = appended.clone();
        expected.insert(1000, b"after".to_vec());
        let records = read_all(&copied.writer.log(), "test");
        check_identical(&records, &expected);
        assert_eq!(records.len(), expected.len());
    }
}

/// Appends in groups, reads, acknowledges, saves and prunes; returns what was promised.
fn workload(files: &SimFileSystem, appended: &mut BTreeMap<u64, Vec<u8>>) -> BTreeSet<u64> {
    let mut acknowledged = BTreeSet::new();
    let opened = Writer::<Answer>::open_on(&files.shared(), sim_options());
    let Ok((writer, _)) = opened else { return acknowledged };
    let bench = Bench::new(writer);
    let log = bench.writer.log();
    let mut reader = Reader::open(&log, "test").ok();
    for group in 0..8 {
        let mut waiting = 0;
        for id in group * 4 + 1..=group * 4 + 4 {
            let bytes = payload(id, if id % 7 == 0 { 60_000 } else { 7000 });
            waiting += u64::from(bench.offer(id, &bytes));
            appended.insert(id, bytes);
        }
        for _ in 0..waiting {
            let (id, answer) = bench.answer();
            if answer.is_ok() {
                acknowledged.insert(id);
            }
        }
        if let Some(reader) = &mut reader
            && group % 3 == 1
        {
            // One acknowledged and saved, so that retention runs; it is the reader's from then on.
            if let Ok(Some(record)) = reader.next() {
                reader.ack(record.seq);
                if reader.save().is_ok() {
                    acknowledged.remove(&record.received_unix_ns);
                }
            }
            drop(log.prune());
        }
    }
    drop(reader);
    drop(bench.writer.close());
    acknowledged
}

fn check_survivors(
    files: &SimFileSystem,
    acknowledged: &BTreeSet<u64>,
    appended: &BTreeMap<u64, Vec<u8>>,
    what: &str,
) {
    let (bench, report) = Bench::open_sim(files, sim_options());
    assert!(report.acknowledged_lost.is_empty(), "{what}: {report:?}");
    let records = read_all(&bench.writer.log(), "check");
    check_identical(&records, appended);
    let found: BTreeSet<_> = records.iter().map(|record| record.received_unix_ns).collect();
    let lost: Vec<_> = acknowledged.difference(&found).collect();
    assert!(lost.is_empty(), "{what}: lost {lost:?}, {report:?}");
    let after = bench.append(5000, b"after").expect("is stored");
    assert_eq!(after.seq, report.next_seq, "{what}");
}

/// Scenario: the power goes at every changing call, nothing unsynced or a random part of it stays.
/// Guarantees: no record acknowledged at `Synced` is lost or altered; recovery settles.
#[test]
fn a_power_cut_at_any_call_loses_nothing_acknowledged() {
    let calls = {
        let files = SimFileSystem::default();
        workload(&files, &mut BTreeMap::new());
        files.calls()
    };
    assert!(60 < calls, "the workload touches the disk");
    for at in 1..=calls + 2 {
        let files = SimFileSystem::default();
        files.arm(at, InjectedFault::PowerCut);
        let mut appended = BTreeMap::new();
        let acknowledged = workload(&files, &mut appended);
        appended.insert(5000, b"after".to_vec());
        for seed in [at, at + 7919] {
            let after = files.after_power_cut(seed);
            check_survivors(&after, &acknowledged, &appended, &format!("call {at} seed {seed}"));
        }
    }
}

/// Scenario: every changing call fails once, a sync dropping its data; then the power goes.
/// Guarantees: as above, and the writer answered everything it accepted.
#[test]
fn a_failing_call_loses_nothing_acknowledged() {
    let calls = {
        let files = SimFileSystem::default();
        workload(&files, &mut BTreeMap::new());
        files.calls()
    };
    for at in 1..=calls {
        let files = SimFileSystem::default();
        files.arm(at, InjectedFault::FailOnce);
        let mut appended = BTreeMap::new();
        let acknowledged = workload(&files, &mut appended);
        appended.insert(5000, b"after".to_vec());
        files.cut_power();
        let after = files.after_power_cut(at);
        check_survivors(&after, &acknowledged, &appended, &format!("call {at}"));
    }
}

/// Scenario: the power goes at every changing call of a recovery.
/// Guarantees: the next recovery finds the same records.
#[test]
fn a_power_cut_during_recovery_changes_nothing() {
    let files = SimFileSystem::default();
    let mut appended = BTreeMap::new();
    let (bench, _) = Bench::open_sim(&files, sim_options());
    for id in 1..=20 {
        let bytes = payload(id, 7000);
        bench.append(id, &bytes).expect("is stored");
        appended.insert(id, bytes);
    }
    files.cut_power();
    drop(bench);
    appended.insert(5000, b"after".to_vec());
    let acknowledged: BTreeSet<u64> = (1..=20).collect();
    for at in 1..=12 {
        let crashed = files.after_power_cut(at);
        crashed.arm(at, InjectedFault::PowerCut);
        drop(Writer::<Answer>::open_on(&crashed.shared(), sim_options()));
        let again = crashed.after_power_cut(at + 1);
        check_survivors(&again, &acknowledged, &appended, &format!("recovery call {at}"));
    }
}

/// Scenario: a group was half written when the process died.
/// Guarantees: its tail is kept aside, the rest survives, a second recovery changes nothing.
#[test]
fn a_torn_tail_is_cut_and_the_rest_survives() {
    let files = SimFileSystem::default();
    let (bench, _) = Bench::open_sim(&files, sim_options());
    let mut appended = BTreeMap::new();
    for id in 1..=5 {
        let bytes = payload(id, 3000);
        bench.append(id, &bytes).expect("is stored");
        appended.insert(id, bytes);
    }
    files.cut_power();
    drop(bench);
    let mut contents = files.after_power_cut(0).contents();
    let open = contents.iter_mut().find(|(path, bytes)| {
        path.extension().is_some_and(|extension| extension == "open") && bytes[0] != 0
    });
    let (_, bytes) = open.expect("one segment is open");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("has data") + 1;
    let torn = end.next_multiple_of(4096);
    bytes[torn..torn + 3000].fill(0x5a);
    let torn = SimFileSystem::with_contents(&contents);
    let (bench, report) = Bench::open_sim(&torn, sim_options());
    assert_eq!((report.torn_tails, report.next_seq), (1, 6), "{report:?}");
    assert!(report.quarantined.is_empty());
    drop(bench);
    let settled = torn.contents();
    assert!(settled.keys().any(|path| path.extension().is_some_and(|e| e == "torn")));
    let (bench, report) = Bench::open_sim(&torn, sim_options());
    assert_eq!(report.scanned_segments, 0);
    let records = read_all(&bench.writer.log(), "test");
    check_identical(&records, &appended);
    assert_eq!(records.len(), 5);
}

/// Scenario: the disk is gone for good.
/// Guarantees: everything is answered, nothing is acknowledged, the writer says it has failed.
#[test]
fn a_disk_that_is_gone_for_good_leaves_nobody_without_an_answer() {
    let files = SimFileSystem::default();
    let (bench, _) = Bench::open_sim(&files, sim_options());
    bench.append(1, b"one").expect("is stored");
    files.cut_power();
    for id in 2..=10 {
        if bench.offer(id, b"more") {
            bench.answer().1.expect_err("nothing can be stored");
        }
    }
    assert!(bench.writer.close().is_err());
}

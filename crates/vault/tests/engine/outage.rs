//! Disks that fail for a while: the vault refuses meanwhile, and comes back by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use gophership_vault::AppendError;
use gophership_vault::Durability;
use gophership_vault::NewRecord;
use gophership_vault::Options;
use gophership_vault::RefusalReason;
use gophership_vault::Refused;
use gophership_vault::SegmentState;
use gophership_vault::WhenFull;
use gophership_vault_sim::Call;
use gophership_vault_sim::SimFileSystem;
use rustix::io::Errno;

use super::Bench;
use super::payload;
use super::read_all;
use super::sim_dir;
use super::sim_options;
use super::wait_until;

const LEN: usize = 5000;

/// Offers a record; the refusal if there is one.
fn refusal(bench: &Bench, id: u64) -> Option<Refused<super::Answer>> {
    let payload = payload(id, LEN);
    let record = NewRecord { signal: 1, received_unix_ns: id, attrs: &[], payload: &payload };
    let offered = bench.writer.try_append(record, super::Answer { id, to: bench.to.clone() });
    offered.err()
}

/// Appends under new ids until one is refused before it was accepted; returns the reason.
fn until_refused(
    bench: &Bench,
    next_id: &mut u64,
    stored: &mut BTreeMap<u64, Vec<u8>>,
) -> RefusalReason {
    let mut reason = None;
    wait_until("refused", || {
        let id = *next_id;
        *next_id += 1;
        match refusal(bench, id) {
            Some(refused) if refused.reason != RefusalReason::StagingFull => {
                assert!(refused.is_retryable() && Duration::ZERO < refused.retry_after);
                reason = Some(refused.reason);
            }
            Some(_) => {}
            None => match bench.answer().1 {
                Ok(_receipt) => drop(stored.insert(id, payload(id, LEN))),
                Err(error) => assert!(error.is_retryable(), "{error:?}"),
            },
        }
        reason.is_some()
    });
    reason.expect("was refused")
}

/// Appends until one is stored.
fn until_stored(bench: &Bench, next_id: &mut u64, stored: &mut BTreeMap<u64, Vec<u8>>) {
    wait_until("stored again", || {
        let id = *next_id;
        *next_id += 1;
        let is_stored = refusal(bench, id).is_none() && bench.answer().1.is_ok();
        if is_stored {
            stored.insert(id, payload(id, LEN));
        }
        is_stored
    });
}

/// Breaks these calls, twice; returns why it refused. Everything that was stored must be there in
/// the end, after a power cut, and nothing else may have been left lying about.
fn out_and_back(calls: &[Call], errno: Errno, durability: Durability) -> RefusalReason {
    let files = SimFileSystem::default();
    let options = Options { durability, ..sim_options() };
    let (bench, _) = Bench::open_sim(&files, options.clone());
    let (mut next_id, mut stored, mut reason) = (1, BTreeMap::new(), None);
    for _ in 0..2 {
        until_stored(&bench, &mut next_id, &mut stored);
        files.break_calls(calls, errno.raw_os_error());
        let told = until_refused(&bench, &mut next_id, &mut stored);
        let stats = bench.writer.stats();
        assert_eq!(stats.has_failed, told == RefusalReason::Failed, "{stats:?}");
        assert_eq!(stats.is_full, told == RefusalReason::VaultFull, "{stats:?}");
        assert!(!bench.writer.has_room());
        assert_eq!(*reason.get_or_insert(told), told);
        files.mend_calls();
        until_stored(&bench, &mut next_id, &mut stored);
        let stats = bench.writer.stats();
        assert!(!stats.has_failed && !stats.is_full && bench.writer.has_room(), "{stats:?}");
    }
    assert_eq!(files.syncs_for_credit(), 0, "a failed sync was asked again");
    // One with records for each time, the rest was taken away.
    wait_until("nothing is left lying about", || {
        let is_closed = |info: &gophership_vault::SegmentInfo| info.state == SegmentState::Closed;
        let segments = bench.writer.log().segments();
        segments.iter().all(|info| 0 < info.records) && !segments.iter().any(is_closed)
    });
    assert!(bench.writer.stats().quarantined_segments <= 2);
    files.cut_power();
    drop(bench);
    let files = files.after_power_cut(next_id);
    let (bench, report) = Bench::open_sim(&files, options);
    if durability == Durability::Synced {
        assert!(report.acknowledged_lost.is_empty(), "{report:?}");
        let found = read_all(&bench.writer.log(), "test");
        let ids: Vec<u64> = found.iter().map(|record| record.received_unix_ns).collect();
        assert!(stored.keys().all(|id| ids.contains(id)), "{stored:?} {ids:?}");
        let all = (1..next_id).map(|id| (id, payload(id, LEN))).collect();
        check_payloads(&found, &all);
    }
    reason.expect("was refused")
}

/// As [`out_and_back`], of each case on a thread of its own.
fn each_at_once(cases: &[(&[Call], Errno, Durability)], expected: RefusalReason) {
    std::thread::scope(|scope| {
        for (calls, errno, durability) in cases {
            scope.spawn(move || {
                let reason = out_and_back(calls, *errno, *durability);
                assert_eq!(reason, expected, "{errno:?} {calls:?}");
            });
        }
    });
}

fn check_payloads(records: &[gophership_vault::StoredRecord], all: &BTreeMap<u64, Vec<u8>>) {
    for record in records {
        assert_eq!(&record.payload[..], &all[&record.received_unix_ns][..]);
    }
}

/// Scenario: writes, or syncs, fail for a while, and again.
/// Guarantees: it refuses meanwhile and says to come again; it takes records again when the disk is
/// well; nothing acknowledged is lost, no sync is asked again for credit.
#[test]
fn it_comes_back_when_writes_and_syncs_do() {
    for calls in [&[Call::Write][..], &[Call::Sync], &[Call::Write, Call::Sync, Call::Remove]] {
        for durability in [Durability::Synced, Durability::Written, Durability::Memory] {
            if durability != Durability::Synced && calls == [Call::Sync] {
                // Nothing is synced there for an answer.
                continue;
            }
            let reason = out_and_back(calls, Errno::IO, durability);
            assert_eq!(reason, RefusalReason::Failed, "{calls:?}");
        }
    }
    assert_eq!(
        out_and_back(&[Call::Write], Errno::ROFS, Durability::Synced),
        RefusalReason::Failed
    );
}

/// Scenario: what is written finds no room: on the disk, in a quota, in what a file may be.
/// Guarantees: the vault is full, not failed, and takes records again when there is room.
#[test]
fn a_quota_and_a_limit_of_file_sizes_make_it_full() {
    let calls = [&[Call::Write][..], &[Call::Sync], &[Call::Allocate]];
    let of_errno = |errno| calls.map(|calls| (calls, errno, Durability::Synced));
    let cases = [Errno::DQUOT, Errno::FBIG, Errno::NOSPC].map(of_errno).concat();
    each_at_once(&cases, RefusalReason::VaultFull);
}

/// Scenario: no segment can be made for a while: for want of descriptors or memory, or because the
/// directory does not do as it is told.
/// Guarantees: it goes on in the segments it has, refuses as one that has failed, and comes back.
#[test]
fn it_comes_back_when_segments_can_be_made_again() {
    let cases = [
        (&[Call::Create][..], Errno::MFILE),
        (&[Call::Create], Errno::NFILE),
        (&[Call::Create], Errno::ROFS),
        (&[Call::Allocate], Errno::NOMEM),
        (&[Call::Allocate], Errno::IO),
        (&[Call::Rename], Errno::IO),
        (&[Call::SyncDir], Errno::IO),
        (
            &[Call::Create, Call::Rename, Call::SyncDir, Call::Remove, Call::Write, Call::Sync],
            Errno::IO,
        ),
    ];
    let cases = cases.map(|(calls, errno)| (calls, errno, Durability::Synced));
    each_at_once(&cases, RefusalReason::Failed);
}

/// Scenario: the disk is out for so long that it is tried again and again, and nothing can be deleted.
/// Guarantees: the tries use no more of the disk than there was.
#[test]
fn tries_leave_nothing_behind() {
    for calls in [&[Call::Write][..], &[Call::Write, Call::Remove]] {
        let files = SimFileSystem::default();
        let (bench, _) = Bench::open_sim(&files, sim_options());
        bench.append(1, &payload(1, LEN)).expect("is stored");
        files.break_calls(calls, Errno::IO.raw_os_error());
        until_refused(&bench, &mut 2, &mut BTreeMap::new());
        let (used, calls_before) = (bench.writer.stats().used_bytes, files.calls());
        wait_until("it is tried", || calls_before + 8 < files.calls());
        let most = used + (64 << 10);
        wait_until("a try is given up", || bench.writer.stats().used_bytes <= most);
        files.mend_calls();
        until_stored(&bench, &mut 1000, &mut BTreeMap::new());
        bench.writer.close().expect("closes");
        let is_spare = |path: &std::path::Path| {
            path.extension().is_some_and(|it| it == "open") && path.parent() == Some(&sim_dir())
        };
        assert!(files.paths().iter().filter(|(path, _)| is_spare(path)).count() <= 2);
    }
}

/// Scenario: a quota is used up, and the vault is told to drop the oldest.
/// Guarantees: it does, though the file system says that there is room.
#[test]
fn a_quota_makes_it_drop_the_oldest() {
    let files = SimFileSystem::default();
    let options = Options { when_full: WhenFull::DropOldest, ..sim_options() };
    let (bench, _) = Bench::open_sim(&files, options);
    for id in 1..=60 {
        bench.append(id, &payload(id * 2, LEN)).expect("is stored");
    }
    files.break_calls(&[Call::Allocate], Errno::DQUOT.raw_os_error());
    let mut next_id = 61;
    until_refused(&bench, &mut next_id, &mut BTreeMap::new());
    wait_until("dropped", || 0 < bench.writer.stats().dropped_records);
    files.mend_calls();
    until_stored(&bench, &mut next_id, &mut BTreeMap::new());
}

/// Scenario: a cursor cannot be saved for a while.
/// Guarantees: the next save that can is as good as if there had been no other.
#[test]
fn a_cursor_is_saved_when_that_can_be_done_again() {
    let files = SimFileSystem::default();
    let (bench, _) = Bench::open_sim(&files, sim_options());
    for id in 1..=5 {
        bench.append(id, &payload(id, LEN)).expect("is stored");
    }
    let mut reader = gophership_vault::Reader::open(&bench.writer.log(), "test").expect("opens");
    for call in [Call::Write, Call::Sync] {
        let record = reader.next().expect("reads").expect("is there");
        reader.ack(record.seq);
        files.break_calls(&[call], Errno::IO.raw_os_error());
        for _ in 0..4 {
            reader.save().expect_err("cannot be saved");
        }
        files.mend_calls();
        reader.save().expect("saves");
    }
    assert_eq!(files.syncs_for_credit(), 0);
    drop(reader);
    files.cut_power();
    drop(bench);
    let (bench, _) = Bench::open_sim(&files.after_power_cut(1), sim_options());
    let left = read_all(&bench.writer.log(), "test");
    assert_eq!(left.iter().map(|record| record.seq).collect::<Vec<_>>(), [3, 4, 5]);
}

/// Scenario: closed while the disk is out.
/// Guarantees: it does not wait for the disk, and everybody has an answer.
#[test]
fn it_closes_while_the_disk_is_out() {
    let files = SimFileSystem::default();
    let (bench, _) = Bench::open_sim(&files, sim_options());
    files.break_calls(&[Call::Write], Errno::IO.raw_os_error());
    until_refused(&bench, &mut 1, &mut BTreeMap::new());
    bench.writer.close().expect_err("could not write");
    let refused = refusal(&bench, 2).expect("is refused");
    assert!(matches!(refused.reason, RefusalReason::Failed | RefusalReason::Closed));
    drop(bench.answers.try_iter().map(|(_, answer)| assert_eq!(answer, Err(AppendError::Failed))));
}

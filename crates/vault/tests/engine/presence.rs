//! Files that are taken away: while the vault is open, and while it is not.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use gophership_vault::Known;
use gophership_vault::Options;
use gophership_vault::Reader;
use gophership_vault::RefusalReason;
use gophership_vault::VaultError;
use gophership_vault::Writer;

use super::Answer;
use super::Bench;
use super::payload;
use super::read_all;
use super::small_options;
use super::wait_until;

const LEN: usize = 4000;

fn append(bench: &Bench, ids: std::ops::RangeInclusive<u64>) {
    for id in ids {
        bench.append(id, &payload(id * 2, LEN)).expect("is stored");
    }
}

/// Reads and acknowledges so many, and saves.
fn take(reader: &mut Reader, count: u64) {
    for _ in 0..count {
        let record = reader.next().expect("reads").expect("is there");
        reader.ack(record.seq);
    }
    reader.save().expect("saves");
}

fn segments_of(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("lists").map(|entry| entry.expect("lists").path());
    let is_segment = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("seg-"))
    };
    entries.filter(is_segment).collect()
}

/// Removes a segment, unless the writer has given it another name meanwhile.
fn remove(path: &PathBuf) {
    if let Err(error) = fs::remove_file(path) {
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}", path.display());
    }
}

/// Appends from then on until one is stored in a file that has a name.
fn goes_on(bench: &Bench, dir: &Path, first_id: u64) -> u64 {
    let mut id = first_id;
    wait_until("it goes on where it can be found", || {
        id += 1;
        let is_taken = bench.offer(id, &payload(id * 2, LEN));
        let answer = is_taken.then(|| bench.answer().1);
        let Some(Ok(receipt)) = answer else { return false };
        let number = format!("seg-{:020}", receipt.segment.get());
        segments_of(dir).iter().any(|path| path.to_string_lossy().contains(&number))
    });
    id
}

/// Scenario: every segment, or the whole directory, is deleted under the writer.
/// Guarantees: it goes on in a new segment under its lock; what was not delivered is counted as lost and
/// waited for by nobody; after a restart what was stored since is there, and no number is used twice.
#[test]
fn what_is_taken_away_is_made_again_and_what_is_lost_is_counted() {
    let takes: [fn(&Path); 3] = [
        |dir| segments_of(dir).iter().for_each(remove),
        // The writer may make a file there meanwhile.
        |dir| while fs::remove_dir_all(dir).is_err() && dir.exists() {},
        |dir| fs::rename(dir, dir.with_extension("aside")).expect("moves"),
    ];
    for take_away in takes {
        let root = tempfile::tempdir().expect("makes a directory");
        let dir = root.path().join("vault");
        let (bench, _) = Bench::open(small_options(&dir));
        append(&bench, 1..=40);
        let mut reader = Reader::open(&bench.writer.log(), "test").expect("opens");
        take(&mut reader, 5);
        take_away(&dir);
        wait_until("the loss is counted", || 35 <= bench.writer.stats().lost_records);
        let end = goes_on(&bench, &dir, 100);
        let lost = bench.writer.stats().lost_records;
        assert_eq!(bench.writer.log().lost_while_open(), lost);
        let next = reader.next().expect("reads").expect("goes on behind the loss");
        reader.ack(next.seq);
        let second = Writer::<Answer>::open(small_options(&dir));
        assert!(matches!(second.map(|_| ()), Err(VaultError::Locked { .. })));
        take(&mut reader, 0);
        drop(reader);
        let seq = bench.append(end + 1, b"last").expect("is stored").seq;
        bench.writer.close().expect("closes");
        assert_eq!(bench.writer.stats().lost_records, lost, "no more than that");

        let (bench, report) = Bench::open(small_options(&dir));
        assert!(report.acknowledged_lost.is_empty() && report.damaged_cursors.is_empty());
        assert_eq!(report.next_seq, seq + 1);
        let records = read_all(&bench.writer.log(), "test");
        assert_eq!(records.last().map(|record| record.seq), Some(seq));
        assert_eq!(records.first().map(|record| record.seq), Some(next.seq + 1));
    }
}

/// Scenario: a cursor, the lock, the id and the folders are deleted under the writer.
/// Guarantees: they are made again, and nothing is repeated or lost for it.
#[test]
fn small_files_are_made_again() {
    let root = tempfile::tempdir().expect("makes a directory");
    let dir = root.path().join("vault");
    let (bench, _) = Bench::open(small_options(&dir));
    append(&bench, 1..=20);
    let mut reader = Reader::open(&bench.writer.log(), "test").expect("opens");
    take(&mut reader, 5);
    let id = fs::read(dir.join("vault_id")).expect("reads");
    for name in ["LOCK", "vault_id"] {
        fs::remove_file(dir.join(name)).expect("removes");
    }
    for name in ["cursors", "quarantine"] {
        fs::remove_dir_all(dir.join(name)).expect("removes");
    }
    let names = ["LOCK", "vault_id", "cursors/test", "quarantine"];
    wait_until("all is made again", || names.iter().all(|name| dir.join(name).exists()));
    let second = Writer::<Answer>::open(small_options(&dir));
    assert!(matches!(second.map(|_| ()), Err(VaultError::Locked { .. })));
    take(&mut reader, 2);
    drop(reader);
    bench.writer.close().expect("closes");
    assert_eq!(fs::read(dir.join("vault_id")).expect("reads"), id);
    let (bench, report) = Bench::open(small_options(&dir));
    assert_eq!(report.lost_records(), 0);
    let seqs: Vec<u64> = read_all(&bench.writer.log(), "test").iter().map(|r| r.seq).collect();
    assert_eq!(seqs, (8..=20).collect::<Vec<_>>());
}

/// Scenario: another vault is put in the place of one that is open; then it is taken away again.
/// Guarantees: nothing is written to it and no record is taken meanwhile; afterwards it goes on.
#[test]
fn another_vault_in_its_place_is_left_alone() {
    let root = tempfile::tempdir().expect("makes a directory");
    let (dir, other) = (root.path().join("vault"), root.path().join("other"));
    let (bench, _) = Bench::open(small_options(&other));
    append(&bench, 1..=3);
    bench.writer.close().expect("closes");
    let (bench, _) = Bench::open(small_options(&dir));
    append(&bench, 1..=3);
    // What is being made at that moment would be made in the other vault.
    let is_open = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "open");
    let are_made = || segments_of(&dir).iter().filter(is_open).count() == 3;
    wait_until("one segment is in use and two spares stand by", are_made);
    fs::rename(&dir, root.path().join("aside")).expect("moves");
    fs::rename(&other, &dir).expect("moves");
    let before = segments_of(&dir);
    let mut id = 10;
    wait_until("it refuses", || {
        id += 1;
        let attrs = Vec::new();
        let bytes = payload(id, LEN);
        let record = gophership_vault::NewRecord {
            signal: 1,
            received_unix_ns: id,
            attrs: &attrs,
            payload: &bytes,
        };
        match bench.writer.try_append(record, Answer { id, to: bench.to.clone() }) {
            Ok(()) => drop(bench.answer()),
            Err(refused) => return refused.reason == RefusalReason::Failed,
        }
        false
    });
    assert_eq!(segments_of(&dir), before);
    fs::rename(&dir, &other).expect("moves");
    goes_on_after_a_while(&bench, &dir);
    let (_bench, report) = Bench::open(small_options(&other));
    assert_eq!((report.records, report.lost_records()), (3, 0));
}

fn goes_on_after_a_while(bench: &Bench, dir: &Path) {
    wait_until("the directory is made again", || dir.join("vault_id").exists());
    goes_on(bench, dir, 1000);
}

fn known(durable_seq: u64, cursors: &[(&str, u64)]) -> Known {
    let cursors = cursors.iter().map(|(name, low)| ((*name).to_owned(), *low)).collect();
    Known { durable_seq, cursors }
}

/// Scenario: some or all segments, or the whole vault, are deleted while nobody has it open; who opens it
/// knows how far it was.
/// Guarantees: what somebody still needs is told as lost, and no number is used twice.
#[test]
fn what_is_known_to_have_been_there_is_missed() {
    type Case = (fn(&Path), Vec<(u64, u64)>);
    let cases: [Case; 3] = [
        (
            |dir| segments_of(dir).iter().for_each(|it| fs::remove_file(it).expect("removes")),
            vec![(6, 40)],
        ),
        (|dir| fs::remove_dir_all(dir).expect("removes"), vec![(4, 40)]),
        (|_| {}, vec![]),
    ];
    for (take_away, lost) in cases {
        let root = tempfile::tempdir().expect("makes a directory");
        let dir = root.path().join("vault");
        let (bench, _) = Bench::open(small_options(&dir));
        append(&bench, 1..=40);
        take(&mut Reader::open(&bench.writer.log(), "test").expect("opens"), 5);
        bench.writer.close().expect("closes");
        take_away(&dir);
        // The ledger's word is a little older than the cursor.
        let known = known(40, &[("test", 3)]);
        assert_eq!(gophership_vault::missing(&dir, &known).expect("looks"), lost);
        let (bench, report) = Bench::open(Options { known, ..small_options(&dir) });
        assert_eq!(report.acknowledged_lost, lost);
        assert_eq!(report.next_seq, 41);
        assert_eq!(report.missing_cursors.len(), usize::from(lost.first() == Some(&(4, 40))));
        assert_eq!(bench.append(41, b"next").expect("is stored").seq, 41);
        let after = read_all(&bench.writer.log(), "test");
        assert_eq!(after.last().map(|record| record.seq), Some(41));
    }
}

/// Scenario: the file of a lagging cursor is deleted; the other one has passed everything.
/// Guarantees: who knows it makes it again where it was, and nothing that it needs is deleted.
#[test]
fn a_cursor_that_is_known_and_gone_holds_back_what_it_needs() {
    let dir = tempfile::tempdir().expect("makes a directory");
    let (bench, _) = Bench::open(small_options(dir.path()));
    append(&bench, 1..=60);
    for (name, count) in [("fast", 60), ("slow", 10)] {
        take(&mut Reader::open(&bench.writer.log(), name).expect("opens"), count);
    }
    bench.writer.close().expect("closes");
    fs::remove_file(dir.path().join("cursors/slow")).expect("removes");
    let known = known(60, &[("fast", 55), ("slow", 8)]);
    let planned = |is_any| {
        let scope = gophership_vault::ClearScope::Delivered { is_any };
        gophership_vault::clear(dir.path(), &known.cursors, scope, true).expect("looks")
    };
    let undelivered = |cleared: &[gophership_vault::Cleared]| {
        cleared.iter().map(|one| one.undelivered_records).sum::<u64>()
    };
    assert_eq!(undelivered(&planned(false)), 0);
    assert!(30 < undelivered(&planned(true)));
    let scope = gophership_vault::ClearScope::Delivered { is_any: false };
    gophership_vault::clear(dir.path(), &BTreeMap::new(), scope, true)
        .expect("looks without knowing");

    let (bench, report) = Bench::open(Options { known, ..small_options(dir.path()) });
    assert_eq!(report.missing_cursors, ["slow"]);
    bench.writer.log().prune().expect("prunes");
    let seqs: Vec<u64> = read_all(&bench.writer.log(), "slow").iter().map(|r| r.seq).collect();
    assert_eq!(seqs, (9..=60).collect::<Vec<_>>());
}

//! Vaults of format version 1, committed once, readable for ever.
//!
//! Record `n` of a fixture has signal `1 + n % 4`, receive time `1000 n`, and
//! attributes: `7 n % 40` bytes of value `n` (65,535 of them in `large-attrs`);
//! payload: `37 n n % 3000` bytes, byte `k` being `(31 n + k k) % 251` for even `n`, and the text
//! `golden record <n> ` repeated for odd `n`.
//!
//! `UPDATE_GOLDEN=1 cargo test golden` makes fixtures that are missing. It never touches one that
//! exists: `UPDATE_GOLDEN=overwrite-v1` does, and breaks a promise.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use gophership_vault::AppendError;
use gophership_vault::NewRecord;
use gophership_vault::OfflineItem;
use gophership_vault::OfflineReader;
use gophership_vault::Options;
use gophership_vault::Reader;
use gophership_vault::Receipt;
use gophership_vault::RecordCompression;
use gophership_vault::StoredRecord;
use gophership_vault::Writer;

type Answer = Box<dyn FnOnce(Result<Receipt, AppendError>) + Send>;

/// One committed vault.
struct Fixture {
    name: &'static str,
    records: u64,
    compression: RecordCompression,
    attrs_len: Option<usize>,
    /// Acknowledged in cursor `sink` and saved: 1 to this, and the one after the next.
    acknowledged: u64,
    /// Left as a kill leaves it, with a torn tail.
    is_open: bool,
    /// One record's body is damaged, its segment in quarantine.
    is_quarantined: bool,
}

const PLAIN: Fixture = Fixture {
    name: "sealed",
    records: 14,
    compression: RecordCompression::Lz4,
    attrs_len: None,
    acknowledged: 0,
    is_open: false,
    is_quarantined: false,
};

const FIXTURES: [Fixture; 6] = [
    PLAIN,
    Fixture { name: "raw", records: 8, compression: RecordCompression::None, ..PLAIN },
    Fixture { name: "large-attrs", records: 1, attrs_len: Some(65_535), ..PLAIN },
    Fixture { name: "cursors", records: 12, acknowledged: 5, ..PLAIN },
    Fixture { name: "open-tail", records: 6, is_open: true, ..PLAIN },
    Fixture {
        name: "quarantine",
        records: 10,
        compression: RecordCompression::None,
        is_quarantined: true,
        ..PLAIN
    },
];

/// The record whose body is damaged in `quarantine`.
const DAMAGED: u64 = 8;

fn payload(n: u64) -> Vec<u8> {
    let len = usize::try_from(37 * n * n % 3000).expect("below 3,000");
    if n.is_multiple_of(2) {
        let byte = |k: u64| u8::try_from((31 * n + k * k) % 251).expect("below 251");
        return (0..len as u64).map(byte).collect();
    }
    format!("golden record {n} ").bytes().cycle().take(len).collect()
}

fn attrs(fixture: &Fixture, n: u64) -> Vec<u8> {
    let len = usize::try_from(7 * n % 40).expect("below 40");
    vec![u8::try_from(n).expect("small"); fixture.attrs_len.unwrap_or(len)]
}

fn folder(fixture: &Fixture) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vault-v1").join(fixture.name)
}

fn options(dir: &Path, fixture: &Fixture) -> Options {
    let mut options = Options::new(dir);
    options.segment_bytes = if fixture.attrs_len.is_some() { 256 << 10 } else { 64 << 10 };
    options.max_bytes = 16 << 20;
    options.record_bytes_max = 64 << 10;
    options.compression = fixture.compression;
    options
}

/// Copies files and folders, without lock and spares.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("makes a directory");
    for entry in fs::read_dir(from).expect("lists") {
        let entry = entry.expect("lists");
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy(&source, &target);
            continue;
        }
        let bytes = fs::read(&source).expect("reads");
        let is_spare = bytes.iter().all(|byte| *byte == 0);
        if entry.file_name() != "LOCK" && !is_spare {
            fs::write(&target, &bytes).expect("writes");
        }
    }
}

fn expect_record(fixture: &Fixture, record: &StoredRecord) {
    let n = record.seq;
    assert_eq!(u64::from(record.signal), 1 + n % 4, "signal of {n}");
    assert_eq!(record.received_unix_ns, 1000 * n, "receive time of {n}");
    assert_eq!(record.attrs, attrs(fixture, n), "attributes of {n}");
    assert_eq!(record.payload[..], payload(n), "payload of {n}");
}

/// Scenario: every vault that was ever committed is read offline and by a writer's reader.
/// Guarantees: bit-identical records, the cursor's place, the damage as it was, unchanged fixtures.
#[test]
fn golden_vaults_of_version_1_are_readable() {
    for fixture in &FIXTURES {
        let folder = folder(fixture);
        let update = std::env::var("UPDATE_GOLDEN").unwrap_or_default();
        if update == "overwrite-v1" || (update == "1" && !folder.exists()) {
            drop(fs::remove_dir_all(&folder));
            make(fixture, &folder);
        }
        assert!(folder.join("vault_id").exists(), "{} is missing", folder.display());
        let all: Vec<u64> = (1..=fixture.records).collect();
        let good: Vec<u64> =
            all.iter().copied().filter(|n| !fixture.is_quarantined || *n != DAMAGED).collect();
        assert_eq!(read_offline(fixture, &folder), good, "{}", fixture.name);
        let copied = tempfile::tempdir().expect("makes a directory");
        copy(&folder, copied.path());
        let opened = Writer::<Answer>::open(options(copied.path(), fixture));
        let (writer, report) = opened.expect("opens");
        // A damaged body is where it was, and nothing is missing beside it.
        assert!(report.acknowledged_lost.is_empty(), "{}: {report:?}", fixture.name);
        assert_eq!(report.next_seq, fixture.records + 1, "{}: {report:?}", fixture.name);
        assert_eq!(report.torn_tails, u64::from(fixture.is_open), "{}", fixture.name);
        assert_eq!(report.quarantined.len(), usize::from(fixture.is_quarantined));
        let acknowledged = fixture.acknowledged;
        let is_left = |n: &u64| acknowledged == 0 || acknowledged < *n && *n != acknowledged + 2;
        let mut reader = Reader::open(&writer.log(), "sink").expect("opens");
        let mut seqs = Vec::new();
        while let Some(record) = reader.next().expect("reads") {
            expect_record(fixture, &record);
            seqs.push(record.seq);
        }
        let left: Vec<u64> = good.iter().copied().filter(is_left).collect();
        assert_eq!(seqs, left, "{}", fixture.name);
        let damaged = u64::from(fixture.is_quarantined && is_left(&DAMAGED));
        assert_eq!(writer.log().corrupt_records(), damaged, "{}", fixture.name);
    }
}

fn read_offline(fixture: &Fixture, folder: &Path) -> Vec<u64> {
    let mut offline = OfflineReader::open(folder).expect("opens");
    let mut seqs = Vec::new();
    while let Some(item) = offline.next().expect("reads") {
        match item {
            OfflineItem::Record(record) => {
                expect_record(fixture, &record);
                seqs.push(record.seq);
            }
            OfflineItem::Fault(fault) => {
                assert!(fixture.is_open || fixture.is_quarantined, "unexpected {fault:?}");
            }
        }
    }
    seqs
}

fn make(fixture: &Fixture, folder: &Path) {
    let dir = tempfile::tempdir().expect("makes a directory");
    let (writer, _) = Writer::<Answer>::open(options(dir.path(), fixture)).expect("opens");
    for n in 1..=fixture.records {
        let (attrs, payload) = (attrs(fixture, n), payload(n));
        let signal = u8::try_from(1 + n % 4).expect("small");
        let record =
            NewRecord { signal, received_unix_ns: 1000 * n, attrs: &attrs, payload: &payload };
        let (to, answer) = mpsc::channel();
        let done: Answer = Box::new(move |result| {
            let _closed = to.send(result);
        });
        assert!(writer.try_append(record, done).is_ok());
        // Some groups of one, some of several.
        if n % 5 == 0 || n == fixture.records {
            let waited = answer.recv_timeout(Duration::from_secs(10)).expect("is answered");
            waited.expect("is stored");
        }
    }
    if 0 < fixture.acknowledged {
        let mut reader = Reader::open(&writer.log(), "sink").expect("opens");
        for n in 1..=fixture.acknowledged {
            reader.ack(n);
        }
        reader.ack(fixture.acknowledged + 2);
        reader.save().expect("saves");
    }
    if fixture.is_open {
        copy(dir.path(), folder);
        tear(folder);
        return;
    }
    writer.close().expect("closes");
    drop(writer);
    if fixture.is_quarantined {
        damage(dir.path(), fixture);
    }
    copy(dir.path(), folder);
}

/// Half a group behind the last one, and a short file so that the fixture is small.
fn tear(folder: &Path) {
    let mut segments = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("lists") {
        let path = entry.expect("lists").path();
        if path.extension().is_some_and(|extension| extension == "open") {
            segments.insert(path.clone(), fs::read(&path).expect("reads"));
        }
    }
    let (path, mut bytes) = segments.pop_last().expect("a segment is open");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("has data") + 1;
    let torn = end.next_multiple_of(4096);
    bytes[torn..torn + 2500].fill(0x5a);
    bytes.truncate(torn + 4096);
    fs::write(&path, bytes).expect("writes");
}

/// Flips one byte in the body of one record, lets a reader find it, and closes.
fn damage(dir: &Path, fixture: &Fixture) {
    let needle = payload(DAMAGED);
    let mut is_done = false;
    for entry in fs::read_dir(dir).expect("lists") {
        let path = entry.expect("lists").path();
        if path.extension().is_none_or(|extension| extension != "gsv") {
            continue;
        }
        let mut bytes = fs::read(&path).expect("reads");
        let at = bytes.windows(24).position(|window| *window == needle[..24]);
        if let Some(at) = at {
            bytes[at + 10] ^= 0x40;
            fs::write(&path, bytes).expect("writes");
            is_done = true;
        }
    }
    assert!(is_done, "the record lies uncompressed in a sealed segment");
    let (writer, _) = Writer::<Answer>::open(options(dir, fixture)).expect("opens");
    let mut reader = Reader::open(&writer.log(), "finder").expect("opens");
    while reader.next().expect("reads").is_some() {}
    drop(reader);
    writer.log().remove_cursor("finder").expect("removes");
    for _ in 0..500 {
        if writer.stats().quarantined_segments == 1 {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
    // The report follows the move.
    std::thread::park_timeout(Duration::from_millis(200));
    writer.close().expect("closes");
}

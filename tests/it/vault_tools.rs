//! `gophership vault` on vaults at rest: it sees what is there, finds every kind of damage, mends
//! what can be mended and deletes only what it may.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use gophership_otlp::Signal;
use gophership_vault::AppendError;
use gophership_vault::NewRecord;
use gophership_vault::Options;
use gophership_vault::Reader;
use gophership_vault::Receipt;
use gophership_vault::Writer;
use serde_json::Value;
use tempfile::TempDir;

use crate::golden;
use crate::harness::NumberedRequest;
use crate::harness::Traffic;
use crate::tool::begin;
use crate::tool::tool;

type Answer = Box<dyn FnOnce(Result<Receipt, AppendError>) + Send>;

/// Bytes of a segment under test: a few requests each.
const SEGMENT_BYTES: u64 = 64 << 10;
const BLOCK: usize = 4096;

/// Its exit code and what it said.
fn said(arguments: &[&str]) -> (i32, String, String) {
    let output = tool(arguments);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Its document, after it ended with this code.
pub(crate) fn document(code: i32, arguments: &[&str]) -> Value {
    let (found, out, err) = said(arguments);
    assert_eq!(found, code, "{arguments:?}\n{out}\n{err}");
    serde_json::from_str(&out).unwrap()
}

fn options(dir: &Path) -> Options {
    let mut options = Options::new(dir);
    options.segment_bytes = SEGMENT_BYTES;
    options.max_bytes = 80 << 20;
    options
}

/// A vault of so many requests of all signals, in several sealed segments, with a cursor `sink` that
/// has acknowledged the first ones.
pub(crate) fn make(dir: &Path, requests: u64, acknowledged: u64) -> Vec<NumberedRequest> {
    make_of(&Traffic::default(), dir, requests, acknowledged)
}

/// The same, of traffic that other vaults have parts of.
pub(crate) fn make_of(
    traffic: &Traffic,
    dir: &Path,
    requests: u64,
    acknowledged: u64,
) -> Vec<NumberedRequest> {
    let (writer, _) = Writer::<Answer>::open(options(dir)).unwrap();
    let mut reader = Reader::open(&writer.log(), "sink").unwrap();
    let mut parcels = Vec::new();
    for number in 0..requests {
        let signal = Signal::ALL[usize::try_from(number % 3).unwrap()];
        let parcel = traffic.padded(signal, 3, 2500);
        let (to, answer) = mpsc::channel();
        let record = NewRecord {
            signal: signal as u8,
            received_unix_ns: 1_767_225_600_000_000_000 + number * 1_000_000_000,
            attrs: &3_u64.to_le_bytes(),
            payload: &parcel.wire,
        };
        let done: Answer = Box::new(move |result| {
            let _closed = to.send(result);
        });
        assert!(writer.try_append(record, done).is_ok());
        answer.recv_timeout(Duration::from_secs(10)).unwrap().unwrap();
        parcels.push(parcel);
    }
    for seq in 1..=acknowledged {
        reader.ack(seq);
    }
    reader.save().unwrap();
    drop(reader);
    writer.close().unwrap();
    parcels
}

fn vault(requests: u64, acknowledged: u64) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), requests, acknowledged);
    let path = dir.path().display().to_string();
    (dir, path)
}

/// Every sealed segment, oldest first.
pub(crate) fn sealed(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let is_sealed = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "gsv");
    let mut paths: Vec<PathBuf> = entries.filter(is_sealed).collect();
    paths.sort();
    paths
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn crc(bytes: &[u8]) -> [u8; 4] {
    crc32fast::hash(bytes).to_le_bytes()
}

/// Writes the sums of a sealed segment's last block anew, as somebody with this program could.
fn mend_footer(bytes: &mut [u8], change: impl FnOnce(&mut [u8], &[u8])) {
    let start = bytes.len() - BLOCK;
    let (data, footer) = bytes.split_at_mut(start);
    change(footer, data);
    let sum = crc(&footer[..BLOCK - 4]);
    footer[BLOCK - 4..].copy_from_slice(&sum);
}

/// The files of a directory with their contents, deeper ones too.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// The kinds of faults that `verify` finds.
fn faults(code: i32, path: &str) -> Vec<String> {
    let found = document(code, &["verify", "-o", "json", path]);
    let kinds = found["faults"].as_array().unwrap().iter();
    kinds.map(|fault| fault["fault"].as_str().unwrap().to_owned()).collect()
}

/// Scenario: every command that only looks, on every golden vault.
/// Guarantees: the reports are as committed, and not a byte of the vaults is changed.
#[test]
fn golden_vaults_are_shown_as_they_are_and_not_touched() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vault-v1");
    let before = contents(&root);
    let mut report = String::new();
    for name in ["cursors", "large-attrs", "open-tail", "quarantine", "raw", "sealed"] {
        let path = root.join(name).display().to_string();
        for command in [&["ls", "--requests"][..], &["verify", "--quiet"]] {
            let mut arguments = command.to_vec();
            arguments.push(&path);
            let (code, out, err) = said(&arguments);
            let command = command.join(" ");
            let run = format!("$ gophership vault {command} {name}\n{out}{err}exit {code}\n\n");
            report.push_str(&run);
        }
        let listed = document(0, &["ls", "-o", "json", &path]);
        assert_eq!(listed["in_use"], false, "{name}");
        assert_eq!(listed["vault_id"].as_str().unwrap().len(), 32, "{name}");
    }
    golden::check("tests/it/golden/vault_tools.txt", &report);
    assert!(before == contents(&root), "looking changed a vault");
}

/// Scenario: a sound vault of several segments, half of it acknowledged.
/// Guarantees: `ls` and `cat` agree with what was stored, in every form and through every filter.
#[test]
fn what_was_stored_is_listed_and_comes_out_again() {
    let dir = tempfile::tempdir().unwrap();
    let parcels = make(dir.path(), 40, 21);
    let path = dir.path().display().to_string();
    let listed = document(0, &["ls", "-o", "json", &path]);
    assert_eq!(listed["totals"]["requests"], 40);
    let raw: usize = parcels.iter().map(|parcel| parcel.wire.len()).sum();
    assert_eq!(listed["totals"]["raw_bytes"], raw);
    assert_eq!(listed["cursors"][0]["backlog_requests"], 19);
    let segments = listed["segments"].as_array().unwrap();
    let states: Vec<&str> = segments.iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert!(2 < states.iter().filter(|state| **state == "sealed").count(), "{states:?}");
    assert!(states.contains(&"spare"), "{states:?}");
    assert_eq!(segments[0]["delivered"], true);

    let yaml = said(&["ls", "-o", "yaml", &path]).1;
    assert!(yaml.contains("backlog_requests: 19"), "{yaml}");
    let lines = |arguments: &[&str]| {
        let mut all = vec!["cat"];
        all.extend(arguments);
        all.push(&path);
        let (code, out, err) = said(&all);
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
        out.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(&[]).len(), 40);
    assert_eq!(lines(&["--signal", "traces"]).len(), 13);
    assert_eq!(lines(&["--seq", "5..9"]).len(), 5);
    assert_eq!(lines(&["--seq", "39.."]).len(), 2);
    assert_eq!(lines(&["--cursor", "sink"]).len(), 19);
    assert_eq!(lines(&["--limit", "3"]), lines(&["--seq", "..3"]));
    assert_eq!(lines(&["--since", "2026-01-01T00:00:38Z"]).len(), 2);
    assert_eq!(lines(&["--until", "2026-01-01T00:00:38Z"]).len(), 38);
    assert_eq!(lines(&["--segment", "1"]).len() as u64, segments[0]["requests"]);
    assert_eq!(lines(&["--format", "text", "--seq", "1"]).len(), 3);
    let limits = gophership_otlp::DecodeLimits { decoded_bytes_max: 1 << 30, depth_max: 32 };
    for (line, parcel) in lines(&[]).iter().zip(&parcels) {
        let wire = gophership_otlp::json_to_wire(parcel.signal, line.as_bytes(), &limits).unwrap();
        let decode = |wire: &[u8]| gophership_otlp::decode(parcel.signal, wire, &limits).unwrap();
        assert!(decode(&wire) == decode(&parcel.wire), "{line}");
    }
    let output = tool(&["cat", "--format", "protobuf", "--signal", "logs", &path]);
    let mut rest = output.stdout.as_slice();
    for parcel in parcels.iter().filter(|parcel| parcel.signal == Signal::Logs) {
        let (len, tail) = rest.split_first_chunk::<4>().unwrap();
        let (wire, tail) = tail.split_at(u32::from_be_bytes(*len) as usize);
        assert_eq!(wire, parcel.wire);
        rest = tail;
    }
    assert!(rest.is_empty());
}

/// Scenario: one kind of damage after the other on copies of a sound vault.
/// Guarantees: `verify` finds each, names it, says what it costs and exits 1; sound it exits 0.
#[test]
fn every_kind_of_damage_is_found_and_named() {
    type Damage = (&'static str, fn(&Path));
    let third = |dir: &Path| sealed(dir)[2].clone();
    let damages: [Damage; 9] = [
        ("body", |dir| change(&sealed(dir)[1], |bytes| bytes[BLOCK + 500] ^= 4)),
        ("request_header", |dir| change(&sealed(dir)[1], |bytes| bytes[BLOCK + 10] ^= 4)),
        ("segment_header", |dir| change(&sealed(dir)[1], |bytes| bytes[40] ^= 4)),
        ("footer", |dir| {
            change(&sealed(dir)[1], |bytes| {
                let at = bytes.len() - BLOCK + 50;
                bytes[at] ^= 4;
            });
        }),
        ("missing", |dir| fs::remove_file(&sealed(dir)[1]).unwrap()),
        ("cursor", |dir| change(&dir.join("cursors/sink"), |bytes| bytes.fill(7))),
        ("vault_id", |dir| change(&dir.join("vault_id"), |bytes| bytes.fill(7))),
        ("digest", |dir| {
            change(&sealed(dir)[1], |bytes| mend_footer(bytes, |footer, _| footer[150] ^= 1));
        }),
        ("facts", |dir| {
            change(&sealed(dir)[1], |bytes| mend_footer(bytes, |footer, _| footer[24] ^= 1));
        }),
    ];
    for (kind, damage) in damages {
        let (dir, path) = vault(40, 0);
        assert_eq!(faults(0, &path), [""; 0], "{kind}");
        damage(dir.path());
        let found = faults(1, &path);
        assert!(found.contains(&kind.to_owned()), "{kind}: {found:?}");
        let (code, out, _) = said(&["verify", &path]);
        assert_eq!(code, 1);
        assert!(out.contains(&format!("\n{kind}: ")), "{out}");
        if ["body", "request_header", "missing"].contains(&kind) {
            assert!(out.contains(" lost: "), "{out}");
        }
        // One segment by itself: the third knows nothing of the others.
        let alone = third(dir.path()).display().to_string();
        assert_eq!(faults(0, &alone), [""; 0], "{kind}");
    }
}

/// Scenario: two segments exchange their names, and one is replaced by a forged one.
/// Guarantees: the place-bound sums notice the first, the chain of digests the second.
#[test]
fn exchanged_and_forged_segments_are_found() {
    let (dir, path) = vault(40, 0);
    let paths = sealed(dir.path());
    let aside = dir.path().join("aside");
    fs::rename(&paths[1], &aside).unwrap();
    fs::rename(&paths[2], &paths[1]).unwrap();
    fs::rename(&aside, &paths[2]).unwrap();
    assert!(!faults(1, &path).is_empty());

    let (dir, path) = vault(40, 0);
    // A careful forger changes the header's time and mends all sums and the digest of this segment.
    change(&sealed(dir.path())[1], |bytes| {
        bytes[48] ^= 1;
        let sum = crc(&bytes[..BLOCK - 4]);
        bytes[BLOCK - 4..BLOCK].copy_from_slice(&sum);
        mend_footer(bytes, |footer, data| {
            let data_end = u64::from_le_bytes(footer[48..56].try_into().unwrap());
            let data = &data[..usize::try_from(data_end).unwrap()];
            let sum = crc(data);
            footer[12..16].copy_from_slice(&sum);
            let digest = blake3::Hasher::new().update(&footer[112..144]).update(data).finalize();
            footer[144..176].copy_from_slice(digest.as_bytes());
        });
    });
    let found = faults(1, &path);
    assert!(found.contains(&"chain".to_owned()), "{found:?}");
}

/// Scenario: `cat` of many requests into a pipe that is closed early.
/// Guarantees: it ends well and says nothing.
#[test]
fn a_closed_pipe_ends_it_quietly() {
    let (_dir, path) = vault(120, 0);
    for arguments in [&["cat"][..], &["ls", "--requests", "-o", "json"]] {
        let mut child = begin(&[arguments, &[path.as_str()]].concat());
        let mut some = [0; 64];
        child.stdout.take().unwrap().read_exact(&mut some).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
    }
}

/// Scenario: arguments that cannot be, and places that are no vault.
/// Guarantees: each has its exit code and a sentence that says what to do.
#[test]
fn wrong_arguments_are_explained() {
    let (dir, path) = vault(3, 0);
    let empty = tempfile::tempdir().unwrap();
    let nowhere = empty.path().join("x").display().to_string();
    let empty = empty.path().display().to_string();
    let above = dir.path().parent().unwrap().display().to_string();
    let cases: [(i32, &[&str], &str); 14] = [
        (66, &["ls", &nowhere], "vault_id"),
        (66, &["ls", &empty], "is not a vault"),
        (66, &["ls", &above], "is not a vault"),
        (2, &["verify", &empty], "is not a vault"),
        (66, &["ls", "--deadletter", &path], "dead-letter store"),
        (64, &["cat", "--format", "protobuf", &path], "--signal"),
        (64, &["cat", "--seq", "9..5", &path], "ends before"),
        (64, &["cat", "--since", "yesterday", &path], "duration like 1h"),
        (64, &["cat", "--cursor", "nobody", &path], "vault ls"),
        (64, &["export", &path], "--to"),
        (64, &["prune", "--older-than", "1d", &path], "--yes-lose-data"),
        (64, &["hold", "a/b", &path], "hold name"),
        (66, &["release", "nothing", &path], "no hold"),
        (64, &["ls", "--vault", "x"], "the vaults are: vault"),
    ];
    for (code, arguments, words) in cases {
        let (found, _, err) = said(arguments);
        assert_eq!(found, code, "{arguments:?}: {err}");
        assert!(err.contains(words), "{arguments:?}: {err}");
    }
}

/// Scenario: the vault is named by its configuration instead of by its path.
/// Guarantees: it is found; with two vaults it must be said which.
#[test]
fn a_vault_is_found_in_its_configuration() {
    let dir = tempfile::tempdir().unwrap();
    make(&dir.path().join("one"), 3, 0);
    make(&dir.path().join("two"), 5, 0);
    let yaml = |names: &[&str]| {
        let each = |line: &dyn Fn(&str) -> String| names.iter().map(|name| line(name)).collect();
        let sources: String =
            each(&|name| format!("  r{name}: {{ type: vault_replay, vault: {name} }}\n"));
        let inputs: Vec<String> = names.iter().map(|name| format!("r{name}")).collect();
        let sinks: String = each(&|name| format!("  {name}: {{ type: raw_vault }}\n"));
        let (data, inputs) = (dir.path().display(), inputs.join(", "));
        let out = format!("  out: {{ type: blackhole, inputs: [{inputs}] }}\n");
        let text = format!("data_dir: {data}\nsources:\n{sources}sinks:\n{out}{sinks}");
        let file = dir.path().join("gophership.yaml");
        fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let file = yaml(&["one"]);
    let listed = document(0, &["ls", "-o", "json", "--config", &file]);
    assert_eq!(listed["totals"]["requests"], 3);
    let file = yaml(&["one", "two"]);
    let (code, _, err) = said(&["ls", "--config", &file]);
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("one, two"), "{err}");
    let listed = document(0, &["ls", "-o", "json", "--config", &file, "--vault", "two"]);
    assert_eq!(listed["totals"]["requests"], 5);
}

//! Segments of a real vault, to objects and back.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do; clippy exempts only the tests themselves"
)]

use std::fs;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

use gophership_archive::ArchiveError;
use gophership_archive::Archiver;
use gophership_archive::FrameOptions;
use gophership_archive::Manifest;
use gophership_archive::ObjectFacts;
use gophership_archive::Prefix;
use gophership_archive::RequestInfo;
use gophership_archive::Restorer;
use gophership_archive::SegmentSummary;
use gophership_archive::encode;
use gophership_archive::schema;
use gophership_vault::NewRecord;
use gophership_vault::OfflineItem;
use gophership_vault::OfflineReader;
use gophership_vault::Options;
use gophership_vault::Receipt;
use gophership_vault::SealedSegment;
use gophership_vault::Writer;
use serde_json::Value;

type Done = Box<dyn FnOnce(Result<Receipt, gophership_vault::AppendError>) + Send>;

fn payload(number: u64) -> Vec<u8> {
    let noise = blake3::hash(&number.to_le_bytes());
    let line = format!("request {number} of a service that says {noise} each time;");
    let mut payload = line.repeat(1 + usize::try_from(number % 9).unwrap()).into_bytes();
    for round in 0..8_u64 {
        payload.extend_from_slice(blake3::hash(&(number ^ round << 40).to_le_bytes()).as_bytes());
    }
    payload
}

/// Fills a vault with so many records and closes it.
fn fill(dir: &Path, records: u64) {
    let mut options = Options::new(dir);
    options.segment_bytes = 1 << 20;
    options.max_bytes = 1 << 30;
    options.segment_age_max = Duration::from_hours(1);
    let (writer, _) = Writer::<Done>::open(options).unwrap();
    let (tell, told) = channel();
    for number in 0..records {
        let (tell, payload) = (tell.clone(), payload(number));
        let attrs = number.to_le_bytes();
        loop {
            let tell = tell.clone();
            let done: Done = Box::new(move |stored| tell.send(stored).unwrap());
            let signal = u8::try_from(number % 3 + 1).unwrap();
            let received_unix_ns = 1_000_000 + (number ^ 7);
            let record = NewRecord { signal, received_unix_ns, attrs: &attrs, payload: &payload };
            if writer.try_append(record, done).is_ok() {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
    drop(tell);
    for stored in told {
        stored.unwrap();
    }
    writer.close().unwrap();
}

fn sealed(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let is_sealed = |path: &PathBuf| path.extension().is_some_and(|end| end == "gsv");
    let mut found: Vec<PathBuf> = files.filter(is_sealed).collect();
    found.sort();
    found
}

fn go_on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn meaning(signal: u8, attrs: &[u8]) -> RequestInfo {
    let number = u64::from_le_bytes(attrs.try_into().unwrap());
    let signal = ["logs", "traces", "metrics"][usize::from(signal) - 1];
    RequestInfo { signal, records: number, source: format!("source-{}", number % 100) }
}

fn archive(path: &Path, object: &Path) -> (SealedSegment, Manifest) {
    let segment = SealedSegment::open(path).unwrap();
    let summary = SegmentSummary::of(&segment, |note| meaning(note.signal, note.attrs)).unwrap();
    let encoded = encode(&segment, object, FrameOptions::default(), go_on).unwrap();
    let facts = ObjectFacts::of_segment(&encoded, &summary);
    let origin = Archiver { node: "node-1".to_owned(), gophership: "0.1.0".to_owned() };
    let manifest = Manifest::new(&segment, &summary, &facts, &origin);
    (segment, manifest)
}

fn restore(
    manifest: &Manifest,
    object: &[u8],
    folder: &Path,
) -> Result<SealedSegment, ArchiveError> {
    let mut restorer = Restorer::new(manifest, folder)?;
    for piece in object.chunks(1000) {
        restorer.push(piece)?;
    }
    restorer.finish()
}

/// Checks a value against a schema; one that says what this does not know is refused.
fn assert_valid(root: &Value, form: &Value, value: &Value) {
    for (word, said) in form.as_object().unwrap() {
        let number = || value.as_u64().unwrap();
        match word.as_str() {
            "$schema"
            | "$defs"
            | "title"
            | "description"
            | "default"
            | "properties"
            | "additionalProperties" => {}
            "format" => assert!(["uint32", "uint64"].contains(&said.as_str().unwrap())),
            "$ref" => {
                let name = said.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                assert_valid(root, &root["$defs"][name], value);
            }
            "anyOf" => {
                let [one, null] = said.as_array().unwrap().as_slice() else { panic!("{said}") };
                assert_eq!(null["type"], "null");
                assert_valid(root, one, value);
            }
            "type" => match said.as_str().unwrap() {
                "object" => assert!(value.is_object()),
                "string" => assert!(value.is_string()),
                "integer" => assert!(value.is_u64()),
                other => panic!("{other} is not known here"),
            },
            "minimum" => assert!(said.as_u64().unwrap() <= number()),
            "maximum" => assert!(number() <= said.as_u64().unwrap()),
            "pattern" => {
                let len = said.as_str().unwrap().strip_prefix("^[0-9a-f]{").unwrap();
                let len: usize = len.strip_suffix("}$").unwrap().parse().unwrap();
                let text = value.as_str().unwrap();
                assert!(
                    text.len() == len && text.bytes().all(|it| b"0123456789abcdef".contains(&it))
                );
            }
            "required" => {
                let all = said.as_array().unwrap();
                assert!(all.iter().all(|name| value.get(name.as_str().unwrap()).is_some()));
            }
            other => panic!("{other} is not known here"),
        }
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        let own = form["properties"].get(name).or_else(|| form.get("additionalProperties"));
        if let Some(own @ Value::Object(_)) = own {
            assert_valid(root, own, value);
            continue;
        }
        let is_elsewhere = form.get("$ref").or_else(|| form.get("anyOf")).is_some();
        assert!(is_elsewhere, "{name} is not in the schema");
    }
}

/// Scenario: every segment of a vault goes to an object and back.
/// Guarantees: the file is the same, byte for byte; so are its records; bytes and keys repeat; the manifest
/// counts every request and is valid by the published schema.
#[test]
fn segments_come_back_bit_for_bit_and_manifests_tell_what_is_in_them() {
    let (vault, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(vault.path(), 9000);
    let files = sealed(vault.path());
    assert!(3 <= files.len(), "{}", files.len());
    let (mut requests, mut records) = (0, 0);
    let form = schema();
    for path in &files {
        let object = out.path().join("object.zst");
        let (segment, manifest) = archive(path, &object);
        let bytes = fs::read(&object).unwrap();
        let again = out.path().join("again.zst");
        assert_eq!(archive(path, &again).1.to_bytes(), manifest.to_bytes());
        assert_eq!(fs::read(&again).unwrap(), bytes);
        assert_eq!(Manifest::read(&manifest.to_bytes(), "k").unwrap(), manifest);
        let value = serde_json::from_slice(&manifest.to_bytes()).unwrap();
        assert_valid(&form, &form, &value);
        let restored = restore(&manifest, &bytes, out.path()).unwrap();
        assert_eq!(fs::read(&restored.path).unwrap(), fs::read(path).unwrap());
        assert_eq!(restored.digest, segment.digest);
        let prefix: Prefix = "a".parse().unwrap();
        let key = manifest.segment_key().manifest().key(&prefix);
        assert_eq!(
            manifest.object_key(&prefix, &key).unwrap(),
            Manifest::key_of(&segment).key(&prefix)
        );
        assert!(manifest.sources.len() <= 65 && manifest.sources.contains_key("(other)"));
        requests += manifest.requests;
        records += manifest.signals.values().map(|signal| signal.records).sum::<u64>();
        assert!(
            manifest.received.unwrap().first_unix_ns <= manifest.received.unwrap().last_unix_ns
        );
    }
    assert_eq!((requests, records), (9000, (0..9000).sum::<u64>()));
    let copies = out.path().join("copies");
    fs::create_dir(&copies).unwrap();
    for path in sealed(out.path()) {
        fs::rename(&path, copies.join(path.file_name().unwrap())).unwrap();
    }
    let mut reader = OfflineReader::open(&copies).unwrap();
    for number in 0..9000 {
        let Some(OfflineItem::Record(record)) = reader.next().unwrap() else { panic!("{number}") };
        assert_eq!(record.payload, payload(number));
    }
    assert_eq!(reader.next().unwrap(), None);
}

/// Scenario: the schema is published.
/// Guarantees: the committed one is that of the code.
#[test]
fn the_published_schema_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../website/manifest.schema.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "website/manifest.schema.json is old; UPDATE_GOLDEN=1 rewrites it");
}

/// Scenario: an object is opened with the stock tool.
/// Guarantees: it gives back the file, and shows the content size and the checksum.
#[test]
fn the_stock_tool_opens_an_object() {
    if !untested::can_run("archive the_stock_tool_opens_an_object") {
        return;
    }
    let (vault, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(vault.path(), 2000);
    let path = sealed(vault.path()).remove(0);
    let object = out.path().join("object.zst");
    archive(&path, &object);
    let mut frame = [0; 6];
    fs::File::open(&object).unwrap().read_exact(&mut frame).unwrap();
    assert_eq!(frame[..4], [0x28, 0xb5, 0x2f, 0xfd], "magic of zstd");
    assert_ne!(frame[4] & 0b100, 0, "with a checksum");
    assert_ne!(frame[4] >> 6, 0, "with its content size");
    let unpacked = Command::new("zstd").arg("-dc").arg(&object).output().unwrap();
    assert!(unpacked.status.success(), "{}", String::from_utf8_lossy(&unpacked.stderr));
    assert_eq!(unpacked.stdout, fs::read(&path).unwrap());
}

/// Scenario: single bytes of segment and object are changed, and both are cut.
/// Guarantees: neither is taken for whole, and nothing is left under the name of a segment.
#[test]
fn damage_is_found_in_both_directions() {
    let (vault, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(vault.path(), 500);
    let path = sealed(vault.path()).remove(0);
    let object = out.path().join("object.zst");
    let (segment, manifest) = archive(&path, &object);
    let bytes = fs::read(&object).unwrap();
    for at in (0..bytes.len()).step_by(bytes.len() / 50) {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        let restored = restore(&manifest, &bad, out.path());
        assert!(restored.as_ref().is_err_and(ArchiveError::is_damage), "{at}: {restored:?}");
    }
    let cut = restore(&manifest, &bytes[..bytes.len() - 1], out.path());
    assert!(cut.is_err_and(|error| error.is_damage()));
    let longer = [bytes.as_slice(), b"x"].concat();
    assert!(restore(&manifest, &longer, out.path()).is_err_and(|error| error.is_damage()));
    let mut other = manifest.clone();
    other.segment += 1;
    assert!(restore(&other, &bytes, out.path()).is_err_and(|error| error.is_damage()));
    assert_eq!(sealed(out.path()), Vec::<PathBuf>::new());
    let mut file = fs::read(&path).unwrap();
    let end = usize::try_from(segment.data_end).unwrap();
    for at in (0..end).step_by(end / 20) {
        file[at] ^= 1;
        fs::write(&path, &file).unwrap();
        let encoded = encode(&segment, &object, FrameOptions::default(), go_on);
        assert!(encoded.is_err_and(|error| error.is_damage()), "{at}");
        file[at] ^= 1;
    }
}

/// Scenario: an object decompresses to much more than its manifest says.
/// Guarantees: no more than that is ever written.
#[test]
fn a_bomb_is_refused_before_it_fills_the_disk() {
    let (vault, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(vault.path(), 500);
    let (_, mut manifest) = archive(&sealed(vault.path()).remove(0), &out.path().join("o"));
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
    manifest.object.bytes = bomb.len() as u64;
    let mut restorer = Restorer::new(&manifest, out.path()).unwrap();
    let pushed = restorer.push(&bomb);
    assert!(pushed.is_err_and(|error| error.is_damage()));
    let part = out.path().join("seg-00000000000000000001.restoring.tmp");
    assert!(fs::metadata(part).unwrap().len() <= manifest.raw.bytes);
}

/// Scenario: who encodes is asked to stop.
/// Guarantees: it stops before the next piece.
#[test]
fn encoding_stops_when_it_is_told_to() {
    let (vault, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(vault.path(), 500);
    let segment = SealedSegment::open(&sealed(vault.path()).remove(0)).unwrap();
    let mut turns = 0;
    let stopped = encode(&segment, &out.path().join("o"), FrameOptions::default(), || {
        turns += 1;
        if turns < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert!(matches!(stopped, Err(ArchiveError::Stopped)));
    assert_eq!(turns, 2);
}

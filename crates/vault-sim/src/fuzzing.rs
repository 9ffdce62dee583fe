//! Entry points for fuzzers: a vault in memory that they damage, and what they may try on its parts.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;

use gophership_vault::AppendError;
use gophership_vault::NewRecord;
use gophership_vault::OfflineItem;
use gophership_vault::OfflineReader;
use gophership_vault::Options;
use gophership_vault::Reader;
use gophership_vault::Receipt;
use gophership_vault::StoredRecord;
use gophership_vault::Writer;

use crate::SimFileSystem;

pub use gophership_vault::fuzzing::footer;
pub use gophership_vault::fuzzing::lz4_record;
pub use gophership_vault::fuzzing::record_header;

/// Any bytes as a file of two slots: a payload fits its slot, or there is none.
///
/// # Panics
///
/// When a promise is broken.
pub fn slot_file(bytes: &[u8]) {
    gophership_vault::fuzzing::slot_file(bytes, |path, content| {
        let files = SimFileSystem::default();
        files.put(path, content);
        files.shared()
    });
}

/// A small vault that fuzzers damage.
#[derive(Debug)]
pub struct Specimen {
    files: SimFileSystem,
    /// Segment files, oldest first; the last one is not sealed.
    segments: Vec<PathBuf>,
    payloads: Vec<Vec<u8>>,
}

const DIR: &str = "/vault";

impl Specimen {
    /// Makes a vault of three segments.
    ///
    /// # Panics
    ///
    /// When a vault in memory cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let files = SimFileSystem::default();
        let mut options = Options::new(DIR);
        options.segment_bytes = 64 << 10;
        options.max_bytes = 1 << 20;
        options.staging_bytes = 256 << 10;
        options.record_bytes_max = 64 << 10;
        let (writer, _) = Writer::open_on(&files.shared(), options).expect("opens");
        let mut payloads = Vec::new();
        for id in 0_u64..24 {
            let mut payload = vec![0; 200 + usize::from(id.to_le_bytes()[0]) * 300];
            let mut word = id + 1;
            for chunk in payload.chunks_mut(8) {
                word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(id % 2);
                chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
            }
            let (to, answer) = mpsc::channel();
            let record =
                NewRecord { signal: 1, received_unix_ns: id, attrs: b"attrs", payload: &payload };
            let done = move |result: Result<Receipt, AppendError>| {
                let _closed = to.send(result);
            };
            assert!(writer.try_append(record, done).is_ok(), "a new vault has room");
            answer.recv().expect("is answered").expect("is stored");
            payloads.push(payload);
        }
        files.cut_power();
        let segments = writer.log().segments().into_iter().map(|info| info.path).collect();
        drop(writer);
        Self { files: files.after_kill(), segments, payloads }
    }

    fn check(&self, record: &StoredRecord) {
        let id = usize::try_from(record.received_unix_ns).unwrap_or(usize::MAX);
        let original = self.payloads.get(id).expect("nothing is invented");
        assert!(record.payload[..] == original[..], "record {id} is altered");
        assert_eq!(record.attrs, b"attrs", "attributes of record {id} are altered");
    }

    fn check_offline(&self, files: &SimFileSystem, path: &Path) {
        let Ok(mut offline) = OfflineReader::open_on(files.shared(), path) else { return };
        // A segment that cannot be opened is passed by the next call.
        for _ in 0..100_000 {
            match offline.next() {
                Ok(Some(OfflineItem::Record(record))) => self.check(&record),
                Ok(Some(OfflineItem::Fault(_))) | Err(_) => {}
                Ok(None) => return,
            }
        }
        panic!("the offline reader does not end");
    }

    /// A segment file with bytes changed: each five bytes are an offset, how many, and with what.
    /// What is read is what was appended.
    ///
    /// # Panics
    ///
    /// When a promise is broken.
    pub fn segment_reader(&self, bytes: &[u8]) {
        let files = self.files.fork();
        let (first, edits) = bytes.split_first().unwrap_or((&0, &[]));
        let path = &self.segments[usize::from(*first) % self.segments.len()];
        for edit in edits.as_chunks::<5>().0 {
            let offset = u64::from(u16::from_le_bytes([edit[0], edit[1]]));
            let piece = vec![edit[3].wrapping_add(edit[4]); usize::from(edit[2]) + 1];
            files.poke(path, offset, &piece);
        }
        self.check_offline(&files, path);
        // The bytes themselves as the rest of a segment, behind a header that is right.
        files.poke(path, 4096, bytes);
        self.check_offline(&files, path);
    }

    /// A directory in which files were changed, cut, removed, renamed, copied and made up: each six
    /// bytes are one such act. It recovers or says why not, and what is read is what was appended.
    ///
    /// # Panics
    ///
    /// When a promise is broken.
    pub fn recovery_dir(&self, bytes: &[u8]) {
        let files = self.files.fork();
        for act in bytes.as_chunks::<6>().0.iter().take(16) {
            let paths = files.paths();
            let Some((path, len)) = paths.get(usize::from(act[1]) % paths.len().max(1)) else {
                break;
            };
            let at = u64::from(u16::from_le_bytes([act[2], act[3]])) % len.max(&1);
            let target = name(act[4], act[5]);
            match act[0] % 6 {
                0 => files.poke(path, at, &act[4..]),
                1 => files.set_len(path, at),
                2 => drop(files.take(path)),
                3 => {
                    let bytes = files.take(path).unwrap_or_default();
                    files.put(&target, &bytes);
                }
                4 => files.put(&target, &files.bytes_of(path).unwrap_or_default()),
                _ => files.put(&target, bytes),
            }
        }
        self.check_offline(&files, Path::new(DIR));
        let Ok((log, _)) = gophership_vault::recover_on(&files.shared(), Path::new(DIR)) else {
            return;
        };
        let Ok(mut reader) = Reader::open(&Arc::clone(&log), "fuzz") else { return };
        for _ in 0..100_000 {
            match reader.next() {
                Ok(Some(record)) => {
                    self.check(&record);
                    reader.ack(record.seq);
                }
                Ok(None) | Err(_) => return,
            }
        }
        panic!("the reader does not end");
    }
}

impl Default for Specimen {
    fn default() -> Self {
        Self::new()
    }
}

/// A name that recovery looks at.
fn name(kind: u8, number: u8) -> PathBuf {
    let dir = Path::new(DIR);
    match kind % 7 {
        0 => dir.join(format!("seg-{number:020}.gsv")),
        1 => dir.join(format!("seg-{number:020}.open")),
        2 => dir.join(format!("seg-{number:020}.tmp")),
        3 => dir.join(format!("quarantine/seg-{number:020}.gsv")),
        4 => dir.join("vault_id"),
        5 => dir.join(format!("cursors/c{number}")),
        _ => dir.join("seg-18446744073709551615.gsv"),
    }
}

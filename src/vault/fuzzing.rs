//! Entry points for fuzzers: each takes any bytes, and panics when a promise about them is broken.
//!
//! The promises: no panic, no memory beyond what the bytes themselves could fill, and no record
//! returned as good that is not, byte for byte, what was appended. Checksums would keep a fuzzer out,
//! so each structure is tried as it is and once more with its checksum put right.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;

use crate::vault::NewRecord;
use crate::vault::OfflineItem;
use crate::vault::OfflineReader;
use crate::vault::Options;
use crate::vault::Reader;
use crate::vault::Receipt;
use crate::vault::StoredRecord;
use crate::vault::Writer;
use crate::vault::error::AppendError;
use crate::vault::format;
use crate::vault::format::BLOCK_LEN;
use crate::vault::format::Codec;
use crate::vault::format::RecordHeader;
use crate::vault::format::SegmentHeader;
use crate::vault::format::Trailer;
use crate::vault::read::stored;
use crate::vault::sim::SimFileSystem;
use crate::vault::slots::SlotFile;

/// Fills one block from any bytes and puts its checksum right.
fn repaired_block(bytes: &[u8], magic: [u8; 8]) -> [u8; BLOCK_LEN] {
    let mut block = [0; BLOCK_LEN];
    let len = bytes.len().min(BLOCK_LEN - 12);
    block[8..8 + len].copy_from_slice(&bytes[..len]);
    block[..8].copy_from_slice(&magic);
    let sum = format::crc(&block[..BLOCK_LEN - 4]);
    block[BLOCK_LEN - 4..].copy_from_slice(&sum.to_le_bytes());
    block
}

/// Any bytes as a file of two slots: a payload fits its slot, or there is none.
///
/// # Panics
///
/// When a promise is broken.
pub fn slot_file(bytes: &[u8]) {
    let (left, right) = bytes.split_at(bytes.len() / 2);
    let repaired = [repaired_block(left, *b"GSVSLOT1"), repaired_block(right, *b"GSVSLOT1")];
    for content in [bytes, &repaired.concat()] {
        let files = SimFileSystem::default();
        let path = Path::new("/slots");
        files.put(path, content);
        let (_, payload) = SlotFile::open(files.shared(), path).expect("the file is there");
        assert!(payload.is_none_or(|payload| payload.len() <= BLOCK_LEN), "longer than its slot");
    }
}

/// Any bytes as a record header: what is believed is consistent, and encodes to what it came from.
///
/// # Panics
///
/// When a promise is broken.
pub fn record_header(bytes: &[u8]) {
    let mut header = [0; 64];
    let len = bytes.len().min(header.len());
    header[..len].copy_from_slice(&bytes[..len]);
    let (salt, offset) = (7, 4096);
    let mut repaired = header;
    repaired[..4].copy_from_slice(b"GSR1");
    repaired[6] = format::VERSION;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&u64::to_le_bytes(salt));
    hasher.update(&u64::to_le_bytes(offset));
    hasher.update(&repaired[..60]);
    repaired[60..].copy_from_slice(&hasher.finalize().to_le_bytes());
    for bytes in [header, repaired] {
        let Some(decoded) = RecordHeader::decode(&bytes, salt, offset) else { continue };
        assert!(u64::from(decoded.attrs_len) <= u64::from(decoded.stored_len), "attributes fit");
        assert!(decoded.body_end_bytes() < 1 << 33, "lengths are 32 bits");
        let again = decoded.encode(salt, offset);
        assert_eq!(again[..56], bytes[..56], "what was read is what is written");
    }
}

/// Any bytes as trailer, segment header and index of a segment.
///
/// # Panics
///
/// When a promise is broken.
pub fn footer(bytes: &[u8]) {
    let magics = [*b"GSVFOOT1", *b"GSVAULT1"];
    for magic in magics {
        for block in [bytes, &repaired_block(bytes, magic)] {
            if let Some(trailer) = Trailer::decode(block) {
                let mut again = [0; BLOCK_LEN];
                trailer.encode(&mut again);
                assert_eq!(Trailer::decode(&again), Some(trailer), "a trailer comes back");
            }
            if let Ok(header) = SegmentHeader::decode(block) {
                let mut again = [0; BLOCK_LEN];
                header.encode(&mut again);
                assert_eq!(SegmentHeader::decode(&again), Ok(header), "a header comes back");
            }
        }
    }
    let count = u32::try_from(bytes.len() / 24).unwrap_or(u32::MAX);
    let mut index = Vec::from(*b"GSVINDX1");
    index.extend_from_slice(&count.to_le_bytes());
    let entries = &bytes[..bytes.len() / 24 * 24];
    index.extend_from_slice(&format::crc(entries).to_le_bytes());
    index.extend_from_slice(entries);
    let told = bytes.first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
    for count in [count, told] {
        for bytes in [bytes, &index] {
            let entries = format::decode_index(bytes, count).unwrap_or_default();
            assert!(entries.len() * 24 <= bytes.len(), "no entry without its bytes");
        }
    }
}

/// Any bytes as a compressed body, and as a payload to be compressed.
///
/// # Panics
///
/// When a promise is broken.
pub fn lz4_record(bytes: &[u8]) {
    let mut header = RecordHeader {
        header_len: 64,
        codec: Codec::Lz4,
        seq: 1,
        durable_seq: 0,
        received_unix_ns: 0,
        raw_len: bytes.first_chunk().map_or(0, |word| u32::from_le_bytes(*word)),
        stored_len: 0,
        raw_crc: 0,
        stored_crc: 0,
        signal: 1,
        flags: 0,
        attrs_len: 0,
        commit_no: 1,
    };
    let body = bytes.get(4..).unwrap_or_default();
    for raw_len in [header.raw_len, header.raw_len % 4096] {
        header.raw_len = raw_len;
        if let Some(record) = stored::decode(&header, body) {
            assert_eq!(format::crc(&record.payload), header.raw_crc, "only what its crc names");
            assert!(record.payload.len() <= body.len() * 255 + 64, "no more than it can hold");
        }
    }
    header.raw_len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    header.raw_crc = format::crc(bytes);
    let record = stored::decode(&header, &lz4_flex::block::compress(bytes));
    assert_eq!(&record.expect("comes back").payload[..], bytes);
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
        let Ok((log, _)) = crate::vault::recover_on(&files.shared(), Path::new(DIR)) else {
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

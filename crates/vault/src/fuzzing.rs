//! Entry points for fuzzers: each takes any bytes, and panics when a promise about them is broken.
//!
//! The promises: no panic, no memory beyond what the bytes themselves could fill, and no record
//! returned as good that is not, byte for byte, what was appended. Checksums would keep a fuzzer out,
//! so each structure is tried as it is and once more with its checksum put right.

use std::path::Path;
use std::sync::Arc;

use crate::format;
use crate::format::BLOCK_LEN;
use crate::format::Codec;
use crate::format::RecordHeader;
use crate::format::SegmentHeader;
use crate::format::Trailer;
use crate::fs::FileSystem;
use crate::segment::stored;
use crate::slots::SlotFile;

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

/// Any bytes as a file of two slots: a payload fits its slot, or there is none. `store` makes a file
/// system that has a file.
///
/// # Panics
///
/// When a promise is broken.
pub fn slot_file(bytes: &[u8], store: impl Fn(&Path, &[u8]) -> Arc<dyn FileSystem>) {
    let (left, right) = bytes.split_at(bytes.len() / 2);
    let repaired = [repaired_block(left, *b"GSVSLOT1"), repaired_block(right, *b"GSVSLOT1")];
    for content in [bytes, &repaired.concat()] {
        let path = Path::new("/slots");
        let files = store(path, content);
        let (_, payload) = SlotFile::open(files, path).expect("the file is there");
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

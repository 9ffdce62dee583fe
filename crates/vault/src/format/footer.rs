//! The footer of a sealed segment: a sparse index, then the trailer in the file's last block.
//!
//! ```text
//!  index, at data_end                     trailer, first bytes of the last block
//!  off size field                          off size field
//!    0   8  magic GSVINDX1                   0   8  magic GSVFOOT1
//!    8   4  count                            8   1  version = 1, then 3 zeros
//!   12   4  crc of the entries              12   4  segment_crc of bytes 0..data_end
//!   16 24n  entries:                        16   8  segment number
//!           seq u64, offset u64,            24   8  record_count
//!           stored_len u32, raw_len u32     32   8  first_seq
//!                                           40   8  last_seq
//!  an entry stands for the first record     48   8  data_end
//!  after every 64 KiB or 256 records        56   4  index entries
//!                                           60   4  bad_record_count
//!                                           64   8  raw_bytes
//!                                           72   8  stored_bytes
//!                                           80   8  first received_unix_ns
//!                                           88   8  last received_unix_ns
//!                                           96  16  vault_id
//!                                          112  32  prev_digest
//!                                          144  32  digest: BLAKE3 of prev_digest, bytes 0..data_end
//!                                          176 ...  zero
//!                                         4092   4  crc of bytes 0..4092
//! ```

use crate::format::BLOCK_LEN;
use crate::format::VERSION;
use crate::format::crc;
use crate::format::get;
use crate::format::get_u32;
use crate::format::get_u64;
use crate::format::put;

/// First bytes of a trailer.
const FOOTER_MAGIC: [u8; 8] = *b"GSVFOOT1";
/// First bytes of an index.
pub(crate) const INDEX_MAGIC: [u8; 8] = *b"GSVINDX1";
/// Length of what precedes the entries of an index.
const INDEX_HEADER_BYTES: u64 = 16;

const ENTRY_BYTES: u64 = 24;
const CRC_AT: usize = BLOCK_LEN - 4;

/// Where one record of a sealed segment starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) seq: u64,
    pub(crate) offset: u64,
    pub(crate) stored_len: u32,
    pub(crate) raw_len: u32,
}

/// Bytes of an index with this many entries.
pub(crate) const fn index_bytes(entries: u64) -> u64 {
    INDEX_HEADER_BYTES + entries * ENTRY_BYTES
}

/// Encodes an index.
pub(crate) fn encode_index(entries: &[IndexEntry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + entries.len() * 24);
    bytes.extend_from_slice(&INDEX_MAGIC);
    bytes.extend_from_slice(&u32::try_from(entries.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    for entry in entries {
        bytes.extend_from_slice(&entry.seq.to_le_bytes());
        bytes.extend_from_slice(&entry.offset.to_le_bytes());
        bytes.extend_from_slice(&entry.stored_len.to_le_bytes());
        bytes.extend_from_slice(&entry.raw_len.to_le_bytes());
    }
    let sum = crc(&bytes[16..]);
    put(&mut bytes, 12, &sum.to_le_bytes());
    bytes
}

/// Decodes an index of exactly `count` entries, or `None` when it is damaged.
pub(crate) fn decode_index(bytes: &[u8], count: u32) -> Option<Vec<IndexEntry>> {
    let end = 16 + usize::try_from(count).ok()?.checked_mul(24)?;
    if bytes.len() < end || get::<8>(bytes, 0) != INDEX_MAGIC || get_u32(bytes, 8) != count {
        return None;
    }
    let entries = &bytes[16..end];
    if get_u32(bytes, 12) != crc(entries) {
        return None;
    }
    let decode = |entry: &[u8]| IndexEntry {
        seq: get_u64(entry, 0),
        offset: get_u64(entry, 8),
        stored_len: get_u32(entry, 16),
        raw_len: get_u32(entry, 20),
    };
    Some(entries.chunks_exact(24).map(decode).collect())
}

/// A decoded trailer; every field is named in the layout above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) vault_id: u128,
    pub(crate) segment: u64,
    pub(crate) segment_crc: u32,
    pub(crate) record_count: u64,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    pub(crate) data_end: u64,
    pub(crate) index_entries: u32,
    pub(crate) bad_record_count: u32,
    pub(crate) raw_bytes: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) first_received_unix_ns: u64,
    pub(crate) last_received_unix_ns: u64,
    pub(crate) prev_digest: [u8; 32],
    pub(crate) digest: [u8; 32],
}

impl Trailer {
    /// Fills one block.
    pub(crate) fn encode(&self, block: &mut [u8]) {
        block.fill(0);
        put(block, 0, &FOOTER_MAGIC);
        block[8] = VERSION;
        put(block, 12, &self.segment_crc.to_le_bytes());
        put(block, 16, &self.segment.to_le_bytes());
        put(block, 24, &self.record_count.to_le_bytes());
        put(block, 32, &self.first_seq.to_le_bytes());
        put(block, 40, &self.last_seq.to_le_bytes());
        put(block, 48, &self.data_end.to_le_bytes());
        put(block, 56, &self.index_entries.to_le_bytes());
        put(block, 60, &self.bad_record_count.to_le_bytes());
        put(block, 64, &self.raw_bytes.to_le_bytes());
        put(block, 72, &self.stored_bytes.to_le_bytes());
        put(block, 80, &self.first_received_unix_ns.to_le_bytes());
        put(block, 88, &self.last_received_unix_ns.to_le_bytes());
        put(block, 96, &self.vault_id.to_le_bytes());
        put(block, 112, &self.prev_digest);
        put(block, 144, &self.digest);
        let sum = crc(&block[..CRC_AT]);
        put(block, CRC_AT, &sum.to_le_bytes());
    }

    /// Reads one block, or `None` when it is no intact trailer of version 1.
    pub(crate) fn decode(block: &[u8]) -> Option<Self> {
        let is_intact = BLOCK_LEN <= block.len()
            && get::<8>(block, 0) == FOOTER_MAGIC
            && block[8] == VERSION
            && get_u32(block, CRC_AT) == crc(&block[..CRC_AT]);
        is_intact.then(|| Self {
            vault_id: u128::from_le_bytes(get(block, 96)),
            segment_crc: get_u32(block, 12),
            segment: get_u64(block, 16),
            record_count: get_u64(block, 24),
            first_seq: get_u64(block, 32),
            last_seq: get_u64(block, 40),
            data_end: get_u64(block, 48),
            index_entries: get_u32(block, 56),
            bad_record_count: get_u32(block, 60),
            raw_bytes: get_u64(block, 64),
            stored_bytes: get_u64(block, 72),
            first_received_unix_ns: get_u64(block, 80),
            last_received_unix_ns: get_u64(block, 88),
            prev_digest: get(block, 112),
            digest: get(block, 144),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_comes_back_and_every_flip_is_noticed() {
        let entry = |seq| IndexEntry { seq, offset: seq * 8, stored_len: 3, raw_len: 9 };
        let entries: Vec<_> = (1..5).map(entry).collect();
        let bytes = encode_index(&entries);
        assert_eq!(decode_index(&bytes, 4), Some(entries));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert_eq!(decode_index(&bad, 4), None, "byte {at}");
        }
        assert_eq!(decode_index(&bytes[..40], 4), None);
    }

    #[test]
    fn a_trailer_comes_back_and_every_flip_is_noticed() {
        let trailer = Trailer {
            vault_id: 1 << 100,
            segment: 2,
            segment_crc: 3,
            record_count: 4,
            first_seq: 5,
            last_seq: 6,
            data_end: 7,
            index_entries: 8,
            bad_record_count: 9,
            raw_bytes: 10,
            stored_bytes: 11,
            first_received_unix_ns: 12,
            last_received_unix_ns: 13,
            prev_digest: [14; 32],
            digest: [15; 32],
        };
        let mut block = [0; BLOCK_LEN];
        trailer.encode(&mut block);
        assert_eq!(Trailer::decode(&block), Some(trailer));
        assert_eq!(Trailer::decode(&block[..4000]), None);
        for at in 0..BLOCK_LEN {
            let mut bad = block;
            bad[at] ^= 0x10;
            assert_eq!(Trailer::decode(&bad), None, "byte {at}");
        }
        block[8] = VERSION + 1;
        let sum = crc(&block[..CRC_AT]);
        put(&mut block, CRC_AT, &sum.to_le_bytes());
        assert_eq!(Trailer::decode(&block), None, "a version of later");
    }
}

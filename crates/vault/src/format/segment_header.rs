//! The segment header: the first block of a segment.
//!
//! ```text
//!  off size field
//!    0   8  magic GSVAULT1
//!    8   1  version = 1
//!    9   3  zero
//!   12   4  header_len = 4,096
//!   16  16  vault_id
//!   32   8  segment number
//!   40   8  first_seq
//!   48   8  created_unix_ns
//!   56   8  salt
//!   64   8  alloc_bytes
//!   72   4  block_bytes = 4,096
//!   76   4  crc id = 1 (CRC-32/ISO-HDLC)
//!   80   8  prev_segment (0: none)
//!   88   8  prev_last_seq
//!   96   4  prev_crc: the segment crc of the predecessor
//!  100 ...  zero
//! 4092   4  crc of bytes 0..4092
//! ```

use crate::format::BLOCK_LEN;
use crate::format::VERSION;
use crate::format::crc;
use crate::format::get;
use crate::format::get_u32;
use crate::format::get_u64;
use crate::format::put;

const MAGIC: [u8; 8] = *b"GSVAULT1";
const CRC_AT: usize = BLOCK_LEN - 4;
const CRC_ID: u32 = 1;

/// A decoded segment header; every field is named in the layout above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) vault_id: u128,
    pub(crate) segment: u64,
    pub(crate) first_seq: u64,
    pub(crate) created_unix_ns: u64,
    pub(crate) salt: u64,
    pub(crate) alloc_bytes: u64,
    pub(crate) prev_segment: u64,
    pub(crate) prev_last_seq: u64,
    pub(crate) prev_crc: u32,
}

/// Why a block is not a usable segment header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SegmentHeaderError {
    /// Damaged, or never written.
    Corrupt,
    /// Intact, of a version this program does not know.
    UnknownVersion(u8),
}

impl SegmentHeader {
    /// Fills one block.
    pub(crate) fn encode(&self, block: &mut [u8]) {
        block.fill(0);
        put(block, 0, &MAGIC);
        block[8] = VERSION;
        put(block, 12, &4096_u32.to_le_bytes());
        put(block, 16, &self.vault_id.to_le_bytes());
        put(block, 32, &self.segment.to_le_bytes());
        put(block, 40, &self.first_seq.to_le_bytes());
        put(block, 48, &self.created_unix_ns.to_le_bytes());
        put(block, 56, &self.salt.to_le_bytes());
        put(block, 64, &self.alloc_bytes.to_le_bytes());
        put(block, 72, &4096_u32.to_le_bytes());
        put(block, 76, &CRC_ID.to_le_bytes());
        put(block, 80, &self.prev_segment.to_le_bytes());
        put(block, 88, &self.prev_last_seq.to_le_bytes());
        put(block, 96, &self.prev_crc.to_le_bytes());
        let sum = crc(&block[..CRC_AT]);
        put(block, CRC_AT, &sum.to_le_bytes());
    }

    /// Reads one block.
    pub(crate) fn decode(block: &[u8]) -> Result<Self, SegmentHeaderError> {
        let is_intact = BLOCK_LEN <= block.len()
            && get::<8>(block, 0) == MAGIC
            && get_u32(block, CRC_AT) == crc(&block[..CRC_AT]);
        if !is_intact {
            return Err(SegmentHeaderError::Corrupt);
        }
        if block[8] != VERSION || get_u32(block, 76) != CRC_ID {
            return Err(SegmentHeaderError::UnknownVersion(block[8]));
        }
        Ok(Self {
            vault_id: u128::from_le_bytes(get(block, 16)),
            segment: get_u64(block, 32),
            first_seq: get_u64(block, 40),
            created_unix_ns: get_u64(block, 48),
            salt: get_u64(block, 56),
            alloc_bytes: get_u64(block, 64),
            prev_segment: get_u64(block, 80),
            prev_last_seq: get_u64(block, 88),
            prev_crc: get_u32(block, 96),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader = SegmentHeader {
        vault_id: 1 << 100,
        segment: 2,
        first_seq: 3,
        created_unix_ns: 4,
        salt: 5,
        alloc_bytes: 6,
        prev_segment: 7,
        prev_last_seq: 8,
        prev_crc: 9,
    };

    #[test]
    fn a_segment_header_comes_back_and_every_flip_is_noticed() {
        let mut block = [0; BLOCK_LEN];
        HEADER.encode(&mut block);
        assert_eq!(SegmentHeader::decode(&block), Ok(HEADER));
        assert_eq!(SegmentHeader::decode(&block[..4000]), Err(SegmentHeaderError::Corrupt));
        for at in 0..BLOCK_LEN {
            let mut bad = block;
            bad[at] ^= 0x10;
            assert_eq!(SegmentHeader::decode(&bad), Err(SegmentHeaderError::Corrupt));
        }
    }

    #[test]
    fn an_intact_header_of_another_version_or_crc_is_no_damage() {
        for (at, version) in [(8, 2), (76, VERSION)] {
            let mut block = [0; BLOCK_LEN];
            HEADER.encode(&mut block);
            block[at] = 2;
            let sum = crc(&block[..CRC_AT]);
            put(&mut block, CRC_AT, &sum.to_le_bytes());
            let unknown = SegmentHeaderError::UnknownVersion(version);
            assert_eq!(SegmentHeader::decode(&block), Err(unknown));
        }
    }
}

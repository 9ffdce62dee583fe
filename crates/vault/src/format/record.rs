//! The record header.
//!
//! ```text
//!  off size field
//!    0   4  magic GSR1
//!    4   2  header_len = 64 (the body starts there; a longer header's tail is skipped)
//!    6   1  version = 1
//!    7   1  codec: 0 raw, 1 lz4 block
//!    8   8  seq: one more for each record of the vault
//!   16   8  durable_seq: highest seq known synced when this header was built
//!   24   8  received_unix_ns: information only, nothing is ordered by it
//!   32   4  raw_len: payload bytes before compression
//!   36   4  stored_len: attributes and payload as on disk
//!   40   4  raw_crc: of the payload before compression
//!   44   4  stored_crc: of attributes and payload as on disk
//!   48   1  signal
//!   49   1  flags: 1 last of commit, 2 attributes present, 4 watermark (no body, takes no seq)
//!   50   2  attrs_len
//!   52   4  commit_no: low 32 bits
//!   56   4  zero
//!   60   4  header_crc: of bytes 0..60, seeded with salt and offset
//! ```
//!
//! The body follows: attributes, payload, zeros up to a multiple of eight.

use crate::format::VERSION;
use crate::format::get;
use crate::format::get_u16;
use crate::format::get_u32;
use crate::format::get_u64;
use crate::format::put;

/// First bytes of every record.
pub(crate) const RECORD_MAGIC: [u8; 4] = *b"GSR1";
/// Length of a version 1 header.
pub(crate) const RECORD_HEADER_BYTES: u64 = 64;
/// Flag: zeros up to the next block follow.
pub(crate) const FLAG_LAST_OF_COMMIT: u8 = 1;
/// Flag: the body starts with attributes.
pub(crate) const FLAG_ATTRS: u8 = 2;
/// Flag: no record at all, only a place for `durable_seq`; `seq` repeats the last record's.
pub(crate) const FLAG_WATERMARK: u8 = 4;

const HEADER_LEN: usize = 64;
const CRC_AT: usize = 60;

/// How a payload is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    /// As it came.
    Raw,
    /// One LZ4 block.
    Lz4,
}

/// A decoded record header; every field is named in the layout above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) header_len: u16,
    pub(crate) codec: Codec,
    pub(crate) seq: u64,
    pub(crate) durable_seq: u64,
    pub(crate) received_unix_ns: u64,
    pub(crate) raw_len: u32,
    pub(crate) stored_len: u32,
    pub(crate) raw_crc: u32,
    pub(crate) stored_crc: u32,
    pub(crate) signal: u8,
    pub(crate) flags: u8,
    pub(crate) attrs_len: u16,
    pub(crate) commit_no: u32,
}

impl RecordHeader {
    /// Encodes the header as it stands at `offset` of the segment with this salt.
    pub(crate) fn encode(&self, salt: u64, offset: u64) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        put(&mut bytes, 0, &RECORD_MAGIC);
        put(&mut bytes, 4, &self.header_len.to_le_bytes());
        bytes[6] = VERSION;
        bytes[7] = match self.codec {
            Codec::Raw => 0,
            Codec::Lz4 => 1,
        };
        put(&mut bytes, 8, &self.seq.to_le_bytes());
        put(&mut bytes, 16, &self.durable_seq.to_le_bytes());
        put(&mut bytes, 24, &self.received_unix_ns.to_le_bytes());
        put(&mut bytes, 32, &self.raw_len.to_le_bytes());
        put(&mut bytes, 36, &self.stored_len.to_le_bytes());
        put(&mut bytes, 40, &self.raw_crc.to_le_bytes());
        put(&mut bytes, 44, &self.stored_crc.to_le_bytes());
        bytes[48] = self.signal;
        bytes[49] = self.flags;
        put(&mut bytes, 50, &self.attrs_len.to_le_bytes());
        put(&mut bytes, 52, &self.commit_no.to_le_bytes());
        let crc = header_crc(&bytes, salt, offset);
        put(&mut bytes, CRC_AT, &crc.to_le_bytes());
        bytes
    }

    /// Decodes a header read from `offset`, or `None` when these bytes are no header of this place.
    pub(crate) fn decode(bytes: &[u8], salt: u64, offset: u64) -> Option<Self> {
        if bytes.len() < HEADER_LEN || get::<4>(bytes, 0) != RECORD_MAGIC {
            return None;
        }
        if get_u32(bytes, CRC_AT) != header_crc(bytes, salt, offset) || bytes[6] != VERSION {
            return None;
        }
        let codec = match bytes[7] {
            0 => Codec::Raw,
            1 => Codec::Lz4,
            _ => return None,
        };
        let header = Self {
            header_len: get_u16(bytes, 4),
            codec,
            seq: get_u64(bytes, 8),
            durable_seq: get_u64(bytes, 16),
            received_unix_ns: get_u64(bytes, 24),
            raw_len: get_u32(bytes, 32),
            stored_len: get_u32(bytes, 36),
            raw_crc: get_u32(bytes, 40),
            stored_crc: get_u32(bytes, 44),
            signal: bytes[48],
            flags: bytes[49],
            attrs_len: get_u16(bytes, 50),
            commit_no: get_u32(bytes, 52),
        };
        header.is_consistent().then_some(header)
    }

    /// Whether the lengths agree with each other.
    fn is_consistent(&self) -> bool {
        let header_fits =
            RECORD_HEADER_BYTES <= u64::from(self.header_len) && self.header_len.is_multiple_of(8);
        let attrs_fit = u32::from(self.attrs_len) <= self.stored_len;
        let payload_len = self.stored_len.saturating_sub(u32::from(self.attrs_len));
        let raw_fits = self.codec != Codec::Raw || payload_len == self.raw_len;
        header_fits && attrs_fit && raw_fits
    }

    /// Bytes from the start of the header to the end of the body, padding not included.
    pub(crate) fn body_end_bytes(&self) -> u64 {
        u64::from(self.header_len) + u64::from(self.stored_len)
    }

    /// Whether this is a watermark and not a record.
    pub(crate) fn is_watermark(&self) -> bool {
        self.flags & FLAG_WATERMARK != 0
    }

    /// Whether the commit group ends with this record.
    pub(crate) fn is_last_of_commit(&self) -> bool {
        self.flags & FLAG_LAST_OF_COMMIT != 0
    }
}

fn header_crc(bytes: &[u8], salt: u64, offset: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(&bytes[..CRC_AT]);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> RecordHeader {
        RecordHeader {
            header_len: 64,
            codec: Codec::Lz4,
            seq: 7,
            durable_seq: 5,
            received_unix_ns: 99,
            raw_len: 1000,
            stored_len: 300,
            raw_crc: 1,
            stored_crc: 2,
            signal: 3,
            flags: FLAG_ATTRS | FLAG_LAST_OF_COMMIT,
            attrs_len: 12,
            commit_no: 4,
        }
    }

    #[test]
    fn a_header_comes_back_as_it_was() {
        let bytes = header().encode(11, 4096);
        assert_eq!(RecordHeader::decode(&bytes, 11, 4096), Some(header()));
    }

    #[test]
    fn a_header_of_another_place_or_segment_is_refused() {
        let bytes = header().encode(11, 4096);
        assert_eq!(RecordHeader::decode(&bytes, 12, 4096), None);
        assert_eq!(RecordHeader::decode(&bytes, 11, 8192), None);
    }

    #[test]
    fn a_header_whose_lengths_contradict_each_other_is_refused() {
        let raw = RecordHeader { codec: Codec::Raw, raw_len: 288, ..header() };
        let longer = RecordHeader { header_len: 72, ..header() };
        let all_attrs = RecordHeader { attrs_len: 300, ..header() };
        for good in [raw, longer, all_attrs] {
            let bytes = good.encode(11, 4096);
            assert_eq!(RecordHeader::decode(&bytes, 11, 4096), Some(good));
            assert_eq!(RecordHeader::decode(&bytes[..63], 11, 4096), None);
        }
        let short = RecordHeader { header_len: 56, ..header() };
        let odd = RecordHeader { header_len: 68, ..header() };
        let attrs_behind_the_end = RecordHeader { attrs_len: 301, ..header() };
        let other_raw_len = RecordHeader { raw_len: 300, ..raw };
        for bad in [short, odd, attrs_behind_the_end, other_raw_len] {
            assert_eq!(RecordHeader::decode(&bad.encode(11, 4096), 11, 4096), None, "{bad:?}");
        }
    }

    #[test]
    fn flags_say_what_a_header_is_and_lengths_where_its_body_ends() {
        let watermark = RecordHeader { flags: FLAG_WATERMARK, header_len: 72, ..header() };
        assert!(watermark.is_watermark() && !watermark.is_last_of_commit());
        assert!(header().is_last_of_commit() && !header().is_watermark());
        assert_eq!((header().body_end_bytes(), watermark.body_end_bytes()), (364, 372));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = header().encode(11, 4096);
        for bit in 0..good.len() * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&bad, 11, 4096), None, "bit {bit}");
        }
    }
}

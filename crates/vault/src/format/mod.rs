//! The byte layout, version 1. Pure: encodes and decodes, touches no file.
//!
//! Everything is little endian. A checksum called crc is CRC-32/ISO-HDLC. A segment:
//!
//! ```text
//!  0          4,096                                        data_end              end of file
//!  | segment  | commit group | commit group | ... | group | index ....| trailer |
//!  | header   | rec rec rec 0| rec 0 0 0 0 0|     |       | (sealed)  | 4,096   |
//!             ^ every group starts at a multiple of 4,096 and is zero-padded to the next
//! ```
//!
//! A record's header crc is seeded with the segment's salt and the record's own offset, so that stale
//! or misplaced bytes are never taken for a record. The salt follows from the vault's id and the
//! segment's number: a segment whose header block is lost can still be read.

mod footer;
mod record;
mod segment_header;

pub(super) use footer::INDEX_MAGIC;
pub(super) use footer::IndexEntry;
pub(super) use footer::Trailer;
pub(super) use footer::decode_index;
pub(super) use footer::encode_index;
pub(super) use footer::index_bytes;
pub(super) use record::Codec;
pub(super) use record::FLAG_ATTRS;
pub(super) use record::FLAG_LAST_OF_COMMIT;
pub(super) use record::FLAG_WATERMARK;
pub(super) use record::RECORD_HEADER_BYTES;
pub(super) use record::RECORD_MAGIC;
pub(super) use record::RecordHeader;
pub(super) use segment_header::SegmentHeader;
pub(super) use segment_header::SegmentHeaderError;

/// The vault's unit of writing, and the alignment direct I/O is used with.
pub(super) const BLOCK_BYTES: u64 = 4096;
/// The same, for lengths in memory.
pub(super) const BLOCK_LEN: usize = 4096;
/// Version of every structure on disk.
pub(super) const VERSION: u8 = 1;
/// Largest attribute string: its length is 16 bits on disk.
pub(super) const ATTRS_BYTES_MAX: u64 = 65_535;
/// An index entry is made when this many data bytes have passed since the last.
pub(super) const INDEX_EVERY_BYTES: u64 = 64 * 1024;
/// An index entry is made when this many records have passed since the last.
pub(super) const INDEX_EVERY_RECORDS: u64 = 256;

/// Rounds up to the next multiple of a block.
pub(super) const fn align_block(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK_BYTES)
}

/// Bytes a record takes inside its commit group: header, body, zeros up to a multiple of eight.
pub(super) const fn record_span_bytes(stored_bytes: u64) -> u64 {
    RECORD_HEADER_BYTES + stored_bytes.next_multiple_of(8)
}

/// Bytes kept free at the end of a segment of this size for its footer.
pub(super) const fn footer_reserve_bytes(segment_bytes: u64) -> u64 {
    // An entry stands for 256 records of at least 64 bytes, or for 64 KiB.
    let entries = segment_bytes / (INDEX_EVERY_RECORDS * RECORD_HEADER_BYTES) + 2;
    align_block(index_bytes(entries)) + BLOCK_BYTES
}

/// Size of a segment that holds exactly one commit group of this many bytes.
pub(super) const fn segment_bytes_for(group_bytes: u64) -> u64 {
    let data = BLOCK_BYTES + align_block(group_bytes);
    // The reserve of twice the data covers the reserve of data plus reserve.
    align_block(data + footer_reserve_bytes(2 * data))
}

/// Derives a segment's salt from the vault's id and the segment's number.
pub(super) fn salt(vault_id: u128, segment: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"gophership vault salt 1");
    hasher.update(&vault_id.to_le_bytes());
    hasher.update(&segment.to_le_bytes());
    get_u64(hasher.finalize().as_bytes(), 0)
}

/// Begins the digest of a segment: its data follows the digest of the segment before it.
pub(super) fn digest_after(prev_digest: &[u8; 32]) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.update(prev_digest);
    hasher
}

/// Computes the crc of one slice.
pub(super) fn crc(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// The crc of `attrs` followed by a payload whose crc is known: its bytes are not read once more.
pub(super) fn crc_behind(attrs: &[u8], payload_crc: u32, payload_len: usize) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(attrs);
    hasher.combine(&crc32fast::Hasher::new_with_initial_len(payload_crc, payload_len as u64));
    hasher.finalize()
}

/// Whether all bytes are zero.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    buffer[at..at + bytes.len()].copy_from_slice(bytes);
}

fn get<const N: usize>(buffer: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&buffer[at..at + N]);
    bytes
}

fn get_u16(buffer: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(get(buffer, at))
}

fn get_u32(buffer: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(get(buffer, at))
}

fn get_u64(buffer: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(get(buffer, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_records_are_rounded_up() {
        assert_eq!([0, 1, 4096, 4097].map(align_block), [0, 4096, 4096, 8192]);
        assert_eq!([0, 1, 8, 9].map(record_span_bytes), [64, 72, 72, 80]);
    }

    #[test]
    fn a_segment_has_room_for_the_footer_of_the_smallest_records() {
        // One entry for each 256 records of 64 bytes and two more, the index header, the trailer.
        assert_eq!(footer_reserve_bytes(0), 2 * BLOCK_BYTES);
        assert_eq!(
            footer_reserve_bytes(64 << 20),
            (4098 * 24 + 16_u64).next_multiple_of(4096) + 4096
        );
    }

    #[test]
    fn a_segment_for_one_group_is_as_large_as_header_group_and_footer() {
        assert_eq!(segment_bytes_for(1), 4 * BLOCK_BYTES);
        assert_eq!(segment_bytes_for(16 << 20), (16 << 20) + 15 * BLOCK_BYTES);
        for group in [1, 4096, 4097, 1 << 20, 1 << 30] {
            let bytes = segment_bytes_for(group);
            let data_max = bytes - footer_reserve_bytes(bytes);
            assert!(BLOCK_BYTES + align_block(group) <= data_max, "{group}");
        }
    }

    #[test]
    fn every_segment_of_every_vault_has_a_salt_of_its_own() {
        let salts = [salt(1, 1), salt(1, 2), salt(2, 1), salt(2, 2), 0, 1];
        assert!(salts.iter().enumerate().all(|(idx, one)| !salts[..idx].contains(one)));
    }

    #[test]
    fn the_crc_of_two_pieces_is_that_of_both_together() {
        let payload = b"payload";
        assert_eq!(crc_behind(b"attrs", crc(payload), payload.len()), crc(b"attrspayload"));
    }

    #[test]
    fn one_set_byte_anywhere_is_not_zero() {
        let mut bytes = [0; 40];
        assert!(is_zero(&bytes) && is_zero(&[]));
        for at in 0..bytes.len() {
            bytes[at] = 1;
            assert!(!is_zero(&bytes), "byte {at}");
            bytes[at] = 0;
        }
    }
}

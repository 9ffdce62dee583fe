//! A record as its reader gets it, and how it comes from the bytes on disk.

use bytes::Bytes;

use crate::format;
use crate::format::Codec;
use crate::format::RecordHeader;

/// A record as it was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its number.
    pub seq: u64,
    /// The caller's kind of record.
    pub signal: u8,
    /// When the caller received it; information only.
    pub received_unix_ns: u64,
    /// The caller's attributes.
    pub attrs: Vec<u8>,
    /// The payload, checked to be bit-identical.
    pub payload: Bytes,
}

/// Turns a checked body into the record it was; `None` when it is not what its header says.
pub(crate) fn decode(header: &RecordHeader, body: &[u8]) -> Option<StoredRecord> {
    let (attrs, stored) = body.split_at_checked(usize::from(header.attrs_len))?;
    let raw_len = usize::try_from(header.raw_len).ok()?;
    let payload = match header.codec {
        Codec::Raw => stored.to_vec(),
        Codec::Lz4 => {
            // An LZ4 block grows at most 255 times: a larger claim is not worth its memory.
            if stored.len().saturating_mul(255).saturating_add(64) < raw_len {
                return None;
            }
            let mut payload = vec![0; raw_len];
            let len = lz4_flex::block::decompress_into(stored, &mut payload).ok()?;
            if len != raw_len {
                return None;
            }
            payload
        }
    };
    if payload.len() != raw_len || format::crc(&payload) != header.raw_crc {
        return None;
    }
    Some(StoredRecord {
        seq: header.seq,
        signal: header.signal,
        received_unix_ns: header.received_unix_ns,
        attrs: attrs.to_vec(),
        payload: payload.into(),
    })
}

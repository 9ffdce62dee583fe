//! A request in its JSON form as a whole: read strictly, or what can be read of it.

use bytes::Bytes;
use serde::de::Deserializer as _;

use super::super::error::WireError;
use super::super::inspect::DecodeLimits;
use super::super::prescan::prescan_envelope;
use super::super::schema::Message;
use super::super::signal::Signal;
use super::mend::{mended, whole_text};
use super::place;
use super::read::MessageReader;
use super::reading::Reading;

/// A request that was read from its JSON form.
#[derive(Debug, Clone)]
pub struct FromJson {
    /// Its wire form.
    pub wire: Bytes,
    /// How many of its records are not in it, because they cannot be read.
    pub rejected: u64,
    /// What to say of the first key that was ignored, of those around the records.
    pub unknown: Option<String>,
}

/// Converts a request from its JSON form to the wire form.
///
/// As [`read_json`], for whoever wants no more than that.
///
/// # Errors
///
/// Those of [`read_json`].
pub fn json_to_wire(
    signal: Signal,
    body: &[u8],
    limits: &DecodeLimits,
) -> Result<Bytes, WireError> {
    read_json(signal, body, limits).map(|read| read.wire)
}

/// Converts a request from its JSON form to the wire form.
///
/// The result may have `decoded_bytes_max` bytes. As a rule it is smaller than `body`, but an array
/// of numbers can grow fourfold: `0,` is one that takes eight bytes. Nothing is built besides it.
///
/// # Errors
///
/// [`WireError::Json`] for what is not JSON or not a request of this signal, and for messages
/// nested deeper than the limit; [`WireError::TooLarge`] when the result would be larger than the
/// limit.
pub fn read_json(
    signal: Signal,
    body: &[u8],
    limits: &DecodeLimits,
) -> Result<FromJson, WireError> {
    let error = match convert(signal, body, limits, false) {
        Err(Failure::Json(error)) => error,
        Err(Failure::TooLarge(error)) => return Err(error),
        Ok(read) => return Ok(read),
    };
    // Looked for only now: it is rare, and looking takes time.
    let again = mended(body).map(|mended| convert(signal, &mended, limits, false));
    let reason = match again {
        Some(Ok(read)) => return Ok(read),
        Some(Err(Failure::TooLarge(error))) => return Err(error),
        Some(Err(Failure::Json(reason))) => reason,
        None => error,
    };
    let path = place::path(body, reason.line(), reason.column());
    Err(WireError::Json { path, reason })
}

/// Converts what can be read of a request that [`read_json`] refuses: without the records that cannot, and
/// with U+FFFD for what is not UTF-8.
///
/// A scope, resource or metric that is wrong itself, or that loses its last record, goes too. `None` when
/// no record is left, or when it is not JSON. What it makes beside the result has the size of `body`, or
/// six times that if `body` is not UTF-8.
///
/// # Errors
///
/// [`WireError::TooLarge`] when the result would be larger than the limit.
pub fn salvage_json(
    signal: Signal,
    body: &[u8],
    limits: &DecodeLimits,
) -> Result<Option<FromJson>, WireError> {
    match convert(signal, &whole_text(body), limits, true) {
        Ok(read) if read.rejected > 0 && has_no_records(signal, &read.wire) => Ok(None),
        Ok(read) => Ok(Some(read)),
        Err(Failure::TooLarge(error)) => Err(error),
        Err(Failure::Json(_)) => Ok(None),
    }
}

fn has_no_records(signal: Signal, wire: &[u8]) -> bool {
    prescan_envelope(signal, wire).is_ok_and(|summary| summary.records == 0)
}

/// Why a conversion failed.
enum Failure {
    TooLarge(WireError),
    Json(serde_json::Error),
}

fn convert(
    signal: Signal,
    body: &[u8],
    limits: &DecodeLimits,
    salvages: bool,
) -> Result<FromJson, Failure> {
    let reading = Reading::new(signal, limits.decoded_bytes_max, salvages);
    // As much as the result may have, or as `body` has: no doubling, which would double the memory too.
    let capacity = usize::try_from(limits.decoded_bytes_max).unwrap_or(usize::MAX).min(body.len());
    let mut out = Vec::with_capacity(capacity);
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let message = Message::request(signal);
    let reader =
        MessageReader { message, depth_left: limits.depth(), reading: &reading, out: &mut out };
    let read = deserializer
        .deserialize_map(reader)
        .and_then(|()| deserializer.end())
        .and_then(|()| reading.check(&out, 0));
    match (read, reading.refused()) {
        (Ok(()), _) => {
            out.shrink_to_fit();
            let rejected = reading.rejected();
            Ok(FromJson { wire: out.into(), rejected, unknown: reading.unknown() })
        }
        (Err(_), Some(decoded_bytes)) => {
            let limit_bytes = limits.decoded_bytes_max;
            Err(Failure::TooLarge(WireError::TooLarge { decoded_bytes, limit_bytes }))
        }
        (Err(reason), None) => Err(Failure::Json(reason)),
    }
}

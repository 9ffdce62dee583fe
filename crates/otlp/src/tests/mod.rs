//! Tests of the wire view against the typed decoder.

mod dividing;
mod equivalence;
mod field_forms;
mod generate;
mod json;
mod reference;
mod rewriting;
mod robustness;
mod salvaging;

use super::decode::Decoded;
use super::inspect::DecodeLimits;
use super::wire::{put_bytes, put_key, put_message};

/// Limits that only the depth the typed decoder has itself can exceed.
const WIDE: DecodeLimits = DecodeLimits { decoded_bytes_max: u64::MAX, depth_max: 96 };

/// Everything that a request holds. Requests are compared by this: NaN does not equal itself, and -0.0 equals 0.0.
fn shown(decoded: &Decoded) -> String {
    format!("{decoded:?}")
}

/// A message of fields that `write` appends.
fn message(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// A request of one resource container and one scope container around these fields.
fn around(scope_fields: &[u8]) -> Vec<u8> {
    message(|out| {
        put_message(out, 1, |out| put_bytes(out, 2, scope_fields));
    })
}

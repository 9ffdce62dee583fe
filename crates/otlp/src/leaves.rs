//! Counting what a request can be divided into.

use std::ops::Range;

use super::error::{LocatedFault, WireError};
use super::locate::malformed;
use super::part::data;
use super::signal::Signal;
use super::wire::Fields;

/// The fields that lead from a request through its resources and scopes to records or metrics.
const WAY: [u32; 3] = [1, 2, 2];

/// How many records, and metrics without data points, a request can be divided into.
///
/// # Errors
///
/// [`WireError::Malformed`] when the envelope cannot be read.
pub fn leaves(signal: Signal, bytes: &[u8]) -> Result<u64, WireError> {
    let count = count(signal, bytes, 0..bytes.len(), &WAY);
    count.map_err(|fault| malformed(signal, bytes, fault))
}

fn count(
    signal: Signal,
    bytes: &[u8],
    span: Range<usize>,
    way: &[u32],
) -> Result<u64, LocatedFault> {
    let Some((number, rest)) = way.split_first() else { return Ok(0) };
    let mut leaves = 0;
    let mut fields = Fields::new(bytes, span);
    while let Some(field) = fields.next_message(*number)? {
        leaves += match signal {
            _ if !rest.is_empty() => count(signal, bytes, field.span(), rest)?,
            Signal::Metrics => data(bytes, &field)?.points.max(1),
            Signal::Logs | Signal::Traces => 1,
        };
    }
    Ok(leaves)
}

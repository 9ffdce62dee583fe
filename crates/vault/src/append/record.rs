//! What callers give to a writer, and what they are told.

use crate::error::AppendError;
use crate::segment::id::SegmentId;

/// A record to be stored.
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    /// The caller's kind of record; the vault only keeps it.
    pub signal: u8,
    /// When the caller received it; information only.
    pub received_unix_ns: u64,
    /// The caller's attributes, at most 65,535 bytes, kept as they are.
    pub attrs: &'a [u8],
    /// The payload, at most `record_bytes_max`; comes back bit-identical.
    pub payload: &'a [u8],
}

/// Where a record was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Its number: one more for each record of the vault.
    pub seq: u64,
    /// The segment it lies in.
    pub segment: SegmentId,
}

/// Told, exactly once, what became of an accepted record.
pub trait Completion: Send + 'static {
    /// Called from the writer thread (from the caller of `close` when the writer ended before the
    /// record's turn). Must not block: every record behind it waits.
    fn complete(self, result: Result<Receipt, AppendError>);
}

impl<F: FnOnce(Result<Receipt, AppendError>) + Send + 'static> Completion for F {
    fn complete(self, result: Result<Receipt, AppendError>) {
        self(result);
    }
}

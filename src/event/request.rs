//! A request, and where it came from.

use bytes::Bytes;
use gophership_otlp::Signal;

use super::note::Provenance;

/// A request as it left the wire, or the vault.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which of the signals it carries.
    pub signal: Signal,
    /// The protobuf bytes.
    pub wire: Bytes,
    /// Log records, spans or data points.
    pub records: u64,
    /// When it was received, in nanoseconds since 1970 by the wall clock.
    pub received_unix_ns: u64,
    /// Where it came from, for the vault.
    pub provenance: Provenance,
}

/// Where a batch came from, which decides where it falls back to when it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From a client: a failure goes back to the source, which answers for it.
    Source,
    /// From the vault: a failure leaves it there.
    Vault,
}

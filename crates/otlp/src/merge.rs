//! Merging requests of one signal into one.

use bytes::Bytes;

/// What a request may hold at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergeLimits {
    /// Bytes on the wire.
    pub bytes: u64,
    /// Log records, spans or data points.
    pub records: u64,
}

impl MergeLimits {
    /// Whether a request of this size is within the limits.
    #[must_use]
    pub const fn allow(&self, bytes: u64, records: u64) -> bool {
        bytes <= self.bytes && records <= self.records
    }
}

/// Puts requests of one signal together, in their order.
///
/// A request is a list of resource containers, so its bytes behind those of another are the longer
/// list. Containers of equal resources stay apart: what is equal cannot be told from bytes alone
/// (fields in another order, in pieces, unknown ones), and whoever reads a request has to put up with
/// a resource that is there twice anyway.
#[must_use]
pub fn merge(requests: &[Bytes]) -> Bytes {
    if let [one] = requests {
        return one.clone();
    }
    let mut merged = Vec::with_capacity(requests.iter().map(Bytes::len).sum());
    for request in requests {
        merged.extend_from_slice(request);
    }
    merged.into()
}

//! What one request may be: its size, how well it may be compressed, and how much it may hold.

use std::time::Duration;

use gophership_otlp::Summary;

use super::answer::RefusedRequest;

/// A body that inflates to no more than this is never refused for its compression ratio: a few
/// kilobytes of repeated records are ordinary.
const INFLATED_BYTES_MIN: u64 = 4 << 20;

/// The limits of a source for each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestLimits {
    /// The largest request in bytes, compressed and decompressed.
    pub(super) bytes: u64,
    /// How many times its compressed size a request may inflate to.
    pub(super) compression_ratio: u64,
    /// Log records, spans or data points.
    pub(super) records: u64,
    /// Containers of resources and of scopes together.
    pub(super) resources: u64,
    /// How long a sender may be silent in the middle of a request.
    pub(super) read_idle: Duration,
}

impl RequestLimits {
    /// Checks how much a request holds. The memory that components need for a request follows these
    /// counts and not its bytes: an empty record takes two bytes on the wire and hundreds in memory.
    pub(super) const fn check(&self, summary: &Summary) -> Result<(), RefusedRequest> {
        if self.records < summary.records {
            let (option, what) = ("records_max", "records");
            return Err(RefusedRequest::TooMany {
                option,
                what,
                count: summary.records,
                limit: self.records,
            });
        }
        let count = summary.resources.saturating_add(summary.scopes);
        if self.resources < count {
            let (option, what) = ("resources_max", "resources and scopes");
            return Err(RefusedRequest::TooMany { option, what, count, limit: self.resources });
        }
        Ok(())
    }

    /// The size up to which a body of `compressed` bytes may inflate, and what a larger one is told.
    pub(super) fn inflated(&self, compressed: u64) -> (u64, RefusedRequest) {
        let dense = compressed.saturating_mul(self.compression_ratio).max(INFLATED_BYTES_MIN);
        if self.bytes <= dense {
            return (self.bytes, RefusedRequest::TooLarge { limit_bytes: self.bytes });
        }
        (dense, RefusedRequest::TooDense { limit: self.compression_ratio })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RequestLimits = RequestLimits {
        bytes: 64 << 20,
        compression_ratio: 200,
        records: 10,
        resources: 5,
        read_idle: Duration::from_secs(1),
    };

    #[test]
    fn counts_up_to_their_limits_pass() {
        let refused = |records, resources, scopes| {
            let refused = LIMITS.check(&Summary { records, resources, scopes }).err()?;
            let RefusedRequest::TooMany { option, count, limit, .. } = refused else {
                panic!("{refused:?}")
            };
            Some((option, count, limit))
        };
        assert_eq!(refused(10, 2, 3), None);
        assert_eq!(refused(11, 0, 0), Some(("records_max", 11, 10)));
        assert_eq!(refused(1, 6, 0), Some(("resources_max", 6, 5)));
        assert_eq!(refused(1, 3, 3), Some(("resources_max", 6, 5)));
        assert_eq!(refused(1, u64::MAX, 1), Some(("resources_max", u64::MAX, 5)));
    }

    #[test]
    fn a_body_inflates_to_4_mib_or_to_its_ratio_and_never_above_the_limit() {
        let (dense, large) = (
            RefusedRequest::TooDense { limit: 200 },
            RefusedRequest::TooLarge { limit_bytes: 64 << 20 },
        );
        assert_eq!(LIMITS.inflated(0), (4 << 20, dense.clone()));
        assert_eq!(LIMITS.inflated(3 << 10), (4 << 20, dense.clone()));
        assert_eq!(LIMITS.inflated(100 << 10), (20_000 << 10, dense));
        assert_eq!(LIMITS.inflated(1 << 20), (64 << 20, large.clone()));
        assert_eq!(LIMITS.inflated(u64::MAX), (64 << 20, large));
        let small = RequestLimits { bytes: 1 << 20, ..LIMITS };
        assert_eq!(
            small.inflated(10),
            (1 << 20, RefusedRequest::TooLarge { limit_bytes: 1 << 20 })
        );
    }
}

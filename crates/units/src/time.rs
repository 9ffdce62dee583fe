//! Times as numbers.

use std::time::Duration;
use std::time::SystemTime;

/// The wall clock: nanoseconds since 1970, and 0 before that.
#[must_use]
pub fn unix_ns() -> u64 {
    ns_of(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// A duration in nanoseconds, at most 584 years.
#[must_use]
pub fn ns_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_the_longest() {
        assert_eq!(ns_of(Duration::from_secs(2)), 2_000_000_000);
        assert_eq!(ns_of(Duration::MAX), u64::MAX);
        // 2020, which is over.
        assert!(1_577_836_800_000_000_000 < unix_ns());
    }
}

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

/// A duration in seconds for logs: to the millisecond, and one below a second to the microsecond.
#[must_use]
pub fn seconds_of(duration: Duration) -> f64 {
    let parts = if duration < Duration::from_secs(1) { 1e6 } else { 1e3 };
    (duration.as_secs_f64() * parts).round() / parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_the_longest() {
        assert_eq!(ns_of(Duration::from_secs(2)), 2_000_000_000);
        assert_eq!(ns_of(Duration::MAX), u64::MAX);
        assert_eq!(seconds_of(Duration::from_nanos(12_345_678_901)).to_string(), "12.346");
        assert_eq!(seconds_of(Duration::from_nanos(592_958)).to_string(), "0.000593");
        assert_eq!(seconds_of(Duration::from_mins(3)).to_string(), "180");
        // 2020, which is over.
        assert!(1_577_836_800_000_000_000 < unix_ns());
    }
}

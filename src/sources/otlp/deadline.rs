//! The time that a sender gives a request: the header `grpc-timeout`.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use super::answer::RefusedRequest;

const GRPC_TIMEOUT: &str = "grpc-timeout";
/// Source: gRPC over HTTP2, "Requests".
const DIGITS_MAX: usize = 8;

/// When a sender gives up, and how long it has waited then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deadline {
    at: Instant,
    after: Duration,
}

impl Deadline {
    /// What the headers of a request that came now say. What is no timeout is none: the sender will go
    /// by itself.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let after = timeout(headers.get(GRPC_TIMEOUT)?.as_bytes())?;
        Some(Self { at: Instant::now() + after, after })
    }

    /// How long the sender waits in all.
    pub(super) const fn after(&self) -> Duration {
        self.after
    }

    /// What is left of it.
    pub(super) fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// When half of what is left is over.
    pub(super) fn half(&self) -> Instant {
        self.at - self.left() / 2
    }

    /// What the sender is told when it is over.
    pub(super) const fn refusal(&self) -> RefusedRequest {
        RefusedRequest::Late { after: self.after }
    }

    /// Does something that takes no longer. Dropped half-way it must leave nothing behind.
    pub(super) async fn bound<T>(
        &self,
        work: impl Future<Output = Result<T, RefusedRequest>>,
    ) -> Result<T, RefusedRequest> {
        tokio::time::timeout_at(self.at, work).await.unwrap_or_else(|_| Err(self.refusal()))
    }
}

/// Reads a timeout: up to eight digits and a unit.
fn timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    let is_number =
        (1..=DIGITS_MAX).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let number: u64 = std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_hours(number),
        b'M' => Duration::from_mins(number),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_in_every_unit_and_nothing_else_is_one() {
        for (value, expected) in [
            ("500m", Some(Duration::from_millis(500))),
            ("10S", Some(Duration::from_secs(10))),
            ("99999999H", Some(Duration::from_hours(99_999_999))),
            ("2M", Some(Duration::from_mins(2))),
            ("7u", Some(Duration::from_micros(7))),
            ("0n", Some(Duration::ZERO)),
            ("", None),
            ("S", None),
            ("10", None),
            ("-1S", None),
            ("1.5S", None),
            ("123456789n", None),
            ("1s", None),
        ] {
            assert_eq!(timeout(value.as_bytes()), expected, "{value}");
        }
    }
}

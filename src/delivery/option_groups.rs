//! Groups of options that network sinks share, and the defaults of single options.

use std::time::Duration;

use gophership_units::HumanDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Before each retry the sink waits a random part of a pause, which doubles from `min` to `max`. If
/// the backend sends a retry delay, the sink waits at least that long, up to 5 minutes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// The longest pause after the first failure. It doubles with each failure.
    pub(super) min: HumanDuration,
    /// The longest pause after any failure.
    pub(super) max: HumanDuration,
    /// A request from a vault becomes a dead letter if the backend has not accepted it for this long
    /// and accepts other requests all the while. A backend that is out causes no dead letters.
    pub(super) give_up_after: HumanDuration,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            min: HumanDuration(Duration::from_millis(100)),
            max: HumanDuration(Duration::from_secs(5)),
            // A part of a backend may be out for a while, and others are taken by the rest.
            give_up_after: HumanDuration(Duration::from_mins(15)),
        }
    }
}

/// Pings over HTTP/2, TCP keepalive over HTTP/1.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeepaliveConfig {
    /// The sink sends a ping after this long without data from the backend.
    pub(super) interval: HumanDuration,
    /// The sink closes a connection if a ping gets no answer within this time.
    pub(super) timeout: HumanDuration,
}

impl Default for KeepaliveConfig {
    fn default() -> Self {
        Self { interval: HumanDuration::seconds(20), timeout: HumanDuration::seconds(10) }
    }
}

/// The defaults of options that are plain values.
pub mod defaults {
    use gophership_units::ByteSize;
    use gophership_units::HumanDuration;

    /// Of `connect_timeout`.
    #[must_use]
    pub fn connect_timeout() -> HumanDuration {
        HumanDuration::seconds(3)
    }

    /// Of `timeout`.
    #[must_use]
    pub fn timeout() -> HumanDuration {
        HumanDuration::seconds(10)
    }

    /// Of `concurrency_max`.
    #[must_use]
    pub fn concurrency_max() -> u32 {
        256
    }

    /// Of `batch_max_bytes`.
    #[must_use]
    pub fn batch_max_bytes() -> ByteSize {
        ByteSize(0)
    }

    /// Of `in_flight_max`.
    #[must_use]
    pub fn in_flight_max() -> ByteSize {
        ByteSize(32 << 20)
    }
}

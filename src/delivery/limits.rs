//! [`DeliveryLimits`] of the engine of one sink.

use std::time::Duration;

use super::concurrency::Concurrency;
use super::slots::Balance;

/// What bounds the deliveries of a sink.
#[derive(Clone, Debug)]
pub struct DeliveryLimits {
    /// The endpoints, as they are shown; 1 to [`ENDPOINTS_MAX`](super::ENDPOINTS_MAX).
    pub endpoints: Vec<String>,
    /// How requests are spread over them.
    pub balance: Balance,
    /// Requests on their way.
    pub concurrency: Concurrency,
    /// Bytes on their way.
    pub in_flight_bytes: u64,
    /// Of batches that have to wait as many are put into one request as are together so large; 0 for
    /// each by itself.
    pub batch_max_bytes: u64,
    /// Only batches that came with the same headers are put into one request.
    pub same_headers_only: bool,
    /// What one attempt may take, connecting included.
    pub timeout: Duration,
    /// The longest pause after the first failure.
    pub retry_min: Duration,
    /// The longest pause after many.
    pub retry_max: Duration,
    /// What comes from a vault is rejected after many attempts in at least this time, if the backend
    /// takes others all the while.
    pub give_up_after: Duration,
}

//! A load generator for any OTLP endpoint: requests are due at fixed times, and latency counts from then.
//!
//! ```text
//!   schedule -> clock (a thread) -> queue -> senders: connections x streams -> target
//!                    |                |                      |
//!                 lateness        not sent          accepted, refused, unanswered -> tally -> report
//! ```
//!
//! A generator that waits for an answer before it sends the next request asks a slow target less, and does not see
//! how long those requests would have waited ("coordinated omission"). Here a request that is due waits in the queue
//! until a stream is free, and its wait is part of its latency.

mod bodies;
mod clock;
mod error;
mod generator;
mod latency;
mod load;
mod outcome;
mod queue;
mod report;
mod schedule;
mod tally;
mod target;
mod text;

pub use error::LoadError;
pub use generator::Second;
pub use generator::run;
pub use latency::Latencies;
pub use latency::Percentiles;
pub use load::Load;
pub use report::LoadReport;
pub use schedule::SendSchedule;
pub use tally::Count;
pub use tally::Tally;
pub use target::LoadTarget;
pub use text::latency;

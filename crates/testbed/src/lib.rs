//! Both ends of a server under test, and what is between them: for `gophership drill`, which tries a
//! configuration, and for the tests, which try everything else.
//!
//! ```text
//!   workload (sdk, steady) -> client -> the server -> backend
//!        |                                               |
//!        +------> oracle: sent  <------>  arrived <------+
//! ```
//!
//! What is sent has numbers, so that every record, or every request, is known again on the other side: as
//! it was sent, altered, repeated or missing. It knows the server by its address alone.

mod answers;
mod arrived;
mod backend;
mod bits;
mod client;
mod delay;
mod kinds;
mod page;
mod phase;
mod queue;
mod record_oracle;
mod recording;
mod records;
mod request_oracle;
mod sdk;
mod steady;
mod tally;
mod traffic;

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

pub use answers::LatencySummary;
pub use arrived::Arrived;
pub use backend::Backend;
pub use backend::BackendLoad;
pub use backend::BackendRefusal;
pub use backend::Broken;
pub use backend::Mode;
pub use backend::RequestRecorder;
pub use bits::Bits;
pub use client::WorkloadClient;
pub use delay::Delays;
pub use kinds::Expectation;
pub use kinds::Kinds;
pub use page::page;
pub use phase::Phase;
pub use queue::EXPORT_LEN_MAX;
pub use queue::QUEUE_LEN_MAX;
pub use queue::Schedule;
pub use record_oracle::RecordOracle;
pub use recording::RecordingBackend;
pub use records::FoundRecord;
pub use records::Intact;
pub use records::find;
pub use request_oracle::Audit;
pub use request_oracle::RequestOracle;
pub use sdk::Sdk;
pub use steady::Seen;
pub use steady::Shape;
pub use steady::SteadyLoad;
pub use tally::BackendTally;
pub use tally::ClientTally;
pub use traffic::Fingerprint;
pub use traffic::NumberedRequest;
pub use traffic::Traffic;
pub use traffic::numbers;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

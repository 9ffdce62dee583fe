//! The delivery engine under every network sink: it sees requests through, whatever protocol they
//! are sent in. A sink brings a [`Courier`], which makes a request, sends it and judges the answer.
//!
//! ```text
//!           at most `concurrency`        an endpoint that is there
//!   edge -> deliveries ----------> fleet ------------------------> courier -> answer
//!               ^                    ^                                          |
//!               |                    +---- another endpoint, at once ----------+  later
//!               +--------- backoff, when all have been tried, unless the vault took over
//! ```

mod answer;
mod backoff;
mod breaker;
mod concurrency;
mod denial;
mod endpoint;
mod engine;
mod fleet;
mod gather;
mod headers;
mod health;
mod hints;
mod hopeless;
mod limits;
mod options;
mod parcel;
mod resting;
mod silence;
mod slots;
mod warner;

pub use answer::Answer;
pub use concurrency::Concurrency;
pub use endpoint::Endpoint;
pub use endpoint::EndpointError;
pub use endpoint::EndpointProtocol;
pub use engine::Courier;
pub use engine::Engine;
pub use fleet::ENDPOINTS_MAX;
pub use headers::Fault;
pub use headers::HeaderSources;
pub use headers::Headers;
pub use headers::is_credential;
pub use hopeless::GIVE_UP_AFTER;
pub use limits::Limits;
pub use options::ConcurrencyOption;
pub use slots::Balance;

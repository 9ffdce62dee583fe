//! The delivery engine under every network sink: it sees requests through, whatever protocol they
//! are sent in. A sink brings its [`NetworkOptions`] and a [`Transport`], which makes a request, sends it and
//! judges the answer.
//!
//! ```text
//!           at most `concurrency`            an endpoint that is there
//!   edge -> deliveries ----------> endpoint set ----------------------> transport -> answer
//!               ^                      ^                                               |
//!               |                      +------ another endpoint, at once --------------+
//!               +---------- backoff, when all have been tried, unless the vault took over
//! ```

mod backoff;
mod batch_group;
mod breaker;
mod concurrency;
mod denial;
mod endpoint;
mod endpoint_set;
mod engine;
mod forwarded;
mod gather;
mod headers;
mod health;
mod hints;
mod limits;
mod network;
mod option_groups;
mod options;
mod poison_detector;
mod resting;
mod slots;
mod stall_detector;
mod transport;
mod waiting;
mod warner;

pub use backoff::Backoff;
pub use concurrency::Concurrency;
pub use endpoint::Endpoint;
pub use endpoint::EndpointError;
pub use endpoint::EndpointProtocol;
pub use endpoint_set::ENDPOINTS_MAX;
pub use engine::Engine;
pub use forwarded::ForwardedHeaders;
pub use headers::HeaderFault;
pub use headers::HeaderSources;
pub use headers::Headers;
pub use headers::is_credential;
pub use health::Health;
pub use limits::DeliveryLimits;
pub use network::NetworkOptions;
pub use option_groups::KeepaliveConfig;
pub use option_groups::RetryConfig;
pub use option_groups::defaults;
pub use options::ConcurrencyOption;
pub use slots::Balance;
pub use transport::Transport;

//! HTTP to backends, for every client of one: connections, compression, redirects, and what an attempt
//! came to.
//!
//! It knows no protocol above HTTP. Who makes a request judges its answer, and says so with an
//! [`Answer`].

mod answer;
mod causes;
mod compression;
mod connect;
mod connection_error;
mod proxy;
mod redirect;

pub use answer::Answer;
pub use causes::chain;
pub use compression::Compression;
pub use connect::ANSWER_BYTES_MAX;
pub use connect::ConnectOptions;
pub use connect::HttpClient;
pub use connect::HttpVersion;
pub use connect::connect;
pub use connection_error::with_connection_error;
pub use proxy::Proxies;
pub use redirect::at_path;
pub use redirect::followed;
pub use redirect::redirect_words;

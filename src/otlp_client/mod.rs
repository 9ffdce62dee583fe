//! What every client of an OTLP backend needs: the codec, and what an answer means.

mod codec;
mod verdict;

pub use codec::RawCodec;
pub use verdict::Verdict;
pub use verdict::chain;
pub use verdict::retry_after;

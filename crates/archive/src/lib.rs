//! The archive: what a sealed segment of the Raw Vault becomes in a bucket, and back.
//!
//! ```text
//!  <prefix>/v1/<vault_id>/seg/<segment>-<first_seq>-<last_seq>-<segment_crc>.gsv.zst   the file, as one zstd frame
//!  <prefix>/v1/<vault_id>/manifest/<segment>.json                                      what is in it
//! ```
//!
//! Keys are deterministic and objects are never changed, so whoever repeats an upload finds what is there.
//! The manifest is written after its object is confirmed: a segment with a manifest is complete.
//! Nothing here talks to a network: `steps.rs` decides, its caller acts.
//!
//! | to find | look into |
//! |---|---|
//! | names of objects | `key.rs` |
//! | lengths and checksums, and how they are written | `sums.rs`, `hex.rs` |
//! | what the headers of an object say | `facts.rs` |
//! | file to object, object to file | `encode.rs`, `decode.rs`, `frame.rs` |
//! | what a manifest says | `manifest.rs`, `summary.rs` |
//! | what to do next for a segment | `steps.rs` |

mod decode;
mod encode;
mod error;
mod facts;
mod frame;
mod hex;
mod key;
mod manifest;
mod steps;
mod summary;
mod sums;

pub use decode::Restorer;
pub use encode::Encoded;
pub use encode::encode;
pub use error::ArchiveError;
pub use facts::Content;
pub use facts::ObjectFacts;
pub use frame::FrameOptions;
pub use hex::parse_vault_id;
pub use hex::vault_id_text;
pub use key::ManifestKey;
pub use key::Prefix;
pub use key::PrefixError;
pub use key::SegmentKey;
pub use manifest::Archiver;
pub use manifest::Chain;
pub use manifest::Manifest;
pub use manifest::StoredSums;
pub use manifest::schema;
pub use steps::ArchiveStep;
pub use steps::Observed;
pub use steps::PutAnswer;
pub use steps::Steps;
pub use steps::Verdict;
pub use summary::ReceivedRange;
pub use summary::RequestInfo;
pub use summary::SegmentSummary;
pub use summary::SignalCount;
pub use summary::SourceCount;
pub use sums::Summing;
pub use sums::SummingWriter;
pub use sums::Sums;

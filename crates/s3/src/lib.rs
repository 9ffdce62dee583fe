//! A client of S3 buckets, for whoever archives there and reads back.
//!
//! It knows keys, bytes and conditions; it never learns what a vault or telemetry is. It makes each
//! request once: its caller decides on the next attempt, by [`S3ErrorKind::is_retryable`]. Every upload
//! carries its CRC-32, which the bucket compares with the bytes it got.
//!
//! ```no_run
//! # async fn example(options: gophership_s3::BucketOptions) -> Result<(), gophership_s3::S3Error> {
//! use gophership_s3::{Body, Bucket, Condition, PutOptions, PutOutcome};
//!
//! let bucket = Bucket::connect(&options).await?;
//! let once = PutOptions { condition: Condition::IfAbsent, ..PutOptions::default() };
//! match bucket.put("a/key", Body::Bytes("text".into()), &once).await? {
//!     PutOutcome::Written { .. } => {}
//!     PutOutcome::Refused => { /* An object of this key is there. */ }
//! }
//! # Ok(())
//! # }
//! ```

mod answer;
mod bucket;
mod causes;
mod connect;
mod error;
mod get;
mod list;
mod multipart;
mod observe;
mod options;
mod paced;
mod put;
mod sweep;

pub use bucket::BucketClient;
pub use bucket::ObjectInfo;
pub use error::S3Error;
pub use error::S3ErrorKind;
pub use get::ObjectReader;
pub use list::ListedObject;
pub use list::Listing;
pub use multipart::PART_BYTES_MIN;
pub use observe::Observer;
pub use observe::Operation;
pub use observe::RequestOutcome;
pub use observe::RequestReport;
pub use options::AssumeRole;
pub use options::BucketOptions;
pub use options::Credentials;
pub use options::Encryption;
pub use options::OptionFault;
pub use options::RequestChecksums;
pub use paced::Turn;
pub use paced::UploadPacer;
pub use put::ObjectBody;
pub use put::PutCondition;
pub use put::PutOptions;
pub use put::PutOutcome;

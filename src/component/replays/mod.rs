//! Replays that an operator asks for: a range of what a vault holds, delivered or not, is sent again.
//!
//! ```text
//!   control --start--> ReplayJobs --next--> the source `vault_replay` that feeds the sinks
//!      ^                                      |
//!      `--------------- ReplayJob <-----------'   how far it is, and how it ended
//! ```
//!
//! No cursor moves: what the job sends are further copies, and what the vault holds stays there. The same
//! source also sends what an archive in a bucket has, which then need not be of this vault.

mod archive_reader;
mod chunk;
mod error;
mod found;
mod job;
mod location;
mod range;
mod reader;
mod vault_reader;

pub use archive_reader::RestoreRoom;
pub use error::RangeError;

pub use job::JobCounts;
pub use job::JobEnd;
pub use job::ReplayJob;
pub use job::ReplayJobs;
pub use job::ReplayRegistration;
pub use job::ReplayStartError;
pub use location::ArchiveLocation;
pub use range::ReplayRange;
pub use reader::RangeReader;
pub use reader::count_range;

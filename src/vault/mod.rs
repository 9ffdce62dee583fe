//! The Raw Vault: a write-ahead log of byte records in sealed segments.
//!
//! One [`Writer`] owns a directory; any number of [`Reader`]s follow it, each behind a named durable
//! cursor. The vault is synchronous and knows only bytes: what a record means is its caller's
//! affair. What an append was told `Ok` about survives what its [`Durability`] says:
//!
//! | level | complete after | kill -9 | kernel crash | power loss |
//! |---|---|---|---|---|
//! | `Memory` | the writer thread took it over | no | no | no |
//! | `Written` | `pwrite` returned | yes | not promised | no |
//! | `Synced` | `fdatasync` of the data and of every directory entry leading to it | yes | yes | yes |
//!
//! A refused or failed append promises nothing: the record may or may not exist.
//!
//! ```text
//!  caller threads                writer thread                   helper thread
//!  checksum, LZ4 --> staging --> seq, headers, pwrite,           spares, seals,
//!  (writer.rs,       (bounded    fdatasync, publish, complete    retention, quarantine
//!   staging.rs)       queue)     (commit.rs, segment.rs)         (helper.rs, seal.rs, retention.rs)
//!                                      |
//!                                      v  durable position (log.rs)
//!  readers: pread of durable bytes only (scan.rs, reader.rs, cursor.rs)
//! ```
//!
//! A directory holds:
//!
//! ```text
//!  LOCK                          held by the one writer (flock)
//!  vault_id                      128 random bits, made once
//!  seg-<20 digits>.tmp           a spare being made; holds nothing
//!  seg-<20 digits>.open          a spare, or a segment being written
//!  seg-<20 digits>.gsv           a sealed segment
//!  cursors/<name>                durable cursor, two slots
//!  quarantine/seg-*, *.json, *.torn
//! ```

mod buffer;
mod commit;
mod cursor;
mod error;
mod examine;
mod format;
pub mod fs;
pub mod fuzzing;
mod helper;
mod identity;
mod judge;
mod log;
mod offline;
mod options;
mod quarantine;
mod reader;
mod recovery;
mod report;
mod restore;
mod retention;
mod rotate;
mod scan;
mod seal;
mod segment;
pub mod sim;
mod slots;
mod spare;
mod staging;
mod state;
mod writer;

#[cfg(test)]
mod tests;

pub use cursor::CursorHandle;
pub use error::AppendError;
pub use error::RefusalReason;
pub use error::Refused;
pub use error::VaultError;
pub use log::Backlog;
pub use log::Log;
pub use log::SegmentInfo;
pub use offline::OfflineItem;
pub use offline::OfflineReader;
pub use options::Compression;
pub use options::Durability;
pub use options::Options;
pub use reader::Reader;
pub use reader::StoredRecord;
pub use report::RecoveryReport;
pub use restore::recover_on;
pub use scan::Fault;
pub use scan::FaultKind;
pub use spare::SegmentId;
pub use spare::SegmentState;
pub use writer::Completion;
pub use writer::NewRecord;
pub use writer::Receipt;
pub use writer::Stats;
pub use writer::Writer;

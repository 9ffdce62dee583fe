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
//!  dropped                       what was dropped on purpose, if the options ask for that
//!  quarantine/seg-*, *.json, *.torn
//!  holds/<name>@<segments>       what retention must leave alone
//! ```

mod buffer;
mod chain;
mod clear;
mod commit;
mod cursor;
mod directory;
mod dropping;
mod error;
mod examine;
mod finding;
mod format;
pub mod fs;
pub mod fuzzing;
mod helper;
mod holds;
mod identity;
mod judge;
mod log;
mod newest;
mod offline;
mod options;
mod passed;
mod quarantine;
mod reader;
mod recovery;
mod repair;
mod report;
mod restore;
mod retention;
mod rotate;
mod scan;
mod seal;
mod segment;
mod seq_set;
pub mod sim;
mod slots;
mod spare;
mod staging;
mod state;
mod stats;
mod stored;
mod survey;
mod verify;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

pub use clear::ClearScope;
pub use clear::Cleared;
pub use clear::clear;
pub use cursor::CursorHandle;
pub use dropping::DropObserver;
pub use dropping::DroppedRecord;
pub use error::AppendError;
pub use error::RefusalReason;
pub use error::Refused;
pub use error::VaultError;
pub use finding::Finding;
pub use finding::FindingKind;
pub use holds::Hold;
pub use holds::place_hold;
pub use holds::release_hold;
pub use log::Backlog;
pub use log::Log;
pub use log::SegmentInfo;
pub use offline::OfflineItem;
pub use offline::OfflineReader;
pub use offline::Selection;
pub use options::Compression;
pub use options::Durability;
pub use options::Options;
pub use options::WhenFull;
pub use reader::Order;
pub use reader::Reader;
pub use repair::RepairAction;
pub use repair::RepairStep;
pub use repair::repair;
pub use report::RecoveryReport;
pub use restore::recover_on;
pub use scan::Fault;
pub use scan::FaultKind;
pub use seq_set::SeqSet;
pub use spare::SegmentId;
pub use spare::SegmentState;
pub use stats::Stats;
pub use stored::StoredRecord;
pub use survey::CursorSurvey;
pub use survey::SegmentSurvey;
pub use survey::Survey;
pub use survey::SurveyState;
pub use survey::WriterPresence;
pub use survey::is_vault;
pub use survey::split_path;
pub use verify::Verification;
pub use verify::VerifyOptions;
pub use verify::verify;
pub use writer::Completion;
pub use writer::NewRecord;
pub use writer::Receipt;
pub use writer::Writer;

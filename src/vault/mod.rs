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
//!   staging.rs)       queue)     (commit.rs, segment.rs)         (helper.rs, seal.rs)
//!                                full groups: (ahead.rs, a disk thread)
//!                                      |
//!                                      v  durable position (log.rs)
//!  readers: pread of durable bytes only
//!
//!  append/   all of the upper line              read/    scanner, readers, cursors
//!  recover/  what a start finds and does        keep/    retention, holds, dropping
//!  tools/    survey, verify, repair, reading without a writer
//!  format/   the bytes, version 1               sim/     a disk in memory that fails, for tests
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

mod append;
mod buffer;
mod error;
mod format;
pub mod fs;
pub mod fuzzing;
mod keep;
mod log;
mod options;
mod read;
mod recover;
mod seq_set;
pub mod sim;
mod slots;
mod state;
mod stats;
mod throttle;
mod tools;

#[cfg(test)]
mod tests;

pub use append::effort::AreShort;
pub use append::spare::SegmentId;
pub use append::spare::SegmentState;
pub use append::writer::Completion;
pub use append::writer::NewRecord;
pub use append::writer::Receipt;
pub use append::writer::Writer;
pub use error::AppendError;
pub use error::RefusalReason;
pub use error::Refused;
pub use error::VaultError;
pub use keep::dropping::DropObserver;
pub use keep::dropping::DroppedRecord;
pub use keep::holds::Hold;
pub use keep::holds::place_hold;
pub use keep::holds::release_hold;
pub use log::Backlog;
pub use log::Log;
pub use log::SegmentInfo;
pub use options::Compression;
pub use options::Durability;
pub use options::Options;
pub use options::WhenFull;
pub use read::cursor::CursorHandle;
pub use read::fault::Fault;
pub use read::fault::FaultKind;
pub use read::reader::Order;
pub use read::reader::Reader;
pub use read::stored::StoredRecord;
pub use recover::report::RecoveryReport;
pub use recover::restore::recover_on;
pub use seq_set::SeqSet;
pub use stats::Stats;
pub use throttle::Pacer;
pub use throttle::Throttle;
pub use tools::clear::ClearScope;
pub use tools::clear::Cleared;
pub use tools::clear::clear;
pub use tools::finding::Finding;
pub use tools::finding::FindingKind;
pub use tools::offline::OfflineItem;
pub use tools::offline::OfflineReader;
pub use tools::offline::Selection;
pub use tools::repair::RepairAction;
pub use tools::repair::RepairStep;
pub use tools::repair::repair;
pub use tools::survey::CursorSurvey;
pub use tools::survey::SegmentSurvey;
pub use tools::survey::Survey;
pub use tools::survey::SurveyState;
pub use tools::survey::WriterPresence;
pub use tools::survey::is_vault;
pub use tools::survey::split_path;
pub use tools::survey::writer_presence;
pub use tools::verify::Verification;
pub use tools::verify::VerifyOptions;
pub use tools::verify::verify;

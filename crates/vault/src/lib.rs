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
//!                                      v  durable position (log/view.rs)
//!  readers: pread of durable bytes only
//! ```
//!
//! Its folders, each of which imports only from those below it:
//!
//! ```text
//!  tools/     survey, verify, repair, reading without a writer
//!  append/    the way in: all of the upper line       read/     the way out: readers
//!  recover/   what a start finds and does
//!  log/       all segments together: what is durable, cursors, retention, holds, dropping
//!  segment/   one segment: number, name, spare, scanner, seal, examination, quarantine
//!  format/    the bytes, version 1
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
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod log;
mod options;
mod read;
mod recover;
mod segment;
mod seq_ranges;
mod seq_set;
mod slots;
mod state;
mod system;
mod throttle;
mod tools;

pub use append::compression_policy::AreShort;
pub use append::record::Completion;
pub use append::record::NewRecord;
pub use append::record::Receipt;
pub use append::stats::Stats;
pub use append::writer::Writer;
pub use error::AppendError;
pub use error::RefusalReason;
pub use error::Refused;
pub use error::VaultError;
pub use log::backlog::Backlog;
pub use log::cursor::COPY_SUFFIX;
pub use log::cursor::CursorHandle;
pub use log::cursor::is_copy_cursor;
pub use log::dropped::DropObserver;
pub use log::dropped::DroppedRecord;
pub use log::holds::Hold;
pub use log::holds::place_hold;
pub use log::holds::release_hold;
pub use log::pins::Pin;
pub use log::view::Log;
pub use log::view::SegmentInfo;
pub use options::Durability;
pub use options::Known;
pub use options::Options;
pub use options::RecordCompression;
pub use options::WhenFull;
pub use read::reader::ReadOrder;
pub use read::reader::Reader;
pub use read::reader::WaitEnd;
pub use recover::report::RecoveryReport;
pub use recover::restore::recover_on;
pub use segment::fault::DamagedRange;
pub use segment::fault::FaultKind;
pub use segment::id::SegmentId;
pub use segment::id::SegmentState;
pub use segment::stored::StoredRecord;
pub use seq_ranges::SeqRanges;
pub use seq_set::SeqSet;
pub use system::SystemFileSystem;
pub use throttle::Pacer;
pub use throttle::Throttle;
pub use tools::clear::ClearScope;
pub use tools::clear::Cleared;
pub use tools::clear::clear;
pub use tools::finding::Finding;
pub use tools::finding::FindingKind;
pub use tools::missing::missing;
pub use tools::offline::OfflineItem;
pub use tools::offline::OfflineReader;
pub use tools::offline::RecordSelection;
pub use tools::path::split_path;
pub use tools::repair::RepairAction;
pub use tools::repair::RepairStep;
pub use tools::repair::repair;
pub use tools::repair::repair_on;
pub use tools::sealed::RecordNote;
pub use tools::sealed::SealedSegment;
pub use tools::survey::CursorSurvey;
pub use tools::survey::SegmentSurvey;
pub use tools::survey::Survey;
pub use tools::survey::SurveyState;
pub use tools::survey::WriterPresence;
pub use tools::survey::is_vault;
pub use tools::survey::writer_presence;
pub use tools::verify::Verification;
pub use tools::verify::VerifyOptions;
pub use tools::verify::verify;

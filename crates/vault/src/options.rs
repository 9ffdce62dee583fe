//! Options of a vault: defaults, minima and how they must relate.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::VaultError;
use crate::format;

/// What an append's `Ok` promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The writer thread has taken the record over: nothing survives a crash of the process.
    Memory,
    /// `pwrite` returned: survives a crash of the process, not of the machine.
    Written,
    /// `fdatasync` returned for the data and every name leading to it: survives power loss.
    #[default]
    Synced,
}

/// How payloads are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecordCompression {
    /// As they came.
    None,
    /// One LZ4 block for each record, unless it saves less than a sixteenth.
    #[default]
    Lz4,
    /// As `Lz4`; but as they came while processors are short (`Writer::spare_processors`), the disk
    /// keeps up (half of the staging area is free) and half of the vault is free.
    Auto,
}

/// What happens when the disk budget, or the disk, is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// Appends are refused until there is room.
    #[default]
    Refuse,
    /// The oldest segment is deleted, whoever still wanted its records; they are counted.
    DropOldest,
}

/// What somebody outside of the vault knows of it from before. What is not there any more and is known
/// here is missing, not new.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// A record of this number was acknowledged, so all before it were. Default 0: nothing is known.
    pub durable_seq: u64,
    /// The cursors, each with a number up to which it had acknowledged everything. One without a file is
    /// made again there.
    pub cursors: BTreeMap<String, u64>,
}

/// Everything a vault can be told.
#[derive(Debug, Clone)]
pub struct Options {
    /// The vault's directory; made when missing.
    pub dir: PathBuf,
    /// Limit of all files together, spares and quarantine included, in bytes. Default 10 GiB, at
    /// least four segments and two segments plus the largest record.
    pub max_bytes: u64,
    /// What happens when they are used up. Default `Refuse`.
    pub when_full: WhenFull,
    /// Size of a segment in bytes. Default 64 MiB; a multiple of 4,096, at least 64 KiB (a
    /// configuration file should ask for 1 MiB or more). A larger record gets a larger segment.
    pub segment_bytes: u64,
    /// A segment with records is sealed at this age. Default 60 s.
    pub segment_age_max: Duration,
    /// What an append's `Ok` promises. Default `Synced`.
    pub durability: Durability,
    /// How payloads are stored. Default `Lz4`.
    pub compression: RecordCompression,
    /// Limit of all bytes waiting for the writer thread. Default 16 MiB, at least 256 KiB. One record
    /// larger than a quarter of it may stand beside it, alone of its kind.
    pub staging_bytes: u64,
    /// Records are written and synced together up to this many bytes; a larger record alone. Default
    /// 1 MiB, 4 KiB to 16 MiB.
    pub group_bytes_max: u64,
    /// Largest payload in bytes. Default 64 MiB, at most 1 GiB.
    pub record_bytes_max: u64,
    /// How long readers try again what the disk does not answer before they pass it. Default 30 s.
    pub read_patience: Duration,
    /// What is known of the vault from before. Default nothing.
    pub known: Known,
}

/// Smallest segment the engine works with.
const SEGMENT_BYTES_MIN: u64 = 64 * 1024;
/// Largest segment, so that offsets and index sizes stay small numbers.
const SEGMENT_BYTES_MAX: u64 = 4 << 30;
/// Largest payload limit: lengths are 32 bits on disk.
const RECORD_BYTES_LIMIT: u64 = 1 << 30;
/// Smallest staging area: some records of ordinary size.
const STAGING_BYTES_MIN: u64 = 256 * 1024;
/// Smallest commit group: a block.
const GROUP_BYTES_MIN: u64 = format::BLOCK_BYTES;
/// Largest commit group: several are held in memory.
const GROUP_BYTES_LIMIT: u64 = 16 << 20;

impl Options {
    /// Options with every default.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            max_bytes: 10 << 30,
            when_full: WhenFull::default(),
            segment_bytes: 64 << 20,
            segment_age_max: Duration::from_mins(1),
            durability: Durability::default(),
            compression: RecordCompression::default(),
            staging_bytes: 16 << 20,
            group_bytes_max: 1 << 20,
            record_bytes_max: 64 << 20,
            read_patience: Duration::from_secs(30),
            known: Known::default(),
        }
    }

    /// Checks every limit and how they relate.
    ///
    /// # Errors
    ///
    /// [`VaultError::InvalidOptions`] naming the first option that is out of range.
    pub fn validate(&self) -> Result<(), VaultError> {
        self.problem().map_or(Ok(()), |problem| Err(VaultError::InvalidOptions { problem }))
    }

    fn problem(&self) -> Option<String> {
        let segment = self.segment_bytes;
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&segment) {
            return Some(format!(
                "segment_bytes is {segment}, must be {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}"
            ));
        }
        if !segment.is_multiple_of(format::BLOCK_BYTES) {
            return Some(format!("segment_bytes is {segment}, must be a multiple of 4096"));
        }
        if self.record_bytes_max == 0 || RECORD_BYTES_LIMIT < self.record_bytes_max {
            let given = self.record_bytes_max;
            return Some(format!("record_bytes_max is {given}, must be 1 to {RECORD_BYTES_LIMIT}"));
        }
        if self.staging_bytes < STAGING_BYTES_MIN {
            let given = self.staging_bytes;
            return Some(format!("staging_bytes is {given}, must be at least {STAGING_BYTES_MIN}"));
        }
        if !(GROUP_BYTES_MIN..=GROUP_BYTES_LIMIT).contains(&self.group_bytes_max) {
            let given = self.group_bytes_max;
            return Some(format!(
                "group_bytes_max is {given}, must be {GROUP_BYTES_MIN} to {GROUP_BYTES_LIMIT}"
            ));
        }
        let least = (4 * segment).max(2 * segment + self.largest_segment_bytes());
        if self.max_bytes < least {
            let given = self.max_bytes;
            return Some(format!(
                "max_bytes is {given}, must be at least {least}: four segments, and two segments \
                 plus the largest record"
            ));
        }
        None
    }

    /// Size of a segment made for one record of the largest size.
    fn largest_segment_bytes(&self) -> u64 {
        let stored = self.record_bytes_max + format::ATTRS_BYTES_MAX;
        format::segment_bytes_for(format::record_span_bytes(stored)).max(self.segment_bytes)
    }

    /// How many prepared segments stand by.
    pub(super) fn spares(&self) -> usize {
        if self.max_bytes < 8 * self.segment_bytes { 1 } else { 2 }
    }
}

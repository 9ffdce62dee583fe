//! The options of a `raw_vault`.

use std::ops::RangeInclusive;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use gophership_vault::Compression;
use gophership_vault::Durability;
use gophership_vault::Options;
use gophership_vault::WhenFull;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use super::DEAD_LETTER_SEGMENT_BYTES;
use crate::config::ByteSize;
use crate::config::HumanDuration;
use crate::config::OptionProblem;
use crate::pool::Budget;

const STAGING_BYTES_MIN: u64 = 1 << 20;
const STAGING_BYTES_DEFAULT: u64 = 16 << 20;
const KEEP_FOR_REMOVED_SINKS: Duration = Duration::from_hours(24);

/// Keeps requests on disk, byte for byte, until they are delivered.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawVaultConfig {
    /// The directory; by default one named like the component, under `data_dir`.
    path: Option<PathBuf>,
    /// The disk that the vault may use, everything counted but its dead letters; at least four
    /// segments, and two segments more than the largest request.
    max_size: ByteSize,
    /// What happens when that, or the disk, is used up.
    when_full: WhenFullOption,
    /// A segment is sealed at this size; a multiple of 4KiB from 64KiB to 4GiB.
    pub(super) segment_size: ByteSize,
    /// A segment that is not empty is sealed at this age.
    segment_age: HumanDuration,
    /// What an acknowledged request survives.
    durability: DurabilityOption,
    /// How requests are compressed.
    compression: CompressionOption,
    /// Memory for requests that wait to be written, taken at start from the `vault` share of
    /// `somatic.memory`; by default 16MiB, or what is left of the share.
    staging: Option<ByteSize>,
    /// The disk that requests may use that can never be delivered.
    pub(super) dead_letter_max_size: ByteSize,
    /// Whether it is replayed without being told to.
    pub(super) replay: ReplayOption,
    /// How long the vault keeps what a sink still needs after the sink is removed from the
    /// configuration. Then, and sooner when 90% of `max_size` is used, GopherShip drops it, with a warning
    /// and counted as `dropped`. `0s` drops it at once. A sink that was renamed takes it over with `formerly`.
    pub(super) keep_for_removed_sinks: HumanDuration,
}

/// Whether a vault is replayed without being told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ReplayOption {
    /// If no `vault_replay` names it there is one, `NAME_replay`, for whoever reads the sources that
    /// pivot to it.
    Auto,
    /// Only by a `vault_replay` that names it.
    Off,
}

/// What an acknowledged request survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum DurabilityOption {
    /// Nothing: it is in memory.
    Memory,
    /// The end of the process: it was written to the file.
    Written,
    /// Power loss: it was synced to the device.
    Synced,
}

/// What happens when the disk that the vault may use is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum WhenFullOption {
    /// Senders are told to come back.
    Refuse,
    /// The oldest requests are deleted, delivered or not; they are counted.
    DropOldest,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum CompressionOption {
    /// LZ4, where it pays, but not while requests wait for a processor, the disk keeps up and half of
    /// the vault is free.
    Auto,
    /// LZ4, where it pays.
    Lz4,
    /// Not at all.
    None,
}

impl Default for RawVaultConfig {
    fn default() -> Self {
        Self {
            path: None,
            max_size: ByteSize(10 << 30),
            when_full: WhenFullOption::Refuse,
            segment_size: ByteSize(64 << 20),
            segment_age: HumanDuration(Duration::from_mins(1)),
            durability: DurabilityOption::Synced,
            compression: CompressionOption::Auto,
            staging: None,
            dead_letter_max_size: ByteSize(256 << 20),
            replay: ReplayOption::Auto,
            keep_for_removed_sinks: HumanDuration(KEEP_FOR_REMOVED_SINKS),
        }
    }
}

impl RawVaultConfig {
    /// The directory of the vault with this id.
    pub(super) fn dir(&self, id: &str, data_dir: &Path) -> PathBuf {
        self.path.clone().unwrap_or_else(|| data_dir.join(id))
    }

    /// The memory of the vault and of its dead letters.
    pub(super) fn staging(&self, share: &Budget) -> (u64, u64) {
        let left = share.limit().saturating_sub(share.used()).saturating_sub(STAGING_BYTES_MIN);
        let fitting = left.clamp(STAGING_BYTES_MIN, STAGING_BYTES_DEFAULT);
        let staging = self.staging.map_or(fitting, ByteSize::bytes);
        (staging, staging.min(DEAD_LETTER_SEGMENT_BYTES))
    }

    /// Its options, as the vault knows them.
    pub(super) fn options(&self, dir: PathBuf, staging_bytes: u64) -> Options {
        let mut options = Options::new(dir);
        options.max_bytes = self.max_size.0;
        options.segment_bytes = self.segment_size.0;
        options.segment_age_max = self.segment_age.0;
        options.staging_bytes = staging_bytes;
        options.when_full = match self.when_full {
            WhenFullOption::Refuse => WhenFull::Refuse,
            WhenFullOption::DropOldest => WhenFull::DropOldest,
        };
        options.durability = match self.durability {
            DurabilityOption::Memory => Durability::Memory,
            DurabilityOption::Written => Durability::Written,
            DurabilityOption::Synced => Durability::Synced,
        };
        options.compression = match self.compression {
            CompressionOption::Auto => Compression::Auto,
            CompressionOption::Lz4 => Compression::Lz4,
            CompressionOption::None => Compression::None,
        };
        options
    }

    /// What is wrong beyond the types.
    pub(super) fn option_problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        let mut bounds = |option: &str, value: u64, range: RangeInclusive<u64>| {
            if !range.contains(&value) {
                let (least, most) = (ByteSize(*range.start()), ByteSize(*range.end()));
                let message = format!("must be from {least} to {most}");
                problems.push(OptionProblem::new(option, message));
            }
        };
        let segment = self.segment_size.0;
        bounds("segment_size", segment, 1 << 20..=4 << 30);
        if let Some(staging) = self.staging {
            bounds("staging", staging.0, STAGING_BYTES_MIN..=1 << 30);
        }
        // Two segments always stand by, and the largest request needs one of its own.
        let least =
            segment.saturating_mul(4).max(segment.saturating_mul(2).saturating_add(65 << 20));
        bounds("max_size", self.max_size.0, least..=1 << 60);
        bounds("dead_letter_max_size", self.dead_letter_max_size.0, 68 << 20..=1 << 60);
        if !segment.is_multiple_of(4096) {
            problems.push(OptionProblem::new("segment_size", "must be a multiple of 4096 bytes"));
        }
        if self.segment_age.0.is_zero() {
            problems.push(OptionProblem::new("segment_age", "must be more than 0"));
        }
        problems
    }
}

//! The options of a `raw_vault`.

use std::ops::RangeInclusive;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use gophership_units::ByteSize;
use gophership_units::HumanDuration;
use gophership_vault::Durability;
use gophership_vault::Options;
use gophership_vault::RecordCompression;
use gophership_vault::WhenFull;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use super::DEAD_LETTER_SEGMENT_BYTES;
use crate::component::OptionProblem;
use crate::pool::Budget;

const STAGING_BYTES_MIN: u64 = 1 << 20;
const STAGING_BYTES_DEFAULT: u64 = 16 << 20;
const KEEP_FOR_REMOVED_SINKS: Duration = Duration::from_hours(24);

/// Keeps requests on disk, byte for byte, until they are delivered.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawVaultConfig {
    /// The directory of the vault; by default `ID` in `data_dir`, for the component's id.
    path: Option<PathBuf>,
    /// The maximum disk space of the vault, without its dead letters. At least four segments, and
    /// two segments more than the largest request.
    max_size: ByteSize,
    /// What the vault does when `max_size` or the disk is used up.
    when_full: WhenFullOption,
    /// The size at which a segment is sealed; a multiple of 4KiB, from 1MiB to 4GiB.
    pub(super) segment_size: ByteSize,
    /// The age at which a segment with data is sealed.
    segment_age: HumanDuration,
    /// Which failures an acknowledged request survives.
    durability: DurabilityOption,
    /// How requests are compressed.
    compression: CompressionOption,
    /// Memory for requests that wait to be written, reserved at start from the `vault` share of
    /// `somatic.memory`. By default 16MiB, or the rest of the share if that is less.
    staging: Option<ByteSize>,
    /// The maximum disk space of dead letters: requests that can never be delivered.
    pub(super) dead_letter_max_size: ByteSize,
    /// Whether the vault is replayed without a `vault_replay` source.
    pub(super) replay: ReplayOption,
    /// How long the vault keeps undelivered requests of a sink that was removed from the
    /// configuration. After that, or once 90% of `max_size` is used, GopherShip drops them, logs a
    /// warning and counts them as `dropped`. `0s` drops them at once. A renamed sink takes them
    /// over with `formerly`.
    pub(super) keep_for_removed_sinks: HumanDuration,
}

/// Whether the vault is replayed without a `vault_replay` source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ReplayOption {
    /// If no `vault_replay` names the vault, GopherShip adds one, `NAME_replay`. Its readers are
    /// the components that read the sources that pivot to the vault.
    Auto,
    /// Only a `vault_replay` that names the vault replays it.
    Off,
}

/// Which failures an acknowledged request survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum DurabilityOption {
    /// None: the request is in memory.
    Memory,
    /// A crash of the process: the request was written to the file.
    Written,
    /// Power loss: the request was synced to the device.
    Synced,
}

/// What the vault does when `max_size` or the disk is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum WhenFullOption {
    /// GopherShip refuses requests with a retryable error.
    Refuse,
    /// The vault deletes and counts the oldest requests, delivered or not.
    DropOldest,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum CompressionOption {
    /// LZ4 where it saves space. No compression while more than 32MiB a second arrive, processors are
    /// short, the disk keeps up, and half of the vault is free.
    Auto,
    /// LZ4 where it saves space.
    Lz4,
    /// No compression.
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
            CompressionOption::Auto => RecordCompression::Auto,
            CompressionOption::Lz4 => RecordCompression::Lz4,
            CompressionOption::None => RecordCompression::None,
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

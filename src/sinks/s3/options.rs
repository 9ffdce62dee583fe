//! The options of an `s3` sink.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use gophership_archive::FrameOptions;
use gophership_archive::Prefix;
use gophership_s3::BucketOptions;
use gophership_s3::PART_BYTES_MIN;
use gophership_units::ByteSize;
use gophership_units::HumanDuration;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use super::key_template::KeyTemplate;
use crate::component::OptionProblem;

const CONCURRENCY_MAX: u32 = 8;
const PART_BYTES_MAX: u64 = 16 << 20;
const PARTITIONS_MAX: u32 = 256;
const UPLOAD_RATE_MIN: u64 = 64 << 10;
/// Of the spool of requests.
pub(super) const STAGING_BYTES: u64 = 4 << 20;
const NODE_LEN_MAX: usize = 128;

/// Writes to an S3 bucket: copies of a vault's segments, or requests.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct S3Config {
    /// The bucket.
    pub(super) bucket: BucketOptions,
    /// The vault whose sealed segments the sink copies. A segment stays in the vault until it is in the
    /// bucket. Without this option the sink writes the requests of its `inputs`.
    #[serde(default)]
    pub(super) vault: Option<String>,
    /// The first part of all keys.
    #[serde(default = "prefix")]
    prefix: String,
    /// The name of this machine in manifests and keys; by default its host name.
    #[serde(default)]
    node: Option<String>,
    /// The maximum number of segments that are compressed and uploaded at the same time.
    #[serde(default = "concurrency")]
    pub(super) concurrency: u32,
    /// The maximum bytes per second that all uploads of the sink together send, in pieces of 64 KiB; by
    /// default unlimited. The sink pauses in red, and takes a quarter of its time in yellow.
    #[serde(default)]
    pub(super) upload_rate: Option<ByteSize>,
    /// The sink uploads objects that are larger than four parts in parts of this size.
    #[serde(default = "part_size")]
    part_size: ByteSize,
    /// How the sink confirms that an object is in the bucket, before a segment may leave the local disk.
    #[serde(default)]
    pub(super) verify: VerifyOption,
    /// How long the sink waits before it retries.
    #[serde(default)]
    pub(super) retry: S3RetryConfig,
    /// How objects are compressed with zstd.
    #[serde(default)]
    zstd: ZstdConfig,
    /// The objects of a sink with `inputs`.
    #[serde(default)]
    pub(super) objects: ObjectsConfig,
}

/// Before each retry the sink waits a random part of a pause, which doubles from `min` to `max`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct S3RetryConfig {
    /// The longest pause after the first failure. It doubles with each failure.
    pub(super) min: HumanDuration,
    /// The longest pause after any failure.
    pub(super) max: HumanDuration,
}

/// How objects are compressed with zstd.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ZstdConfig {
    /// The level, 1 (fast) to 9 (small).
    level: u8,
    /// How far back zstd finds repetitions: a power of two from 128KiB to 8MiB. Compressing an object
    /// takes this much memory, and tables of 1MiB to 15MiB that grow with `level`.
    window: ByteSize,
    /// Whether zstd searches the whole window for repetitions at low levels too.
    long_distance: bool,
}

/// The objects of a sink with `inputs`: what comes in is acknowledged when it is in a spool on disk, and
/// the spool becomes objects.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ObjectsConfig {
    /// The folder of an object below `prefix`. `{signal}`, `{host}` (the `node`), `{date:%Y/%m/%d/%H}` (UTC,
    /// when the request came in) and `{attr:NAME}` (a resource attribute) stand for values. Requests with
    /// different values come into different objects.
    key: String,
    /// What is in an object.
    pub(super) encoding: ObjectEncoding,
    /// How an object is compressed.
    pub(super) compression: ObjectCompression,
    /// The size at which the spooled requests become one object, or one for each folder. From 1MiB to 4GiB.
    max_bytes: ByteSize,
    /// The age at which the spooled requests become objects, even if they are few.
    max_age: HumanDuration,
    /// The maximum number of objects that one part of the spool becomes. Requests with further values of
    /// `{attr:NAME}` get the value `_other`.
    pub(super) partitions_max: u32,
    /// The maximum disk space of the spool, at least four times `max_bytes`. When it is used up, the sink
    /// accepts no more requests until an object is in the bucket.
    spool_max_size: ByteSize,
}

/// How the sink confirms that an object is in the bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum VerifyOption {
    /// It asks for length, checksum and headers.
    #[default]
    Head,
    /// It also downloads every object and compares it with what it sent, for buckets that are not trusted
    /// to keep what they confirmed.
    Read,
}

/// What is in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Encoding")]
pub(super) enum ObjectEncoding {
    /// Export requests of OTLP, each with its length as a varint in front of it.
    OtlpProtobuf,
    /// Export requests as OTLP JSON, one a line.
    OtlpJson,
}

/// How an object is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ObjectCompression {
    /// One zstd frame, as the option `zstd` says.
    Zstd,
    /// One gzip member.
    Gzip,
}

fn prefix() -> String {
    "gophership".to_owned()
}

fn concurrency() -> u32 {
    1
}

fn part_size() -> ByteSize {
    ByteSize::mib(8)
}

impl Default for S3RetryConfig {
    fn default() -> Self {
        Self { min: HumanDuration::seconds(1), max: HumanDuration::seconds(60) }
    }
}

impl Default for ZstdConfig {
    fn default() -> Self {
        Self { level: 3, window: ByteSize::mib(4), long_distance: true }
    }
}

impl Default for ObjectsConfig {
    fn default() -> Self {
        Self {
            key: "{signal}/{date:%Y/%m/%d}/{host}".to_owned(),
            encoding: ObjectEncoding::OtlpProtobuf,
            compression: ObjectCompression::Zstd,
            max_bytes: ByteSize::mib(64),
            max_age: HumanDuration(Duration::from_mins(5)),
            partitions_max: 32,
            spool_max_size: ByteSize(4 << 30),
        }
    }
}

impl ObjectsConfig {
    /// The options of the spool, which is a vault.
    pub(super) fn spool(&self, dir: PathBuf) -> gophership_vault::Options {
        let mut options = gophership_vault::Options::new(dir);
        options.max_bytes = self.spool_max_size.0;
        options.segment_bytes = self.max_bytes.0.next_multiple_of(4096);
        options.segment_age_max = self.max_age.0;
        options.staging_bytes = STAGING_BYTES;
        options.group_bytes_max = options.group_bytes_max.min(STAGING_BYTES / 4);
        options
    }

    /// The folders of the objects.
    pub(super) fn template(&self) -> Result<KeyTemplate, String> {
        self.key.parse()
    }

    fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        if let Err(problem) = self.template() {
            problems.push(OptionProblem::new("objects.key", problem));
        }
        let bytes = self.max_bytes.0;
        if !(1 << 20..=4 << 30).contains(&bytes) {
            problems.push(OptionProblem::new("objects.max_bytes", "must be from 1MiB to 4GiB"));
        }
        if self.max_age.0.is_zero() {
            problems.push(OptionProblem::new("objects.max_age", "must be more than 0"));
        }
        if !(1..=PARTITIONS_MAX).contains(&self.partitions_max) {
            let message = format!("must be from 1 to {PARTITIONS_MAX}");
            problems.push(OptionProblem::new("objects.partitions_max", message));
        }
        // Two segments always stand by, and the largest request needs one of its own.
        let least = bytes.saturating_mul(4).max(bytes.saturating_mul(2).saturating_add(65 << 20));
        if self.spool_max_size.0 < least {
            let message = format!("must be at least {}", ByteSize(least));
            problems.push(OptionProblem::new("objects.spool_max_size", message));
        }
        problems
    }
}

impl S3Config {
    /// Where the sink keeps what it works on.
    pub(super) fn dir(id: &str, data_dir: &Path) -> PathBuf {
        data_dir.join("s3").join(id)
    }

    /// The vault of the requests that are to become objects, in the directory of the sink.
    pub(super) fn spool_dir(dir: &Path) -> PathBuf {
        dir.join("spool")
    }

    /// The part of the bucket; empty if it is not valid, which is a problem.
    pub(super) fn prefix(&self) -> Prefix {
        self.prefix.parse().unwrap_or_default()
    }

    /// The name of this machine.
    pub(super) fn node(&self) -> String {
        let host = || {
            let name = rustix::system::uname();
            name.nodename().to_string_lossy().chars().take(NODE_LEN_MAX).collect()
        };
        self.node.clone().unwrap_or_else(host)
    }

    /// How objects are compressed with zstd.
    pub(super) fn frame(&self) -> FrameOptions {
        let window_log = self.zstd.window.0.max(1).ilog2();
        FrameOptions {
            level: self.zstd.level,
            window_log: u8::try_from(window_log).unwrap_or(u8::MAX),
            is_long_distance: self.zstd.long_distance,
        }
        .clamped()
    }

    /// The size of a part of an upload.
    pub(super) const fn part_bytes(&self) -> u64 {
        self.part_size.0
    }

    /// The memory that the sink takes from the share `s3`.
    pub(super) fn memory_bytes(&self) -> u64 {
        let each = self.frame().memory_bytes() + self.part_size.0;
        let staging = if self.vault.is_some() { 0 } else { STAGING_BYTES };
        u64::from(self.concurrency) * each + staging
    }

    /// What is wrong beyond the types.
    pub(super) fn option_problems(&self) -> Vec<OptionProblem> {
        let of_bucket = self.bucket.problems().into_iter();
        let mut problems: Vec<OptionProblem> = of_bucket
            .map(|fault| OptionProblem::new(format!("bucket.{}", fault.option), fault.reason))
            .collect();
        let mut demand = |is_right: bool, option: &str, message: String| {
            if !is_right {
                problems.push(OptionProblem::new(option, message));
            }
        };
        if let Err(error) = self.prefix.parse::<Prefix>() {
            demand(false, "prefix", error.to_string());
        }
        let is_name = |node: &String| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            (1..=NODE_LEN_MAX).contains(&node.len()) && node.bytes().all(is_plain)
        };
        demand(
            self.node.as_ref().is_none_or(is_name),
            "node",
            format!("must be 1 to {NODE_LEN_MAX} characters of `a-z A-Z 0-9 . _ -`"),
        );
        demand(
            (1..=CONCURRENCY_MAX).contains(&self.concurrency),
            "concurrency",
            format!("must be from 1 to {CONCURRENCY_MAX}"),
        );
        demand(
            self.upload_rate.is_none_or(|rate| UPLOAD_RATE_MIN <= rate.0),
            "upload_rate",
            format!("must be at least {}", ByteSize(UPLOAD_RATE_MIN)),
        );
        let parts = PART_BYTES_MIN..=PART_BYTES_MAX;
        demand(
            parts.contains(&self.part_size.0),
            "part_size",
            format!("must be from {} to {}", ByteSize(*parts.start()), ByteSize(*parts.end())),
        );
        let (min, max) = (self.retry.min.0, self.retry.max.0);
        demand(
            !min.is_zero() && min <= max,
            "retry.min",
            "must be more than 0, and at most `max`".to_owned(),
        );
        let levels = FrameOptions::LEVELS;
        demand(
            (levels.0..=levels.1).contains(&self.zstd.level),
            "zstd.level",
            format!("must be from {} to {}", levels.0, levels.1),
        );
        let (least, most) = FrameOptions::WINDOW_LOGS;
        let window = self.zstd.window.0;
        demand(
            window.is_power_of_two() && (1 << least..=1 << most).contains(&window),
            "zstd.window",
            format!(
                "must be a power of two from {} to {}",
                ByteSize(1 << least),
                ByteSize(1 << most)
            ),
        );
        problems.extend(self.objects.problems());
        problems
    }
}

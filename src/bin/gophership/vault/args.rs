//! The command line of `gophership vault`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use clap::Subcommand;
use clap::ValueEnum;

use gophership_otlp::Signal;
use gophership_units::ByteSize;
use gophership_units::HumanDuration;

use super::place::ReadPlace;
use super::place::VaultPlace;
use super::turn::Manners;
use super::when::Moment;

/// What to do with a vault.
#[derive(Debug, Subcommand)]
pub(crate) enum VaultCommand {
    /// List the contents of a vault.
    #[command(
        after_help = "Examples: gophership vault ls /var/lib/gophership/vault\n          gophership vault ls s3://bucket/prefix"
    )]
    Ls(LsArgs),
    /// Verify every checksum and the chain of digests.
    ///
    /// Exit code 0: the vault is intact. 1: the vault is damaged. 2: the check failed.
    #[command(after_help = "Example: gophership vault verify --jobs 4 /var/lib/gophership/vault")]
    Verify(VerifyArgs),
    /// Write stored requests to standard output.
    #[command(after_help = "Example: gophership vault cat --signal logs --since 1h --limit 10")]
    Cat(CatArgs),
    /// Write stored requests to files, or send them to an OTLP endpoint.
    ///
    /// Exported requests are not marked as delivered: a replay still delivers them.
    #[command(
        after_help = "Example: gophership vault export --to http://backend:4317 --seq 1000.. PATH"
    )]
    Export(ExportArgs),
    /// Repair a vault that no server uses. Deletes no data.
    #[command(after_help = "Example: gophership vault repair --dry-run /var/lib/gophership/vault")]
    Repair(RepairArgs),
    /// Delete segments from a vault that no server uses.
    #[command(after_help = "Example: gophership vault prune --quarantine --dry-run PATH")]
    Prune(PruneArgs),
    /// Protect segments from deletion; also works while a server runs.
    #[command(after_help = "Example: gophership vault hold incident-42 PATH --segments 3..9")]
    Hold(HoldArgs),
    /// Remove a hold.
    #[command(after_help = "Example: gophership vault release incident-42 PATH")]
    Release(ReleaseArgs),
}

/// The format of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Text for people.
    Table,
    /// One document for scripts.
    Json,
    /// One document for scripts.
    Yaml,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    pub(crate) place: ReadPlace,
    /// The output format.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: OutputFormat,
    /// List every request.
    #[arg(long)]
    pub(crate) requests: bool,
    /// Use the dead-letter store of the vault.
    #[arg(long)]
    pub(crate) deadletter: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) place: ReadPlace,
    /// The output format.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: OutputFormat,
    /// How many segments to verify at the same time; by default one per processor.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(crate) manners: Manners,
    /// Show no progress.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Use the dead-letter store of the vault.
    #[arg(long)]
    pub(crate) deadletter: bool,
}

/// Which requests to select.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct FilterArgs {
    /// Only this signal.
    #[arg(long, value_name = "logs|traces|metrics")]
    pub(crate) signal: Option<Signal>,
    /// Only requests received at or after this time: `2026-01-31T12:00:00Z`, or `1h` for 1 hour
    /// ago.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Moment>,
    /// Only requests received before this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Moment>,
    /// Only these sequence numbers, both ends included: `5..9`, `5..`, `..9` or `5`.
    #[arg(long, value_name = "FROM..TO", value_parser = super::when::range)]
    pub(crate) seq: Option<(u64, u64)>,
    /// Only these segments, both ends included.
    #[arg(long, value_name = "FROM..TO", value_parser = super::when::range)]
    pub(crate) segment: Option<(u64, u64)>,
    /// Only requests that this cursor has not acknowledged.
    #[arg(long, value_name = "NAME")]
    pub(crate) cursor: Option<String>,
    /// Use the dead-letter store of the vault.
    #[arg(long)]
    pub(crate) deadletter: bool,
    /// The maximum number of requests.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) limit: Option<u64>,
}

/// The output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RecordFormat {
    /// One line of OTLP JSON for each request.
    Json,
    /// OTLP protobuf; before each request its length, in 4 bytes, big endian.
    Protobuf,
    /// One line for each log record, span or metric.
    Text,
}

/// The format of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileFormat {
    /// One line of OTLP JSON for each request.
    Json,
    /// OTLP protobuf; before each request its length, in 4 bytes, big endian.
    Protobuf,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CatArgs {
    #[command(flatten)]
    pub(crate) place: ReadPlace,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// The output format.
    #[arg(long, value_enum, default_value = "json")]
    pub(crate) format: RecordFormat,
    /// Show no progress.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// The protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportProtocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with protobuf.
    Http,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) place: ReadPlace,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// An empty or new directory, or an endpoint like `https://backend:4317`.
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) to: String,
    /// Run requests through the transforms before this sink of the configuration. By default they
    /// are exported as they were received.
    #[arg(long, value_name = "SINK")]
    pub(crate) through: Option<String>,
    /// The format of files in a directory.
    #[arg(long, value_enum, default_value = "json")]
    pub(crate) format: FileFormat,
    /// The size at which a new file is started.
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    pub(crate) file_size: ByteSize,
    /// The protocol to an endpoint.
    #[arg(long, value_enum, default_value = "grpc")]
    pub(crate) protocol: ExportProtocol,
    /// A header for every request; may be repeated.
    #[arg(long = "header", value_name = "NAME=VALUE")]
    pub(crate) headers: Vec<String>,
    /// Allow headers with credentials on an `http` endpoint, where anyone on the network path can
    /// read them.
    #[arg(long)]
    pub(crate) allow_credentials_in_plain_text: bool,
    /// Trust the certificates in this PEM file instead of the system's; needs an `https` endpoint.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The maximum number of requests per second.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) rate: Option<NonZeroUsize>,
    /// Give up if the endpoint accepts no request for this long.
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub(crate) give_up_after: HumanDuration,
    #[command(flatten)]
    pub(crate) manners: Manners,
    /// The output format.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: OutputFormat,
    /// Show no progress.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RepairArgs {
    #[command(flatten)]
    pub(crate) place: VaultPlace,
    /// Show what would be done, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The output format.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: OutputFormat,
    /// Show no progress.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct PruneArgs {
    #[command(flatten)]
    pub(crate) place: VaultPlace,
    /// Delete quarantined segments that every cursor has passed.
    #[arg(long, conflicts_with = "older_than")]
    pub(crate) quarantine: bool,
    /// Delete the oldest segments whose newest request is older than this, delivered or not.
    #[arg(long, value_name = "DURATION", requires = "yes_lose_data")]
    pub(crate) older_than: Option<HumanDuration>,
    /// Confirm that undelivered requests may be lost, also those of a sink whose cursor is missing.
    #[arg(long)]
    pub(crate) yes_lose_data: bool,
    /// Show what would be deleted, and delete nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The output format.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: OutputFormat,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct HoldArgs {
    /// The hold's name: letters, digits, dots, dashes and underscores.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) place: VaultPlace,
    /// Only these segments, both ends included; by default all, future ones too.
    #[arg(long, value_name = "FROM..TO", value_parser = super::when::range)]
    pub(crate) segments: Option<(u64, u64)>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// The hold's name.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) place: VaultPlace,
}

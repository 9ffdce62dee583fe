//! The command line of `gophership vault`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use clap::Subcommand;
use clap::ValueEnum;

use gophership::config::ByteSize;
use gophership::config::HumanDuration;
use gophership_otlp::Signal;

use super::place::VaultPlace;
use super::turn::Manners;
use super::when::Moment;

/// What to do with a vault.
#[derive(Debug, Subcommand)]
pub(crate) enum VaultCommand {
    /// Shows what is in a vault.
    #[command(after_help = "Example: gophership vault ls /var/lib/gophership/vault")]
    Ls(LsArgs),
    /// Checks every byte against every checksum and the chain of digests.
    ///
    /// Exits 0 when the vault is sound, 1 when anything is wrong, 2 when it could not look.
    #[command(after_help = "Example: gophership vault verify --jobs 4 /var/lib/gophership/vault")]
    Verify(VerifyArgs),
    /// Writes stored requests to standard output.
    #[command(after_help = "Example: gophership vault cat --signal logs --since 1h --limit 10")]
    Cat(CatArgs),
    /// Writes stored requests to files, or sends them to an OTLP endpoint.
    ///
    /// Nothing is marked as delivered: a replay will still deliver the same requests.
    #[command(
        after_help = "Example: gophership vault export --to http://backend:4317 --seq 1000.. PATH"
    )]
    Export(ExportArgs),
    /// Mends a vault that is not in use, and deletes nothing.
    #[command(after_help = "Example: gophership vault repair --dry-run /var/lib/gophership/vault")]
    Repair(RepairArgs),
    /// Makes room in a vault that is not in use.
    #[command(after_help = "Example: gophership vault prune --quarantine --dry-run PATH")]
    Prune(PruneArgs),
    /// Keeps segments from being deleted, from now on, also beside a running server.
    #[command(after_help = "Example: gophership vault hold incident-42 PATH --segments 3..9")]
    Hold(HoldArgs),
    /// Lets go of what a hold kept.
    #[command(after_help = "Example: gophership vault release incident-42 PATH")]
    Release(ReleaseArgs),
}

/// How a report looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people.
    Table,
    /// For scripts: one document.
    Json,
    /// For scripts: one document.
    Yaml,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    pub(crate) place: VaultPlace,
    /// How it looks.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: OutputFormat,
    /// Lists every record.
    #[arg(long)]
    pub(crate) records: bool,
    /// Looks into the store of dead letters instead.
    #[arg(long)]
    pub(crate) deadletter: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) place: VaultPlace,
    /// How it looks.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: OutputFormat,
    /// Segments verified at the same time; by default one per processor.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(crate) manners: Manners,
    /// Shows no progress.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Looks into the store of dead letters instead.
    #[arg(long)]
    pub(crate) deadletter: bool,
}

/// Which requests.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Filter {
    /// Only this signal.
    #[arg(long, value_name = "logs|traces|metrics")]
    pub(crate) signal: Option<Signal>,
    /// Only what was received at or after this time: `2026-01-31T12:00:00Z`, or `1h` ago.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Moment>,
    /// Only what was received before this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Moment>,
    /// Only these seqs, both ends included: `5..9`, `5..`, `..9` or `5`.
    #[arg(long, value_name = "FROM..TO", value_parser = super::when::range)]
    pub(crate) seq: Option<(u64, u64)>,
    /// Only these segments, both ends included.
    #[arg(long, value_name = "FROM..TO", value_parser = super::when::range)]
    pub(crate) segment: Option<(u64, u64)>,
    /// Only what this cursor has not acknowledged.
    #[arg(long, value_name = "NAME")]
    pub(crate) cursor: Option<String>,
    /// Looks into the store of dead letters instead.
    #[arg(long)]
    pub(crate) deadletter: bool,
    /// At most so many requests.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) limit: Option<u64>,
}

/// How requests are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One line of OTLP JSON for each request.
    Json,
    /// OTLP protobuf, each request behind its length in 4 bytes, big endian.
    Protobuf,
    /// One line for each log record, span or metric.
    Text,
}

/// How requests are written to files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileFormat {
    /// One line of OTLP JSON for each request.
    Json,
    /// OTLP protobuf, each request behind its length in 4 bytes, big endian.
    Protobuf,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CatArgs {
    #[command(flatten)]
    pub(crate) place: VaultPlace,
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// How requests are written.
    #[arg(long, value_enum, default_value = "json")]
    pub(crate) format: Format,
    /// Shows no progress.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// How requests travel.
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
    pub(crate) place: VaultPlace,
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// An empty or new directory, or an endpoint like `https://backend:4317`.
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) to: String,
    /// Sends requests through the transforms on the way to this sink of the configuration; without it they
    /// go out as they came in.
    #[arg(long, value_name = "SINK")]
    pub(crate) through: Option<String>,
    /// How requests are written to a directory.
    #[arg(long, value_enum, default_value = "json")]
    pub(crate) format: FileFormat,
    /// A new file is begun at this size.
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    pub(crate) file_size: ByteSize,
    /// How requests travel to an endpoint.
    #[arg(long, value_enum, default_value = "grpc")]
    pub(crate) protocol: ExportProtocol,
    /// Sent with every request; may be repeated.
    #[arg(long = "header", value_name = "NAME=VALUE")]
    pub(crate) headers: Vec<String>,
    /// Sends headers with credentials to an `http` endpoint too, where others can read them.
    #[arg(long)]
    pub(crate) allow_credentials_in_plain_text: bool,
    /// Trusts the certificates in this PEM file instead of the system's; needs an `https` endpoint.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// At most so many requests per second.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) rate: Option<NonZeroUsize>,
    /// Gives up when the endpoint has taken nothing for this long.
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub(crate) give_up_after: HumanDuration,
    #[command(flatten)]
    pub(crate) manners: Manners,
    /// How the result looks.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: OutputFormat,
    /// Shows no progress.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RepairArgs {
    #[command(flatten)]
    pub(crate) place: VaultPlace,
    /// Shows what would be done, and does nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How it looks.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: OutputFormat,
    /// Shows no progress.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct PruneArgs {
    #[command(flatten)]
    pub(crate) place: VaultPlace,
    /// Deletes segments in quarantine that every cursor has passed.
    #[arg(long, conflicts_with = "older_than")]
    pub(crate) quarantine: bool,
    /// Deletes the oldest segments, delivered or not, whose last request came so long ago.
    #[arg(long, value_name = "DURATION", requires = "yes_lose_data")]
    pub(crate) older_than: Option<HumanDuration>,
    /// Agrees to lose requests that were never delivered, or may not have been: the cursor of a sink that
    /// needs them is gone.
    #[arg(long)]
    pub(crate) yes_lose_data: bool,
    /// Shows what would be deleted, and deletes nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How it looks.
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

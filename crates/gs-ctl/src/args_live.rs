//! The arguments of the commands that show things as they happen.

use clap::Args;
use clap::ValueEnum;

use gophership_units::HumanDuration;

/// What `tap` takes.
#[derive(Debug, Args)]
pub(crate) struct TapArgs {
    /// A source or transform, to see what it sends on, or a sink, to see what it takes.
    pub(crate) component: String,
    #[command(flatten)]
    pub(crate) options: TapOptions,
}

/// What `tap` and `tail` take.
#[derive(Debug, Default, Args)]
pub(crate) struct TapOptions {
    /// Show only records that match this, such as 'severity>=warn and service.name=cart and body~timeout'.
    #[arg(long, value_name = "EXPR", env = "GS_FILTER", default_value = "")]
    pub(crate) filter: String,
    /// End after this many records.
    #[arg(long, value_name = "N", env = "GS_LIMIT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// End after this time, such as 30s.
    #[arg(long, value_name = "DURATION", env = "GS_DURATION")]
    pub(crate) duration: Option<HumanDuration>,
    /// The format of the records; by default `json` with `-o json`, and `line` otherwise.
    #[arg(long, value_enum, env = "GS_FORMAT")]
    pub(crate) format: Option<TapFormat>,
}

/// The form of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TapFormat {
    /// Requests as OTLP JSON, one a line.
    Json,
    /// One line for each record, cut to the width of the terminal.
    Line,
}

/// What `top` takes.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// The time between two updates, at least 100ms.
    #[arg(long, value_name = "DURATION", env = "GS_INTERVAL", default_value = "1s")]
    pub(crate) interval: HumanDuration,
}

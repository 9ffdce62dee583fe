//! The command line of `gophership`.

use std::num::NonZeroU16;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;

use gophership::config::ByteSize;

use crate::audit::AuditArgs;
use crate::drill::DrillArgs;
use crate::vault::VaultCommand;

/// A shock absorber for telemetry: OTLP in, delivered, or kept safe on disk until it can be.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// How to run.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct RunArgs {
    /// The configuration file; without it the built-in default runs (see `default-config`).
    #[arg(short, long, value_name = "PATH", env = "GOPHERSHIP_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// What is logged: error, warn, info, debug, trace, or a filter like `info,gophership::flow=debug`.
    #[arg(long, value_name = "FILTER", env = "GOPHERSHIP_LOG", default_value = "info")]
    pub(crate) log: String,
    /// How it is logged.
    #[arg(long, value_enum, env = "GOPHERSHIP_LOG_FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// The most bytes of log lines that wait for standard error; more are dropped and counted.
    #[arg(long, value_name = "SIZE", env = "GOPHERSHIP_LOG_BUFFER", default_value = "1MiB")]
    pub(crate) log_buffer: ByteSize,
    /// Worker threads; by default one per processor.
    #[arg(long, value_name = "NUMBER", env = "GOPHERSHIP_THREADS")]
    pub(crate) threads: Option<NonZeroU16>,
    /// Refuses to start when a vault misses requests that it had acknowledged.
    #[arg(long, env = "GOPHERSHIP_STRICT")]
    pub(crate) strict: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the pipeline (the default).
    Run(RunArgs),
    /// Checks configuration files and reports every problem in them.
    Validate {
        /// The files.
        #[arg(
            required_unless_present = "config",
            env = "GOPHERSHIP_VALIDATE",
            value_delimiter = ':'
        )]
        paths: Vec<PathBuf>,
        /// One of the files, named as with `run`.
        #[arg(short, long, value_name = "PATH")]
        config: Option<PathBuf>,
    },
    /// Draws the pipeline of a configuration.
    Graph {
        /// The file.
        #[arg(required_unless_present = "config")]
        path: Option<PathBuf>,
        /// The file, named as with `run`.
        #[arg(short, long, value_name = "PATH", env = "GOPHERSHIP_CONFIG")]
        config: Option<PathBuf>,
        /// The language of the drawing.
        #[arg(long, value_enum, env = "GOPHERSHIP_GRAPH_FORMAT", default_value = "mermaid")]
        format: GraphFormat,
    },
    /// Runs the cases under `tests` in a configuration through its transforms.
    Test {
        /// The configuration file.
        #[arg(short, long, value_name = "PATH", env = "GOPHERSHIP_CONFIG")]
        config: PathBuf,
        /// Only the cases whose name contains this.
        name: Option<String>,
    },
    /// Prints the JSON Schema of the configuration, for editors.
    Schema,
    /// Lists the components there are.
    List,
    /// Prints the built-in default configuration.
    DefaultConfig,
    /// Proves a configuration: its backend is out for a while under load, and nothing may be lost.
    ///
    /// Exits 0 if every requirement holds, 1 if one does not.
    #[command(after_help = "Example: gophership drill -c gophership.yaml --outage hang --kill")]
    Drill(Box<DrillArgs>),
    /// Proves the ledger: where every record is, over all restarts, and whether the vaults hold it.
    ///
    /// Exits 0 if everything is accounted for, 1 if not.
    #[command(after_help = "Example: gophership audit -c gophership.yaml")]
    Audit(AuditArgs),
    /// Looks into a vault, gets data out, mends it and makes room.
    Vault {
        /// What to do.
        #[command(subcommand)]
        command: Box<VaultCommand>,
    },
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// The language of a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// Mermaid, which code hosts draw.
    Mermaid,
    /// Graphviz.
    Dot,
}

//! The command line of `gophership`.

use std::num::NonZeroU16;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;
use clap_complete::Shell;

use gophership_units::ByteSize;

use crate::audit::AuditArgs;
use crate::drill::DrillArgs;
use crate::healthcheck::HealthcheckArgs;
use crate::vault::VaultCommand;

/// A shock absorber for telemetry: GopherShip receives OTLP, delivers it, and keeps on disk what a
/// backend cannot take.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<ProgramCommand>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// How to run.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct RunArgs {
    /// The configuration file; by default the built-in one (see `default-config`).
    #[arg(short, long, value_name = "PATH", env = "GOPHERSHIP_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Reload the configuration when its file changes, as SIGHUP does; within 4 seconds.
    #[arg(long, env = "GOPHERSHIP_WATCH_CONFIG")]
    pub(crate) watch_config: bool,
    /// The log level: error, warn, info, debug, trace, or a filter like
    /// `info,gophership::flow=debug`.
    #[arg(long, value_parser = crate::log_filter::checked, value_name = "FILTER", env = "GOPHERSHIP_LOG", default_value = "info")]
    pub(crate) log: String,
    /// The log format.
    #[arg(long, value_enum, env = "GOPHERSHIP_LOG_FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// The maximum bytes of log lines that wait for standard error. Further lines are dropped and
    /// counted.
    #[arg(long, value_name = "SIZE", env = "GOPHERSHIP_LOG_BUFFER", default_value = "1MiB")]
    pub(crate) log_buffer: ByteSize,
    /// The number of worker threads; by default one per processor.
    #[arg(long, value_name = "NUMBER", env = "GOPHERSHIP_THREADS")]
    pub(crate) threads: Option<NonZeroU16>,
    /// Refuse to start if acknowledged requests are missing from a vault.
    #[arg(long, env = "GOPHERSHIP_STRICT")]
    pub(crate) strict: bool,
}

/// The command.
#[derive(Debug, Subcommand)]
pub(crate) enum ProgramCommand {
    /// Run the pipeline (the default).
    Run {
        /// The configuration file, in place of --config.
        path: Option<PathBuf>,
        /// How to run.
        #[command(flatten)]
        run: RunArgs,
    },
    /// Check configuration files and report every problem.
    Validate {
        /// The files, or folders with files `*.yaml` and `*.yml`. By default the file in
        /// `GOPHERSHIP_CONFIG`.
        paths: Vec<PathBuf>,
        /// A configuration file, as with `run`; may be repeated.
        #[arg(short, long, value_name = "PATH")]
        config: Vec<PathBuf>,
    },
    /// Draw the pipeline of a configuration.
    Graph {
        /// The file.
        #[arg(required_unless_present = "config")]
        path: Option<PathBuf>,
        /// The configuration file, as with `run`.
        #[arg(short, long, value_name = "PATH", env = "GOPHERSHIP_CONFIG")]
        config: Option<PathBuf>,
        /// The language of the graph.
        #[arg(long, value_enum, env = "GOPHERSHIP_GRAPH_FORMAT", default_value = "mermaid")]
        format: GraphFormat,
    },
    /// Run the test cases of a configuration (`tests`) through its transforms.
    Test {
        /// The file.
        #[arg(required_unless_present = "config")]
        path: Option<PathBuf>,
        /// The configuration file, as with `run`.
        #[arg(short, long, value_name = "PATH", env = "GOPHERSHIP_CONFIG")]
        config: Option<PathBuf>,
        /// Run only test cases whose name contains this text.
        #[arg(long, value_name = "NAME", env = "GOPHERSHIP_TEST_ONLY")]
        only: Option<String>,
    },
    /// Print the JSON Schema of the configuration, for editors.
    Schema,
    /// List the available components.
    List,
    /// Print the built-in default configuration.
    DefaultConfig,
    /// Test a configuration under load while its backend is out, and check that no record is lost.
    ///
    /// Exit code 0: every requirement holds. 1: a requirement does not hold.
    #[command(after_help = "Example: gophership drill -c gophership.yaml --outage hang --kill")]
    Drill(Box<DrillArgs>),
    /// Check the ledger: account for every record over all restarts, and compare with the vaults.
    ///
    /// Exit code 0: every record is accounted for. 1: some are not.
    #[command(after_help = "Example: gophership audit -c gophership.yaml")]
    Audit(AuditArgs),
    /// Ask a running server whether it takes requests.
    ///
    /// It takes requests in every zone: in red they go to the vault.
    ///
    /// Exit code 0: yes. 1: no (it starts, stops, drains or is stalled), or there is no answer.
    #[command(after_help = "Example: gophership healthcheck --address 127.0.0.1:9091")]
    Healthcheck(HealthcheckArgs),
    /// Print the completions for a shell, such as `gophership completions bash`.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Write the man pages into a directory.
    #[command(hide = true)]
    Man {
        /// The directory, created if it is missing.
        dir: PathBuf,
    },
    /// Inspect, export, repair and prune a vault.
    Vault {
        /// The command.
        #[command(subcommand)]
        command: Box<VaultCommand>,
    },
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The language of a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// Mermaid, which code hosts render.
    Mermaid,
    /// Graphviz.
    Dot,
}

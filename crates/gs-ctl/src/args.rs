//! The command line.

use std::path::PathBuf;

use clap::Args;
use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;
use clap_complete::Shell;

use gophership_units::HumanDuration;

use crate::args_letters::LettersCommand;
use crate::args_live::TapArgs;
use crate::args_live::TapOptions;
use crate::args_live::TopArgs;
use crate::args_vault::DrainArgs;
use crate::args_vault::RangeArgs;
use crate::args_vault::RemoteVaultCommand;
use crate::args_vault::ReplayCommand;

/// Manage a running GopherShip, through its control socket or, with a certificate, from another host.
#[derive(Debug, Parser)]
#[command(name = "gs-ctl", version, propagate_version = true)]
pub(crate) struct CtlArgs {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct GlobalArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// The context to use, instead of the current one (`gs-ctl context ls`).
    #[arg(long, global = true, value_name = "NAME", env = "GS_CONTEXT")]
    pub(crate) context: Option<String>,
    /// The output format.
    #[arg(short, long, global = true, value_enum, env = "GS_OUTPUT", default_value = "table")]
    pub(crate) output: Format,
    /// How long to wait for an answer, such as 5s or 1m.
    #[arg(long, global = true, value_name = "DURATION", env = "GS_TIMEOUT", default_value = "5s")]
    pub(crate) timeout: HumanDuration,
}

/// Where GopherShip is.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct TargetArgs {
    /// The control socket of GopherShip; without a context `gophership-data/control.sock`.
    #[arg(long, global = true, value_name = "PATH", env = "GS_SOCKET")]
    pub(crate) socket: Option<PathBuf>,
    /// The `control.listen` of GopherShip, such as host.example:9092. It needs --ca, --cert and --key.
    #[arg(long, global = true, value_name = "HOST:PORT", env = "GS_ENDPOINT")]
    pub(crate) endpoint: Option<String>,
    /// PEM file with the CA certificates that the server must descend from.
    #[arg(long, global = true, value_name = "FILE", env = "GS_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// PEM file with your certificate.
    #[arg(long, global = true, value_name = "FILE", env = "GS_CERT")]
    pub(crate) cert: Option<PathBuf>,
    /// PEM file with your private key.
    #[arg(long, global = true, value_name = "FILE", env = "GS_KEY")]
    pub(crate) key: Option<PathBuf>,
}

/// The command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show zone, components, vaults and the ledger.
    Status {
        /// Show the status again every --interval, until interrupted.
        #[arg(long)]
        watch: bool,
        /// The time between two updates with --watch, at least 100ms.
        #[arg(long, value_name = "DURATION", env = "GS_INTERVAL", default_value = "2s")]
        interval: HumanDuration,
    },
    /// Override the zone until `--ttl` is over or `--zone auto` is given. Sensors are ignored
    /// meanwhile.
    Override {
        /// The zone.
        #[arg(long, value_enum, env = "GS_ZONE")]
        zone: ZoneArg,
        /// How long the override lasts, such as 90s, 15m or 2h; by default it has no end.
        #[arg(long, value_name = "DURATION", env = "GS_TTL")]
        ttl: Option<HumanDuration>,
        /// The reason, shown in the log, in the audit log and in `gs-ctl status`.
        #[arg(long, value_name = "TEXT", env = "GS_REASON", default_value = "")]
        reason: String,
    },
    /// Show a sample of the requests that pass a component, until interrupted. It needs the role operator.
    Tap(TapArgs),
    /// Show a sample of the records that all sources send on, one a line, until interrupted.
    Tail(TapOptions),
    /// Show zone, rates, pressure, memory, vaults and sinks as a live screen.
    Top(TopArgs),
    /// Show the zone and every change of it, until interrupted. With `-o json` each change is a line.
    Watch,
    /// Read the configuration again and put it in force, as SIGHUP does.
    Reload {
        /// Wait until the reload is over, and show its outcome for each component.
        #[arg(long)]
        wait: bool,
        /// Only show what would change, as `gs-ctl config diff` does.
        #[arg(long)]
        dry_run: bool,
        /// The reason, for the audit log.
        #[arg(long, value_name = "TEXT", env = "GS_REASON", default_value = "")]
        reason: String,
    },
    /// Show the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Change which lines are logged, until GopherShip ends.
    LogLevel {
        /// A level such as debug, or a filter such as info,h2=debug; without it the one in force is shown.
        filter: Option<String>,
        /// The reason, for the audit log.
        #[arg(long, value_name = "TEXT", env = "GS_REASON", default_value = "")]
        reason: String,
    },
    /// Send requests of a vault, or of an archive in a bucket, again, or pause and resume all replays.
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Replay {
        #[command(flatten)]
        range: RangeArgs,
        #[command(subcommand)]
        command: Option<ReplayCommand>,
    },
    /// Show, verify, hold or prune the vaults.
    Vault {
        #[command(subcommand)]
        command: RemoteVaultCommand,
    },
    /// Refuse new requests, and deliver those that were accepted before or keep them in a vault. gs-ctl asks
    /// first; without a terminal it needs --yes.
    Drain(DrainArgs),
    /// Show the flight recorder: what the sensors read in the two minutes before the zone turned red.
    Flight {
        #[command(subcommand)]
        command: FlightCommand,
    },
    /// List, show, send again or delete dead letters: requests that a backend refused for good.
    DeadLetters {
        #[command(subcommand)]
        command: LettersCommand,
    },
    /// Show where every record is, in total, by source and by sink.
    Ledger,
    /// Exit with 0 if GopherShip is ready for requests, with 1 if it is not; for probes.
    Health,
    /// Manage contexts: names for the processes that you manage.
    Context {
        #[command(subcommand)]
        command: ContextCommand,
    },
    /// Make certificates for `control.tls`.
    Certs {
        #[command(subcommand)]
        command: CertsCommand,
    },
    /// Print the completions for a shell, such as `gs-ctl completions bash`.
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
}

/// What is shown of the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show the configuration in force, with defaults and variables filled in and without secrets.
    Show,
    /// Show what a reload would change.
    Diff,
}

/// What is shown of the flight recorder.
#[derive(Debug, Subcommand)]
pub(crate) enum FlightCommand {
    /// List the recordings.
    Ls,
    /// Print a recording as JSON, one reading a line; without a name the readings of the last two
    /// minutes.
    Show {
        /// The recording, as `flight ls` names it.
        name: Option<String>,
    },
}

/// What is done with contexts.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// List the contexts.
    Ls,
    /// Make a context the current one.
    Use {
        /// The context.
        name: String,
    },
    /// Create or change a context from --socket, or from --endpoint, --ca, --cert and --key.
    Set {
        /// The context.
        name: String,
    },
    /// Remove a context.
    Rm {
        /// The context.
        name: String,
    },
}

/// What is done with certificates.
#[derive(Debug, Subcommand)]
pub(crate) enum CertsCommand {
    /// Create a private CA, a server certificate and client certificates.
    Init {
        /// The directory, created if it is missing. An existing CA and server certificate are used
        /// again.
        #[arg(long, value_name = "DIR", default_value = "gophership-certs")]
        dir: PathBuf,
        /// A DNS name or an address of the server; repeat it for several.
        #[arg(long, value_name = "NAME", default_values = ["localhost", "127.0.0.1"])]
        host: Vec<String>,
        /// The common name of a client, which is also the name of its files; repeat it for several.
        #[arg(long, value_name = "NAME", default_values = ["admin"])]
        client: Vec<String>,
        /// The number of days for which the certificates of server and clients are valid; the CA is
        /// valid for 10 years.
        #[arg(long, value_name = "DAYS", default_value_t = 397)]
        days: u32,
        /// Replace existing certificates of server and clients; the CA stays.
        #[arg(long)]
        force: bool,
    },
}

/// A zone, or `auto`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ZoneArg {
    /// The full pipeline.
    Green,
    /// Optional work is skipped.
    Yellow,
    /// All requests go to the vault.
    Red,
    /// Follow the sensors again.
    Auto,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text for people, at most 80 columns wide.
    Table,
    /// JSON for scripts.
    Json,
    /// YAML.
    Yaml,
}

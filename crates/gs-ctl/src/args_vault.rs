//! The command line of what concerns vaults: `vault`, `replay` and `drain`.

use clap::ArgGroup;
use clap::Args;
use clap::Subcommand;
use gophership_units::HumanDuration;
use gophership_units::Moment;

/// What is done with vaults.
#[derive(Debug, Subcommand)]
pub(crate) enum RemoteVaultCommand {
    /// List the vaults: what they hold, since when, and which sinks still need it.
    Ls,
    /// Verify every checksum and the chain of digests, beside the running server.
    ///
    /// It is background work: slower in yellow, and paused in red. Exit code 1: a vault is damaged.
    Verify {
        /// The vault; by default all of them.
        name: Option<String>,
        /// Only this segment of the vault.
        #[arg(long, value_name = "ID", requires = "name")]
        segment: Option<u64>,
    },
    /// Keep all segments of a vault from being deleted, until `release` or until `--ttl` is over.
    ///
    /// The hold is a file in the vault, so it outlives a restart. A vault that is held fills up.
    Hold {
        /// The vault.
        name: String,
        /// The name of the hold; it replaces a hold of the same name.
        #[arg(long, value_name = "NAME", default_value = "operator")]
        hold: String,
        /// How long the hold lasts, such as 30m or 24h; by default it has no end.
        #[arg(long, value_name = "DURATION", env = "GS_TTL")]
        ttl: Option<HumanDuration>,
        /// The reason, shown in `gs-ctl status` and in the audit log.
        #[arg(long, value_name = "TEXT", env = "GS_REASON", default_value = "")]
        reason: String,
    },
    /// End a hold.
    Release {
        /// The vault.
        name: String,
        /// The name of the hold.
        #[arg(long, value_name = "NAME", default_value = "operator")]
        hold: String,
        /// The reason, for the audit log.
        #[arg(long, value_name = "TEXT", env = "GS_REASON", default_value = "")]
        reason: String,
    },
    /// Delete sealed segments that every sink and archive has; with --force also others. It asks first; without
    /// a terminal it needs --yes.
    Prune(RemotePruneArgs),
}

/// What is deleted.
#[derive(Debug, Args)]
pub(crate) struct RemotePruneArgs {
    /// The vault.
    pub(crate) name: String,
    /// Only segments whose newest request is older than this, such as 12h.
    #[arg(long, value_name = "DURATION", conflicts_with = "segment")]
    pub(crate) older_than: Option<HumanDuration>,
    /// Only this segment.
    #[arg(long, value_name = "ID")]
    pub(crate) segment: Option<u64>,
    /// Also delete segments with requests that a sink or an archive does not have yet. The ledger counts
    /// undelivered records as dropped.
    #[arg(long)]
    pub(crate) force: bool,
    /// Show what would be deleted, and delete nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    /// The reason, for the audit log.
    #[arg(long, value_name = "TEXT", env = "GS_REASON", default_value = "")]
    pub(crate) reason: String,
}

/// Which requests are sent again, and to whom.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").args(WHAT).required(true).multiple(true))]
pub(crate) struct RangeArgs {
    /// The vault; by default the only one whose replay leads to the sinks.
    #[arg(long, value_name = "NAME")]
    pub(crate) vault: Option<String>,
    /// Send what this archive has, instead of what the vault has: `s3://BUCKET/PREFIX` of an `s3` sink or of an
    /// `s3_replay` source in the configuration.
    #[arg(long, value_name = "URL")]
    pub(crate) from: Option<String>,
    /// Only requests received at or after this time: `2026-01-31T12:00:00Z`, or `1h` for 1 hour ago.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Moment>,
    /// Only requests received before this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Moment>,
    /// Only requests that this source received.
    #[arg(long, value_name = "SOURCE")]
    pub(crate) source: Option<String>,
    /// Only this signal.
    #[arg(long, value_name = "logs|traces|metrics")]
    pub(crate) signal: Option<String>,
    /// The maximum number of records per second; by default as fast as the pressure allows.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) rate: Option<u32>,
    /// The sink that gets the requests; repeat it for several. By default all sinks that the vault feeds.
    #[arg(long, value_name = "SINK")]
    pub(crate) to: Vec<String>,
    /// Only count the requests that would be sent.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Show the progress, a line a second, until the replay is over. If you interrupt this, the replay goes on.
    #[arg(long)]
    pub(crate) follow: bool,
    /// The reason, for the audit log.
    #[arg(long, value_name = "TEXT", env = "GS_REASON", default_value = "")]
    pub(crate) reason: String,
}

/// A replay that names none of these would send everything again, which nobody means who types `gs-ctl replay`.
const WHAT: [&str; 8] = ["vault", "from", "since", "until", "source", "signal", "to", "dry_run"];

/// What is done with replays.
#[derive(Debug, Subcommand)]
pub(crate) enum ReplayCommand {
    /// Pause all replays until `resume`, or until GopherShip ends.
    Pause {
        /// The reason, for the audit log.
        #[arg(long, value_name = "TEXT", env = "GS_REASON", default_value = "")]
        reason: String,
    },
    /// Resume all replays.
    Resume {
        /// The reason, for the audit log.
        #[arg(long, value_name = "TEXT", env = "GS_REASON", default_value = "")]
        reason: String,
    },
    /// Show the backlog of each vault, and whether replays are paused.
    Status,
    /// List the replays that were started by hand: those that run, and the last one of each vault.
    Ls,
    /// Stop a replay that was started by hand.
    Stop {
        /// The number of the replay, as `replay ls` shows it.
        id: u64,
        /// The reason, for the audit log.
        #[arg(long, value_name = "TEXT", env = "GS_REASON", default_value = "")]
        reason: String,
    },
}

/// How the server is drained.
#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// Wait until every accepted request is delivered or in a vault.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Wait no longer than this, such as 30s; the exit code is 1 if requests are left.
    #[arg(long, value_name = "DURATION", requires = "wait")]
    pub(crate) deadline: Option<HumanDuration>,
    /// Accept requests again.
    #[arg(long, conflicts_with_all = ["wait", "deadline"])]
    pub(crate) undo: bool,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    /// The reason, shown in `gs-ctl status` and in the audit log.
    #[arg(long, value_name = "TEXT", env = "GS_REASON", default_value = "")]
    pub(crate) reason: String,
}

//! The command line of `gophership drill`.

use std::num::NonZeroU16;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::ValueEnum;

use gophership_testbed::EXPORT_LEN_MAX;
use gophership_testbed::Mode;
use gophership_testbed::QUEUE_LEN_MAX;
use gophership_units::ByteSize;
use gophership_units::HumanDuration;
use gophership_units::Share;

use super::peer::PeerArgs;
use crate::vault::OutputFormat;

/// Five exports a second: what a client's queue bears for 0.8 seconds without an answer, beside the export
/// that is under way.
const RECORDS_PER_CLIENT: u32 = 5 * EXPORT_LEN_MAX;
/// The same for 3 seconds. Whose server is killed sends again after a second, as it is specified.
const RECORDS_PER_CLIENT_KILLED: u32 = 625;
/// A warm-up: long enough to see that everything works, and long enough to have a p99 that others are
/// compared with: over 1,000 exports at the default rate.
const WARM_UP: Duration = Duration::from_secs(5);
const WARM_UP_COMPARED: Duration = Duration::from_secs(30);
/// The drill of `--hard`, where it differs.
const HARD_RATE: u32 = 500_000;
const HARD_LASTS: Duration = Duration::from_mins(1);
const HARD_MEMORY_BYTES: u64 = 512_000_000;
/// No answer may take longer than an SDK waits for one.
const HARD_P99: Duration = Duration::from_secs(10);
const HARD_SLOWEST: Duration = HARD_P99;
const HARD_DRAIN: Duration = Duration::from_mins(5);
const HARD_BACKLOG_TIMES: u64 = 20;
/// The same without it.
const RATE: u32 = 20_480;
const LASTS: Duration = Duration::from_secs(40);
const MEMORY_BYTES: u64 = 45_000_000;
const P99: Duration = Duration::from_millis(10);
const SLOWEST: Duration = Duration::from_millis(250);
/// That a backend hangs is known when it has said nothing for a while.
const SLOWEST_HANG: Duration = Duration::from_millis(400);
/// The long form of an outage.
const LONG: Duration = Duration::from_mins(10);

/// How the backend fails during the outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutageKind {
    /// The backend answers `UNAVAILABLE` or 503.
    Unavailable,
    /// The backend reads requests and never answers.
    Hang,
    /// The backend closes its connections and refuses new ones.
    Gone,
}

impl OutageKind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Hang => "hang",
            Self::Gone => "gone",
        }
    }

    pub(super) const fn mode(self) -> Mode {
        match self {
            Self::Unavailable => Mode::Unavailable,
            Self::Hang => Mode::Stall,
            Self::Gone => Mode::Gone,
        }
    }
}

/// What the drill does, and its requirements.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct DrillArgs {
    /// The configuration to test; by default a source, a sink and a vault with default options.
    ///
    /// The drill runs a copy of it, on free loopback ports, with a built-in backend for every
    /// `otlp` sink and with a temporary data directory.
    #[arg(short, long, value_name = "FILE", env = "GOPHERSHIP_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The configuration to test, in place of --config.
    #[arg(value_name = "FILE", conflicts_with = "two_sinks")]
    pub(crate) path: Option<PathBuf>,
    /// Test with two sinks, `backend` and `other`. By default only `backend` is out; `--sink`
    /// changes that.
    #[arg(long, conflicts_with = "config")]
    pub(crate) two_sinks: bool,
    #[command(flatten)]
    pub(crate) peer: PeerArgs,
    /// Take only this sink's backend out; may be repeated. All other backends stay healthy, and
    /// their delay must not grow by more than `--delay-growth-max`.
    #[arg(long = "sink", value_name = "NAME")]
    pub(crate) sinks: Vec<String>,
    /// How the backend fails during the outage.
    #[arg(long, value_enum, default_value = "unavailable")]
    pub(crate) outage: OutageKind,
    /// Overload: 500,000 records/s for 60 seconds with a kill, unless other options change that.
    /// Records that clients drop are reported and do not fail the drill. A lost acknowledged record
    /// fails it, and so does a refusal while no vault is full.
    #[arg(long)]
    pub(crate) hard: bool,
    /// Flip a bit in the vault between the kill and the restart. Only records hit by it may be
    /// lost. Implies `--kill`.
    #[arg(long)]
    pub(crate) corrupt: bool,
    /// Set `max_size` of all vaults to this, so that they fill up during the outage. While a vault
    /// is full, retryable refusals are allowed.
    #[arg(long, value_name = "SIZE")]
    pub(crate) fill_vault: Option<ByteSize>,
    /// The vaults must hold at least this many times the server's resident memory. By default 0;
    /// with `--hard` 20.
    #[arg(long, value_name = "TIMES")]
    pub(crate) backlog_min: Option<u64>,
    /// The duration of the outage. By default 40 seconds; with `--hard` 60.
    #[arg(long, value_name = "DURATION")]
    pub(crate) lasts: Option<HumanDuration>,
    /// An outage of 10 minutes.
    #[arg(long, conflicts_with = "lasts")]
    pub(crate) long: bool,
    /// Log records per second from all clients together. By default 20,480; with `--hard` 500,000.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) rate: Option<NonZeroU32>,
    /// The number of clients, each like an OpenTelemetry SDK: a queue of 2,048 records, one export
    /// of 512 at a time. By default each client sends 5 exports a second. With `--kill` there are
    /// more clients, so that each queue lasts 3 seconds, enough for one or two retries.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) clients: Option<NonZeroU16>,
    /// Kill the server in the middle of the outage (`kill -9`) and restart it.
    #[arg(long)]
    pub(crate) kill: bool,
    /// How long the backend is healthy before the outage. By default 5 seconds; 30 if some sinks
    /// stay healthy, to measure their normal delay.
    #[arg(long, value_name = "DURATION")]
    pub(crate) warm_up: Option<HumanDuration>,
    /// The maximum number of records that may be lost between a client's queue and the backend.
    #[arg(long, value_name = "NUMBER", default_value = "0")]
    pub(crate) lost_max: u64,
    /// The maximum number of exports that the server may refuse.
    #[arg(long, value_name = "NUMBER", default_value = "0")]
    pub(crate) refused_max: u64,
    /// The limit of the server's resident memory. By default 45 MB; with `--hard` 512 MB.
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_max: Option<ByteSize>,
    /// The limit of the p99 answer time over the whole drill. By default 10 ms; with `--hard` 10 s.
    #[arg(long, value_name = "DURATION")]
    pub(crate) p99_max: Option<HumanDuration>,
    /// The limit of the longest answer time over the whole drill. By default 250 ms; with `--outage
    /// hang` 400 ms; with `--hard` 10 s.
    #[arg(long, value_name = "DURATION")]
    pub(crate) slowest_max: Option<HumanDuration>,
    /// The limit of the time from the backend's return until the backlog is delivered. By default
    /// 1/8 of the outage; with `--hard` 5 minutes.
    #[arg(long, value_name = "DURATION")]
    pub(crate) drain_max: Option<HumanDuration>,
    /// The allowed growth of the p99 delay of healthy sinks.
    #[arg(long, value_name = "PERCENT", default_value = "10%")]
    pub(crate) delay_growth_max: Share,
    /// Stop waiting for missing records if none arrives for this long.
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    pub(crate) give_up_after: HumanDuration,
    /// The output format.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: OutputFormat,
    /// Keep the directory with the copy, the server's log and the vault.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Show no progress.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

impl DrillArgs {
    /// How long the backend is out.
    pub(super) fn lasts(&self) -> Duration {
        let default = if self.hard { HARD_LASTS } else { LASTS };
        if self.long { LONG } else { self.lasts.map_or(default, |lasts| lasts.0) }
    }

    /// Records per second.
    pub(super) fn rate(&self) -> u32 {
        self.rate.map_or(if self.hard { HARD_RATE } else { RATE }, NonZeroU32::get)
    }

    /// Whether the server is killed.
    pub(super) fn is_killed(&self) -> bool {
        self.kill || self.hard || self.corrupt
    }

    /// Whether a vault may be full: its refusals are excused, and what clients drop is not judged.
    pub(super) fn may_fill(&self) -> bool {
        self.hard || self.fill_vault.is_some()
    }

    pub(super) fn memory_max(&self) -> u64 {
        let default = if self.hard { HARD_MEMORY_BYTES } else { MEMORY_BYTES };
        self.memory_max.map_or(default, ByteSize::bytes)
    }

    pub(super) fn p99_max(&self) -> Duration {
        let default = if self.hard { HARD_P99 } else { P99 };
        self.p99_max.map_or(default, |limit| limit.0)
    }

    pub(super) fn slowest_max(&self) -> Duration {
        let default = match self.outage {
            _ if self.hard => HARD_SLOWEST,
            OutageKind::Hang => SLOWEST_HANG,
            OutageKind::Unavailable | OutageKind::Gone => SLOWEST,
        };
        self.slowest_max.map_or(default, |limit| limit.0)
    }

    pub(super) fn backlog_min(&self) -> u64 {
        self.backlog_min.unwrap_or(if self.hard { HARD_BACKLOG_TIMES } else { 0 })
    }

    /// How long the backend takes everything before; `compares` if delays are compared with it.
    pub(super) fn warm_up(&self, compares: bool) -> Duration {
        let default = if compares { WARM_UP_COMPARED } else { WARM_UP };
        self.warm_up.map_or(default, |warm_up| warm_up.0)
    }

    /// The sinks that are said to be out; none says that all are.
    pub(super) fn sinks_out(&self) -> Vec<String> {
        if self.two_sinks && self.sinks.is_empty() {
            return vec![super::TWO_SINKS_OUT.to_owned()];
        }
        self.sinks.clone()
    }

    /// How many clients there are.
    pub(super) fn clients(&self) -> u16 {
        let each = if self.is_killed() { RECORDS_PER_CLIENT_KILLED } else { RECORDS_PER_CLIENT };
        let enough = self.rate().div_ceil(each);
        let enough = u16::try_from(enough).unwrap_or(u16::MAX);
        self.clients.map_or(enough, NonZeroU16::get)
    }

    /// How long a client's queue lasts without an answer.
    pub(super) fn bridged(&self) -> Duration {
        let per_second = f64::from(self.rate()) / f64::from(self.clients());
        Duration::from_secs_f64(f64::from(QUEUE_LEN_MAX) / per_second)
    }

    /// How long the backlog may take.
    pub(super) fn drain_max(&self) -> Duration {
        let default = if self.hard { HARD_DRAIN } else { self.lasts() / 8 };
        self.drain_max.map_or(default, |limit| limit.0)
    }
}

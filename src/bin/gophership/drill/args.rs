//! The command line of `gophership drill`.

use std::num::NonZeroU16;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::ValueEnum;

use gophership::config::ByteSize;
use gophership::config::HumanDuration;
use gophership::config::Share;
use gophership_testbed::EXPORT_LEN_MAX;
use gophership_testbed::Mode;
use gophership_testbed::QUEUE_LEN_MAX;

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

/// What the backend does while it is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Outage {
    /// It answers that it cannot now: `UNAVAILABLE`, 503.
    Unavailable,
    /// It reads requests and does not answer.
    Hang,
    /// Its connections break, and it refuses new ones.
    Gone,
}

impl Outage {
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

/// What is drilled, and what has to hold.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct DrillArgs {
    /// The configuration that is drilled; without it a source, a sink and a vault with their defaults.
    ///
    /// It is not touched: a copy of it runs on free ports of loopback, with a built-in backend in the
    /// place of every `otlp` sink's, and with a data directory of its own, which is removed afterwards.
    #[arg(short, long, value_name = "FILE", env = "GOPHERSHIP_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Drills two sinks instead, `backend` and `other`; unless `--sink` says else, `backend` is out.
    #[arg(long, conflicts_with = "config")]
    pub(crate) two_sinks: bool,
    /// Only this sink's backend is out; can be repeated. The backends of all others take everything
    /// always, and what goes to them must not come later than before the outage.
    #[arg(long = "sink", value_name = "NAME")]
    pub(crate) sinks: Vec<String>,
    /// What the backend does while it is out.
    #[arg(long, value_enum, default_value = "unavailable")]
    pub(crate) outage: Outage,
    /// The hard drill: more than the machine may bear, 500,000 records/s for 60 seconds with a kill,
    /// unless other options say else. What clients could not send in time is told and not judged;
    /// nothing acknowledged may be lost, and nothing refused but by a vault that is full.
    #[arg(long)]
    pub(crate) hard: bool,
    /// Flips a bit in what the killed server has left in its vault, before it is started again; only
    /// what that hit may be missing. Kills the server even without `--kill`.
    #[arg(long)]
    pub(crate) corrupt: bool,
    /// Gives the vaults of the copy this `max_size`, so that they fill up in the outage and have room
    /// again after it. Refusals are allowed then, and only then, if they say that sending again helps.
    #[arg(long, value_name = "SIZE")]
    pub(crate) fill_vault: Option<ByteSize>,
    /// The vaults hold at least so many times the server's resident memory; by default 20 with
    /// `--hard`, else 0.
    #[arg(long, value_name = "TIMES")]
    pub(crate) backlog_min: Option<u64>,
    /// How long it is out; by default 40 seconds, with `--hard` 60.
    #[arg(long, value_name = "DURATION")]
    pub(crate) lasts: Option<HumanDuration>,
    /// It is out for 10 minutes.
    #[arg(long, conflicts_with = "lasts")]
    pub(crate) long: bool,
    /// Log records per second, of all clients together; by default 20,480, with `--hard` 500,000.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) rate: Option<NonZeroU32>,
    /// Clients, each like an OpenTelemetry SDK: a queue of 2,048 records, exports of 512, one at a time.
    /// By default each sends 5 exports a second, which is what its queue holds; with `--kill` there are as
    /// many as let each queue last for 3 seconds, which a retry or two take.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) clients: Option<NonZeroU16>,
    /// Kills the server in the middle of the outage, as `kill -9` does, and starts it again.
    #[arg(long)]
    pub(crate) kill: bool,
    /// How long the backend takes everything before it is out; by default 5 seconds, or 30 if the
    /// delays of sinks that stay are compared with it.
    #[arg(long, value_name = "DURATION")]
    pub(crate) warm_up: Option<HumanDuration>,
    /// Records that may be lost between a client's queue and the backend.
    #[arg(long, value_name = "NUMBER", default_value = "0")]
    pub(crate) lost_max: u64,
    /// Exports that the server may refuse.
    #[arg(long, value_name = "NUMBER", default_value = "0")]
    pub(crate) refused_max: u64,
    /// The server's resident memory stays below this; by default 45 MB, with `--hard` 512.
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_max: Option<ByteSize>,
    /// 99 of 100 answers come within this, over the whole drill; by default 10 ms, with `--hard` 10 s.
    #[arg(long, value_name = "DURATION")]
    pub(crate) p99_max: Option<HumanDuration>,
    /// No answer takes longer than this, over the whole drill; by default 250 ms, with `--outage hang` 400
    /// ms, with `--hard` 10 s.
    #[arg(long, value_name = "DURATION")]
    pub(crate) slowest_max: Option<HumanDuration>,
    /// The backlog is delivered so long after the backend's return; by default an eighth of the outage,
    /// with `--hard` 5 minutes.
    #[arg(long, value_name = "DURATION")]
    pub(crate) drain_max: Option<HumanDuration>,
    /// By so much of it the p99 delay to sinks that stay may exceed that of the warm-up.
    #[arg(long, value_name = "PERCENT", default_value = "10%")]
    pub(crate) delay_growth_max: Share,
    /// Ends without the missing records when none of them came for so long.
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    pub(crate) give_up_after: HumanDuration,
    /// How the result looks.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: OutputFormat,
    /// Keeps the directory with the copy, the server's log and the vault.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Shows no progress.
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
            Outage::Hang => SLOWEST_HANG,
            Outage::Unavailable | Outage::Gone => SLOWEST,
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

//! The `vault_replay` source: sends what the vault holds through the pipeline, when pressure allows.
//!
//! ```text
//!   vault --read--> in-flight window --send--> pipeline --outcome--> cursor
//!                                                  | failed: again, after a while
//!                                                  | rejected for good: dead-letter store
//! ```
//!
//! That once for each sink, so that none waits for another (`group.rs`, `lane.rs`).
//!
//! At least once: the cursor moves when a request is delivered, so a crash repeats at most the
//! window and what was delivered since the cursor was saved.

mod cursor_group;
mod dead_letter;
mod dead_letter_log;
mod debt;
mod lane;
mod pace;
mod range;
mod rate;
mod redrive;
mod redrive_letter;
mod saver;
mod seen;
mod sender;
mod stale;
mod window;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gophership_units::ByteSize;
use gophership_vault::ReadOrder;
use gophership_vault::Reader;
use gophership_vault::VaultError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::component::BuildError;
use crate::component::ComponentInfo;
use crate::component::Context;
use crate::component::CursorOwner;
use crate::component::Heir;
use crate::component::OptionProblem;
use crate::component::RunError;
use crate::component::Source;
use crate::component::SourceConfig;
use crate::component::StaleCursor;
use crate::component::Stop;
use crate::component::VaultHandle;
use crate::event::SinkSet;
use crate::flow::Output;
use crate::metrics::VaultMetrics;

use cursor_group::CursorGroup;
use cursor_group::CursorReader;
use dead_letter_log::DeadLetterLog;
use debt::Debts;
use debt::LaneCounters;
use lane::LaneRun;
use range::RangeRunner;
use rate::ReplayRate;
use redrive::RedriveRunner;
use sender::Sender;
use stale::StaleKeeper;

/// How often it looks whether there are other sinks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What was left in the vault because the dead-letter store had no room is not read again sooner.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Replays the requests of a vault through the pipeline.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct VaultReplayConfig {
    /// The vault to read.
    vault: String,
    /// The replay rate to each sink. `auto`: full speed in green; a quarter of it in yellow, unless
    /// the vault itself fills up; slower while live requests wait for a processor; paused in red, unless
    /// the vault is 90% full. A number: records per second, with the same pauses in red.
    #[serde(default)]
    rate: ReplayRate,
    /// The maximum bytes per second to each sink; by default unlimited.
    #[serde(default)]
    rate_bytes: Option<ByteSize>,
    /// Which requests are replayed first.
    #[serde(default)]
    order: OrderOption,
    /// The maximum number of concurrent requests to each sink.
    #[serde(default = "in_flight_default")]
    in_flight: u32,
    /// The maximum bytes in flight to each sink. Each sink also gets at most an equal part of the
    /// `replay` share of `somatic.memory`.
    #[serde(default = "in_flight_bytes_default")]
    in_flight_bytes: ByteSize,
}

/// Which requests are replayed first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OrderOption {
    /// In the order of arrival.
    #[default]
    OldestFirst,
    /// The newest segment of the vault first; within a segment in the order of arrival.
    NewestFirst,
}

impl From<OrderOption> for ReadOrder {
    fn from(option: OrderOption) -> Self {
        match option {
            OrderOption::OldestFirst => Self::OldestFirst,
            OrderOption::NewestFirst => Self::NewestFirst,
        }
    }
}

fn in_flight_default() -> u32 {
    64
}

fn in_flight_bytes_default() -> ByteSize {
    ByteSize(8 << 20)
}

inventory::submit! {
    ComponentInfo::source::<VaultReplayConfig>(
        "vault_replay",
        "Replays the requests of a vault through the pipeline, as pressure allows.",
    )
}

#[async_trait]
impl SourceConfig for VaultReplayConfig {
    fn replays(&self) -> Option<&str> {
        Some(&self.vault)
    }

    fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        if self.rate == ReplayRate::PerSecond(0) {
            problems.push(OptionProblem::new("rate", "must be `auto` or more than 0"));
        }
        if !(1..=1000).contains(&self.in_flight) {
            problems.push(OptionProblem::new("in_flight", "must be from 1 to 1000"));
        }
        if self.rate_bytes.is_some_and(|rate| rate.0 == 0) {
            problems.push(OptionProblem::new("rate_bytes", "must be more than 0"));
        }
        if self.in_flight_bytes.0 == 0 {
            problems.push(OptionProblem::new("in_flight_bytes", "must be more than 0"));
        }
        problems
    }

    async fn build(&self, context: &Context) -> Result<Box<dyn Source>, BuildError> {
        let vault = context.vaults.find(&self.vault);
        let vault = vault
            .ok_or_else(|| BuildError::Option(format!("the vault {} is not open", self.vault)))?;
        let metrics = context.metrics.vault(&self.vault);
        Ok(Box::new(VaultReplay { config: self.clone(), context: context.clone(), vault, metrics }))
    }
}

struct VaultReplay {
    config: VaultReplayConfig,
    context: Context,
    vault: VaultHandle,
    metrics: VaultMetrics,
}

#[async_trait]
impl Source for VaultReplay {
    async fn run(self: Box<Self>, output: Output, stop: Stop) -> Result<(), RunError> {
        let ranges = RangeRunner {
            config: self.config.clone(),
            context: self.context.clone(),
            vault: self.vault.clone(),
            output: output.clone(),
        };
        let redrives = RedriveRunner {
            config: self.config.clone(),
            context: self.context.clone(),
            vault: self.vault.clone(),
            metrics: self.metrics.clone(),
            output: output.clone(),
        };
        let (halt, end) = (stop.child_token(), Stop::new());
        let follow = async {
            let ended = self.follow_cursors(output, stop).await;
            halt.cancel();
            end.cancel();
            ended
        };
        let (ended, (), ()) =
            tokio::join!(follow, ranges.run(halt.clone()), redrives.run(end.clone()));
        ended
    }
}

impl VaultReplay {
    /// Sends each sink what it misses, until stopped.
    async fn follow_cursors(&self, output: Output, stop: Stop) -> Result<(), RunError> {
        let mut debts = Debts::new(&self.config.vault, &self.vault.log, &self.context.metrics);
        while !stop.is_cancelled() {
            let sinks = self.sinks();
            let halt = stop.child_token();
            let stale = self.stale(&sinks);
            let (group, mut sink_set) =
                self.start(&sinks, &stale, &output, &halt, &mut debts).await?;
            let mut look = tokio::time::interval(LOOK_EVERY);
            let began = Instant::now();
            let is_over = || {
                let others = self.sinks();
                others != sinks
                    || self.stale(&others).iter().any(|it| !stale.contains(it))
                    || group.wants_again() && AGAIN_AFTER <= began.elapsed()
            };
            let ended = loop {
                tokio::select! {
                    () = stop.cancelled() => break Ok(()),
                    Some(ended) = sink_set.join_next() => {
                        let ended = ended.unwrap_or_else(|panic| Err(panicked(panic)));
                        // A stale cursor that is removed needs nobody any more.
                        if ended.is_err() {
                            break ended;
                        }
                    }
                    _ = look.tick() => {
                        debts.look(*self.context.zone.borrow(), Instant::now());
                        if is_over() {
                            break Ok(());
                        }
                    }
                    () = self.vault.cursors.changed() => if is_over() { break Ok(()) },
                }
            };
            halt.cancel();
            while sink_set.join_next().await.is_some() {}
            let cursors = Arc::clone(&self.vault.cursors);
            blocking(move || cursors.rest()).await?;
            ended?;
        }
        Ok(())
    }

    /// The sinks that it delivers to, one for each lane.
    fn sinks(&self) -> Vec<(String, SinkSet)> {
        self.context.topology.sinks(self.context.id.as_str())
    }

    /// The cursors of sinks that are gone, which it looks after.
    fn stale(&self, sinks: &[(String, SinkSet)]) -> Vec<StaleCursor> {
        let mut stale = self.vault.cursors.stale(&self.context.id);
        let name = |sink: &str| CursorOwner::name_for(&self.context.id, sink);
        stale.retain(|it| !sinks.iter().any(|(sink, _)| it.name == name(sink)));
        stale
    }

    /// Starts reading for each sink, and looking after the cursors of those that are gone.
    async fn start(
        &self,
        sinks: &[(String, SinkSet)],
        stale: &[StaleCursor],
        output: &Output,
        halt: &Stop,
        debts: &mut Debts,
    ) -> Result<(Arc<CursorGroup>, JoinSet<Result<(), RunError>>), RunError> {
        let (vault, replay) = (self.vault.clone(), self.context.id.clone());
        let (order, ledgers) = (self.config.order.into(), self.context.ledgers);
        let wanted = sinks.to_vec();
        let (group, members) =
            blocking(move || CursorGroup::open(&vault, &replay, &wanted, order, ledgers)).await?;
        let mut sink_set = JoinSet::new();
        debts.keep(|sink| sinks.iter().any(|(there, _)| there == sink));
        for member in members {
            let delivered = debts.watch(&member.name, member.reader.handle());
            let lane = self.lane(member, None, &group, output, halt, delivered);
            sink_set.spawn(lane.run(halt.clone()));
        }
        for stale in stale {
            if matches!(stale.heir, Heir::Sink { .. }) {
                let Some(heir) = self.heir(stale, sinks).await? else { continue };
                let delivered = Arc::default();
                let lane = self.lane(heir, Some(stale.clone()), &group, output, halt, delivered);
                let (cursors, name) = (Arc::clone(&self.vault.cursors), stale.name.clone());
                let halt = halt.clone();
                sink_set.spawn(async move {
                    lane.run(halt.clone()).await?;
                    if halt.is_cancelled() {
                        return Ok(());
                    }
                    tracing::info!(
                        cursor = %name,
                        "Delivered the requests that a renamed sink had missed."
                    );
                    blocking(move || cursors.remove(&name)).await
                });
                continue;
            }
            let keeper = StaleKeeper {
                vault: self.vault.clone(),
                vault_id: self.config.vault.clone(),
                governor: Arc::clone(&self.context.governor),
                ledgers: self.context.ledgers,
                metrics: self.metrics.clone(),
            };
            sink_set.spawn(keeper.run(stale.clone(), halt.clone()));
        }
        Ok((group, sink_set))
    }

    /// What reads the stale cursor for a sink that had the name before; `None` if that is not there yet.
    async fn heir(
        &self,
        stale: &StaleCursor,
        sinks: &[(String, SinkSet)],
    ) -> Result<Option<CursorReader>, RunError> {
        let Heir::Sink { sink: heir, .. } = &stale.heir else { return Ok(None) };
        let Some((sink, lane)) = sinks.iter().find(|(sink, _)| sink == heir) else {
            return Ok(None);
        };
        let (log, name) = (Arc::clone(&self.vault.log), stale.name.clone());
        let order = self.config.order.into();
        let reader = blocking(move || Reader::open_in(&log, &name, order)).await?;
        let row = self.context.ledgers.sink(sink);
        Ok(Some(CursorReader { lane: *lane, name: sink.clone(), sink: row, reader }))
    }

    /// The reading for one sink, on its cursor or on one of a name that it had before.
    fn lane(
        &self,
        member: CursorReader,
        former: Option<StaleCursor>,
        group: &Arc<CursorGroup>,
        output: &Output,
        halt: &Stop,
        delivered: Arc<LaneCounters>,
    ) -> LaneRun {
        let CursorReader { lane, name, sink, reader } = member;
        let until = former.as_ref().map(|former| former.until);
        let dead_letter_log = DeadLetterLog::of(&name);
        let sender = Arc::new(Sender {
            replay: self.context.id.clone(),
            output: output.clone(),
            lane,
            name,
            sink,
            topology: Arc::clone(&self.context.topology),
            sink_set: Arc::clone(&self.context.sink_set),
            group: Arc::clone(group),
            cursor: reader.handle(),
            vault: self.vault.clone(),
            ledgers: self.context.ledgers,
            metrics: self.metrics.clone(),
            zone: self.context.zone.clone(),
            governor: Arc::clone(&self.context.governor),
            stop: halt.clone(),
            former,
            waiting: Arc::new(Semaphore::new(dead_letter::WAITING_MAX)),
            dead_letter_log,
            delivered,
        });
        let run = LaneRun::new(&self.config, &self.context, &self.metrics, reader, sender);
        match until {
            Some(until) => run.until(until),
            None => run,
        }
    }
}

fn panicked(panic: tokio::task::JoinError) -> RunError {
    RunError::Io {
        operation: "read",
        what: "the vault".to_owned(),
        source: std::io::Error::other(panic),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VaultError> + Send + 'static,
) -> Result<T, RunError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(panic) => Err(panicked(panic)),
    }
}

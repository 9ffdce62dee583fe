//! The `vault_replay` source: sends what the vault holds through the pipeline, when pressure allows.
//!
//! ```text
//!   vault --read--> in-flight window --send--> pipeline --outcome--> cursor
//!                                                  | failed: again, after a while
//!                                                  | rejected for good: dead-letter store
//! ```
//!
//! That once for each sink, so that none waits for another (`crew.rs`, `lane.rs`).
//!
//! At least once: the cursor moves when a request is delivered, so a crash repeats at most the
//! window and what was delivered since the cursor was saved.

mod bury;
mod crew;
mod lane;
mod pace;
mod rate;
mod retire;
mod saver;
mod seen;
mod sender;
mod window;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::ByteSize;
use crate::config::ComponentInfo;
use crate::config::OptionProblem;
use crate::config::Section;
use crate::config::SourceConfig;
use crate::config::running::BuildError;
use crate::config::running::Context;
use crate::config::running::RunError;
use crate::config::running::Source;
use crate::config::running::Stop;
use crate::config::running::VaultHandle;
use crate::event::Lanes;
use crate::flow::Output;
use crate::metrics::VaultMetrics;
use crate::vault::Order;
use crate::vault::VaultError;

use crew::Crew;
use crew::Member;
use crew::Opened;
use lane::LaneRun;
use rate::Rate;
use retire::Retirement;
use sender::Sender;

/// How often it looks whether there are other sinks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What was left in the vault because the dead-letter store had no room is not read again sooner.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Sends what a vault holds through the pipeline.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct VaultReplayConfig {
    /// The vault to read.
    vault: String,
    /// How fast, to each sink: `auto` has all of the time in green, a quarter of it in yellow unless the
    /// vault itself fills up, less while live requests wait for a processor, and none in red. A number is
    /// records per second, in green and yellow.
    #[serde(default)]
    rate: Rate,
    /// At most this many bytes per second, to each sink; without it there is no such limit.
    #[serde(default)]
    rate_bytes: Option<ByteSize>,
    /// Which requests come first.
    #[serde(default)]
    order: OrderOption,
    /// Requests on their way at the same time, to each sink.
    #[serde(default = "in_flight_default")]
    in_flight: u32,
    /// Bytes on their way at the same time, to each sink; also bounded by an equal part of the `replay`
    /// share of `somatic.memory`.
    #[serde(default = "in_flight_bytes_default")]
    in_flight_bytes: ByteSize,
}

/// Which requests come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OrderOption {
    /// As they were received.
    #[default]
    OldestFirst,
    /// Those of the newest segment of the vault first; inside a segment as they were received.
    NewestFirst,
}

impl From<OrderOption> for Order {
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
    ComponentInfo {
        section: Section::Source,
        name: "vault_replay",
        summary: "Sends what a vault holds through the pipeline, when pressure allows.",
        schema: |generator| generator.subschema_for::<VaultReplayConfig>(),
    }
}

#[async_trait]
#[typetag::serde(name = "vault_replay")]
impl SourceConfig for VaultReplayConfig {
    fn replays(&self) -> Option<&str> {
        Some(&self.vault)
    }

    fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        if self.rate == Rate::PerSecond(0) {
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
        while !stop.is_cancelled() {
            let sinks = self.sinks();
            let halt = stop.child_token();
            let (crew, mut lanes) = self.start(&sinks, &output, &halt).await?;
            let mut look = tokio::time::interval(LOOK_EVERY);
            let began = Instant::now();
            let is_over =
                || self.sinks() != sinks || crew.wants_again() && AGAIN_AFTER <= began.elapsed();
            let ended = loop {
                tokio::select! {
                    () = stop.cancelled() => break Ok(()),
                    Some(ended) = lanes.join_next() => {
                        let ended = ended.unwrap_or_else(|panic| Err(panicked(panic)));
                        // Who has let go of a former sink is done.
                        if ended.is_err() {
                            break ended;
                        }
                    }
                    _ = look.tick() => if is_over() { break Ok(()) },
                }
            };
            halt.cancel();
            while lanes.join_next().await.is_some() {}
            ended?;
        }
        Ok(())
    }
}

impl VaultReplay {
    /// The sinks that it delivers to, one for each lane.
    fn sinks(&self) -> Vec<(String, Lanes)> {
        let mut sinks = self.context.outlook.sinks(self.context.id.as_str());
        let mut seen = Lanes::NONE;
        sinks.retain(|(_, lane)| {
            let is_new = !lane.meets(seen);
            seen = seen.or(*lane);
            is_new
        });
        sinks
    }

    /// Starts reading for each sink, and then letting go of former ones.
    async fn start(
        &self,
        sinks: &[(String, Lanes)],
        output: &Output,
        halt: &Stop,
    ) -> Result<(Arc<Crew>, JoinSet<Result<(), RunError>>), RunError> {
        let (log, replay) = (Arc::clone(&self.vault.log), self.context.id.clone());
        let (order, ledgers) = (self.config.order.into(), self.context.ledgers);
        let wanted = sinks.to_vec();
        let opened = blocking(move || Crew::open(&log, &replay, &wanted, order, ledgers)).await?;
        let Opened { crew, members, formers } = opened;
        let mut lanes = JoinSet::new();
        for Member { lane, sink, reader } in members {
            let sender = Arc::new(Sender {
                replay: self.context.id.clone(),
                output: output.clone(),
                lane,
                sink,
                outlook: Arc::clone(&self.context.outlook),
                crew: Arc::clone(&crew),
                cursor: reader.handle(),
                vault: self.vault.clone(),
                ledgers,
                metrics: self.metrics.clone(),
                zone: self.context.zone.clone(),
                stop: halt.clone(),
                waiting: Arc::new(Semaphore::new(bury::WAITING_MAX)),
            });
            let run = LaneRun::new(&self.config, &self.context, &self.metrics, reader, sender);
            lanes.spawn(run.run(halt.clone()));
        }
        for former in formers {
            let retirement = Retirement {
                crew: Arc::clone(&crew),
                log: Arc::clone(&self.vault.log),
                governor: Arc::clone(&self.context.governor),
                inherited: Arc::clone(&self.vault.inherited),
                ledgers,
            };
            lanes.spawn(retirement.run(former, halt.clone()));
        }
        Ok((crew, lanes))
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

//! The `vault_replay` source: sends what the vault holds through the pipeline, when pressure allows.
//!
//! ```text
//!   vault --read--> in-flight window --send--> pipeline --outcome--> cursor
//!                                                  | failed: again, after a while
//!                                                  | rejected for good: dead-letter store
//! ```
//!
//! At least once: the cursor moves when a request is delivered, so a crash repeats at most the
//! window and what was delivered since the cursor was saved.

mod pace;
mod rate;
mod sender;
mod window;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
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
use crate::flow::Output;
use crate::metrics::VaultMetrics;
use crate::somatic::Zone;
use crate::vault::Order;
use crate::vault::Reader;

use pace::Pace;
use rate::Rate;
use sender::Sender;
use window::Window;

/// How long a read waits for something new before it looks around.
const READ_WAIT: Duration = Duration::from_millis(200);
/// How often the cursor is saved.
const SAVE_EVERY: Duration = Duration::from_millis(100);
/// It is saved sooner after this many deliveries: a crash repeats no more than these and what is on
/// its way.
const SAVE_EVERY_ACKS: u64 = 1000;

/// Sends what a vault holds through the pipeline.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct VaultReplayConfig {
    /// The vault to read.
    vault: String,
    /// How fast: `auto` has all of the time in green, a quarter of it in yellow unless the vault itself
    /// fills up, less while live requests wait for a processor, and none in red. A number is records per
    /// second, in green and yellow.
    #[serde(default)]
    rate: Rate,
    /// At most this many bytes per second; without it there is no such limit.
    #[serde(default)]
    rate_bytes: Option<ByteSize>,
    /// Which requests come first.
    #[serde(default)]
    order: OrderOption,
    /// Requests on their way at the same time.
    #[serde(default = "in_flight_default")]
    in_flight: u32,
    /// Bytes on their way at the same time.
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
        let (log, name) = (Arc::clone(&self.vault.log), self.context.id.to_string());
        let order = self.config.order.into();
        let mut reader = blocking(move || Reader::open_in(&log, &name, order)).await?;
        let sender = Arc::new(Sender {
            output,
            cursor: reader.handle(),
            vault: self.vault.clone(),
            ledger: self.context.ledger,
            metrics: self.metrics.clone(),
            zone: self.context.zone.clone(),
            stop: stop.clone(),
        });
        let mut window = Window::new(&self.config);
        let mut pace = Pace::new(&self.config, Arc::clone(&self.context.governor));
        let mut saved = Instant::now();
        loop {
            window.reap();
            if saved.elapsed() >= SAVE_EVERY || reader.unsaved() >= SAVE_EVERY_ACKS {
                reader = self.save(reader).await?;
                saved = Instant::now();
            }
            let zone = *self.context.zone.borrow();
            tokio::select! {
                () = stop.cancelled() => break,
                () = pace.wait(zone) => {}
            }
            if *self.context.zone.borrow() == Zone::Red {
                continue;
            }
            let read = blocking(move || {
                let record = match reader.next() {
                    Ok(None) if reader.wait(READ_WAIT) => reader.next(),
                    other => other,
                };
                Ok((reader, record))
            });
            let (back, record) = read.await?;
            reader = back;
            if let Some(replayed) = record?.and_then(|record| sender.understand(record)) {
                tokio::select! {
                    () = Window::wait_for_calm(self.context.pressure.as_ref()) => {}
                    () = stop.cancelled() => break,
                }
                let fill_permille = self.vault.log.fill_permille();
                pace.spend(fill_permille, replayed.records(), replayed.len());
                let permits = window.reserve(&stop, replayed.len()).await;
                let Some(permits) = permits else { break };
                window.tasks.spawn(Arc::clone(&sender).send(replayed, permits));
            }
        }
        window.close().await;
        self.save(reader).await?;
        Ok(())
    }
}

impl VaultReplay {
    async fn save(&self, mut reader: Reader) -> Result<Reader, RunError> {
        let reader = blocking(move || reader.save().map(|()| reader)).await?;
        Ok(reader)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, crate::vault::VaultError> + Send + 'static,
) -> Result<T, RunError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(panic) => Err(RunError::Io {
            operation: "read",
            what: "the vault".to_owned(),
            source: std::io::Error::other(panic),
        }),
    }
}

//! The `demo` source: realistic log records at a set rate, for newcomers and tests.

use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use gophership_otlp::demo::demo_logs;
use gophership_units::unix_ns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use crate::component::BuildError;
use crate::component::ComponentInfo;
use crate::component::Context;
use crate::component::OptionProblem;
use crate::component::PivotOption;
use crate::component::RunError;
use crate::component::Source;
use crate::component::SourceConfig;
use crate::component::Stop;
use crate::event::Provenance;
use crate::event::Request;
use crate::event::Signal;
use crate::flow::Acceptor;
use crate::flow::AckLevel;
use crate::flow::Output;
use crate::flow::accept::Waits;
use crate::pool::Budget;

/// How often a batch is made.
const TICK: Duration = Duration::from_millis(100);
const RECORDS_PER_BATCH_MAX: u64 = 1000;
const RATE_MAX: u64 = 10_000_000;
/// Of requests that are not delivered yet and not in the vault; more are not made meanwhile.
const IN_FLIGHT_BYTES_MAX: u64 = 64 << 20;

/// Generates log records like those of a web shop.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct DemoConfig {
    /// Log records per second.
    rate: u64,
    /// Stop after this many records; 0 means never.
    count: u64,
    /// The vault that takes requests when an edge is full or the zone is red. `off`: none. The
    /// default is the only vault without `inputs`, if the components that read this source are
    /// exactly those that read its replay.
    #[schemars(with = "Option<String>")]
    pivot: PivotOption,
    /// The same seed generates the same records.
    seed: u64,
}

impl Default for DemoConfig {
    fn default() -> Self {
        Self { rate: 10, count: 0, pivot: PivotOption::default(), seed: 1 }
    }
}

inventory::submit! {
    ComponentInfo::source::<DemoConfig>("demo", "Generates realistic log records at a fixed rate.")
}

#[async_trait]
impl SourceConfig for DemoConfig {
    fn pivot(&self) -> Option<&str> {
        self.pivot.vault()
    }

    fn wants_pivot(&self) -> bool {
        self.pivot.is_unset()
    }

    fn pivot_by_default(&mut self, vault: &str) {
        self.pivot.set_default(vault);
    }

    fn problems(&self) -> Vec<OptionProblem> {
        if (1..=RATE_MAX).contains(&self.rate) {
            return Vec::new();
        }
        vec![OptionProblem::new("rate", "must be from 1 to 10000000 records per second")]
    }

    async fn build(&self, context: &Context) -> Result<Box<dyn Source>, BuildError> {
        Ok(Box::new(Demo { config: self.clone(), context: context.clone() }))
    }
}

struct Demo {
    config: DemoConfig,
    context: Context,
}

#[async_trait]
impl Source for Demo {
    async fn run(self: Box<Self>, output: Output, stop: Stop) -> Result<(), RunError> {
        let metrics = self.context.metrics.source(self.context.id.as_str());
        let waits =
            Waits { patience: Duration::from_secs(1), answer_within: Duration::from_secs(8) };
        let (level, ledger) =
            (AckLevel::Received, self.context.ledgers.source(self.context.id.as_str()));
        let acceptor = Acceptor::new(output, level, waits, ledger, metrics.clone(), stop.clone());
        let mut schedule = Schedule::new(self.config.rate, self.config.count);
        let mut seed = self.config.seed;
        let provenance = Provenance::forever(self.context.id.as_str());
        let room = Budget::new("demo", IN_FLIGHT_BYTES_MAX);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !schedule.is_over() {
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.cancelled() => break,
            }
            let due = schedule.next_tick();
            if acceptor.is_draining() {
                continue;
            }
            for records in due {
                seed = seed.wrapping_add(1);
                let request = request(records, seed, provenance.clone());
                let bytes = request.wire.len() as u64;
                metrics.receive(bytes);
                let held = tokio::select! {
                    held = room.take(bytes) => held,
                    () = stop.cancelled() => break,
                };
                if acceptor.accept_holding(request, Instant::now(), held).await.is_ok() {
                    metrics.accept();
                }
            }
        }
        acceptor.drain().await;
        stop.cancelled().await;
        Ok(())
    }
}

fn request(records: u64, seed: u64, provenance: Provenance) -> Request {
    let received_unix_ns = unix_ns();
    let len = usize::try_from(records).unwrap_or(usize::MAX);
    let wire = demo_logs(len, seed, received_unix_ns);
    Request { signal: Signal::Logs, wire, records, received_unix_ns, provenance }
}

/// Spreads the records over the ticks, and counts what is left.
struct Schedule {
    rate: u64,
    /// Records made so far.
    made: u64,
    ticks: u64,
    /// 0 means no end.
    count: u64,
}

impl Schedule {
    const fn new(rate: u64, count: u64) -> Self {
        Self { rate, made: 0, ticks: 0, count }
    }

    const fn is_over(&self) -> bool {
        self.count > 0 && self.made >= self.count
    }

    /// The sizes of the batches of this tick.
    fn next_tick(&mut self) -> Vec<u64> {
        self.ticks += 1;
        let ticks_per_second = 1000 / u64::try_from(TICK.as_millis()).unwrap_or(100);
        let due = self.ticks.saturating_mul(self.rate) / ticks_per_second;
        let due = if self.count > 0 { due.min(self.count) } else { due };
        let mut left = due.saturating_sub(self.made);
        self.made += left;
        let mut sizes = Vec::new();
        while left > 0 {
            let size = left.min(RECORDS_PER_BATCH_MAX);
            sizes.push(size);
            left -= size;
        }
        sizes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_over_a_second_and_the_count_is_exact() {
        let mut schedule = Schedule::new(25, 0);
        let made: u64 = (0..10).flat_map(|_| schedule.next_tick()).sum();
        assert_eq!(made, 25);
        let mut schedule = Schedule::new(3_000_000, 2500);
        let sizes: Vec<u64> = schedule.next_tick();
        assert_eq!(sizes, [1000, 1000, 500]);
        assert!(schedule.is_over());
    }
}

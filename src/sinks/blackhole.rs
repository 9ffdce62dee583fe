//! The `blackhole` sink: counts batches and forgets them. The specimen to copy from.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::BuildError;
use crate::component::ComponentInfo;
use crate::component::Context;
use crate::component::RunError;
use crate::component::Sink;
use crate::component::SinkConfig;
use crate::component::Stop;
use crate::flow::EdgeReceiver;
use crate::metrics::SinkMetrics;

/// Discards all requests; for tests and measurements.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct BlackholeConfig {
    /// Log a line after this many batches; 0 means never.
    report_every: u64,
}

inventory::submit! {
    ComponentInfo::sink::<BlackholeConfig>("blackhole", "Counts batches and discards them.")
}

#[async_trait]
impl SinkConfig for BlackholeConfig {
    async fn build(&self, context: &Context) -> Result<Box<dyn Sink>, BuildError> {
        let metrics = context.metrics.sink(context.id.as_str());
        Ok(Box::new(Blackhole { report_every: self.report_every, metrics }))
    }
}

struct Blackhole {
    report_every: u64,
    metrics: SinkMetrics,
}

#[async_trait]
impl Sink for Blackhole {
    async fn run(self: Box<Self>, mut input: EdgeReceiver, stop: Stop) -> Result<(), RunError> {
        let mut batches: u64 = 0;
        loop {
            let batch = tokio::select! {
                biased;
                batch = input.recv() => batch,
                () = stop.cancelled() => None,
            };
            let Some(batch) = batch else { return Ok(()) };
            let received = [batch.received_unix_ns()];
            self.metrics.deliver(batch.records(), batch.cost_bytes(), received);
            batch.delivered();
            batches += 1;
            if batches.checked_rem(self.report_every) == Some(0) {
                tracing::info!(batches, "Discarded batches.");
            }
        }
    }
}

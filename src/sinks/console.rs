//! The `console` sink: shows on standard output what passes, as a summary or as OTLP JSON.

use std::io;
use std::io::Write;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use crate::config::ComponentInfo;
use crate::config::HumanDuration;
use crate::config::OptionProblem;
use crate::config::Section;
use crate::config::SinkConfig;
use crate::config::running::BuildError;
use crate::config::running::Context;
use crate::config::running::RunError;
use crate::config::running::Sink;
use crate::config::running::Stop;
use crate::event::Batch;
use crate::event::Signal;
use crate::flow::EdgeReceiver;
use crate::metrics::SinkMetrics;
use crate::otlp;

/// The conversion streams, so its memory is bounded by the size of the request already. It goes as
/// deep as decoders do: one record that is too deep would have its whole request refused.
const JSON_LIMITS: otlp::DecodeLimits =
    otlp::DecodeLimits { decoded_bytes_max: u64::MAX, depth_max: 96 };

/// Writes to standard output.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ConsoleConfig {
    /// What is shown.
    format: Format,
    /// How often a summary is written, if anything passed.
    every: HumanDuration,
}

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// A line with counts, every so often.
    Summary,
    /// Each request as a line of OTLP JSON.
    Json,
}

impl Default for ConsoleConfig {
    fn default() -> Self {
        Self { format: Format::Summary, every: HumanDuration(Duration::from_secs(1)) }
    }
}

inventory::submit! {
    ComponentInfo {
        section: Section::Sink,
        name: "console",
        summary: "Shows on standard output what passes.",
        schema: |generator| generator.subschema_for::<ConsoleConfig>(),
    }
}

#[async_trait]
#[typetag::serde(name = "console")]
impl SinkConfig for ConsoleConfig {
    fn problems(&self) -> Vec<OptionProblem> {
        if self.every.0.is_zero() {
            return vec![OptionProblem::new("every", "must be more than 0")];
        }
        Vec::new()
    }

    async fn build(&self, context: &Context) -> Result<Box<dyn Sink>, BuildError> {
        let metrics = context.metrics.sink(context.id.as_str());
        Ok(Box::new(Console { config: self.clone(), metrics, counts: Counts::default() }))
    }
}

struct Console {
    config: ConsoleConfig,
    metrics: SinkMetrics,
    counts: Counts,
}

/// What passed since the last summary.
#[derive(Default)]
struct Counts {
    requests: u64,
    records: [u64; Signal::ALL.len()],
    bytes: u64,
}

impl Counts {
    fn add(&mut self, batch: &Batch) {
        self.requests += 1;
        self.bytes += batch.cost_bytes();
        for (signal, count) in Signal::ALL.iter().zip(&mut self.records) {
            if *signal == batch.signal() {
                *count += batch.records();
            }
        }
    }

    fn line(&self) -> String {
        let of = |signal: Signal| {
            let position = Signal::ALL.iter().position(|known| *known == signal);
            position.and_then(|idx| self.records.get(idx)).copied().unwrap_or(0)
        };
        format!(
            "{} log records, {} spans, {} data points in {} requests, {} bytes\n",
            of(Signal::Logs),
            of(Signal::Traces),
            of(Signal::Metrics),
            self.requests,
            self.bytes,
        )
    }
}

#[async_trait]
impl Sink for Console {
    async fn run(mut self: Box<Self>, mut input: EdgeReceiver, stop: Stop) -> Result<(), RunError> {
        let mut tick = tokio::time::interval(self.config.every.0);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                _ = tick.tick() => self.summarise().await?,
                batch = input.recv() => match batch {
                    Some(batch) => self.show(batch).await?,
                    None => return self.summarise().await,
                },
            }
        }
    }
}

impl Console {
    async fn show(&mut self, batch: Batch) -> Result<(), RunError> {
        self.counts.add(&batch);
        if self.config.format == Format::Json {
            let mut line = Vec::new();
            if let Err(error) =
                otlp::wire_to_json(batch.signal(), batch.wire(), &JSON_LIMITS, &mut line)
            {
                tracing::warn!(%error, "Request cannot be shown.");
                self.metrics.rejected.inc();
                batch.rejected();
                return Ok(());
            }
            line.push(b'\n');
            write(line).await?;
        }
        self.metrics.requests.inc();
        self.metrics.records.inc_by(batch.records());
        self.metrics.bytes.inc_by(batch.cost_bytes());
        batch.delivered();
        Ok(())
    }

    async fn summarise(&mut self) -> Result<(), RunError> {
        let counts = std::mem::take(&mut self.counts);
        if self.config.format == Format::Summary && counts.requests > 0 {
            write(counts.line().into_bytes()).await?;
        }
        Ok(())
    }
}

/// Writes on a blocking thread: a terminal may be slow. A closed pipe is no failure of ours: whoever
/// read it has seen enough.
async fn write(line: Vec<u8>) -> Result<(), RunError> {
    let written = tokio::task::spawn_blocking(move || {
        let mut out = io::stdout().lock();
        out.write_all(&line)?;
        out.flush()
    });
    match written.await.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let what = "standard output".to_owned();
            Err(RunError::Io { operation: "write to", what, source: error })
        }
        _ => Ok(()),
    }
}

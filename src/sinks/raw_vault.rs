//! The `raw_vault` sink: keeps the raw bytes of requests in a write-ahead log until they can be
//! delivered. It takes batches in the sender's own task, without an edge.

use std::ops::RangeInclusive;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use crate::config::ByteSize;
use crate::config::ComponentInfo;
use crate::config::HumanDuration;
use crate::config::OptionProblem;
use crate::config::Resource;
use crate::config::Section;
use crate::config::SinkConfig;
use crate::config::Site;
use crate::config::running::BuildError;
use crate::config::running::Context;
use crate::config::running::RunError;
use crate::config::running::Sink;
use crate::config::running::Stop;
use crate::event::Batch;
use crate::flow::EdgeReceiver;
use crate::flow::Full;
use crate::flow::Intake;
use crate::metrics::VaultMetrics;
use crate::vault::AppendError;
use crate::vault::Completion;
use crate::vault::Compression;
use crate::vault::Durability;
use crate::vault::NewRecord;
use crate::vault::Options;
use crate::vault::Receipt;
use crate::vault::Writer;

/// How often the vault's figures are brought up to date.
const REPORT_EVERY: Duration = Duration::from_millis(500);
/// Segments of the dead-letter store: small, because it is nearly always empty.
const DEAD_LETTER_SEGMENT_BYTES: u64 = 1 << 20;

/// Keeps requests on disk, byte for byte, until they are delivered.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawVaultConfig {
    /// The directory; by default one named like the component, under `data_dir`.
    path: Option<PathBuf>,
    /// The disk that the vault may use, everything counted but its dead letters; at least four
    /// segments, and two segments more than the largest request.
    max_size: ByteSize,
    /// A segment is sealed at this size; a multiple of 4KiB from 64KiB to 4GiB.
    segment_size: ByteSize,
    /// A segment that is not empty is sealed at this age.
    segment_age: HumanDuration,
    /// What an acknowledged request survives.
    durability: DurabilityOption,
    /// How requests are compressed.
    compression: CompressionOption,
    /// Memory for requests that wait to be written, taken at start; at least 256KiB.
    staging: ByteSize,
    /// The disk that requests may use that can never be delivered.
    dead_letter_max_size: ByteSize,
}

/// What an acknowledged request survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum DurabilityOption {
    /// Nothing: it is in memory.
    Memory,
    /// The end of the process: it was written to the file.
    Written,
    /// Power loss: it was synced to the device.
    Synced,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum CompressionOption {
    /// LZ4, where it pays.
    Lz4,
    /// Not at all.
    None,
}

impl Default for RawVaultConfig {
    fn default() -> Self {
        Self {
            path: None,
            max_size: ByteSize(10 << 30),
            segment_size: ByteSize(64 << 20),
            segment_age: HumanDuration(Duration::from_mins(1)),
            durability: DurabilityOption::Synced,
            compression: CompressionOption::Lz4,
            staging: ByteSize(16 << 20),
            dead_letter_max_size: ByteSize(256 << 20),
        }
    }
}

inventory::submit! {
    ComponentInfo {
        section: Section::Sink,
        name: "raw_vault",
        summary: "Keeps requests on disk, byte for byte, until they are delivered.",
        schema: |generator| generator.subschema_for::<RawVaultConfig>(),
    }
}

impl RawVaultConfig {
    fn dir(&self, id: &str, data_dir: &Path) -> PathBuf {
        self.path.clone().unwrap_or_else(|| data_dir.join(id))
    }

    fn options(&self, dir: PathBuf) -> Options {
        let mut options = Options::new(dir);
        options.max_bytes = self.max_size.0;
        options.segment_bytes = self.segment_size.0;
        options.segment_age_max = self.segment_age.0;
        options.staging_bytes = self.staging.0;
        options.durability = match self.durability {
            DurabilityOption::Memory => Durability::Memory,
            DurabilityOption::Written => Durability::Written,
            DurabilityOption::Synced => Durability::Synced,
        };
        options.compression = match self.compression {
            CompressionOption::Lz4 => Compression::Lz4,
            CompressionOption::None => Compression::None,
        };
        options
    }
}

#[async_trait]
#[typetag::serde(name = "raw_vault")]
impl SinkConfig for RawVaultConfig {
    fn resources(&self, site: &Site<'_>) -> Vec<Resource> {
        vec![Resource::Directory(self.dir(site.id, site.data_dir))]
    }

    fn is_vault(&self) -> bool {
        true
    }

    fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        let mut bounds = |option: &str, value: u64, range: RangeInclusive<u64>| {
            if !range.contains(&value) {
                let (least, most) = (ByteSize(*range.start()), ByteSize(*range.end()));
                let message = format!("must be from {least} to {most}");
                problems.push(OptionProblem::new(option, message));
            }
        };
        let segment = self.segment_size.0;
        bounds("segment_size", segment, 1 << 20..=4 << 30);
        bounds("staging", self.staging.0, 1 << 20..=1 << 30);
        // Two segments always stand by, and the largest request needs one of its own.
        let least =
            segment.saturating_mul(4).max(segment.saturating_mul(2).saturating_add(65 << 20));
        bounds("max_size", self.max_size.0, least..=1 << 60);
        bounds("dead_letter_max_size", self.dead_letter_max_size.0, 68 << 20..=1 << 60);
        if !segment.is_multiple_of(4096) {
            problems.push(OptionProblem::new("segment_size", "must be a multiple of 4096 bytes"));
        }
        if self.segment_age.0.is_zero() {
            problems.push(OptionProblem::new("segment_age", "must be more than 0"));
        }
        problems
    }

    async fn build(&self, context: &Context) -> Result<Box<dyn Sink>, BuildError> {
        let dir = self.dir(context.id.as_str(), &context.data_dir);
        let options = self.options(dir.clone());
        let opened = tokio::task::spawn_blocking(move || Writer::open(options)).await;
        let (writer, report) = opened.map_err(|panic| BuildError::Option(panic.to_string()))??;
        tracing::info!(
            vault = %context.id,
            dir = %dir.display(),
            segments = report.segments,
            took = ?report.elapsed,
            "Vault is open."
        );
        if !report.faults.is_empty() || !report.acknowledged_lost.is_empty() {
            tracing::error!(vault = %context.id, ?report, "Vault was damaged; see its quarantine.");
        }

        let writer = Arc::new(writer);
        let metrics = context.metrics.vault(context.id.as_str());
        let mut dead_letters = self.options(dir.join("deadletter"));
        dead_letters.max_bytes = self.dead_letter_max_size.0;
        dead_letters.segment_bytes = DEAD_LETTER_SEGMENT_BYTES.min(self.segment_size.0);
        dead_letters.staging_bytes = self.staging.0.min(DEAD_LETTER_SEGMENT_BYTES);
        let dead_letters =
            Arc::new(DeadLetters { options: dead_letters, writer: Mutex::new(None) });
        let log = writer.log();
        context.vaults.offer(&context.id, &dir, log, Arc::clone(&dead_letters) as Arc<dyn Intake>);
        Ok(Box::new(RawVault { context: context.clone(), writer, dead_letters, metrics }))
    }
}

struct RawVault {
    context: Context,
    writer: Arc<Writer<Kept>>,
    dead_letters: Arc<DeadLetters>,
    metrics: VaultMetrics,
}

#[async_trait]
impl Sink for RawVault {
    fn intake(&self) -> Option<Arc<dyn Intake>> {
        Some(Arc::new(VaultIntake(Arc::clone(&self.writer))))
    }

    async fn run(self: Box<Self>, mut input: EdgeReceiver, stop: Stop) -> Result<(), RunError> {
        let mut tick = tokio::time::interval(REPORT_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => self.report(),
                // Nothing comes this way: it only closes, when the vault is to end.
                batch = input.recv() => match batch {
                    Some(batch) => batch.failed(),
                    None => break,
                },
                () = stop.cancelled() => break,
            }
        }
        self.report();
        self.context.vaults.withdraw(&self.context.id);
        let (writer, dead_letters) = (self.writer, self.dead_letters);
        let closed = tokio::task::spawn_blocking(move || {
            dead_letters.close();
            writer.close()
        });
        closed.await.unwrap_or(Ok(()))?;
        Ok(())
    }
}

impl RawVault {
    fn report(&self) {
        let stats = self.writer.stats();
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.metrics.used_bytes.set(gauge(stats.used_bytes));
        self.metrics.staged_bytes.set(gauge(stats.staged_bytes));
        self.metrics.backlog.set(gauge(stats.backlog.records));
        self.metrics.corrupt.set(gauge(stats.corrupt_records));
        self.metrics.full.set(i64::from(stats.is_full));
        self.metrics.failed.set(i64::from(stats.has_failed));
    }
}

/// A batch that the vault is about to have.
struct Kept(Batch);

impl Completion for Kept {
    fn complete(self, result: Result<Receipt, AppendError>) {
        match result {
            Ok(_receipt) => self.0.vaulted(),
            Err(_error) => self.0.failed(),
        }
    }
}

impl From<Batch> for Kept {
    fn from(batch: Batch) -> Self {
        Self(batch)
    }
}

impl From<Kept> for Batch {
    fn from(kept: Kept) -> Self {
        kept.0
    }
}

/// Puts a batch into a vault. The note beside it is its number of records, which nobody has to
/// count again when its bytes can no longer be read.
fn append<C>(writer: &Writer<C>, batch: Batch) -> Result<(), Full>
where
    C: Completion + From<Batch> + Into<Batch>,
{
    let wire = batch.wire().clone();
    let record = NewRecord {
        signal: batch.signal() as u8,
        received_unix_ns: batch.received_unix_ns(),
        attrs: &batch.records().to_le_bytes(),
        payload: &wire,
    };
    writer.try_append(record, C::from(batch)).map_err(|refused| Full(refused.done.into()))
}

/// The way into the vault.
struct VaultIntake(Arc<Writer<Kept>>);

impl Intake for VaultIntake {
    fn try_take(&self, batch: Batch) -> Result<(), Full> {
        append(&self.0, batch)
    }

    fn occupancy_permille(&self) -> u32 {
        0
    }

    fn retry_after(&self) -> Duration {
        Duration::from_secs(1)
    }
}

/// A batch that the dead-letter store is about to have.
struct Buried(Batch);

impl Completion for Buried {
    fn complete(self, result: Result<Receipt, AppendError>) {
        match result {
            Ok(_receipt) => self.0.dead_lettered(),
            Err(_error) => self.0.failed(),
        }
    }
}

impl From<Batch> for Buried {
    fn from(batch: Batch) -> Self {
        Self(batch)
    }
}

impl From<Buried> for Batch {
    fn from(buried: Buried) -> Self {
        buried.0
    }
}

/// The dead-letter store: a vault beside the vault, opened when it is first needed.
struct DeadLetters {
    options: Options,
    writer: Mutex<Option<Arc<Writer<Buried>>>>,
}

impl DeadLetters {
    fn writer(&self) -> Option<Arc<Writer<Buried>>> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.is_none() {
            match Writer::open(self.options.clone()) {
                Ok((opened, _report)) => *writer = Some(Arc::new(opened)),
                Err(error) => tracing::error!(%error, "Dead-letter store cannot be opened."),
            }
        }
        writer.clone()
    }

    fn close(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(error)) = writer.map(|writer| writer.close()) {
            tracing::error!(%error, "Dead-letter store cannot be closed.");
        }
    }
}

impl Intake for DeadLetters {
    fn try_take(&self, batch: Batch) -> Result<(), Full> {
        let Some(writer) = self.writer() else { return Err(Full(batch)) };
        append(&writer, batch)
    }

    fn occupancy_permille(&self) -> u32 {
        0
    }

    fn retry_after(&self) -> Duration {
        Duration::from_secs(1)
    }
}

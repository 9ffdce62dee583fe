//! The `raw_vault` sink: keeps the raw bytes of requests in a write-ahead log until they can be
//! delivered. It takes batches in the sender's own task, without an edge.

mod commits;
mod damage;
mod dead_letters;
mod disk;
mod fullness;
mod intake;
mod options;

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use gophership_units::ByteSize;
use gophership_units::seconds_of;
use gophership_units::unix_ns;
use gophership_vault::DroppedRecord;
use gophership_vault::Throttle;
use gophership_vault::VaultError;
use gophership_vault::WhenFull;
use gophership_vault::Writer;
use prometheus::IntCounter;
use tokio::time::MissedTickBehavior;

use crate::component::BuildError;
use crate::component::ComponentInfo;
use crate::component::Context;
use crate::component::LetterStore;
use crate::component::OptionProblem;
use crate::component::Resource;
use crate::component::RunError;
use crate::component::Sink;
use crate::component::SinkConfig;
use crate::component::Site;
use crate::component::Stop;
use crate::event::Bucket;
use crate::event::Ledgers;
use crate::event::Note;
use crate::event::Signal;
use crate::flow::EdgeReceiver;
use crate::flow::Intake;
use crate::metrics::VaultMetrics;
use crate::pool::Budget;
use crate::pool::Grant;
use crate::somatic::Work;
use crate::somatic::WorkKind;
use crate::somatic::WorkProbe;

use commits::CommitWatch;
use dead_letters::DeadLetterVault;
use disk::DiskWatch;
use fullness::FullnessWatch;
use intake::PendingBatch;
use intake::VaultIntake;
use options::RawVaultConfig;
use options::ReplayOption;

/// How often the vault's figures are brought up to date.
const REPORT_EVERY: Duration = Duration::from_millis(500);
/// What its requests do until they are safe.
const WAITS: &str = "bytes of requests wait for the disk (write, fdatasync)";
/// Segments of the dead-letter store: small, because it is nearly always empty.
const DEAD_LETTER_SEGMENT_BYTES: u64 = 1 << 20;
/// Of two logs (requests and dead letters) each: lock, directory, the segment that is written and the
/// next one, cursors, and the segments that a replay to several sinks reads.
const DESCRIPTORS_MAX: u64 = 64;

inventory::submit! {
    ComponentInfo::sink::<RawVaultConfig>(
        "raw_vault",
        "Keeps requests on disk, byte for byte, until they are delivered.",
    )
}

#[async_trait]
impl SinkConfig for RawVaultConfig {
    fn resources(&self, site: &Site<'_>) -> Vec<Resource> {
        vec![Resource::Directory(self.dir(site.id, site.data_dir))]
    }

    fn is_vault(&self) -> bool {
        true
    }

    fn descriptors_max(&self) -> u64 {
        DESCRIPTORS_MAX
    }

    fn is_replayed_by_default(&self) -> bool {
        self.replay == ReplayOption::Auto
    }

    fn problems(&self) -> Vec<OptionProblem> {
        self.option_problems()
    }

    async fn build(&self, context: &Context) -> Result<Box<dyn Sink>, BuildError> {
        let dir = self.dir(context.id.as_str(), &context.data_dir);
        let share = &context.memory.vault;
        let (staging, dead_letter_staging) = self.staging(share);
        let memory = share.try_take(staging + dead_letter_staging);
        let memory = memory.ok_or_else(|| no_room(staging + dead_letter_staging, share))?;
        let mut options = self.options(dir.clone(), staging);
        options.known = context.vaults.known(&dir);
        let when_full = options.when_full;
        let (place, data_dir) = (dir.clone(), context.data_dir.clone());
        let opened = tokio::task::spawn_blocking(move || {
            Ok::<_, VaultError>((Writer::open(options)?, disk::is_elsewhere(&place, &data_dir)))
        });
        let opened = opened.await.map_err(|panic| BuildError::Option(panic.to_string()))?;
        let ((writer, report), is_elsewhere) = opened?;
        tracing::info!(
            vault = %context.id,
            dir = %dir.display(),
            segments = report.segments,
            took_seconds = seconds_of(report.elapsed),
            "Vault is open."
        );
        damage::tell(context, &report)?;

        let writer = Arc::new(writer);
        let metrics = context.metrics.vault(context.id.as_str());
        let mut dead_letters = self.options(dir.join("deadletter"), dead_letter_staging);
        dead_letters.max_bytes = self.dead_letter_max_size.0;
        dead_letters.segment_bytes = DEAD_LETTER_SEGMENT_BYTES.min(self.segment_size.0);
        dead_letters.when_full = WhenFull::Refuse;
        let dead_letters =
            Arc::new(DeadLetterVault::new(dead_letters, Arc::clone(&context.sink_set)));
        let letter_store = Arc::clone(&dead_letters) as Arc<dyn LetterStore>;
        let keep_removed = self.keep_for_removed_sinks.0;
        let inherited =
            context.vaults.offer(&context.id, &dir, writer.log(), letter_store, keep_removed);
        let ledgers = context.ledgers;
        writer.observe_drops(Arc::new(move |record: &DroppedRecord<'_>| {
            book_dropped(ledgers, record, inherited.is_news(record.seq));
        }));
        let governor = Arc::clone(&context.governor);
        writer.spare_processors(Arc::new(move || governor.are_processors_short()));
        let governor = Arc::clone(&context.governor);
        writer.govern(Throttle::new(move |worked| governor.rest_after(worked)));
        let commits = CommitWatch::new(&context.gauges, context.id.as_str());
        let disk = is_elsewhere.then(|| DiskWatch::new(&context.gauges, context.id.as_str(), dir));
        let watched = Arc::clone(&writer);
        let work_probe = context.gauges.work_probes.register(
            context.id.as_str(),
            WAITS,
            WorkKind::Inside,
            move || {
                let (waiting, done) = watched.progress();
                Work { waiting, done, refused: 0 }
            },
        );
        let context = context.clone();
        Ok(Box::new(RawVault {
            context,
            writer,
            dead_letters,
            metrics,
            commits,
            fullness: FullnessWatch::new(when_full),
            disk,
            memory,
            work_probe,
        }))
    }
}

/// The share of the vaults is too small for one more.
fn no_room(bytes: u64, share: &Budget) -> BuildError {
    let (wanted, limit, used) = (ByteSize(bytes), ByteSize(share.limit()), ByteSize(share.used()));
    BuildError::Option(format!(
        "`staging` needs {wanted}, but vaults already use {used} of their {limit}: decrease \
         `staging`, or increase `somatic.memory.shares.vault`"
    ))
}

/// Books the records of a request that was dropped although nobody had delivered it.
fn book_dropped(ledgers: &Ledgers, record: &DroppedRecord<'_>, is_news: bool) {
    let Some(signal) = Signal::from_u8(record.signal) else { return };
    let note = Note::read(record.attrs);
    let (ledger, records) = (ledgers.source(note.source_name()), note.records);
    if is_news {
        let signed = i64::try_from(records).unwrap_or(i64::MAX);
        ledger.book(signal, Bucket::Recovered, signed);
        ledger.book(signal, Bucket::Vaulted, signed);
    }
    ledger.shift(signal, Bucket::Vaulted, Bucket::Dropped, records);
}

struct RawVault {
    context: Context,
    writer: Arc<Writer<PendingBatch>>,
    dead_letters: Arc<DeadLetterVault>,
    metrics: VaultMetrics,
    commits: CommitWatch,
    fullness: FullnessWatch,
    /// If it lies on a file system of its own.
    disk: Option<DiskWatch>,
    /// Given back when the vault is closed.
    memory: Grant,
    work_probe: WorkProbe,
}

#[async_trait]
impl Sink for RawVault {
    fn intake(&self) -> Option<Arc<dyn Intake>> {
        let (writer, sink_set) = (Arc::clone(&self.writer), Arc::clone(&self.context.sink_set));
        Some(Arc::new(VaultIntake { writer, sink_set, metrics: self.metrics.clone() }))
    }

    async fn run(mut self: Box<Self>, mut input: EdgeReceiver, stop: Stop) -> Result<(), RunError> {
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
        let log = self.context.vaults.withdraw(&self.context.id);
        self.context.metrics.forget_vault(self.context.id.as_str());
        let Self { writer, dead_letters, memory, work_probe, context, .. } = *self;
        let closed = tokio::task::spawn_blocking(move || {
            dead_letters.close();
            writer.close()
        });
        let closed = closed.await.unwrap_or(Ok(()));
        if let Some(log) = log {
            context.vaults.last_word(&log);
        }
        drop((memory, work_probe));
        Ok(closed?)
    }
}

/// Brings a counter up to a sum that is kept elsewhere.
fn raise(counter: &IntCounter, sum: u64) {
    counter.inc_by(sum.saturating_sub(counter.get()));
}

/// How many times larger requests are than what is stored of them; 0 without any.
fn ratio(raw: u64, stored: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let ratio = raw as f64 / stored.max(1) as f64;
    ratio
}

impl RawVault {
    fn report(&mut self) {
        let stats = self.writer.stats();
        let now = Instant::now();
        self.commits.look(&stats, now);
        self.fullness.look(self.context.id.as_str(), &stats, now);
        if let Some(disk) = &mut self.disk {
            disk.look();
        }
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.metrics.used_bytes.set(gauge(stats.used_bytes));
        self.metrics.staged_bytes.set(gauge(stats.staged_bytes));
        self.metrics.backlog.set(gauge(stats.backlog.records));
        self.metrics.backlog_bytes.set(gauge(stats.backlog.stored_bytes));
        let [raw, stored] = stats.content_bytes;
        self.metrics.compression_ratio.set(ratio(raw, stored));
        self.metrics.segments.set(gauge(stats.segments));
        let now = unix_ns();
        let oldest = self.writer.log().oldest_waiting(now);
        let age = Duration::from_nanos(oldest.map_or(0, |oldest| now.saturating_sub(oldest)));
        self.metrics.oldest_seconds.set(age.as_secs_f64());
        raise(&self.metrics.corrupt, stats.corrupt_records);
        raise(&self.metrics.dropped, stats.dropped_records);
        raise(&self.metrics.lost, stats.lost_records);
        self.metrics.quarantined.set(gauge(stats.quarantined_segments));
        self.metrics.suspect.set(gauge(stats.suspect_segments));
        self.metrics.unread.set(gauge(stats.unread_segments));
        self.metrics.commit_seconds.set(stats.commit_latency.as_secs_f64());
        self.metrics.max_bytes.set(gauge(stats.max_bytes));
        self.metrics.full.set(i64::from(stats.is_full));
        self.metrics.failed.set(i64::from(stats.has_failed));
        self.metrics.holds.set(gauge(stats.holds));
        self.metrics.held_bytes.set(gauge(stats.held_bytes));
    }
}

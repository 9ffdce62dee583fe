//! The `s3` sink: writes to a bucket, either the segments of a vault as an archive, or requests as objects.
//!
//! ```text
//!  vault: NAME      segments of the vault --verify, zstd--> spool --upload, confirm--> object, manifest
//!                                                                  cursor passes <------ both confirmed
//!  inputs: [..]     requests --append, sync--> spool, a vault --> acknowledged
//!                                              its segments --by folder--> spool --upload, confirm--> objects
//! ```

mod archive;
mod attempts;
mod backlog;
mod follow;
mod key_template;
mod look;
mod objects;
mod options;
mod pace;
mod spool;
#[cfg(test)]
mod tests;
mod upload;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use gophership_archive::Archiver;
use gophership_s3::BucketClient;
use gophership_s3::RequestReport;
use gophership_units::ByteSize;
use gophership_vault::Throttle;
use gophership_vault::VaultError;
use gophership_vault::Writer;

use crate::component::ArchiveLocation;
use crate::component::BuildError;
use crate::component::ComponentInfo;
use crate::component::Context;
use crate::component::NamedFile;
use crate::component::OptionProblem;
use crate::component::Resource;
use crate::component::RunError;
use crate::component::Sink;
use crate::component::SinkConfig;
use crate::component::Site;
use crate::component::Stop;
use crate::flow::EdgeReceiver;
use crate::flow::RateLimit;
use crate::metrics::S3Metrics;
use crate::pool::Grant;
use crate::somatic::Work;
use crate::somatic::WorkKind;
use crate::somatic::WorkProbe;

use archive::Haste;
use archive::SegmentShip;
use attempts::Attempts;
use follow::Follower;
use look::BucketInspector;
use objects::ObjectOptions;
use options::S3Config;
use options::VerifyOption;
use pace::UploadThrottle;
use spool::ObjectShip;
use spool::SpoolWriter;
use spool::Spooling;
use upload::Uploader;

/// What its batches do until they are safe.
const WAITS: &str = "bytes of requests wait for the disk of the spool (write, fdatasync)";
/// Connections, the files of the spool, and what is read and written of them.
const DESCRIPTORS_MAX: u64 = 64;

inventory::submit! {
    ComponentInfo::sink::<S3Config>(
        "s3",
        "Writes to an S3 bucket: copies of a vault's segments, or requests.",
    )
}

#[async_trait]
impl SinkConfig for S3Config {
    fn resources(&self, site: &Site<'_>) -> Vec<Resource> {
        vec![Resource::Directory(Self::dir(site.id, site.data_dir))]
    }

    fn copies(&self) -> Option<&str> {
        self.vault.as_deref()
    }

    fn spool(&self, site: &Site<'_>) -> Option<PathBuf> {
        self.vault.is_none().then(|| Self::spool_dir(&Self::dir(site.id, site.data_dir)))
    }

    fn archive(&self) -> Option<ArchiveLocation> {
        self.vault.as_ref()?;
        Some(ArchiveLocation { bucket: self.bucket.clone(), prefix: self.prefix() })
    }

    fn descriptors_max(&self) -> u64 {
        DESCRIPTORS_MAX
    }

    fn files(&self) -> Vec<NamedFile> {
        let ca = self.bucket.ca_file.iter();
        ca.map(|path| NamedFile::new("bucket.ca_file", path)).collect()
    }

    fn problems(&self) -> Vec<OptionProblem> {
        self.option_problems()
    }

    fn warnings(&self) -> Vec<OptionProblem> {
        let of_bucket = self.bucket.warnings().into_iter();
        of_bucket
            .map(|fault| OptionProblem::new(format!("bucket.{}", fault.option), fault.reason))
            .collect()
    }

    async fn build(&self, context: &Context) -> Result<Box<dyn Sink>, BuildError> {
        let bytes = self.memory_bytes();
        let share = &context.memory.s3;
        let memory = share.try_take(bytes).ok_or_else(|| {
            let (wanted, limit, used) =
                (ByteSize(bytes), ByteSize(share.limit()), ByteSize(share.used()));
            BuildError::Option(format!(
                "the sink needs {wanted} of memory, but `s3` sinks already use {used} of their {limit}: \
                 decrease `concurrency` or `zstd.window`, or increase `somatic.memory.shares.s3`"
            ))
        })?;
        let dir = Self::dir(context.id.as_str(), &context.data_dir);
        let spool = dir.join("objects");
        make_dir(&spool).await?;
        let figures = context.metrics.s3(context.id.as_str());
        let bucket = BucketClient::connect(&self.bucket).await;
        let bucket = bucket.map_err(|error| BuildError::Option(error.to_string()))?;
        let bucket = bucket.with_observer(observer(&figures));
        let limit = self.bucket.attempt_timeout.0;
        let (id, gauges) = (&context.id, &context.gauges);
        let attempts = Attempts::new(id, gauges, figures.clone(), &self.retry, limit);
        let stop = Stop::new();
        let rate = self.upload_rate.map(|rate| RateLimit::new(rate.0));
        let uploader = Arc::new(Uploader {
            bucket,
            attempts,
            figures: figures.clone(),
            look: BucketInspector { reads_back: self.verify == VerifyOption::Read },
            part_bytes: self.part_bytes(),
            pace: Arc::new(UploadThrottle::new(Arc::clone(&context.governor), rate, figures)),
            stop: stop.clone(),
            spool,
            spooled: AtomicU64::new(0),
        });
        let parts = Parts { context: context.clone(), uploader, stop, memory };
        match &self.vault {
            Some(vault) => Ok(Box::new(self.archive(parts, vault.clone()))),
            None => Ok(Box::new(self.requests(parts, Self::spool_dir(&dir)).await?)),
        }
    }
}

/// What both uses have.
struct Parts {
    context: Context,
    uploader: Arc<Uploader>,
    /// Ends uploads.
    stop: Stop,
    /// Given back when the sink has ended.
    memory: Grant,
}

impl Parts {
    fn throttle(&self) -> Throttle {
        let governor = Arc::clone(&self.context.governor);
        Throttle::new(move |worked| governor.rest_after(worked))
    }

    /// How the compression of segments gives way: as computing does, but for a vault that is filling up.
    fn haste(&self, vault: &str) -> Haste {
        let (vaults, vault) = (self.context.vaults.clone(), vault.to_owned());
        let fill_permille =
            move || vaults.find(&vault).map_or(0, |handle| handle.log.fill_permille());
        let governor = Arc::clone(&self.context.governor);
        let calm = Throttle::new(move |worked| governor.rest_after_computing(worked));
        Haste {
            fill_permille: Box::new(fill_permille),
            calm,
            hurried: self.throttle(),
            is_starved: AtomicBool::new(false),
        }
    }
}

impl S3Config {
    fn archive(&self, parts: Parts, vault: String) -> ArchiveSink {
        let ship = SegmentShip {
            uploader: Arc::clone(&parts.uploader),
            haste: parts.haste(&vault),
            prefix: self.prefix(),
            origin: Archiver {
                node: self.node(),
                gophership: env!("CARGO_PKG_VERSION").to_owned(),
            },
            frame: self.frame(),
            stop: parts.stop.clone(),
        };
        let follower = self.follower(&parts, ship);
        ArchiveSink { parts, vault, follower }
    }

    async fn requests(&self, parts: Parts, dir: PathBuf) -> Result<ObjectSink, BuildError> {
        let options = self.objects.spool(dir);
        let opened = tokio::task::spawn_blocking(move || Writer::<Spooling>::open(options)).await;
        let (writer, report) = opened.map_err(|panic| BuildError::Option(panic.to_string()))??;
        let lost = report.lost_records();
        if 0 < lost {
            tracing::error!(
                sink = %parts.context.id, requests = lost,
                "Spool is damaged: acknowledged requests are missing."
            );
        }
        writer.govern(parts.throttle());
        let writer = Arc::new(writer);
        let watched = Arc::clone(&writer);
        let probes = &parts.context.gauges.work_probes;
        let work_probe =
            probes.register(parts.context.id.as_str(), WAITS, WorkKind::Inside, move || {
                let (waiting, done) = watched.progress();
                Work { waiting, done, refused: 0 }
            });
        let template = self.objects.template().map_err(BuildError::Option)?;
        let options = ObjectOptions {
            template,
            node: self.node(),
            encoding: self.objects.encoding,
            compression: self.objects.compression,
            frame: self.frame(),
            partitions_max: self.objects.partitions_max as usize,
        };
        let ship = ObjectShip {
            uploader: Arc::clone(&parts.uploader),
            throttle: parts.throttle(),
            prefix: self.prefix(),
            options: Arc::new(options),
            vault_id: writer.log().vault_id(),
            stop: parts.stop.clone(),
        };
        let follower = self.follower(&parts, ship);
        let metrics = parts.context.metrics.sink(parts.context.id.as_str());
        let encoding = self.objects.encoding;
        let intake = SpoolWriter { writer: Arc::clone(&writer), metrics, encoding };
        Ok(ObjectSink { parts, writer, intake, follower, work_probe })
    }

    fn follower<S: follow::Ship>(&self, parts: &Parts, ship: S) -> Follower<S> {
        Follower {
            id: parts.context.id.clone(),
            uploader: Arc::clone(&parts.uploader),
            ship: Arc::new(ship),
            concurrency: self.concurrency as usize,
            sweep: Some(self.prefix().join("")),
        }
    }
}

/// Copies the segments of a vault.
struct ArchiveSink {
    parts: Parts,
    vault: String,
    follower: Follower<SegmentShip>,
}

#[async_trait]
impl Sink for ArchiveSink {
    async fn run(self: Box<Self>, mut input: EdgeReceiver, stop: Stop) -> Result<(), RunError> {
        let Self { parts, vault, follower } = *self;
        let ended = async {
            // Nothing comes this way: it only closes, when the sink is to end.
            while let Some(batch) = input.recv().await {
                batch.failed();
            }
        };
        let find = || parts.context.vaults.find(&vault).map(|handle| handle.log);
        let ended = async {
            tokio::select! {
                () = ended => {}
                () = stop.cancelled() => {}
            }
            // What is under way is repeated at the next start, which finds what is there already.
            parts.stop.cancel();
        };
        tokio::join!(follower.run(find, || false, &parts.stop), ended);
        parts.context.metrics.forget_s3(parts.context.id.as_str());
        drop(parts.memory);
        Ok(())
    }
}

/// Writes requests.
struct ObjectSink {
    parts: Parts,
    writer: Arc<Writer<Spooling>>,
    intake: SpoolWriter,
    follower: Follower<ObjectShip>,
    work_probe: WorkProbe,
}

#[async_trait]
impl Sink for ObjectSink {
    async fn run(self: Box<Self>, mut input: EdgeReceiver, stop: Stop) -> Result<(), RunError> {
        let Self { parts, writer, intake, follower, work_probe } = *self;
        let is_closed = AtomicBool::new(false);
        let log = writer.log();
        let find = || Some(Arc::clone(&log));
        let is_over = Stop::new();
        let following = async {
            let is_closing = || is_closed.load(Ordering::Acquire);
            follower.run(find, is_closing, &parts.stop).await;
            is_over.cancel();
        };
        let taking = async {
            intake.run(&mut input, &stop).await;
            let closed = tokio::task::spawn_blocking(move || writer.close()).await;
            // What is spooled is uploaded now if the bucket answers, or else after the next start.
            is_closed.store(true, Ordering::Release);
            tokio::select! {
                () = is_over.cancelled() => {}
                () = stop.cancelled() => parts.stop.cancel(),
            }
            closed.unwrap_or(Ok(()))
        };
        let ((), closed): ((), Result<(), VaultError>) = tokio::join!(following, taking);
        parts.context.metrics.forget_s3(parts.context.id.as_str());
        drop((parts.memory, work_probe));
        Ok(closed?)
    }
}

async fn make_dir(dir: &std::path::Path) -> Result<(), BuildError> {
    tokio::fs::create_dir_all(dir).await.map_err(|source| BuildError::NotYet {
        operation: "make",
        what: dir.display().to_string(),
        source,
    })
}

/// Counts the requests to the bucket.
fn observer(figures: &S3Metrics) -> gophership_s3::Observer {
    let figures = figures.clone();
    Arc::new(move |report: &RequestReport| {
        figures.request(report.operation.name(), report.outcome.name());
        figures.sent_bytes.inc_by(report.sent_bytes);
    })
}

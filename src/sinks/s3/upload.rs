//! Sees one object through, and its manifest: does what the steps of the archive say, until both are
//! confirmed.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gophership_archive::ArchiveStep;
use gophership_archive::Manifest;
use gophership_archive::ObjectFacts;
use gophership_archive::PutAnswer;
use gophership_archive::Steps;
use gophership_archive::Verdict;
use gophership_s3::BucketClient;
use gophership_s3::ObjectBody;
use gophership_s3::PutCondition;
use gophership_s3::PutOptions;
use gophership_s3::PutOutcome;
use gophership_s3::S3Error;
use gophership_s3::S3ErrorKind;
use gophership_s3::UploadPacer;
use tokio::time::Instant;

use super::attempts::Attempts;
use super::look::BucketInspector;
use super::look::SeenManifest;
use super::look::manifest_digest;
use super::pace::UploadThrottle;
use crate::component::Stop;
use crate::metrics::S3Metrics;

/// Objects up to so many parts are sent in one request, which leaves nothing behind when it fails.
const PARTS_IN_ONE: u64 = 4;
/// No rest is longer.
const REST_MAX: Duration = Duration::from_mins(1);

/// How an object ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It is in the bucket, and confirmed.
    Confirmed,
    /// Something else is under its key, or the bucket will never take it.
    Alarm(&'static str),
    /// The local file is not there any more, or cannot be read.
    NoFile,
    /// The sink was asked to stop.
    Stopped,
}

/// An object to be uploaded.
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) file: PathBuf,
    pub(super) facts: ObjectFacts,
    pub(super) content_type: &'static str,
    pub(super) manifest: Option<ManifestUpload>,
}

/// The manifest beside it.
pub(super) struct ManifestUpload {
    pub(super) key: String,
    /// Describes the object that is confirmed.
    pub(super) make: Box<dyn Fn(&ObjectFacts) -> Manifest + Send + Sync>,
}

/// What an attempt came to that was answered.
enum Found {
    /// The next step follows.
    Answer,
    /// What was to be there is there.
    Confirmed,
    /// Something else is there.
    Alarm,
    /// What the server had said is not so.
    Unexpected(&'static str),
}

/// Uploads for one sink.
pub(super) struct Uploader {
    pub(super) bucket: BucketClient,
    pub(super) attempts: Attempts,
    pub(super) figures: S3Metrics,
    pub(super) look: BucketInspector,
    pub(super) part_bytes: u64,
    pub(super) pace: Arc<UploadThrottle>,
    pub(super) stop: Stop,
    /// Where objects are made.
    pub(super) spool: PathBuf,
    /// Objects made so far, for their names: who made one before may still write to its file.
    pub(super) spooled: AtomicU64,
}

impl Uploader {
    /// Returns a new file in the spool.
    pub(super) fn spool_file(&self) -> PathBuf {
        let number = self.spooled.fetch_add(1, Ordering::Relaxed);
        self.spool.join(format!("{number}.object"))
    }

    /// Does what is to be done until the object is confirmed. A future that is dropped loses nothing: the
    /// next one finds what is there.
    pub(super) async fn see_through(&self, upload: &Upload, is_doubtful: bool) -> Ending {
        let mut steps = match upload.manifest {
            Some(_) => Steps::new(is_doubtful),
            None => Steps::of_object(is_doubtful),
        };
        loop {
            let step = steps.next();
            match step {
                ArchiveStep::Pass => return Ending::Confirmed,
                ArchiveStep::Alarm => return Ending::Alarm("different"),
                _ => {}
            }
            let turn = tokio::select! {
                turn = self.attempts.turn() => turn,
                () = self.stop.cancelled() => return Ending::Stopped,
            };
            // Every step waits, so that a pause also holds between the attempts of an upload.
            tokio::select! {
                () = self.pace.turn() => {}
                () = self.stop.cancelled() => return Ending::Stopped,
            }
            let began = Instant::now();
            let mut held = Duration::ZERO;
            let acted = tokio::select! {
                acted = self.act(&mut steps, &step, upload, &mut held) => acted,
                () = self.stop.cancelled() => return Ending::Stopped,
            };
            if matches!(step, ArchiveStep::PutObject | ArchiveStep::ReplaceObject(_)) {
                let worked = began.elapsed().saturating_sub(held);
                self.pause(self.pace.rest_after(worked).min(REST_MAX)).await;
            }
            let pause = match acted {
                Ok(Found::Answer) => {
                    self.attempts.answered(began);
                    continue;
                }
                Ok(Found::Alarm) => return Ending::Alarm("different"),
                Ok(Found::Confirmed) => {
                    self.attempts.succeeded(began);
                    continue;
                }
                // The server answered, but not with what it had said before.
                Ok(Found::Unexpected(reason)) => {
                    let error = unexpected(reason, &upload.key);
                    self.figures.failure(reason);
                    tracing::warn!(%error, "Object in the bucket differs from the uploaded one; the sink retries.");
                    self.attempts.failed(&error, began)
                }
                Err(error) if error.kind == S3ErrorKind::LocalFile => {
                    tracing::warn!(%error, "Cannot read a spooled object; the sink makes it again.");
                    return Ending::NoFile;
                }
                // The file may be what is wrong.
                Err(error) if error.kind == S3ErrorKind::Checksum => {
                    let pause = self.attempts.failed(&error, began);
                    tracing::warn!(%error, "Object was damaged on the way to the bucket; the sink makes it again.");
                    self.pause(pause).await;
                    return Ending::NoFile;
                }
                Err(error) if !error.is_retryable() => {
                    tracing::error!(%error, "Bucket will never accept this object.");
                    self.attempts.failed(&error, began);
                    return Ending::Alarm("invalid");
                }
                Err(error) => self.attempts.failed(&error, began),
            };
            self.pause(pause).await;
            drop(turn);
        }
    }

    /// Waits so long, or until it is asked to stop.
    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Does one step; adds the time for which the rate held it back.
    async fn act(
        &self,
        steps: &mut Steps,
        step: &ArchiveStep,
        upload: &Upload,
        held: &mut Duration,
    ) -> Result<Found, S3Error> {
        let verdict = match (step, &upload.manifest) {
            (ArchiveStep::PutObject, _) => {
                let put = self.put_object(upload, PutCondition::IfAbsent, held).await;
                steps.object_was_put(answer(&put));
                return put.map(|_| Found::Answer);
            }
            (ArchiveStep::ReplaceObject(etag), _) => {
                let condition = PutCondition::IfMatch(etag.clone());
                let put = self.put_object(upload, condition, held).await;
                steps.object_was_put(answer(&put));
                return put.map(|_| Found::Answer);
            }
            (ArchiveStep::PutManifest(facts), Some(manifest)) => {
                let put = self.put_manifest(manifest, facts, PutCondition::IfAbsent).await;
                steps.manifest_was_put(answer(&put));
                return put.map(|_| Found::Answer);
            }
            (ArchiveStep::ReplaceManifest(facts, etag), Some(manifest)) => {
                let condition = PutCondition::IfMatch(etag.clone());
                let put = self.put_manifest(manifest, facts, condition).await;
                steps.manifest_was_put(answer(&put));
                return put.map(|_| Found::Answer);
            }
            (ArchiveStep::LookAtManifest, Some(manifest)) => {
                let facts = steps.confirmed().unwrap_or(upload.facts);
                let own = (manifest.make)(&facts);
                match self.look.manifest(&self.bucket, &manifest.key).await? {
                    None => steps.manifest_was_seen(None, &own),
                    Some(SeenManifest::Foreign) => return Ok(Found::Alarm),
                    Some(SeenManifest::Ours { manifest, etag }) => {
                        let seen = Some((manifest.as_deref(), etag.as_ref()));
                        steps.manifest_was_seen(seen, &own)
                    }
                }
            }
            _ => {
                let seen = self.look.object(&self.bucket, &upload.key, &upload.facts).await?;
                let verdict = steps.object_was_seen(seen.as_ref(), &upload.facts);
                if verdict == Verdict::Confirmed {
                    self.count(&steps.confirmed().unwrap_or(upload.facts));
                }
                verdict
            }
        };
        Ok(match verdict {
            Verdict::Confirmed => Found::Confirmed,
            Verdict::Absent | Verdict::Different => Found::Answer,
            Verdict::Lost => Found::Unexpected("lost"),
            Verdict::Damaged => Found::Unexpected("damaged"),
        })
    }

    async fn put_object(
        &self,
        upload: &Upload,
        condition: PutCondition,
        held: &mut Duration,
    ) -> Result<PutOutcome, S3Error> {
        let bytes = upload.facts.object.bytes;
        let pace = self.pace.begin(bytes);
        let pacer = Arc::clone(&pace) as Arc<dyn UploadPacer>;
        let bucket = self.bucket.clone().with_pacer(pacer);
        let options = PutOptions {
            condition,
            crc32: Some(upload.facts.object.crc32),
            metadata: upload.facts.metadata(),
            content_type: Some(upload.content_type),
            content_encoding: None,
        };
        let put = if bytes <= self.part_bytes * PARTS_IN_ONE {
            let body = ObjectBody::File { path: upload.file.clone(), bytes };
            bucket.put(&upload.key, body, &options).await
        } else {
            bucket.put_multipart(&upload.key, &upload.file, self.part_bytes, &options).await
        };
        *held += pace.held();
        put
    }

    async fn put_manifest(
        &self,
        manifest: &ManifestUpload,
        facts: &ObjectFacts,
        condition: PutCondition,
    ) -> Result<PutOutcome, S3Error> {
        let bytes = (manifest.make)(facts).to_bytes();
        let metadata = vec![manifest_digest(&bytes)];
        let body = ObjectBody::Bytes(bytes.into());
        let content_type = Some("application/json");
        let options = PutOptions { condition, content_type, metadata, ..PutOptions::default() };
        self.bucket.put(&manifest.key, body, &options).await
    }

    fn count(&self, facts: &ObjectFacts) {
        self.figures.objects.inc();
        self.figures.raw_bytes.inc_by(facts.raw.bytes);
        self.figures.object_bytes.inc_by(facts.object.bytes);
    }
}

fn answer(put: &Result<PutOutcome, S3Error>) -> PutAnswer {
    match put {
        Ok(PutOutcome::Written { .. }) => PutAnswer::Written,
        Ok(PutOutcome::Refused) => PutAnswer::Refused,
        Err(_) => PutAnswer::Unknown,
    }
}

/// What stands for an answer that contradicts the one before.
fn unexpected(reason: &str, key: &str) -> S3Error {
    S3Error {
        kind: S3ErrorKind::Other,
        message: format!("the bucket said that {key} is written, but it is {reason}"),
        status: None,
        request_id: None,
    }
}

/// Removes a spooled file; one that stays is removed at the next start.
pub(super) async fn remove(file: &Path) {
    if let Err(error) = tokio::fs::remove_file(file).await
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(file = %file.display(), %error, "Cannot remove a spooled object.");
    }
}

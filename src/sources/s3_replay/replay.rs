//! The whole replay: finds segments, claims and replays some at a time, and sees when everything is done.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gophership_archive::Manifest;
use gophership_archive::vault_id_text;
use gophership_restore::Archive;
use gophership_restore::ClaimAnswer;
use gophership_restore::Claims;
use gophership_restore::HeldClaim;
use gophership_restore::RestoreError;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::delivery::ReplaySender;
use super::options::S3ReplayConfig;
use super::progress::SegmentStates;
use super::progress::key;
use super::segment::ReplayedSegment;
use super::segment::SegmentEnd;
use super::segment::SegmentReplay;
use crate::component::RunError;
use crate::component::Stop;
use crate::metrics::ReplayState;

/// What another host has is asked for again after this long at most: it may be done sooner.
const AGAIN_MAX: Duration = Duration::from_secs(2);
/// The pause after a failure doubles up to the longest.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// How often `follow` looks for new segments.
const FOLLOW_EVERY: Duration = Duration::from_secs(30);

/// A replay, as this host takes part in it.
pub(super) struct Replay {
    pub(super) config: S3ReplayConfig,
    pub(super) archive: Archive,
    pub(super) claims: Claims,
    pub(super) owner: String,
    pub(super) folder: PathBuf,
    pub(super) delivery: Arc<ReplaySender>,
    pub(super) progress: SegmentStates,
    pub(super) stop: Stop,
}

/// What this host has done, and others.
#[derive(Default)]
struct Totals {
    segments: u64,
    by_others: u64,
    unusable: u64,
    counts: ReplayedSegment,
}

/// What became of an attempt at a segment.
enum Attempt {
    Done(ReplayedSegment),
    DoneByOther,
    /// To be tried again after this long.
    Later(Duration),
    Failed(RestoreError),
    Stopped,
}

impl Attempt {
    /// What is known of the segment afterwards.
    fn state(&self) -> ReplayState {
        match self {
            Self::Done(_) => ReplayState::Done,
            Self::DoneByOther => ReplayState::ByOthers,
            Self::Later(_) | Self::Stopped => ReplayState::Waiting,
            Self::Failed(error) if error.is_retryable() => ReplayState::Waiting,
            Self::Failed(_) => ReplayState::Unusable,
        }
    }
}

impl Replay {
    /// Runs until everything is delivered, or for ever if it follows, or until stopped.
    ///
    /// # Errors
    ///
    /// When the bucket cannot be listed in a way that no retry mends.
    pub(super) async fn run(self: Arc<Self>) -> Result<(), RunError> {
        let mut totals = Totals::default();
        while !self.stop.is_cancelled() {
            let Some(manifests) = self.find().await? else { break };
            self.progress.found(&manifests.iter().map(key).collect::<Vec<_>>());
            self.replay_all(manifests, &mut totals).await;
            if self.stop.is_cancelled() {
                break;
            }
            if !self.config.follow {
                self.tell(&totals);
                return Ok(());
            }
            self.pause(FOLLOW_EVERY).await;
        }
        Ok(())
    }

    /// Finds the segments that are meant; nothing if it was stopped.
    async fn find(&self) -> Result<Option<Vec<Manifest>>, RunError> {
        let selection = self.config.selection();
        let mut pause = PAUSE_MIN;
        loop {
            let found = tokio::select! {
                found = self.archive.manifests(&selection) => found,
                () = self.stop.cancelled() => return Ok(None),
            };
            match found {
                Ok(manifests) => return Ok(Some(manifests)),
                Err(error) if error.is_retryable() => {
                    let archive = self.archive.url();
                    tracing::warn!(%archive, %error, "Cannot list the archive; the source retries.");
                }
                Err(error) => {
                    return Err(RunError::Io {
                        operation: "list",
                        what: self.archive.url(),
                        source: io::Error::other(error),
                    });
                }
            }
            self.pause(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Replays segments, some at a time, until each is done by this host or another.
    async fn replay_all(self: &Arc<Self>, manifests: Vec<Manifest>, totals: &mut Totals) {
        let mut open: VecDeque<Arc<Manifest>> = manifests.into_iter().map(Arc::new).collect();
        // Each host begins elsewhere, so that they seldom want the same.
        if !open.is_empty() {
            let digest = blake3::hash(self.owner.as_bytes());
            open.rotate_left(usize::from(digest.as_bytes()[0]) * open.len() / 256);
        }
        let mut later: Vec<(Instant, Arc<Manifest>)> = Vec::new();
        let mut running: JoinSet<(Arc<Manifest>, Attempt)> = JoinSet::new();
        loop {
            while running.len() < self.config.concurrency as usize
                && let Some(manifest) = open.pop_front()
            {
                let (replay, of) = (Arc::clone(self), Arc::clone(&manifest));
                running.spawn(async move { (manifest, replay.attempt(of).await) });
            }
            if running.is_empty() && later.is_empty() {
                return;
            }
            let due = later.iter().map(|(at, _)| *at).min();
            tokio::select! {
                Some(ended) = running.join_next() => {
                    let (manifest, attempt) = match ended {
                        Ok(ended) => ended,
                        Err(error) => {
                            // The segment stays claimed until its lease ends.
                            totals.unusable += 1;
                            tracing::error!(%error, "The replay of a segment panicked; it is skipped.");
                            continue;
                        }
                    };
                    self.progress.set(key(&manifest), attempt.state());
                    if let Some(again) = Self::book(&manifest, attempt, totals) {
                        later.push((Instant::now() + again, manifest));
                    }
                }
                () = until(due) => {
                    let now = Instant::now();
                    let (ready, rest) = later.into_iter().partition(|(at, _)| *at <= now);
                    later = rest;
                    open.extend(Vec::into_iter(ready).map(|(_, manifest)| manifest));
                }
                () = self.stop.cancelled() => {
                    while running.join_next().await.is_some() {}
                    return;
                }
            }
        }
    }

    /// Counts and tells how an attempt ended; returns when to try again, if at all.
    fn book(manifest: &Manifest, attempt: Attempt, totals: &mut Totals) -> Option<Duration> {
        let (segment, node) = (manifest.segment, manifest.node.as_str());
        let vault = vault_id_text(manifest.vault_id);
        match attempt {
            Attempt::Done(counts) => {
                let ReplayedSegment { requests, records, rejected, dead_lettered, damaged } =
                    counts;
                totals.segments += 1;
                totals.counts.requests += requests;
                totals.counts.records += records;
                totals.counts.rejected += rejected;
                totals.counts.dead_lettered += dead_lettered;
                totals.counts.damaged += damaged;
                if 0 < rejected + damaged {
                    tracing::warn!(
                        segment,
                        node,
                        vault,
                        rejected,
                        damaged,
                        "Some requests of the segment can never be delivered; they stay in the bucket."
                    );
                }
                None
            }
            Attempt::DoneByOther => {
                totals.by_others += 1;
                None
            }
            Attempt::Later(again) => Some(again),
            Attempt::Failed(error) if error.is_retryable() => {
                tracing::warn!(segment, node, vault, %error, "Cannot replay the segment; the source retries.");
                Some(PAUSE_MIN + AGAIN_MAX)
            }
            Attempt::Failed(error) => {
                totals.unusable += 1;
                tracing::error!(segment, node, vault, %error, "Cannot replay the segment; it is skipped.");
                None
            }
            Attempt::Stopped => None,
        }
    }

    /// Claims a segment and replays it.
    async fn attempt(&self, manifest: Arc<Manifest>) -> Attempt {
        let answer = tokio::select! {
            answer = self.claims.take(&manifest) => answer,
            () = self.stop.cancelled() => return Attempt::Stopped,
        };
        let mut held = match answer {
            Ok(ClaimAnswer::Held(held)) => held,
            Ok(ClaimAnswer::Taken { left }) => {
                return Attempt::Later(left.clamp(Duration::from_millis(50), AGAIN_MAX));
            }
            Ok(ClaimAnswer::Done) => return Attempt::DoneByOther,
            Err(error) => return Attempt::Failed(error),
        };
        self.progress.set(key(&manifest), ReplayState::Claimed);
        let halt = self.stop.child_token();
        let folder = format!("{}-{}", vault_id_text(manifest.vault_id), manifest.segment);
        let segment = SegmentReplay {
            archive: self.archive.clone(),
            manifest,
            selection: Arc::new(self.config.selection()),
            folder: self.folder.join(folder),
            delivery: Arc::clone(&self.delivery),
            halt: halt.clone(),
        };
        let end = self.run_renewing(segment, &mut held, &halt).await;
        match end {
            SegmentEnd::Done(counts) => self.finish(&mut held, counts).await,
            SegmentEnd::Stopped if self.stop.is_cancelled() => {
                // Otherwise another host takes it when the lease is over.
                let _is_released = self.claims.release(&mut held).await.is_ok();
                Attempt::Stopped
            }
            SegmentEnd::Stopped => Attempt::Later(AGAIN_MAX),
            SegmentEnd::Failed(error) => {
                let _is_released = self.claims.release(&mut held).await.is_ok();
                Attempt::Failed(error)
            }
        }
    }

    /// Replays a segment and renews its claim meanwhile. It halts when the claim is lost.
    async fn run_renewing(
        &self,
        segment: SegmentReplay,
        held: &mut HeldClaim,
        halt: &Stop,
    ) -> SegmentEnd {
        let lease = self.config.lease();
        let mut renewed = Instant::now();
        let work = segment.run();
        tokio::pin!(work);
        loop {
            tokio::select! {
                end = &mut work => return end,
                () = tokio::time::sleep(lease / 3) => {}
            }
            let began = Instant::now();
            match self.claims.renew(held).await {
                Ok(true) => renewed = began,
                Ok(false) => {
                    tracing::warn!("Another host has taken over a segment; this host leaves it.");
                    halt.cancel();
                }
                // The lease may go on all the same.
                Err(_) if renewed.elapsed() < lease => {}
                Err(error) => {
                    tracing::warn!(%error, "Cannot renew the claim on a segment; this host leaves it.");
                    halt.cancel();
                }
            }
        }
    }

    /// Says that a segment is done. If that fails for longer than the lease, another host does it again.
    async fn finish(&self, held: &mut HeldClaim, counts: ReplayedSegment) -> Attempt {
        let until = Instant::now() + self.config.lease();
        loop {
            match self.claims.finish(held).await {
                Ok(true) => return Attempt::Done(counts),
                // It took too long, and another host has it.
                Ok(false) => return Attempt::Later(AGAIN_MAX),
                Err(error) if !error.is_retryable() || until <= Instant::now() => {
                    return Attempt::Failed(error);
                }
                Err(_) => self.pause(PAUSE_MIN).await,
            }
            if self.stop.is_cancelled() {
                return Attempt::Stopped;
            }
        }
    }

    fn tell(&self, totals: &Totals) {
        let Totals { segments, by_others, unusable, counts } = totals;
        let ReplayedSegment { requests, records, rejected, dead_lettered, damaged } = counts;
        let (archive, replay) = (self.archive.url(), self.config.replay_id());
        tracing::info!(
            %archive, %replay, segments, by_others, unusable, requests, records, rejected, dead_lettered,
            damaged, "The replay is complete."
        );
    }

    /// Waits, unless it is stopped.
    async fn pause(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

/// Waits until a time; for ever without one.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

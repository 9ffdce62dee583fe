//! Verifying a vault beside its writer: every checksum and the chain of digests, one vault at a time, as
//! background work.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use gophership_control::proto;
use gophership_vault::Finding;
use gophership_vault::SegmentId;
use gophership_vault::Survey;
use gophership_vault::SurveyState;
use gophership_vault::Throttle;
use gophership_vault::VaultError;
use gophership_vault::Verification;
use gophership_vault::VerifyOptions;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::Status;

use super::changes::ResponseStream;
use super::changes::TELL_EVERY;
use super::changes::answers;
use super::state::ControlService;
use super::vaults;
use super::vaults::refusal;

/// What is told of a vault in which everything is wrong.
const FINDINGS_MAX: usize = 1000;

type Answer = Result<proto::VerifyVaultResponse, Status>;

/// How far a verification is.
struct Progress {
    read_bytes: Arc<AtomicU64>,
    total_bytes: Arc<AtomicU64>,
    /// Nobody wants to know the end any more.
    is_cancelled: Arc<AtomicBool>,
}

impl ControlService {
    /// Verifies a vault, or a segment of it, and answers how far it is until it is over. It is cancelled when
    /// the client goes.
    pub(super) fn verify(
        &self,
        request: proto::VerifyVaultRequest,
    ) -> Result<ResponseStream<proto::VerifyVaultResponse>, Status> {
        let proto::VerifyVaultRequest { vault, segment } = request;
        let dir = vaults::dir_of(&self.config.borrow().1, &vault)?;
        let busy = |_| Status::resource_exhausted("a verification is under way; try again later");
        let turn = Arc::clone(&self.maintenance.reading).try_acquire_owned().map_err(busy)?;
        let governor = Arc::clone(&self.maintenance.governor);
        let options = VerifyOptions {
            jobs: NonZeroUsize::MIN,
            segment: segment.map(SegmentId::new),
            read_bytes: Arc::default(),
            throttle: Throttle::new(move |worked| governor.rest_after(worked)),
            is_cancelled: Arc::default(),
        };
        let progress = Progress {
            read_bytes: Arc::clone(&options.read_bytes),
            total_bytes: Arc::default(),
            is_cancelled: Arc::clone(&options.is_cancelled),
        };
        let total_bytes = Arc::clone(&progress.total_bytes);
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            total_bytes.store(bytes_of(&dir, options.segment)?, Ordering::Relaxed);
            gophership_vault::verify(&dir, &options)
        });
        let (sender, stream) = answers();
        tokio::spawn(progress.tell(work, sender));
        Ok(stream)
    }
}

impl Progress {
    /// Tells how far the work is until it is over, or until nobody listens.
    async fn tell(
        self,
        mut work: JoinHandle<Result<Verification, VaultError>>,
        sender: mpsc::Sender<Answer>,
    ) {
        let mut tick = tokio::time::interval(TELL_EVERY);
        let answer = loop {
            tokio::select! {
                done = &mut work => break self.result(done),
                // A client that does not read learns the end, and what is then the newest.
                _ = tick.tick() => drop(sender.try_send(Ok(self.now()))),
                () = sender.closed() => {
                    self.is_cancelled.store(true, Ordering::Relaxed);
                    drop(work.await);
                    return;
                }
            }
        };
        // Whoever asked may have gone.
        let _gone = sender.send(answer).await;
    }

    fn now(&self) -> proto::VerifyVaultResponse {
        let done_bytes = self.read_bytes.load(Ordering::Relaxed);
        let total_bytes = self.total_bytes.load(Ordering::Relaxed).max(done_bytes);
        proto::VerifyVaultResponse { done_bytes, total_bytes, result: None }
    }

    fn result(
        &self,
        done: Result<Result<Verification, VaultError>, tokio::task::JoinError>,
    ) -> Answer {
        let done = done.map_err(|error| Status::internal(error.to_string()))?;
        let result = Some(wire(&done.map_err(|error| refusal(&error))?));
        let done_bytes = self.read_bytes.load(Ordering::Relaxed);
        Ok(proto::VerifyVaultResponse { done_bytes, total_bytes: done_bytes, result })
    }
}

/// How much there is to read.
fn bytes_of(dir: &Path, only: Option<SegmentId>) -> Result<u64, VaultError> {
    let survey = Survey::take(dir)?;
    let with_records = survey.segments.iter().filter(|one| one.state != SurveyState::Spare);
    let chosen = with_records.filter(|one| only.is_none_or(|only| one.id == only));
    Ok(chosen.map(|segment| segment.file_bytes).sum())
}

fn wire(done: &Verification) -> proto::VaultVerification {
    let lost = |finding: &Finding| finding.lost.map_or(0, |(first, last)| last - first + 1);
    proto::VaultVerification {
        segments: done.segments,
        requests: done.records,
        read_bytes: done.read_bytes,
        gone_segments: done.gone,
        findings: done.findings.iter().take(FINDINGS_MAX).map(wire_finding).collect(),
        findings_total: done.findings.len() as u64,
        lost_requests: done.findings.iter().map(lost).sum(),
    }
}

fn wire_finding(finding: &Finding) -> proto::VaultFinding {
    proto::VaultFinding {
        segment: finding.segment,
        fault: finding.kind.name().to_owned(),
        meaning: finding.kind.meaning().to_owned(),
        path: finding.path.display().to_string(),
        start: finding.start,
        end: finding.end,
        lost_first_seq: finding.lost.map(|(first, _)| first),
        lost_last_seq: finding.lost.map(|(_, last)| last),
    }
}

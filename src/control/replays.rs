//! Replays of a range that an operator asks for: counted, started, followed and stopped.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use gophership_control::proto;
use tokio::sync::mpsc;
use tonic::Status;

use super::access::Caller;
use super::changes::ResponseStream;
use super::changes::TELL_EVERY;
use super::changes::answers;
use super::changes::check_reason;
use super::changes::outcome;
use super::replay_choice::ChosenReplay;
use super::state::ControlService;
use super::vaults;
use crate::component::ArchiveLocation;
use crate::component::JobCounts;
use crate::component::JobEnd;
use crate::component::ReplayJob;
use crate::component::ReplayRange;
use crate::component::RestoreRoom;
use crate::component::count_range;

/// How often it looks whether a replay is over.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// While nothing may be read, a count looks so often whether it may.
const LOOK_EVERY_IN_RED: Duration = Duration::from_millis(200);
/// What is on its way when a replay is stopped has this long at most.
const STOPS_WITHIN: Duration = Duration::from_secs(2);

type Answer = Result<proto::ReplayProgress, Status>;

impl ControlService {
    /// Counts what a replay would send, and answers how far it is until it is over.
    pub(super) fn count_range(
        &self,
        request: &proto::ReplayRequest,
    ) -> Result<ResponseStream<proto::ReplayProgress>, Status> {
        let ChosenReplay { vault, handle, range, .. } = self.choose_replay(request)?;
        let busy = |_| {
            let text = "a verification or another count is under way; try again later";
            Status::resource_exhausted(text)
        };
        let turn = Arc::clone(&self.maintenance.reading).try_acquire_owned().map_err(busy)?;
        let governor = Arc::clone(&self.maintenance.governor);
        let rest = move |worked| governor.rest_after(worked).unwrap_or(LOOK_EVERY_IN_RED);
        // Components may be called everything that has no dot in front.
        let folder = self.config.borrow().1.data_dir.join("s3_replay").join(".count");
        let room = RestoreRoom { memory: Arc::clone(&self.memory.s3), folder };
        let counts = Arc::<JobCounts>::default();
        let (sender, stream) = answers();
        let (began, of_range, seen) = (Instant::now(), range.clone(), Arc::clone(&counts));
        let now = move |state: &str| proto::ReplayProgress {
            vault: vault.clone(),
            from: url(&range),
            sinks: range.sinks.clone(),
            state: state.to_owned(),
            elapsed_ms: ms(began.elapsed()),
            ..wire_counts(&counts)
        };
        tokio::spawn(async move {
            let _turn = turn;
            let work = count_range(&handle.log, &room, of_range, &seen, rest);
            tokio::pin!(work);
            let mut tick = tokio::time::interval(TELL_EVERY);
            let done = loop {
                tokio::select! {
                    done = &mut work => break done,
                    _ = tick.tick() => drop(sender.try_send(Ok(now("running")))),
                    () = sender.closed() => return,
                }
            };
            let done = done.map_err(|error| Status::internal(error.to_string()));
            // Whoever asked may have gone.
            let _gone = sender.send(done.map(|()| now("done"))).await;
        });
        Ok(stream)
    }

    /// Starts a replay, and answers how far it is: once, or until it is over.
    pub(super) async fn start_range(
        &self,
        caller: &Caller,
        request: proto::ReplayRequest,
    ) -> Result<ResponseStream<proto::ReplayProgress>, Status> {
        let (detail, reason, follow) = (detail(&request), request.reason.clone(), request.follow);
        let result = self.start_range_now(request);
        let said = |(_, job): &(String, Arc<ReplayJob>)| format!("replay {}", job.id);
        self.note(caller, "StartReplay", &detail, &reason, outcome(&result, said)).await;
        let (vault, job) = result?;
        let (sender, stream) = answers();
        if follow {
            tokio::spawn(tell(vault, job, sender));
        } else {
            // There is room for the first answer.
            drop(sender.try_send(Ok(wire(&vault, &job))));
        }
        Ok(stream)
    }

    fn start_range_now(
        &self,
        request: proto::ReplayRequest,
    ) -> Result<(String, Arc<ReplayJob>), Status> {
        check_reason(&request.reason)?;
        let ChosenReplay { vault, handle, replay, range } = self.choose_replay(&request)?;
        let started = handle.jobs.start(replay, range, request.reason);
        let job = started.map_err(|error| Status::failed_precondition(error.to_string()))?;
        Ok((vault, job))
    }

    /// The replays that run, and the last one of each vault.
    pub(super) fn ranges(&self) -> proto::ListReplaysResponse {
        let replays = self.jobs().iter().map(|(vault, job)| wire(vault, job)).collect();
        proto::ListReplaysResponse { replays }
    }

    /// Stops a replay, and answers how far it came.
    pub(super) async fn stop_range(
        &self,
        caller: &Caller,
        request: proto::StopReplayRequest,
    ) -> Result<proto::StopReplayResponse, Status> {
        let proto::StopReplayRequest { id, reason } = request;
        let result = match check_reason(&reason) {
            Ok(()) => self.stop_range_now(id).await,
            Err(status) => Err(status),
        };
        let said = |answer: &proto::StopReplayResponse| {
            let replay = answer.replay.clone().unwrap_or_default();
            format!("{}, {} requests delivered", replay.state, replay.delivered_requests)
        };
        let detail = format!("id={id}");
        self.note(caller, "StopReplay", &detail, &reason, outcome(&result, said)).await;
        result
    }

    async fn stop_range_now(&self, id: u64) -> Result<proto::StopReplayResponse, Status> {
        let found = self.jobs().into_iter().find(|(_, job)| job.id == id);
        let none = || Status::not_found(format!("there is no replay {id}; see `gs-ctl replay ls`"));
        let (vault, job) = found.ok_or_else(none)?;
        job.stop.cancel();
        let deadline = Instant::now() + STOPS_WITHIN;
        while job.end().is_none() && Instant::now() < deadline {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(proto::StopReplayResponse { replay: Some(wire(&vault, &job)) })
    }

    fn jobs(&self) -> Vec<(String, Arc<ReplayJob>)> {
        let vaults = vaults::dirs(&self.config.borrow().1);
        let last = |id: String| Some((id.clone(), self.maintenance.vaults.find(&id)?.jobs.last()?));
        vaults.into_iter().filter_map(|(id, _)| last(id)).collect()
    }
}

fn detail(request: &proto::ReplayRequest) -> String {
    let mut detail = String::new();
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            // Writing to a string cannot fail.
            let space = if detail.is_empty() { "" } else { " " };
            let _written = write!(detail, "{space}{name}={value}");
        }
    };
    let text = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
    add("vault", request.vault.clone());
    add("from", request.from.clone());
    add("since_ms", text(request.since_unix_ms));
    add("until_ms", text(request.until_unix_ms));
    add("source", request.source.clone());
    add("signal", request.signal.clone());
    add("rate", text(request.rate.map(u64::from)));
    add("to", request.sinks.join(","));
    detail
}

/// Tells how far a replay is until it is over, or until nobody listens; it goes on then.
async fn tell(vault: String, job: Arc<ReplayJob>, sender: mpsc::Sender<Answer>) {
    let mut told: Option<Instant> = None;
    while job.end().is_none() {
        if told.is_none_or(|told| TELL_EVERY <= told.elapsed()) {
            told = Some(Instant::now());
            drop(sender.try_send(Ok(wire(&vault, &job))));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = sender.closed() => return,
        }
    }
    // Whoever asked may have gone.
    let _gone = sender.send(Ok(wire(&vault, &job))).await;
}

fn wire(vault: &str, job: &ReplayJob) -> proto::ReplayProgress {
    let (state, error) = match job.end() {
        None => ("running", String::new()),
        Some(JobEnd::Done) => ("done", String::new()),
        Some(JobEnd::Stopped) => ("stopped", String::new()),
        Some(JobEnd::Failed(error)) => ("failed", error),
    };
    proto::ReplayProgress {
        id: job.id,
        vault: vault.to_owned(),
        from: url(&job.range),
        sinks: job.range.sinks.clone(),
        state: state.to_owned(),
        error,
        elapsed_ms: ms(job.elapsed()),
        reason: job.reason.clone(),
        ..wire_counts(&job.counts)
    }
}

/// The archive that a range is of; nothing of one of a vault.
fn url(range: &ReplayRange) -> String {
    range.archive.as_ref().map_or_else(String::new, ArchiveLocation::url)
}

fn wire_counts(counts: &JobCounts) -> proto::ReplayProgress {
    let read_bytes = counts.read_bytes.load(Ordering::Relaxed);
    proto::ReplayProgress {
        read_bytes,
        total_bytes: counts.total_bytes.load(Ordering::Relaxed).max(read_bytes),
        found_requests: counts.requests.load(Ordering::Relaxed),
        found_records: counts.records.load(Ordering::Relaxed),
        found_bytes: counts.bytes.load(Ordering::Relaxed),
        oldest_unix_ms: counts.oldest_unix_ns.load(Ordering::Relaxed) / 1_000_000,
        newest_unix_ms: counts.newest_unix_ns.load(Ordering::Relaxed) / 1_000_000,
        delivered_requests: counts.delivered.load(Ordering::Relaxed),
        rejected_requests: counts.rejected.load(Ordering::Relaxed),
        ..proto::ReplayProgress::default()
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! Replays of a range that an operator asks for: counted, started, followed and stopped.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use gophership_control::proto;
use gophership_vault::Pacer;
use gophership_vault::Throttle;
use tokio::sync::mpsc;
use tonic::Status;

use super::access::Caller;
use super::changes::Answers;
use super::changes::TELL_EVERY;
use super::changes::answers;
use super::changes::check_reason;
use super::changes::outcome;
use super::state::ControlService;
use super::vaults;
use super::vaults::refusal;
use crate::component::ComponentId;
use crate::component::JobCounts;
use crate::component::JobEnd;
use crate::component::ReplayJob;
use crate::component::ReplayRange;
use crate::component::VaultHandle;
use crate::component::count_range;
use crate::event::Signal;

/// How often it looks whether a replay is over.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What is on its way when a replay is stopped has this long at most.
const STOPS_WITHIN: Duration = Duration::from_secs(2);

type Answer = Result<proto::ReplayProgress, Status>;

impl ControlService {
    /// Counts what a replay would send, and answers how far it is until it is over.
    pub(super) fn count_range(
        &self,
        request: proto::ReplayRequest,
    ) -> Result<Answers<proto::ReplayProgress>, Status> {
        let (handle, _, range) = self.range_of(&request)?;
        let busy = |_| {
            let text = "a verification or another count is under way; try again later";
            Status::resource_exhausted(text)
        };
        let turn = Arc::clone(&self.maintenance.reading).try_acquire_owned().map_err(busy)?;
        let governor = Arc::clone(&self.maintenance.governor);
        let pacer = Pacer::new(Throttle::new(move |worked| governor.rest_after(worked)));
        let (counts, is_cancelled) = (Arc::<JobCounts>::default(), Arc::<AtomicBool>::default());
        let (seen, stopped) = (Arc::clone(&counts), Arc::clone(&is_cancelled));
        let (log, of_range) = (Arc::clone(&handle.log), range.clone());
        let mut work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let is_stopped = || stopped.load(Ordering::Relaxed);
            count_range(&log, of_range, &seen, || {
                pacer.rest(is_stopped);
                !is_stopped()
            })
        });
        let (sender, stream) = answers();
        let (began, vault) = (Instant::now(), request.vault);
        let now = move |state: &str| {
            let mut progress = wire_counts(&counts);
            progress.vault.clone_from(&vault);
            progress.sinks.clone_from(&range.sinks);
            state.clone_into(&mut progress.state);
            progress.elapsed_ms = ms(began.elapsed());
            progress
        };
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(TELL_EVERY);
            let done = loop {
                tokio::select! {
                    done = &mut work => break done,
                    _ = tick.tick() => drop(sender.try_send(Ok(now("running")))),
                    () = sender.closed() => {
                        is_cancelled.store(true, Ordering::Relaxed);
                        drop(work.await);
                        return;
                    }
                }
            };
            let done = done.map_err(|error| Status::internal(error.to_string()));
            let done = done.and_then(|done| done.map_err(|error| refusal(&error)));
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
    ) -> Result<Answers<proto::ReplayProgress>, Status> {
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
        let (handle, replay, range) = self.range_of(&request)?;
        let started = handle.jobs.start(replay, range, request.reason);
        let job = started.map_err(|error| Status::failed_precondition(error.to_string()))?;
        Ok((request.vault, job))
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

    /// What a request asks for, and which source is to do it.
    fn range_of(
        &self,
        request: &proto::ReplayRequest,
    ) -> Result<(VaultHandle, ComponentId, ReplayRange), Status> {
        let vault = request.vault.as_str();
        vaults::dir_of(&self.config.borrow().1, vault)?;
        let closed = || Status::failed_precondition(format!("the vault {vault} is not open"));
        let handle = self.maintenance.vaults.find(vault).ok_or_else(closed)?;
        let signal = match request.signal.as_str() {
            "" => None,
            name => Some(signal_of(name)?),
        };
        if request.rate == Some(0) {
            return Err(Status::invalid_argument("the rate must be more than 0"));
        }
        let (replay, sinks) = self.replay_to(&handle, vault, &request.sinks)?;
        let ns = |ms: u64| ms.saturating_mul(1_000_000);
        let range = ReplayRange {
            since_unix_ns: request.since_unix_ms.map(ns),
            until_unix_ns: request.until_unix_ms.map(ns),
            source: Some(request.source.clone()).filter(|source| !source.is_empty()),
            signal,
            rate: request.rate,
            sinks,
        };
        Ok((handle, replay, range))
    }

    /// The source that leads to all of these sinks, and the sinks: all that it leads to if none is named.
    fn replay_to(
        &self,
        handle: &VaultHandle,
        vault: &str,
        wanted: &[String],
    ) -> Result<(ComponentId, Vec<String>), Status> {
        let names = |replay: &ComponentId| self.wiring.sink_names(replay.as_str());
        let fed: Vec<_> =
            handle.jobs.served_by().into_iter().map(|replay| (names(&replay), replay)).collect();
        if let ([_, _, ..], []) = (fed.as_slice(), wanted) {
            let text = format!("several replays read the vault {vault}; name sinks with --to");
            return Err(Status::invalid_argument(text));
        }
        let leads = |sinks: &Vec<String>| wanted.iter().all(|sink| sinks.contains(sink));
        let known: Vec<&str> =
            fed.iter().flat_map(|(sinks, _)| sinks).map(String::as_str).collect();
        let known = known.join(", ");
        let found = fed.iter().find(|(sinks, _)| !sinks.is_empty() && leads(sinks));
        let Some((sinks, replay)) = found else {
            let text = if known.is_empty() {
                format!("no vault_replay source reads the vault {vault}")
            } else {
                format!("no replay of the vault {vault} leads to that; sinks: {known}")
            };
            return Err(Status::failed_precondition(text));
        };
        let sinks = if wanted.is_empty() { sinks.clone() } else { wanted.to_vec() };
        Ok((replay.clone(), sinks))
    }
}

fn signal_of(name: &str) -> Result<Signal, Status> {
    let found = Signal::ALL.into_iter().find(|signal| signal.name() == name);
    found.ok_or_else(|| Status::invalid_argument("a signal is logs, traces or metrics"))
}

fn detail(request: &proto::ReplayRequest) -> String {
    let mut detail = format!("vault={}", request.vault);
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            // Writing to a string cannot fail.
            let _written = write!(detail, " {name}={value}");
        }
    };
    let text = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
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
        sinks: job.range.sinks.clone(),
        state: state.to_owned(),
        error,
        elapsed_ms: ms(job.elapsed()),
        reason: job.reason.clone(),
        ..wire_counts(&job.counts)
    }
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

//! Carries out the replays that operators ask for: sends a range of what the vault or an archive has again, to
//! chosen sinks, beside the cursors and in the same way as they: at the pace that the pressure allows, in the room
//! of a window, until each request is delivered, refused for good, or the job is stopped.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gophership_vault::StoredRecord;

use super::VaultReplayConfig;
use super::pace::ReplayPacer;
use super::rate::ReplayRate;
use super::window::Permits;
use super::window::Window;
use crate::component::Context;
use crate::component::JobEnd;
use crate::component::RangeError;
use crate::component::RangeReader;
use crate::component::ReplayJob;
use crate::component::RestoreRoom;
use crate::component::Stop;
use crate::component::VaultHandle;
use crate::component::calm;
use crate::component::send_unless_stopped;
use crate::event::Batch;
use crate::event::Ledger;
use crate::event::Note;
use crate::event::Outcome;
use crate::event::Provenance;
use crate::event::Request;
use crate::event::Signal;
use crate::event::SinkSet;
use crate::event::ack;
use crate::flow::Output;

const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Carries replays out, one after the other.
pub(super) struct RangeRunner {
    pub(super) config: VaultReplayConfig,
    pub(super) context: Context,
    pub(super) vault: VaultHandle,
    pub(super) output: Output,
}

/// What sends the requests of one job.
struct RangeSender {
    context: Context,
    output: Output,
    job: Arc<ReplayJob>,
    stop: Stop,
}

impl RangeRunner {
    /// Runs until stopped.
    pub(super) async fn run(self, stop: Stop) {
        let served = self.vault.jobs.serve(&self.context.id);
        loop {
            let job = tokio::select! {
                job = served.next() => job,
                () = stop.cancelled() => return,
            };
            let (id, vault, reason) = (job.id, self.config.vault.as_str(), job.reason.as_str());
            let sinks = job.range.sinks.join(", ");
            tracing::info!(id, vault, reason, sinks, "A replay of a range begins.");
            let end = match Box::pin(self.carry_out(&job, &stop)).await {
                Ok(end) => end,
                Err(error) => JobEnd::Failed(error.to_string()),
            };
            let delivered = job.counts.delivered.load(Ordering::Relaxed);
            let rejected = job.counts.rejected.load(Ordering::Relaxed);
            tracing::info!(id, vault, %end, delivered, rejected, "A replay of a range is over.");
            job.finish(end);
        }
    }

    /// The sinks of a job, each with its lane; an error says which this replay does not lead to.
    fn sinks(&self, job: &ReplayJob) -> Result<Vec<SinkSet>, String> {
        let there = self.context.topology.sinks(self.context.id.as_str());
        let lane = |wanted: &String| {
            let sink = there.iter().find(|(sink, _)| sink == wanted);
            sink.map(|(_, lane)| *lane).ok_or_else(|| {
                format!("the replay of the vault no longer leads to the sink {wanted}")
            })
        };
        job.range.sinks.iter().map(lane).collect()
    }

    async fn carry_out(&self, job: &Arc<ReplayJob>, stop: &Stop) -> Result<JobEnd, RangeError> {
        let lanes = match self.sinks(job) {
            Ok(lanes) => lanes,
            Err(error) => return Ok(JobEnd::Failed(error)),
        };
        let halt = stop.child_token();
        let mut config = self.config.clone();
        config.rate = job.range.rate.map_or(config.rate, ReplayRate::PerSecond);
        let sender = Arc::new(RangeSender {
            context: self.context.clone(),
            output: self.output.clone(),
            job: Arc::clone(job),
            stop: halt.clone(),
        });
        let mut window = Window::new(&config, &self.context.memory.replay);
        let mut pace = ReplayPacer::new(&config, Arc::clone(&self.context.governor));
        let end = {
            let sent = self.send_all(&sender, &lanes, &mut window, &mut pace);
            tokio::select! {
                sent = sent => sent,
                () = job.stop.cancelled() => Ok(JobEnd::Stopped),
                () = stop.cancelled() => Ok(JobEnd::Stopped),
            }
        };
        if !matches!(end, Ok(JobEnd::Done | JobEnd::Failed(_))) {
            halt.cancel();
        }
        // What is left is on its way; a stop ends the wait for it.
        tokio::select! {
            () = window.close() => return end,
            () = job.stop.cancelled() => {}
            () = stop.cancelled() => {}
        }
        halt.cancel();
        window.close().await;
        end.map(|_| JobEnd::Stopped)
    }

    /// Reads the range, and sends each request to each sink.
    async fn send_all(
        &self,
        sender: &Arc<RangeSender>,
        lanes: &[SinkSet],
        window: &mut Window,
        pace: &mut ReplayPacer,
    ) -> Result<JobEnd, RangeError> {
        let (job, context) = (&sender.job, &self.context);
        // Components may be called everything that has no dot in front.
        let folder = context.data_dir.join("s3_replay").join(format!(".{}", context.id));
        let room = RestoreRoom { memory: Arc::clone(&context.memory.s3), folder };
        let (log, range) = (&self.vault.log, job.range.clone());
        let mut reader = Box::pin(RangeReader::open(log, &room, range, &job.counts)).await?;
        loop {
            self.wait_for_turn(pace).await;
            let (back, chunk) = match reader.next(&job.counts).await {
                // Everything else was read, and what of it is on its way goes on.
                Err(error @ RangeError::Unusable { .. }) => {
                    return Ok(JobEnd::Failed(error.to_string()));
                }
                read => read?,
            };
            reader = back;
            let Some(chunk) = chunk else { return Ok(JobEnd::Done) };
            for record in chunk {
                let Some((request, ledger)) = sender.understand(record) else { continue };
                for lane in lanes {
                    self.wait_for_turn(pace).await;
                    calm(&*self.context.topology, self.context.id.as_str(), *lane).await;
                    let fill_permille = self.vault.log.fill_permille();
                    pace.spend(fill_permille, request.records, request.wire.len());
                    let room = window.reserve(&sender.stop, request.wire.len()).await;
                    let Some(permits) = room else { return Ok(JobEnd::Stopped) };
                    window.reap();
                    let sending = Arc::clone(sender).send(request.clone(), *lane, ledger, permits);
                    window.tasks.spawn(sending);
                }
            }
        }
    }

    /// Waits until the zone, an operator and the rate allow another request.
    async fn wait_for_turn(&self, pace: &mut ReplayPacer) {
        loop {
            let is_paused = pace.is_paused(*self.context.zone.borrow());
            pace.wait(is_paused).await;
            if !pace.is_paused(*self.context.zone.borrow()) {
                return;
            }
        }
    }
}

impl RangeSender {
    /// Makes sense of a stored request; one that is no OTLP cannot be sent.
    fn understand(&self, record: StoredRecord) -> Option<(Request, &'static Ledger)> {
        let note = Note::read(&record.attrs);
        let signal = Signal::from_u8(record.signal);
        let scanned = signal.and_then(|signal| {
            Some((signal, gophership_otlp::prescan(signal, &record.payload).ok()?.records))
        });
        let Some((signal, records)) = scanned else {
            self.job.counts.rejected.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let provenance = Provenance::of_note(&record.attrs);
        let (wire, received_unix_ns) = (record.payload, record.received_unix_ns);
        let request = Request { signal, wire, records, received_unix_ns, provenance };
        Some((request, self.context.ledgers.source(note.source_name())))
    }

    /// Sends a request to one sink until it has it, will never take it, or the job is stopped.
    async fn send(
        self: Arc<Self>,
        request: Request,
        lane: SinkSet,
        ledger: &'static Ledger,
        permits: Permits,
    ) {
        let mut delay = RETRY_MIN;
        let counts = &self.job.counts;
        loop {
            match self.attempt(&request, lane, ledger).await {
                Some(Outcome::Delivered) => {
                    counts.delivered.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Some(Outcome::Rejected) => {
                    counts.rejected.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Some(Outcome::Vaulted | Outcome::Failed) => {}
                None => break,
            }
            tokio::select! {
                () = tokio::time::sleep(delay.mul_f64(0.5 + fastrand::f64())) => {}
                () = self.stop.cancelled() => break,
            }
            delay = (delay * 2).min(RETRY_MAX);
        }
        drop(permits);
    }

    /// Sends it once; `None` when stopped, and it did not arrive soon.
    async fn attempt(
        &self,
        request: &Request,
        lane: SinkSet,
        ledger: &'static Ledger,
    ) -> Option<Outcome> {
        let (ticket, mut waiter) = ack::channel();
        let batch = Batch::replayed(request, lane, ticket, ledger);
        send_unless_stopped(&self.output, batch, &mut waiter, &self.stop).await
    }
}

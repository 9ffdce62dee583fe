//! Draining: sources refuse new requests, those that were taken are delivered or go to a vault, and the
//! operator is told when nothing is left to do.

use std::time::Duration;
use std::time::Instant;

use gophership_control::proto;
use gophership_units::one_line;
use tokio::sync::mpsc;
use tonic::Status;

use super::access::Caller;
use super::changes::ResponseStream;
use super::changes::TELL_EVERY;
use super::changes::answers;
use super::changes::check_reason;
use super::changes::outcome;
use super::state::ControlService;
use crate::event::Bucket;

/// How often it looks whether everything is done.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl ControlService {
    /// Stops taking requests, or takes them again, and answers what is left to do: once, or again and again
    /// until it is done or the deadline is over.
    pub(super) async fn drain_now(
        &self,
        caller: &Caller,
        request: proto::DrainRequest,
    ) -> Result<ResponseStream<proto::DrainResponse>, Status> {
        let proto::DrainRequest { undo, wait, deadline_ms, reason } = request;
        // It goes to the log and to terminals.
        let reason = one_line(&reason).into_owned();
        let detail = if undo { "undo" } else { "" };
        let result = check_reason(&reason).map(|()| {
            if undo {
                self.maintenance.drain.end();
                tracing::info!(%reason, "An operator ended the drain; GopherShip takes requests.");
            } else {
                self.maintenance.drain.begin(Instant::now(), &reason);
                tracing::warn!(%reason, "An operator drains GopherShip; it takes no requests.");
            }
            self.left_to_do()
        });
        let said = |left: &proto::DrainResponse| {
            let taking = if left.draining { "draining" } else { "taking requests" };
            format!("{taking}; {} records in flight", left.in_flight_records)
        };
        self.note(caller, "Drain", detail, &reason, outcome(&result, said)).await;
        let first = result?;
        let (sender, stream) = answers();
        let deadline = deadline_ms.map(|ms| Instant::now() + Duration::from_millis(ms));
        // There is room for the first answer.
        drop(sender.try_send(Ok(first)));
        // A request may have come between the order and the look, so the first look is not the last.
        if wait && !undo {
            tokio::spawn(tell(self.clone(), sender, deadline));
        }
        Ok(stream)
    }

    /// What there is to do before nothing is lost with the process.
    fn left_to_do(&self) -> proto::DrainResponse {
        let config = self.config.borrow().1.clone();
        let in_vault =
            |id: &str| self.maintenance.vaults.find(id).map_or(0, |it| it.log.backlog().records);
        let vaults = config.sinks.iter().filter(|(_, sink)| sink.config.is_vault());
        let vault_requests: u64 = vaults.map(|(id, _)| in_vault(id.as_str())).sum();
        // The order counts: what is answered is booked in the vault before.
        let unanswered_bytes = self.memory.ingest.used();
        let in_flight = self.ledgers.total(Bucket::InFlight);
        let in_flight_records = u64::try_from(in_flight).unwrap_or(0);
        proto::DrainResponse {
            draining: self.maintenance.drain.is_draining(),
            // What a replay has on its way is in its vault too.
            done: unanswered_bytes == 0 && (in_flight_records == 0 || 0 < vault_requests),
            late: false,
            unanswered_bytes,
            in_flight_records,
            queued_batches: self.wiring.edges().iter().map(|edge| edge.batches).sum(),
            vault_requests,
        }
    }

    /// For how long the process takes no requests, and why, as the protocol has it.
    pub(super) fn draining(&self) -> Option<proto::Draining> {
        let (lasts, reason) = self.maintenance.drain.report(Instant::now())?;
        Some(proto::Draining { seconds: lasts.as_secs(), reason })
    }
}

/// Tells what is left until nothing is, the deadline is over, the drain is undone, or nobody listens.
async fn tell(
    service: ControlService,
    sender: mpsc::Sender<Result<proto::DrainResponse, Status>>,
    deadline: Option<Instant>,
) {
    let mut told = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = sender.closed() => return,
        }
        let (now, mut left) = (Instant::now(), service.left_to_do());
        left.late = !left.done && deadline.is_some_and(|deadline| deadline <= now);
        if left.done || left.late || !left.draining {
            // Whoever asked may have gone.
            let _gone = sender.send(Ok(left)).await;
            return;
        }
        if TELL_EVERY <= now - told {
            told = now;
            drop(sender.try_send(Ok(left)));
        }
    }
}

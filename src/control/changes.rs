//! What changes have in common: they name their reason and are noted, and long ones answer as a stream.

use std::pin::Pin;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream;
use tokio::sync::mpsc;
use tonic::Request;
use tonic::Status;

use super::access::Caller;
use super::audit::Change;
use super::state::ControlService;

/// The longest reason of a change, in bytes.
const REASON_LEN_MAX: usize = 1024;
/// Answers that wait for a client that does not read them.
pub(super) const ANSWERS_MAX: usize = 4;
/// The time between two answers that tell progress.
pub(super) const TELL_EVERY: Duration = Duration::from_millis(500);

/// What a client is sent as an answer that comes in parts.
pub(super) type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Makes a stream of what is sent into the other end.
pub(super) fn answers<T: Send + 'static>() -> (mpsc::Sender<Result<T, Status>>, ResponseStream<T>) {
    let (sender, receiver) = mpsc::channel(ANSWERS_MAX);
    let next = async |mut receiver: mpsc::Receiver<_>| Some((receiver.recv().await?, receiver));
    (sender, Box::pin(stream::unfold(receiver, next)))
}

/// Who asks, and for what.
pub(super) fn called<T>(request: Request<T>) -> Result<(Caller, T), Status> {
    let caller = Caller::of(&request)?;
    Ok((caller, request.into_inner()))
}

pub(super) fn check_reason(reason: &str) -> Result<(), Status> {
    if REASON_LEN_MAX < reason.len() {
        return Err(Status::invalid_argument("the reason is longer than 1024 bytes"));
    }
    Ok(())
}

/// What came of a change, for the audit log.
pub(super) fn outcome<T>(result: &Result<T, Status>, said: impl FnOnce(&T) -> String) -> String {
    match result {
        Ok(answer) => said(answer),
        Err(status) => format!("refused: {}", status.message()),
    }
}

/// Does work that waits for the disk beside the workers.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Status::internal(error.to_string()))?
}

impl ControlService {
    /// Notes a change in the audit log.
    pub(super) async fn note(
        &self,
        caller: &Caller,
        action: &str,
        detail: &str,
        reason: &str,
        outcome: String,
    ) {
        let outcome = outcome.as_str();
        self.audit.change(caller, Change { action, detail, reason, outcome }).await;
    }
}

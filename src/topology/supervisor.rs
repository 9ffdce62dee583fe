//! Keeps components running: one that fails or panics is built and started again, with a growing
//! delay, and counted. It never takes the process down.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::builder::Blueprint;
use super::passing::Outlets;
use super::passing::run_transform;
use crate::config::ComponentId;
use crate::config::running::RunError;
use crate::config::running::Sink;
use crate::config::running::Source;
use crate::config::running::Stop;
use crate::config::running::Transform;
use crate::flow::EdgeReceiver;
use crate::flow::Output;

const DELAY_MIN: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(30);
/// A component that ran this long is taken for healthy again.
const HEALTHY_AFTER: Duration = Duration::from_mins(1);

/// Owns one component: what it is built from, and when it must end.
pub(super) struct Supervisor {
    pub(super) id: ComponentId,
    pub(super) blueprint: Blueprint,
    pub(super) stop: Stop,
}

impl Supervisor {
    /// Runs a source until it is stopped.
    pub(super) fn source(self, first: Box<dyn Source>, output: Output) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut next = Some(first);
            let mut delay = Delay::new();
            loop {
                if let Some(source) = next.take() {
                    let run = source.run(output.clone(), self.stop.clone());
                    if self.has_ended(tokio::spawn(run), &mut delay).await {
                        return;
                    }
                }
                match self.blueprint.source(&self.id).await {
                    Ok(source) => next = Some(source),
                    Err(error) => {
                        tracing::error!(component = %self.id, %error, "Component cannot be built again.");
                        if self.pause(&mut delay).await {
                            return;
                        }
                    }
                }
            }
        })
    }

    /// Runs a transform until its edge is closed and empty.
    pub(super) fn transform(
        self,
        first: Box<dyn Transform>,
        input: EdgeReceiver,
        outlets: Outlets,
    ) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut next = Some(first);
            let mut delay = Delay::new();
            loop {
                if let Some(transform) = next.take() {
                    let run = run_transform(transform, input.handle(), outlets.clone());
                    let run = stoppable(run, self.stop.clone());
                    if self.has_ended(tokio::spawn(run), &mut delay).await {
                        return input.abandon();
                    }
                }
                match self.blueprint.transform(&self.id) {
                    Ok(transform) => next = Some(transform),
                    Err(error) => {
                        tracing::error!(component = %self.id, %error, "Component cannot be built again.");
                        if self.pause(&mut delay).await {
                            return input.abandon();
                        }
                    }
                }
            }
        })
    }

    /// Runs a sink until its edge is closed and empty.
    pub(super) fn sink(self, first: Box<dyn Sink>, input: EdgeReceiver) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut next = Some(first);
            let mut delay = Delay::new();
            loop {
                if let Some(sink) = next.take() {
                    let run = sink.run(input.handle(), self.stop.clone());
                    if self.has_ended(tokio::spawn(run), &mut delay).await {
                        return input.abandon();
                    }
                }
                match self.blueprint.sink(&self.id).await {
                    Ok(sink) => next = Some(sink),
                    Err(error) => {
                        tracing::error!(component = %self.id, %error, "Component cannot be built again.");
                        if self.pause(&mut delay).await {
                            return input.abandon();
                        }
                    }
                }
            }
        })
    }

    /// Waits for a run to end; returns whether that was the end, or else waits a while.
    async fn has_ended(
        &self,
        mut run: JoinHandle<Result<(), RunError>>,
        delay: &mut Delay,
    ) -> bool {
        let guard = AbortOnDrop(run.abort_handle());
        let started = Instant::now();
        let result = (&mut run).await;
        drop(guard);
        match result {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => {
                tracing::error!(component = %self.id, %error, "Component failed and is started again.");
            }
            Err(error) if error.is_panic() => {
                let panic = panic_text(error.into_panic());
                tracing::error!(component = %self.id, panic, "Component panicked and is started again.");
            }
            Err(_cancelled) => return true,
        }
        let restarts = &self.blueprint.shared.metrics.restarts;
        restarts.with_label_values(&[self.id.as_str()]).inc();
        if started.elapsed() > HEALTHY_AFTER {
            *delay = Delay::new();
        }
        self.pause(delay).await
    }

    /// Waits before the next attempt; returns whether it was stopped meanwhile.
    async fn pause(&self, delay: &mut Delay) -> bool {
        tokio::select! {
            () = tokio::time::sleep(delay.next()) => false,
            () = self.stop.cancelled() => true,
        }
    }
}

/// A growing delay between attempts.
struct Delay(Duration);

impl Delay {
    const fn new() -> Self {
        Self(DELAY_MIN)
    }

    fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = (now * 2).min(DELAY_MAX);
        now
    }
}

/// A supervisor that is dropped takes its component with it.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn stoppable(
    run: impl Future<Output = Result<(), RunError>>,
    stop: Stop,
) -> Result<(), RunError> {
    tokio::select! {
        result = run => result,
        () = stop.cancelled() => Ok(()),
    }
}

fn panic_text(panic: Box<dyn std::any::Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => match panic.downcast::<&'static str>() {
            Ok(text) => (*text).to_owned(),
            Err(_other) => "unknown panic".to_owned(),
        },
    }
}

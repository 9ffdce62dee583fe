//! Keeps components running: one that fails or panics is built and started again, with a growing
//! delay, and counted. It never takes the process down. While a sink has failed, its backend counts as
//! out: requests go past it, to the vault.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::builder::Blueprint;
use super::builder::SharedParts;
use super::passing::Outlets;
use super::passing::run_transform;
use super::processing::Processing;
use crate::component::BuildError;
use crate::component::ComponentId;
use crate::component::RunError;
use crate::component::Sink;
use crate::component::Source;
use crate::component::Stop;
use crate::component::Transform;
use crate::flow::EdgeReceiver;
use crate::flow::Output;
use crate::somatic::PressureGauge;
use crate::somatic::PressureKind;

const DELAY_MIN: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(30);
/// A component that ran this long is taken for healthy again.
const HEALTHY_AFTER: Duration = Duration::from_mins(1);
/// A sink that was out and has run this long is sent to again.
const BACK_AFTER: Duration = Duration::from_millis(500);
/// A component that fails although it is to end is started again this often.
const LAST_TRIES: u32 = 3;

/// Owns one component: what it is built from, and when it must end.
pub(super) struct Supervisor {
    pub(super) id: ComponentId,
    pub(super) blueprint: Blueprint,
    pub(super) stop: Stop,
    /// The process is to end.
    pub(super) ending: Stop,
}

impl Supervisor {
    /// Runs a source until it is stopped.
    pub(super) fn source(self, first: Box<dyn Source>, output: Output) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut next = Some(first);
            let mut trouble = self.trouble(false);
            loop {
                if let Some(source) = next.take() {
                    let run = tokio::spawn(source.run(output.clone(), self.stop.clone()));
                    if self.has_ended(run, &mut trouble, None).await {
                        return;
                    }
                }
                match self.blueprint.source(&self.id).await {
                    Ok(source) => next = Some(source),
                    Err(error) => {
                        if self.is_hopeless(&error, &mut trouble, None).await {
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
            let mut trouble = self.trouble(false);
            loop {
                if let Some(transform) = next.take() {
                    let share = Arc::clone(&self.blueprint.shared.memory.processing);
                    let processing = Processing::new(self.id.clone(), share);
                    let outlets = outlets.clone();
                    let run = run_transform(transform, input.handle(), outlets, processing);
                    let run = tokio::spawn(stoppable(run, self.stop.clone()));
                    if self.has_ended(run, &mut trouble, Some(&input)).await {
                        return input.abandon();
                    }
                }
                match self.blueprint.transform(&self.id) {
                    Ok(transform) => next = Some(transform),
                    Err(error) => {
                        if self.is_hopeless(&error, &mut trouble, Some(&input)).await {
                            return input.abandon();
                        }
                    }
                }
            }
        })
    }

    /// Runs a sink until its edge is closed and empty. Without `first` it is built when its output is
    /// there.
    pub(super) fn sink(self, first: Option<Box<dyn Sink>>, input: EdgeReceiver) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut next = first;
            let mut trouble = self.trouble(!self.blueprint.is_vault(&self.id));
            if next.is_none() {
                trouble.begin();
                if self.pause(&mut trouble, Some(&input)).await {
                    return input.abandon();
                }
            }
            loop {
                if let Some(sink) = next.take() {
                    let run = tokio::spawn(sink.run(input.handle(), self.stop.clone()));
                    if self.has_ended(run, &mut trouble, Some(&input)).await {
                        return input.abandon();
                    }
                }
                match self.blueprint.sink(&self.id).await {
                    Ok(sink) => next = Some(sink),
                    Err(error) => {
                        if self.is_hopeless(&error, &mut trouble, Some(&input)).await {
                            return input.abandon();
                        }
                    }
                }
            }
        })
    }

    fn trouble(&self, is_sink: bool) -> FailureState {
        let SharedParts { metrics, gauges, .. } = &self.blueprint.shared;
        let circuit = is_sink.then(|| gauges.register(PressureKind::Circuit, self.id.as_str()));
        let failed = metrics.failed.with_label_values(&[self.id.as_str()]);
        FailureState { delay: Delay::new(), last_tries: LAST_TRIES, is_out: false, circuit, failed }
    }

    /// Waits for a run to end; returns whether that was the end, or else waits a while.
    async fn has_ended(
        &self,
        mut run: JoinHandle<Result<(), RunError>>,
        trouble: &mut FailureState,
        input: Option<&EdgeReceiver>,
    ) -> bool {
        let guard = AbortOnDrop(run.abort_handle());
        let started = Instant::now();
        let early = tokio::select! {
            result = &mut run => Some(result),
            () = tokio::time::sleep(BACK_AFTER), if trouble.is_out => None,
        };
        let result = if let Some(result) = early {
            result
        } else {
            trouble.end();
            (&mut run).await
        };
        drop(guard);
        match result {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => {
                tracing::error!(
                    component = %self.id, %error,
                    "Component failed; GopherShip restarts it."
                );
            }
            Err(error) if error.is_panic() => {
                let panic = panic_text(error.into_panic());
                tracing::error!(
                    component = %self.id, panic,
                    "Component panicked; GopherShip restarts it."
                );
            }
            Err(_cancelled) => return true,
        }
        let restarts = &self.blueprint.shared.metrics.restarts;
        restarts.with_label_values(&[self.id.as_str()]).inc();
        if started.elapsed() > HEALTHY_AFTER {
            trouble.delay = Delay::new();
        }
        trouble.begin();
        self.pause(trouble, input).await
    }

    /// Says why a component cannot be built again, and waits before the next attempt; returns whether
    /// there is to be none.
    async fn is_hopeless(
        &self,
        error: &BuildError,
        trouble: &mut FailureState,
        input: Option<&EdgeReceiver>,
    ) -> bool {
        tracing::error!(
            component = %self.id, %error,
            "Cannot restart the component; GopherShip retries."
        );
        self.pause(trouble, input).await
    }

    /// Waits before the next attempt; returns whether there is to be none: it was stopped, or it is to
    /// end and has failed often enough.
    async fn pause(&self, trouble: &mut FailureState, input: Option<&EdgeReceiver>) -> bool {
        let is_to_end = || self.ending.is_cancelled() || input.is_some_and(EdgeReceiver::is_closed);
        let closed = async {
            match input {
                Some(input) => input.closed().await,
                None => std::future::pending().await,
            }
        };
        if !is_to_end() {
            tokio::select! {
                () = tokio::time::sleep(trouble.delay.next()) => return false,
                () = self.stop.cancelled() => return true,
                // At once, because nobody is to wait for it any more.
                () = self.ending.cancelled() => return false,
                () = closed => return false,
            }
        }
        if trouble.last_tries == 0 {
            return true;
        }
        trouble.last_tries -= 1;
        tokio::select! {
            () = tokio::time::sleep(DELAY_MIN) => false,
            () = self.stop.cancelled() => true,
        }
    }
}

/// What is known of a component that fails.
struct FailureState {
    delay: Delay,
    /// Attempts that are left when it is to end.
    last_tries: u32,
    is_out: bool,
    /// Tells sources to go past a sink.
    circuit: Option<PressureGauge>,
    failed: IntGauge,
}

impl FailureState {
    fn begin(&mut self) {
        self.is_out = true;
        self.failed.set(1);
        self.circuit.iter().for_each(|circuit| circuit.set(1000));
    }

    fn end(&mut self) {
        self.is_out = false;
        self.failed.set(0);
        self.circuit.iter().for_each(PressureGauge::forget);
    }
}

impl Drop for FailureState {
    fn drop(&mut self) {
        self.failed.set(0);
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

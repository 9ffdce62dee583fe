//! Sends dead letters through the pipeline again when an operator orders it, to the sinks that missed them.
//!
//! ```text
//!   store --read--> window --send--> pipeline --every sink has it--> taken out of the store
//!                                        | refused again: stored anew with the reason, the old one taken out
//!                                        | not taken in time: it stays, and so do all others for that sink
//! ```
//!
//! It has the same window and pace as the replay, and pauses as the replay does. A letter is taken out only
//! when its sinks have it, so a crash repeats at most the window and what was sent since the list of removed
//! letters was saved.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::VaultReplayConfig;
use super::pace::ReplayPacer;
use super::redrive_letter::LetterOutcome;
use super::redrive_letter::Redriver;
use super::window::Window;
use crate::component::Context;
use crate::component::Letter;
use crate::component::LetterError;
use crate::component::LetterSelection;
use crate::component::LetterTotals;
use crate::component::LetterWalk;
use crate::component::RedriveProgress;
use crate::component::RedriveTurn;
use crate::component::Stop;
use crate::component::VaultHandle;
use crate::event::SinkSet;
use crate::flow::Output;
use crate::metrics::VaultMetrics;

/// What is read at once.
const CHUNK_LETTERS_MAX: usize = 32;
const CHUNK_BYTES_MAX: usize = 256 << 10;
/// So many letters that are not meant are passed at once.
const CHUNK_PASSED_MAX: usize = 1024;
/// So long after a save the next one begins.
const SAVE_EVERY: Duration = Duration::from_millis(100);

/// What a replay needs for its turns in redrives.
#[derive(Clone)]
pub(super) struct RedriveRunner {
    pub(super) config: VaultReplayConfig,
    pub(super) context: Context,
    pub(super) vault: VaultHandle,
    pub(super) metrics: VaultMetrics,
    pub(super) output: Output,
}

/// What was read, and whether there is no more.
struct Chunk {
    letters: VecDeque<Letter>,
    is_last: bool,
}

impl RedriveRunner {
    /// Waits for redrives and carries them out, until stopped.
    pub(super) async fn run(self, stop: Stop) {
        let attached = self.vault.dead_letters.attach(&self.context.id);
        loop {
            let turn = tokio::select! {
                turn = attached.turn() => turn,
                () = stop.cancelled() => return,
            };
            let ended = self.carry_out(&turn, &stop).await;
            let progress = turn.progress.borrow().clone();
            self.tell(&progress);
            match ended {
                // Dropped, the turn says that it was stopped.
                Ok(()) if stop.is_cancelled() => drop(turn),
                Ok(()) => turn.finish(""),
                Err(error) => {
                    tracing::error!(vault = %self.config.vault, %error, "A redrive of dead letters ended early.");
                    turn.finish(&error.to_string());
                }
            }
        }
    }

    fn tell(&self, progress: &RedriveProgress) {
        tracing::info!(
            vault = %self.config.vault,
            delivered = progress.delivered.letters,
            refused = progress.refused.letters,
            failed = progress.failed.letters,
            not_sent = progress.not_sent().letters,
            "Sent dead letters again."
        );
    }

    async fn carry_out(&self, turn: &RedriveTurn, stop: &Stop) -> Result<(), LetterError> {
        let mut window = Window::new(&self.config, &self.context.memory.replay);
        let redriver = Arc::new(Redriver {
            replay: self.context.id.clone(),
            topology: Arc::clone(&self.context.topology),
            governor: Arc::clone(&self.context.governor),
            zone: self.context.zone.clone(),
            ledgers: self.context.ledgers,
            sink_set: Arc::clone(&self.context.sink_set),
            letters: Arc::clone(&self.vault.dead_letters),
            output: self.output.clone(),
            to: turn.order.to.clone(),
            stop: stop.clone(),
            out: Mutex::new(SinkSet::NONE),
        });
        let sent = self.send_all(turn, &redriver, &mut window, stop).await;
        let mut saved = Instant::now();
        while !window.tasks.is_empty() {
            tokio::select! {
                _ended = window.tasks.join_next() => {}
                () = tokio::time::sleep(SAVE_EVERY) => {}
            }
            self.keep_up(&mut saved).await?;
        }
        sent.and(self.save().await)
    }

    async fn send_all(
        &self,
        turn: &RedriveTurn,
        redriver: &Arc<Redriver>,
        window: &mut Window,
        stop: &Stop,
    ) -> Result<(), LetterError> {
        let mut pace = ReplayPacer::new(&self.config, Arc::clone(&self.context.governor));
        let selection = turn.order.selection.clone();
        let letters = Arc::clone(&self.vault.dead_letters);
        let begin = move || letters.walk(None, &selection);
        let (mut walk, mut saved) = (blocking(begin).await?, Instant::now());
        let mut chunk = Chunk { letters: VecDeque::new(), is_last: false };
        while !stop.is_cancelled() {
            window.reap();
            self.keep_up(&mut saved).await?;
            let is_paused = pace.is_paused(*self.context.zone.borrow());
            tokio::select! {
                () = stop.cancelled() => break,
                () = pace.wait(is_paused) => {}
            }
            if pace.is_paused(*self.context.zone.borrow()) {
                continue;
            }
            let Some(letter) = chunk.letters.pop_front() else {
                if chunk.is_last {
                    break;
                }
                (walk, chunk) = self.read(walk, turn.order.selection.clone()).await?;
                continue;
            };
            let sinks = redriver.sinks_of(&letter);
            if sinks.is_empty() {
                continue;
            }
            if self.vault.dead_letters.are_scattered() {
                return Err(LetterError::Scattered);
            }
            pace.spend(0, letter.records, letter.wire.len());
            let Some(permits) = window.reserve(stop, letter.wire.len()).await else { break };
            let (redriver, metrics) = (Arc::clone(redriver), self.metrics.clone());
            let (progress, vault) = (Arc::clone(&turn.progress), self.config.vault.clone());
            window.tasks.spawn(async move {
                let tally = LetterTotals::of(letter.records);
                if let Some(outcome) = redriver.send(letter, sinks).await {
                    let labels = [vault.as_str(), outcome.name()];
                    metrics.redriven.with_label_values(&labels).inc();
                    progress.send_modify(|progress| count(progress, outcome, tally));
                }
                drop(permits);
            });
        }
        Ok(())
    }

    async fn read(
        &self,
        mut walk: LetterWalk,
        selection: LetterSelection,
    ) -> Result<(LetterWalk, Chunk), LetterError> {
        let letters = Arc::clone(&self.vault.dead_letters);
        let read = move || {
            let (mut chunk, mut bytes) = (VecDeque::new(), 0);
            for _ in 0..CHUNK_PASSED_MAX {
                if CHUNK_LETTERS_MAX <= chunk.len() || CHUNK_BYTES_MAX <= bytes {
                    break;
                }
                let Some(letter) = letters.next(&mut walk)? else {
                    return Ok((walk, Chunk { letters: chunk, is_last: true }));
                };
                if selection.has(&letter) {
                    bytes += letter.wire.len();
                    chunk.push_back(letter);
                }
            }
            Ok((walk, Chunk { letters: chunk, is_last: false }))
        };
        blocking(read).await
    }

    /// Saves what was taken out, every now and then.
    async fn keep_up(&self, saved: &mut Instant) -> Result<(), LetterError> {
        if SAVE_EVERY <= saved.elapsed() {
            self.save().await?;
            *saved = Instant::now();
        }
        Ok(())
    }

    async fn save(&self) -> Result<(), LetterError> {
        let letters = Arc::clone(&self.vault.dead_letters);
        blocking(move || letters.save()).await
    }
}

fn count(progress: &mut RedriveProgress, outcome: LetterOutcome, tally: LetterTotals) {
    let sum = match outcome {
        LetterOutcome::Delivered => &mut progress.delivered,
        LetterOutcome::Refused => &mut progress.refused,
        LetterOutcome::Failed => &mut progress.failed,
    };
    *sum = sum.and(tally);
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LetterError> + Send + 'static,
) -> Result<T, LetterError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

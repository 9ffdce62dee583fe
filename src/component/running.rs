//! The running halves of components.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::component::error::RunError;
use crate::event::Batch;
use crate::event::SinkSet;
use crate::flow::EdgeReceiver;
use crate::flow::Intake;
use crate::flow::Output;

/// Asks a component to stop; what that means is said at each trait.
pub type Stop = CancellationToken;

/// Takes requests in.
#[async_trait]
pub trait Source: Send {
    /// Runs until it is asked to stop; then it takes nothing new, and returns when what it has taken
    /// is answered for.
    ///
    /// # Errors
    ///
    /// Whatever ends it before it is asked to; it is built and started again, with a growing delay.
    async fn run(self: Box<Self>, output: Output, stop: Stop) -> Result<(), RunError>;
}

/// What a record takes in a list of changes: two entries, in a vector that grows.
pub const NOTED_BYTES: u64 = 192;

/// Changes batches on their way.
///
/// Most give back at once what they take. One that makes several batches of one, or keeps batches for
/// a while, says so with the other functions. What it keeps when it is dropped fails, and the sources
/// find another way for it.
pub trait Transform: Send {
    /// Returns the batch, changed or not, or settles it (filtered, rejected) and returns nothing.
    fn apply(&mut self, batch: Batch) -> Option<Batch>;

    /// How many bytes of memory it takes at most, beside the request, for one of so many bytes and records:
    /// for lists of what is to change, and for what comes out. What has more than there is is divided, and
    /// comes in pieces.
    fn need_bytes(&self, bytes: u64, records: u64) -> u64 {
        bytes.saturating_add(records.saturating_mul(NOTED_BYTES))
    }

    /// As [`apply`](Self::apply), in at most `room` bytes of memory. A transform whose need does not follow
    /// from bytes and records alone gives the batch back when it takes more, as it was.
    ///
    /// # Errors
    ///
    /// The batch.
    fn apply_within(&mut self, batch: Batch, _room: usize) -> Result<Option<Batch>, Batch> {
        Ok(self.apply(batch))
    }

    /// Divides a batch among the outputs of a transform that has several, or settles it: adds to `parts`
    /// what goes to which output. `reach` has for each, in the order of
    /// [`ports`](crate::component::TransformConfig::ports), whom it leads to now; nobody reads it if there is
    /// nobody. Such a transform is asked nothing else. What comes out takes at most `room` bytes.
    ///
    /// # Errors
    ///
    /// The batch, as it was, when that is not enough.
    fn share_out(
        &mut self,
        batch: Batch,
        _reach: &[SinkSet],
        parts: &mut Vec<(usize, Batch)>,
        room: usize,
    ) -> Result<(), Batch> {
        parts.extend(self.apply_within(batch, room)?.map(|batch| (0, batch)));
        Ok(())
    }

    /// Returns a further batch that is to go on now. It is asked until there is none: after each
    /// `apply`, when something is `due`, and after `finish`.
    fn ready(&mut self, _now: Instant) -> Option<Batch> {
        None
    }

    /// When a batch that is kept is to go on even if no other one comes.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// No batch comes any more: all that is kept is ready now.
    fn finish(&mut self) {}
}

/// Hands batches on, or keeps them.
#[async_trait]
pub trait Sink: Send + Sync {
    /// A way in that needs no edge, if the sink takes batches in the sender's own task.
    fn intake(&self) -> Option<Arc<dyn Intake>> {
        None
    }

    /// Runs until its edge is closed and everything in it is settled. `stop` cuts that short: what
    /// is left then is failed, and its source answers for it.
    ///
    /// # Errors
    ///
    /// Whatever ends it before that; it is built and started again, with a growing delay.
    async fn run(self: Box<Self>, input: EdgeReceiver, stop: Stop) -> Result<(), RunError>;
}

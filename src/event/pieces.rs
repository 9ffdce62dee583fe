//! Requests in pieces: one that needs more memory than there is goes on as several smaller ones.
//!
//! ```text
//!   batch --- fits ----------------------------------------> as it is
//!      \----- does not --- divide ---> piece --- fits -----> one after another, as they are asked for
//!                                        \------ does not -> divided again, or alone, or rejected
//! ```
//!
//! The whole is settled when its last piece is. What the vault takes over meanwhile, or what has failed
//! already, is not divided any further.

use bytes::Bytes;
use gophership_otlp::Parts;
use gophership_otlp::WireError;

use super::Batch;

/// A piece that needs an unknown part of what there is not is divided into so many.
const PIECES: u64 = 8;

/// A batch on its way into parts, which are made when they are asked for, so that not all of them are in
/// memory.
pub struct Division {
    batch: Batch,
    parts: Box<Parts>,
}

impl Division {
    /// Begins to divide a batch into the parts of its request.
    #[must_use]
    pub fn new(batch: Batch, parts: Parts) -> Self {
        Self { batch, parts: Box::new(parts) }
    }

    /// Takes the next part off; returns it with what is left, or nothing of a batch that need not go on.
    ///
    /// # Errors
    ///
    /// What is left, if its request cannot be read.
    pub fn next(self) -> Result<(Option<Batch>, Option<Self>), Box<Unreadable>> {
        let Self { mut batch, mut parts } = self;
        if batch.is_claimed() {
            batch.superseded();
            return Ok((None, None));
        }
        if batch.is_lost() {
            // As its other part: refused for good, or to be sent again.
            if batch.is_refused() {
                batch.rejected();
            } else {
                batch.failed();
            }
            return Ok((None, None));
        }
        match parts.next() {
            None => Ok((Some(batch), None)),
            Some(Ok(part)) if part.is_last => {
                batch.replace(part.bytes, part.records);
                Ok((Some(batch), None))
            }
            Some(Ok(part)) => {
                let part = batch.split_off(part.bytes, part.records);
                Ok((Some(part), Some(Self { batch, parts })))
            }
            Some(Err(error)) => Err(Box::new(Unreadable { batch, error })),
        }
    }
}

/// A batch whose request cannot be read.
pub struct Unreadable {
    /// The batch, or what is left of it.
    pub batch: Batch,
    /// Why not.
    pub error: WireError,
}

/// A batch, whole or in pieces.
pub struct Pieces {
    whole: Option<Batch>,
    /// What is being divided, each out of a piece of the one before it, with the size of that.
    under_way: Vec<(Division, u64)>,
    /// The size of what the last piece is a part of, if it is one.
    of_bytes: Option<u64>,
}

/// What becomes of a batch that does not fit.
pub enum Divided {
    /// It comes again, in pieces.
    InPieces,
    /// It cannot be divided, or not in a way that helps.
    Alone(Batch),
    /// It cannot be read.
    Unreadable(Box<Unreadable>),
}

impl Pieces {
    /// Nothing is divided yet.
    #[must_use]
    pub const fn of(batch: Batch) -> Self {
        Self { whole: Some(batch), under_way: Vec::new(), of_bytes: None }
    }

    /// Whether there are no more.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.whole.is_none() && self.under_way.is_empty()
    }

    /// Divides the piece that was returned last. `excess` is how many times it needs what there is, if that
    /// is known.
    pub fn divide(&mut self, batch: Batch, excess: Option<u64>) -> Divided {
        let bytes = batch.cost_bytes();
        // What surrounds its records is repeated around each of them, and is most of it: to go on would
        // make much more out of it, and no piece that fits.
        if self.of_bytes.is_some_and(|of_bytes| of_bytes / 4 * 3 < bytes) {
            return Divided::Alone(batch);
        }
        let leaves = match gophership_otlp::leaves(batch.signal(), batch.wire()) {
            Ok(leaves) => leaves,
            Err(error) => return Divided::Unreadable(Box::new(Unreadable { batch, error })),
        };
        if leaves <= 1 {
            return Divided::Alone(batch);
        }
        let pieces = excess.map_or(PIECES, |excess| excess + 1).clamp(2, leaves);
        let parts = Parts::pieces(batch.signal(), batch.wire(), leaves.div_ceil(pieces));
        self.under_way.push((Division::new(batch, parts), bytes));
        Divided::InPieces
    }
}

impl Iterator for Pieces {
    type Item = Result<Batch, Box<Unreadable>>;

    /// The next piece, or what is left of a batch whose request cannot be read; `None` behind the last one.
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(whole) = self.whole.take() {
            return Some(Ok(whole));
        }
        while let Some((division, of_bytes)) = self.under_way.pop() {
            match division.next() {
                Ok((piece, rest)) => {
                    self.under_way.extend(rest.map(|rest| (rest, of_bytes)));
                    if let Some(piece) = piece {
                        self.of_bytes = Some(of_bytes);
                        return Some(Ok(piece));
                    }
                }
                Err(unreadable) => return Some(Err(unreadable)),
            }
        }
        None
    }
}

/// The request of a batch without resources and scopes that hold nothing, if it has any.
///
/// # Errors
///
/// [`WireError::Malformed`] when the envelope cannot be read.
pub fn without_empty(batch: &Batch) -> Result<Option<Bytes>, WireError> {
    let mut parts = Parts::pieces(batch.signal(), batch.wire(), u64::MAX);
    let part = parts.next().transpose()?;
    Ok(part.map(|part| part.bytes).filter(|bytes| bytes.len() < batch.wire().len()))
}

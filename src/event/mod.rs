//! What moves through the pipeline: one [`Batch`] per request, its [`ack`] and the [`ledger`] that
//! accounts for every record in it.
//!
//! A batch is settled exactly once. Whoever holds it last says what became of it (`delivered`,
//! `vaulted`, `filtered`, ...); a batch that is dropped without a word counts as failed, so nothing
//! is ever acknowledged by accident.

pub mod ack;
mod batch;
pub mod ledger;
pub mod note;

pub use ack::{AckTicket, AckWaiter, Outcome};
pub use batch::{Batch, Origin, Request};
pub use ledger::{Bucket, Ledger};
pub use note::{Note, NoteSpace, Provenance};

pub use crate::otlp::Signal;

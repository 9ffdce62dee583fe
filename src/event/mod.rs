//! What moves through the pipeline: one [`Batch`] per request, or of several that were merged, its
//! [`ack`] and the [`ledger`] that accounts for every record in it.
//!
//! A batch is settled exactly once. Whoever holds it last says what became of it (`delivered`,
//! `vaulted`, `filtered`, ...); a batch that is dropped without a word counts as failed, so nothing
//! is ever acknowledged by accident.

pub mod ack;
mod ack_group;
mod batch;
mod joint;
pub mod ledger;
mod ledgers;
pub mod note;
mod pieces;
mod request;
mod rows;
mod settle;
mod sink_ledger;
mod sink_set;
mod trim;

pub use ack::{AckTicket, AckWaiter, Outcome};
pub use batch::Batch;
pub use ledger::{Bucket, Ledger};
pub use ledgers::Ledgers;
pub use note::{Note, NoteSpace, Provenance};
pub use pieces::{Divided, Division, Pieces, Unreadable, without_empty};
pub use request::{Origin, Request};
pub use rows::{OTHERS, ROWS_OWN, UNKNOWN};
pub use settle::settle;
pub use sink_ledger::{SinkBucket, SinkId, SinkLedger};
pub use sink_set::{SinkSet, SinkTable};

pub use gophership_otlp::Signal;

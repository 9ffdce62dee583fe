//! [`Batch`]: one request of one signal on its way through the pipeline.

use bytes::Bytes;

use super::ack::AckTicket;
use super::ack::Outcome;
use super::ledger::Bucket;
use super::ledger::Ledger;
use super::ledger::signed;
use super::note::Provenance;
use crate::otlp::Signal;

/// A request as it left the wire, or the vault.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which of the signals it carries.
    pub signal: Signal,
    /// The protobuf bytes.
    pub wire: Bytes,
    /// Log records, spans or data points.
    pub records: u64,
    /// When it was received, in nanoseconds since 1970 by the wall clock.
    pub received_unix_ns: u64,
    /// Where it came from, for the vault.
    pub provenance: Provenance,
}

/// Where a batch came from, which decides where it falls back to when it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From a client: a failure goes back to the source, which answers for it.
    Source,
    /// From the vault: a failure leaves it there.
    Vault,
}

/// One request of one signal, with the duty to settle it.
///
/// Dropped without being settled it counts as failed: its source takes it back.
#[derive(Debug)]
pub struct Batch {
    signal: Signal,
    origin: Origin,
    /// The protobuf bytes of the request, as received or edited on the wire form.
    wire: Bytes,
    /// Log records, spans or metric data points.
    records: u64,
    /// Records filtered out so far; given back to the source when the batch fails.
    filtered: u64,
    /// When the request was received, in nanoseconds since 1970 by the wall clock.
    received_unix_ns: u64,
    provenance: Provenance,
    /// `None` once settled, or if nobody waits.
    ticket: Option<AckTicket>,
    ledger: &'static Ledger,
    is_settled: bool,
}

impl Batch {
    /// Makes a batch of a request just received, and books its records as received.
    #[must_use]
    pub fn received(request: &Request, ticket: Option<AckTicket>, ledger: &'static Ledger) -> Self {
        ledger.book(request.signal, Bucket::Received, signed(request.records));
        Self::in_flight(request, Origin::Source, ticket, ledger)
    }

    /// Makes a batch of a request read from the vault, and takes it out of the vault's bucket.
    #[must_use]
    pub fn replayed(request: &Request, ticket: AckTicket, ledger: &'static Ledger) -> Self {
        ledger.book(request.signal, Bucket::Vaulted, -signed(request.records));
        Self::in_flight(request, Origin::Vault, Some(ticket), ledger)
    }

    /// Makes the copy that the vault gets of a request whose first copy is late or was given back.
    #[must_use]
    pub fn second_copy(request: &Request, ticket: AckTicket, ledger: &'static Ledger) -> Self {
        ledger.book(request.signal, Bucket::Copies, signed(request.records));
        Self::in_flight(request, Origin::Source, Some(ticket), ledger)
    }

    fn in_flight(
        request: &Request,
        origin: Origin,
        ticket: Option<AckTicket>,
        ledger: &'static Ledger,
    ) -> Self {
        ledger.book(request.signal, Bucket::InFlight, signed(request.records));
        Self {
            signal: request.signal,
            origin,
            wire: request.wire.clone(),
            records: request.records,
            filtered: 0,
            received_unix_ns: request.received_unix_ns,
            provenance: request.provenance.clone(),
            ticket,
            ledger,
            is_settled: false,
        }
    }

    /// Makes a further copy for another branch of a fan-out.
    #[must_use]
    pub fn fork(&self) -> Self {
        self.ledger.book(self.signal, Bucket::Copies, signed(self.records));
        self.ledger.book(self.signal, Bucket::InFlight, signed(self.records));
        Self {
            signal: self.signal,
            origin: self.origin,
            wire: self.wire.clone(),
            records: self.records,
            filtered: 0,
            received_unix_ns: self.received_unix_ns,
            provenance: self.provenance.clone(),
            ticket: self.ticket.as_ref().map(AckTicket::fork),
            ledger: self.ledger,
            is_settled: false,
        }
    }

    /// The signal of the request.
    #[must_use]
    pub const fn signal(&self) -> Signal {
        self.signal
    }

    /// Where the batch came from.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// The number of log records, spans or metric data points.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// When the request was received, in nanoseconds since 1970.
    #[must_use]
    pub const fn received_unix_ns(&self) -> u64 {
        self.received_unix_ns
    }

    /// Where the request came from.
    #[must_use]
    pub const fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The protobuf bytes of the request.
    #[must_use]
    pub const fn wire(&self) -> &Bytes {
        &self.wire
    }

    /// What the batch counts for against a limit in bytes.
    #[must_use]
    pub const fn cost_bytes(&self) -> u64 {
        self.wire.len() as u64
    }

    /// Replaces the content; `records` are left of it, the others were filtered out.
    pub fn replace(&mut self, wire: Bytes, records: u64) {
        let dropped = self.records.saturating_sub(records);
        if dropped > 0 {
            self.ledger.shift(self.signal, Bucket::InFlight, Bucket::Filtered, dropped);
        }
        self.records -= dropped;
        self.filtered += dropped;
        self.wire = wire;
    }

    /// Whether the vault has taken the batch over, so that it must not be delivered.
    #[must_use]
    pub fn is_claimed(&self) -> bool {
        self.ticket.as_ref().is_some_and(AckTicket::is_claimed)
    }

    /// Settles: a sink has it.
    pub fn delivered(mut self) {
        self.settle(Bucket::Delivered, Outcome::Delivered);
    }

    /// Settles: the vault has it at its durability level.
    pub fn vaulted(mut self) {
        self.settle(Bucket::Vaulted, Outcome::Vaulted);
    }

    /// Settles: all that was left of it has been filtered out.
    pub fn filtered(mut self) {
        self.settle(Bucket::Filtered, Outcome::Delivered);
    }

    /// Settles: nobody had room for it, and its client is told so.
    pub fn refused(mut self) {
        self.settle(Bucket::RejectedNoRoom, Outcome::Failed);
    }

    /// Settles: a backend refused it for good. A batch from the vault goes back to its replay,
    /// which moves it to the dead-letter store.
    pub fn rejected(mut self) {
        match self.origin {
            Origin::Source => self.settle(Bucket::RejectedByBackend, Outcome::Rejected),
            Origin::Vault if self.is_awaited() => self.give_back(Outcome::Rejected),
            Origin::Vault => self.settle(Bucket::Vaulted, Outcome::Rejected),
        }
    }

    /// Settles: the dead-letter store has it.
    pub fn dead_lettered(mut self) {
        self.settle(Bucket::DeadLettered, Outcome::Vaulted);
    }

    /// Settles: a sink has it, but the backend said that it rejected some of its records.
    pub fn delivered_except(mut self, rejected: u64) {
        let rejected = rejected.min(self.records);
        self.ledger.shift(self.signal, Bucket::InFlight, Bucket::RejectedByBackend, rejected);
        self.records -= rejected;
        self.settle(Bucket::Delivered, Outcome::Delivered);
    }

    /// Settles: the vault has taken the record over, so this copy is not delivered.
    pub fn superseded(mut self) {
        match self.origin {
            Origin::Source => self.give_back(Outcome::Vaulted),
            // Its replay has stopped; the record was never taken out of the vault.
            Origin::Vault => self.settle(Bucket::Vaulted, Outcome::Failed),
        }
    }

    /// Settles: this copy was one too many.
    pub fn withdrawn(mut self) {
        self.give_back(Outcome::Delivered);
    }

    /// Settles: not delivered. Its source finds another way, or answers for it.
    pub fn failed(self) {
        drop(self);
    }

    fn is_awaited(&self) -> bool {
        self.ticket.as_ref().is_some_and(|ticket| !ticket.is_orphaned())
    }

    fn settle(&mut self, bucket: Bucket, outcome: Outcome) {
        if std::mem::replace(&mut self.is_settled, true) {
            return;
        }
        self.ledger.shift(self.signal, Bucket::InFlight, bucket, self.records);
        if let Some(ticket) = self.ticket.take() {
            ticket.resolve(outcome);
        }
    }

    /// Takes this copy out of the books, as if it had never been made.
    fn give_back(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.is_settled, true) {
            return;
        }
        let (records, filtered) = (signed(self.records), signed(self.filtered));
        self.ledger.book(self.signal, Bucket::InFlight, -records);
        self.ledger.book(self.signal, Bucket::Filtered, -filtered);
        self.ledger.book(self.signal, Bucket::Copies, -(records + filtered));
        if let Some(ticket) = self.ticket.take() {
            ticket.resolve(outcome);
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        match self.origin {
            _ if self.is_awaited() => self.give_back(Outcome::Failed),
            // Its cursor was not moved: the record is still there.
            Origin::Vault => self.settle(Bucket::Vaulted, Outcome::Failed),
            Origin::Source => self.settle(Bucket::RejectedAbandoned, Outcome::Failed),
        }
    }
}

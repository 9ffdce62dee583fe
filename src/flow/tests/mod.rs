//! Tests of the flow: routes, fan-out, pivots, and what an acceptor promises.

mod accept;
mod rewired;
mod slow_vault;

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::accept::Waits;
use super::edge;
use super::*;
use crate::event::Batch;
use crate::event::Bucket;
use crate::event::Ledger;
use crate::event::Outcome;
use crate::event::Provenance;
use crate::event::Request;
use crate::event::Signal;
use crate::event::SinkSet;
use crate::event::SinkTable;
use crate::event::ack;
use crate::metrics::Metrics;

/// A vault that keeps what it is given, or has no room.
#[derive(Default)]
struct Shelf {
    kept: Mutex<Vec<SinkSet>>,
    has_no_room: std::sync::atomic::AtomicBool,
}

impl Intake for Shelf {
    fn try_take(&self, batch: Batch) -> Result<(), Full> {
        if self.has_no_room.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Full(batch));
        }
        self.kept.lock().unwrap().push(batch.sink_set());
        batch.vaulted();
        Ok(())
    }

    fn fill_permille(&self) -> u32 {
        0
    }

    fn retry_after(&self) -> Duration {
        Duration::from_secs(3)
    }

    fn has_room(&self) -> bool {
        !self.has_no_room.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// A source's output into two edges and a vault, and the books.
struct Rig {
    routes: Arc<Routes>,
    switch: Arc<Switch>,
    shelf: Arc<Shelf>,
    ledger: &'static Ledger,
    metrics: Arc<Metrics>,
    receivers: Vec<EdgeReceiver>,
    all_routes: Vec<Route>,
    sink_set: SinkTable,
}

impl Rig {
    fn new(edges: &[u32]) -> Self {
        let mut rig = Self {
            routes: Arc::default(),
            switch: Arc::default(),
            shelf: Arc::default(),
            ledger: Ledger::leak(),
            metrics: Metrics::new(),
            receivers: Vec::new(),
            all_routes: Vec::new(),
            sink_set: SinkTable::default(),
        };
        for (idx, batches) in edges.iter().enumerate() {
            let (sender, receiver) = edge::edge(EdgeLimits { batches: *batches, bytes: 1 << 20 });
            let reach = rig.sink_set.lane(&idx.to_string());
            rig.all_routes.push(Route { reach, ..Route::from(Destination::Edge(sender)) });
            rig.receivers.push(receiver);
        }
        rig.route(false);
        rig
    }

    /// Puts a table in force; `is_red` leads everything to the vault.
    fn route(&self, is_red: bool) {
        let vault: Arc<dyn Intake> = self.shelf.clone();
        self.switch.set(is_red);
        let pivot = Some(Pivot { vault, takes_all: false, out: SinkSet::NONE });
        self.routes.put(RouteTable {
            routes: self.all_routes.clone(),
            pivot,
            ..RouteTable::default()
        });
    }

    /// Puts a table in force for which some sinks are out.
    fn route_around(&self, out: SinkSet) {
        let vault: Arc<dyn Intake> = self.shelf.clone();
        let pivot = Some(Pivot { vault, takes_all: false, out });
        self.routes.put(RouteTable {
            routes: self.all_routes.clone(),
            pivot,
            ..RouteTable::default()
        });
    }

    /// The lanes of what the vault has.
    fn kept_for(&self) -> Vec<SinkSet> {
        self.shelf.kept.lock().unwrap().clone()
    }

    fn close_vault(&self) {
        self.routes.put(RouteTable { routes: self.all_routes.clone(), ..RouteTable::default() });
    }

    /// The vault is being opened again: it is in no table meanwhile.
    fn reopen_vault(&self) {
        let all_routes = self.all_routes.clone();
        self.routes.put(RouteTable {
            routes: all_routes,
            is_backed: true,
            ..RouteTable::default()
        });
    }

    fn output(&self) -> Output {
        let pulse = Pulse::new(1024, 850, Arc::default());
        Output::new(Arc::clone(&self.routes), Some(Reflex::new(Arc::clone(&self.switch), pulse)))
    }

    fn acceptor(&self, level: AckLevel) -> Acceptor {
        let patience = Duration::from_millis(50);
        self.acceptor_with(level, Waits { patience, answer_within: 10 * patience })
    }

    fn acceptor_with(&self, level: AckLevel, waits: Waits) -> Acceptor {
        let metrics = self.metrics.source("test");
        Acceptor::new(self.output(), level, waits, self.ledger, metrics, CancellationToken::new())
    }

    fn batch(&self) -> Batch {
        Batch::received(&request(), None, self.ledger)
    }

    fn kept(&self) -> usize {
        self.shelf.kept.lock().unwrap().len()
    }

    /// The books, as `received copies in_flight delivered vaulted rejected`.
    fn books(&self) -> [i64; 6] {
        assert_eq!(self.ledger.imbalance(Signal::Logs), 0);
        let total = |bucket| self.ledger.total(bucket);
        let rejected = total(Bucket::RejectedNoRoom)
            + total(Bucket::RejectedByBackend)
            + total(Bucket::RejectedFailed)
            + total(Bucket::RejectedAbandoned);
        [
            total(Bucket::Received),
            total(Bucket::Copies),
            total(Bucket::InFlight),
            total(Bucket::Delivered),
            total(Bucket::Vaulted),
            rejected,
        ]
    }
}

fn request() -> Request {
    let wire = Bytes::from_static(b"abc");
    Request {
        signal: Signal::Logs,
        wire,
        records: 2,
        received_unix_ns: 0,
        provenance: Provenance::default(),
    }
}

#[test]
fn what_is_for_a_sink_that_is_being_replaced_is_not_taken_for_delivered() {
    let mut rig = Rig::new(&[8]);
    let (there, closed) = (rig.all_routes[0].reach, rig.sink_set.lane("closed"));
    let (all_routes, behind) = (rig.all_routes.clone(), there.or(closed));
    rig.routes.put(RouteTable {
        routes: all_routes,
        behind,
        closed,
        is_backed: true,
        ..RouteTable::default()
    });
    let output = Output::new(Arc::clone(&rig.routes), None);
    let (ticket, waiter) = ack::channel();
    assert!(output.try_send(Batch::received(&request(), Some(ticket), rig.ledger)).is_ok());
    rig.receivers[0].try_recv().unwrap().delivered();
    assert_eq!((waiter.outcome(), waiter.served()), (Some(Outcome::Failed), there));
    // What is replayed for it is not for the other.
    let (ticket, waiter) = ack::channel();
    let replayed = Batch::replayed(&request(), closed, ticket, rig.ledger);
    assert!(output.try_send(replayed).is_ok());
    assert!(rig.receivers[0].try_recv().is_none());
    assert_eq!(waiter.outcome(), Some(Outcome::Failed));
    let all_routes = rig.all_routes.clone();
    rig.routes.put(RouteTable { routes: all_routes, behind, closed, ..RouteTable::default() });
    assert!(output.try_send(rig.batch()).is_err(), "without a vault it waits");
}

#[test]
fn a_batch_goes_to_every_edge_or_to_none() {
    let mut rig = Rig::new(&[1, 2]);
    rig.close_vault();
    assert_eq!(rig.output().try_send(rig.batch()).unwrap(), Placement::Pipeline);
    let Full(back) = rig.output().try_send(rig.batch()).unwrap_err();
    assert_eq!(rig.books(), [4, 2, 6, 0, 0, 0]);
    back.delivered();
    for receiver in &mut rig.receivers {
        receiver.try_recv().unwrap().delivered();
        assert!(receiver.try_recv().is_none());
    }
    assert_eq!(rig.books(), [4, 2, 0, 6, 0, 0]);
}

#[test]
fn behind_a_transform_a_full_edge_holds_nobody_up_where_a_vault_stands_by() {
    let mut rig = Rig::new(&[1, 3]);
    let (all_routes, fast) = (rig.all_routes.clone(), rig.all_routes[1].reach);
    let backing: Vec<Arc<dyn Intake>> = vec![rig.shelf.clone()];
    rig.routes.put(RouteTable {
        routes: all_routes,
        is_backed: true,
        backing,
        ..RouteTable::default()
    });
    let output = Output::new(Arc::clone(&rig.routes), None);
    output.try_send(rig.batch()).unwrap();
    let (ticket, waiter) = ack::channel();
    output.try_send(Batch::received(&request(), Some(ticket), rig.ledger)).unwrap();
    rig.receivers[1].try_recv().unwrap().delivered();
    assert_eq!(waiter.outcome(), None);
    rig.receivers[1].try_recv().unwrap().delivered();
    assert_eq!((waiter.outcome(), waiter.served()), (Some(Outcome::Failed), fast));
    // Without room in the vault it waits, and so it does from the vault: it is safe there, and for one sink alone.
    let (ticket, _waiter) = ack::channel();
    let replayed = Batch::replayed(&request(), SinkSet::ALL, ticket, rig.ledger);
    drop(output.try_send(replayed).unwrap_err());
    rig.shelf.has_no_room.store(true, std::sync::atomic::Ordering::Relaxed);
    output.try_send(rig.batch()).unwrap_err().0.delivered();
    assert!(rig.receivers[1].try_recv().is_none());
    assert_eq!(rig.books(), [6, 2, 2, 6, 0, 0]);
}

#[test]
fn what_is_for_nobody_who_is_there_is_not_taken_for_delivered() {
    for edges in [&[1][..], &[1, 1]] {
        let mut rig = Rig::new(edges);
        let (ticket, waiter) = ack::channel();
        let mut batch = Batch::received(&request(), Some(ticket), rig.ledger);
        batch.narrow(rig.sink_set.lane("gone"));
        rig.close_vault();
        rig.output().try_send(batch).unwrap();
        assert_eq!(waiter.outcome(), Some(Outcome::Failed));
        assert_eq!(rig.books(), [2, -2, 0, 0, 0, 0], "its source finds another way");
        assert!(rig.receivers[0].try_recv().is_none(), "it is not for the one that is there");
    }
}

#[test]
fn a_full_edge_sends_the_batch_to_the_vault_and_red_does_so_at_once() {
    let rig = Rig::new(&[1]);
    assert_eq!(rig.output().try_send(rig.batch()).unwrap(), Placement::Pipeline);
    assert_eq!(rig.output().try_send(rig.batch()).unwrap(), Placement::Spilled);
    rig.route(true);
    assert_eq!(rig.output().try_send(rig.batch()).unwrap(), Placement::Diverted);
    assert_eq!(rig.kept(), 2);
    assert_eq!(rig.books(), [6, 0, 2, 0, 4, 0]);
}

#[test]
fn a_sink_whose_edge_is_full_does_not_hold_the_others() {
    let mut rig = Rig::new(&[1, 3]);
    let (output, [slow, _]) = (rig.output(), [rig.all_routes[0].reach, rig.all_routes[1].reach]);
    assert_eq!(output.try_send(rig.batch()).unwrap(), Placement::Pipeline);
    assert_eq!(output.try_send(rig.batch()).unwrap(), Placement::Split);
    assert_eq!(rig.kept_for(), [slow]);
    assert_eq!(rig.books(), [4, 4, 6, 0, 2, 0]);
    rig.receivers[1].try_recv().unwrap().delivered();
    rig.receivers[1].try_recv().unwrap().delivered();
    assert!(rig.receivers[1].try_recv().is_none());
    rig.receivers[0].try_recv().unwrap().delivered();
    assert_eq!(rig.books(), [4, 4, 0, 6, 2, 0]);
}

#[test]
fn a_sink_that_is_out_is_passed_by_and_when_all_edges_are_full_the_vault_has_it_for_all() {
    let mut rig = Rig::new(&[2, 1]);
    let out = rig.all_routes[0].reach;
    rig.route_around(out);
    assert_eq!(rig.output().try_send(rig.batch()).unwrap(), Placement::Split);
    assert!(rig.receivers[0].try_recv().is_none());
    assert_eq!(rig.output().try_send(rig.batch()).unwrap(), Placement::Spilled);
    assert_eq!(rig.kept_for(), [out, SinkSet::ALL]);
    let batch = rig.receivers[1].try_recv().unwrap();
    assert!(!batch.sink_set().meets(out));
    batch.delivered();
    assert_eq!(rig.books(), [4, 2, 0, 2, 4, 0]);
}

#[test]
fn without_room_in_the_vault_a_batch_is_not_split() {
    let mut rig = Rig::new(&[1, 3]);
    rig.shelf.has_no_room.store(true, std::sync::atomic::Ordering::Relaxed);
    rig.output().try_send(rig.batch()).unwrap();
    let Full(back) = rig.output().try_send(rig.batch()).unwrap_err();
    back.refused();
    assert_eq!(rig.books(), [4, 2, 4, 0, 0, 2]);
    rig.receivers[1].try_recv().unwrap().delivered();
    assert!(rig.receivers[1].try_recv().is_none());
}

#[tokio::test]
async fn the_vault_takes_over_only_for_the_sinks_that_do_not_have_it_yet() {
    let mut rig = Rig::new(&[4, 4]);
    let acceptor = rig.acceptor(AckLevel::Delivered);
    let accepting = tokio::spawn(async move { acceptor.accept(request(), Instant::now()).await });
    rig.receivers[0].recv().await.unwrap().delivered();
    assert_eq!(accepting.await.unwrap(), Ok(()));
    assert_eq!(rig.kept_for(), [rig.all_routes[1].reach]);
    assert!(rig.receivers[1].try_recv().is_none(), "the copy in the edge is withdrawn");
    assert_eq!(rig.books(), [2, 2, 0, 2, 2, 0]);
}

#[tokio::test]
async fn a_source_that_stops_hands_what_is_not_delivered_to_the_vault_soon() {
    let rig = Rig::new(&[4]);
    let (output, stop) = (rig.output(), CancellationToken::new());
    let long = Duration::from_mins(1);
    let waits = Waits { patience: long, answer_within: long };
    let metrics = rig.metrics.source("test");
    let acceptor =
        Acceptor::new(output, AckLevel::Delivered, waits, rig.ledger, metrics, stop.clone());
    let accepting = tokio::spawn(async move { acceptor.accept(request(), Instant::now()).await });
    tokio::task::yield_now().await;
    stop.cancel();
    let answer = tokio::time::timeout(Duration::from_secs(5), accepting).await.expect("it hurries");
    assert_eq!((answer.unwrap(), rig.kept()), (Ok(()), 1));
}

#[tokio::test]
async fn a_waiting_send_follows_a_new_table() {
    let rig = Rig::new(&[1]);
    rig.close_vault();
    rig.output().try_send(rig.batch()).unwrap();
    let (output, batch) = (rig.output(), rig.batch());
    let waiting = tokio::spawn(async move { output.send(batch).await });
    tokio::task::yield_now().await;
    rig.route(true);
    assert_eq!(waiting.await.unwrap(), Placement::Diverted);
}

#[tokio::test]
async fn a_waiting_send_takes_the_room_that_a_read_makes() {
    let mut rig = Rig::new(&[1, 1]);
    rig.close_vault();
    rig.output().try_send(rig.batch()).unwrap();
    let (output, batch) = (rig.output(), rig.batch());
    let waiting = tokio::spawn(async move { output.send(batch).await });
    tokio::task::yield_now().await;
    for receiver in &mut rig.receivers {
        receiver.recv().await.unwrap().delivered();
        tokio::task::yield_now().await;
    }
    assert_eq!(waiting.await.unwrap(), Placement::Pipeline);
}

//! Tests of the flow: routes, fan-out, pivots, and what an acceptor promises.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;

use super::accept::Waits;
use super::edge;
use super::*;
use crate::event::Batch;
use crate::event::Bucket;
use crate::event::Ledger;
use crate::event::Provenance;
use crate::event::Request;
use crate::event::Signal;
use crate::metrics::Metrics;

/// A vault that keeps what it is given, or has no room.
#[derive(Default)]
struct Shelf {
    kept: Mutex<Vec<Bytes>>,
    has_no_room: std::sync::atomic::AtomicBool,
}

impl Intake for Shelf {
    fn try_take(&self, batch: Batch) -> Result<(), Full> {
        if self.has_no_room.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Full(batch));
        }
        self.kept.lock().unwrap().push(batch.wire().clone());
        batch.vaulted();
        Ok(())
    }

    fn fill_permille(&self) -> u32 {
        0
    }

    fn retry_after(&self) -> Duration {
        Duration::from_secs(3)
    }
}

/// A source's output into two edges and a vault, and the books.
struct Rig {
    routes: Arc<Routes>,
    shelf: Arc<Shelf>,
    ledger: &'static Ledger,
    metrics: Arc<Metrics>,
    receivers: Vec<EdgeReceiver>,
    targets: Vec<Target>,
}

impl Rig {
    fn new(edges: &[u32]) -> Self {
        let mut rig = Self {
            routes: Arc::default(),
            shelf: Arc::default(),
            ledger: Ledger::leak(),
            metrics: Metrics::new(),
            receivers: Vec::new(),
            targets: Vec::new(),
        };
        for batches in edges {
            let (sender, receiver) = edge::edge(EdgeLimits { batches: *batches, bytes: 1 << 20 });
            rig.targets.push(Target::Edge(sender));
            rig.receivers.push(receiver);
        }
        rig.route(false);
        rig
    }

    /// Puts a table in force; `is_red` leads everything to the vault.
    fn route(&self, is_red: bool) {
        let vault: Arc<dyn Intake> = self.shelf.clone();
        let pivot = Some(Pivot { vault, is_in_force: is_red });
        self.routes.put(RouteTable { targets: self.targets.clone(), pivot });
    }

    fn close_vault(&self) {
        self.routes.put(RouteTable { targets: self.targets.clone(), pivot: None });
    }

    fn output(&self) -> Output {
        Output::new(Arc::clone(&self.routes), None)
    }

    fn acceptor(&self, level: AckLevel) -> Acceptor {
        let waits = Waits {
            patience: Duration::from_millis(50),
            answer_within: Duration::from_millis(500),
        };
        let pivots = self.metrics.source("test").pivots;
        Acceptor::new(self.output(), level, waits, self.ledger, pivots)
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
fn a_full_edge_sends_the_batch_to_the_vault_and_red_does_so_at_once() {
    let rig = Rig::new(&[1]);
    assert_eq!(rig.output().try_send(rig.batch()).unwrap(), Placement::Pipeline);
    assert_eq!(rig.output().try_send(rig.batch()).unwrap(), Placement::Spilled);
    rig.route(true);
    assert_eq!(rig.output().try_send(rig.batch()).unwrap(), Placement::Diverted);
    assert_eq!(rig.kept(), 2);
    assert_eq!(rig.books(), [6, 0, 2, 0, 4, 0]);
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

#[tokio::test]
async fn ok_means_delivered_to_every_sink() {
    let mut rig = Rig::new(&[4, 4]);
    let acceptor = rig.acceptor(AckLevel::Delivered);
    let accepting = tokio::spawn(async move { acceptor.accept(request()).await });
    rig.receivers[0].recv().await.unwrap().delivered();
    tokio::task::yield_now().await;
    assert!(!accepting.is_finished());
    rig.receivers[1].recv().await.unwrap().delivered();
    assert_eq!(accepting.await.unwrap(), Ok(()));
    assert_eq!(rig.books(), [2, 2, 0, 4, 0, 0]);
}

#[tokio::test]
async fn when_patience_is_over_the_vault_has_it_and_the_first_copy_is_withdrawn() {
    let mut rig = Rig::new(&[4]);
    assert_eq!(rig.acceptor(AckLevel::Delivered).accept(request()).await, Ok(()));
    assert_eq!(rig.kept(), 1);
    assert!(rig.receivers[0].try_recv().is_none(), "the copy in the edge is withdrawn");
    assert_eq!(rig.books(), [2, 0, 0, 0, 2, 0]);
}

#[tokio::test]
async fn what_a_sink_fails_to_deliver_goes_to_the_vault() {
    let mut rig = Rig::new(&[4]);
    let acceptor = rig.acceptor(AckLevel::Delivered);
    let accepting = tokio::spawn(async move { acceptor.accept(request()).await });
    rig.receivers[0].recv().await.unwrap().failed();
    assert_eq!(accepting.await.unwrap(), Ok(()));
    assert_eq!(rig.books(), [2, 0, 0, 0, 2, 0]);
}

#[tokio::test]
async fn without_a_vault_a_failure_is_told_to_the_client() {
    let mut rig = Rig::new(&[4]);
    rig.close_vault();
    let acceptor = rig.acceptor(AckLevel::Delivered);
    let accepting = tokio::spawn(async move { acceptor.accept(request()).await });
    rig.receivers[0].recv().await.unwrap().failed();
    assert!(matches!(accepting.await.unwrap(), Err(Refusal::Busy { .. })));
    assert_eq!(rig.books(), [2, 0, 0, 0, 0, 2]);
}

#[tokio::test]
async fn a_backend_that_refuses_for_good_is_believed() {
    let mut rig = Rig::new(&[4]);
    let acceptor = rig.acceptor(AckLevel::Delivered);
    let accepting = tokio::spawn(async move { acceptor.accept(request()).await });
    rig.receivers[0].recv().await.unwrap().rejected();
    assert_eq!(accepting.await.unwrap(), Err(Refusal::Rejected));
    assert_eq!(rig.books(), [2, 0, 0, 0, 0, 2]);
}

#[tokio::test]
async fn when_nobody_has_room_the_client_is_told_when_to_come_back() {
    let rig = Rig::new(&[1]);
    rig.shelf.has_no_room.store(true, std::sync::atomic::Ordering::Relaxed);
    rig.output().try_send(rig.batch()).unwrap();
    let refusal = rig.acceptor(AckLevel::Delivered).accept(request()).await.unwrap_err();
    let Refusal::Busy { retry_after } = refusal else { unreachable!("{refusal:?}") };
    assert!((Duration::from_secs(3)..Duration::from_millis(4500)).contains(&retry_after));
    assert_eq!(rig.books(), [4, 0, 2, 0, 0, 2]);
}

#[tokio::test]
async fn received_answers_at_once_and_sees_the_request_through() {
    let mut rig = Rig::new(&[4]);
    let acceptor = rig.acceptor(AckLevel::Received);
    assert_eq!(acceptor.accept(request()).await, Ok(()));
    rig.receivers[0].recv().await.unwrap().failed();
    acceptor.drain().await;
    assert_eq!(rig.books(), [2, 0, 0, 0, 2, 0]);
}

#[tokio::test]
async fn a_client_that_goes_leaves_the_books_in_order() {
    for answer in [Batch::failed as fn(Batch), Batch::delivered, Batch::rejected] {
        let mut rig = Rig::new(&[4]);
        let acceptor = rig.acceptor(AckLevel::Delivered);
        let accepting = tokio::spawn(async move { acceptor.accept(request()).await });
        let batch = rig.receivers[0].recv().await.unwrap();
        accepting.abort();
        assert!(accepting.await.is_err());
        answer(batch);
        let [received, copies, in_flight, delivered, vaulted, rejected] = rig.books();
        assert_eq!((received, copies, in_flight), (2, 0, 0));
        assert_eq!(delivered + vaulted + rejected, 2);
    }
}

#[tokio::test]
async fn a_client_that_goes_while_there_is_no_room_leaves_the_books_in_order() {
    let rig = Rig::new(&[1]);
    rig.shelf.has_no_room.store(true, std::sync::atomic::Ordering::Relaxed);
    rig.output().try_send(rig.batch()).unwrap();
    let acceptor = rig.acceptor(AckLevel::Delivered);
    let waiting = tokio::time::timeout(Duration::from_millis(30), acceptor.accept(request()));
    assert!(waiting.await.is_err());
    assert_eq!(rig.books(), [4, 0, 2, 0, 0, 2]);
}

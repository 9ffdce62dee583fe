//! A workload of requests that follow each other: clients that send one after the other until told to stop,
//! and do not send again what was refused.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gophership_http_client::Answer;
use gophership_otlp::Signal;
use gophership_otlp_client::Protocol;
use gophership_otlp_client::Reply;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client;
use crate::client::AfterAttempt;
use crate::client::PlannedExport;
use crate::client::Workload;
use crate::client::WorkloadClient;
use crate::lock;
use crate::request_oracle::RequestOracle;
use crate::traffic::NumberedRequest;
use crate::traffic::Traffic;

/// After a refusal a client waits this long, as a polite one does.
const AFTER_REFUSAL: Duration = Duration::from_millis(20);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What each request looks like, and how many clients send them.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Clients, each with a connection and a signal of its own.
    pub clients: usize,
    /// Records in a request.
    pub records: u64,
    /// Bytes per record that do not compress.
    pub padding: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self { clients: 4, records: 5, padding: 100 }
    }
}

/// Clients at work.
pub struct SteadyLoad {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    is_stopped: AtomicBool,
    acknowledged: AtomicU64,
    refusals: Mutex<Vec<Reply>>,
    slowest: Mutex<Duration>,
    opened: Arc<AtomicU64>,
}

/// What the clients saw.
#[derive(Debug)]
pub struct Seen {
    /// Requests that were answered with OK.
    pub acknowledged: u64,
    /// What was said to the others.
    pub refusals: Vec<Reply>,
    /// The longest that one waited for its OK.
    pub slowest: Duration,
    /// Connections that were made.
    pub connections: u64,
}

impl SteadyLoad {
    /// Starts clients.
    #[must_use]
    pub fn start(
        address: SocketAddr,
        shape: Shape,
        traffic: &Arc<Traffic>,
        oracle: &Arc<RequestOracle>,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let mut clients = JoinSet::new();
        for signal in Signal::ALL.into_iter().cycle().take(shape.clients) {
            let client = WorkloadClient::new(address, Protocol::Grpc, Arc::clone(&shared.opened));
            let (traffic, oracle) = (Arc::clone(traffic), Arc::clone(oracle));
            let shared = Arc::clone(&shared);
            let steady = Steady { signal, shape, traffic, oracle, shared, was_refused: false };
            clients.spawn(client::run(client, steady));
        }
        Self { shared, clients }
    }

    /// Requests acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::SeqCst)
    }

    /// Requests refused so far.
    #[must_use]
    pub fn refused(&self) -> usize {
        lock(&self.shared.refusals).len()
    }

    /// Waits until so many more requests were acknowledged.
    ///
    /// # Panics
    ///
    /// When they are not in this time.
    pub async fn advance(&self, requests: u64, within: Duration) {
        let (goal, deadline) = (self.acknowledged() + requests, Instant::now() + within);
        while self.acknowledged() < goal {
            let what = "more requests are acknowledged";
            assert!(Instant::now() < deadline, "not within {within:?}: {requests} {what}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Lets every client finish its request, and returns what they saw.
    ///
    /// # Panics
    ///
    /// When one of them did.
    pub async fn stop(mut self) -> Seen {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        while let Some(client) = self.clients.join_next().await {
            client.expect("clients do not panic");
        }
        Seen {
            acknowledged: self.acknowledged(),
            refusals: std::mem::take(&mut *lock(&self.shared.refusals)),
            slowest: *lock(&self.shared.slowest),
            connections: self.shared.opened.load(Ordering::SeqCst),
        }
    }
}

/// What one client sends.
struct Steady {
    signal: Signal,
    shape: Shape,
    traffic: Arc<Traffic>,
    oracle: Arc<RequestOracle>,
    shared: Arc<Shared>,
    /// The last request was refused.
    was_refused: bool,
}

impl Workload for Steady {
    type Content = NumberedRequest;

    async fn next(&mut self) -> Option<PlannedExport<NumberedRequest>> {
        if std::mem::take(&mut self.was_refused) {
            tokio::time::sleep(AFTER_REFUSAL).await;
        }
        if self.shared.is_stopped.load(Ordering::SeqCst) {
            return None;
        }
        let parcel = self.traffic.padded(self.signal, self.shape.records, self.shape.padding);
        self.oracle.sends(&parcel);
        Some(PlannedExport { signal: self.signal, wire: parcel.wire.clone(), content: parcel })
    }

    fn seen(
        &mut self,
        parcel: &NumberedRequest,
        reply: Option<Reply>,
        begun: Instant,
    ) -> AfterAttempt {
        let late =
            || Reply { code: None, answer: Answer::unanswered("no answer within the timeout") };
        let reply = reply.unwrap_or_else(late);
        if matches!(reply.answer, Answer::Delivered { .. }) {
            self.oracle.acknowledged(parcel);
            self.shared.acknowledged.fetch_add(1, Ordering::SeqCst);
            let mut slowest = lock(&self.shared.slowest);
            *slowest = slowest.max(begun.elapsed());
        } else {
            lock(&self.shared.refusals).push(reply);
            self.was_refused = true;
        }
        AfterAttempt::Over
    }

    fn given_up(&mut self, _: &NumberedRequest) {}
}

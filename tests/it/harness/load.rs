//! Load: clients that send one request after the other until told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use gophership_otlp::Signal;
use tokio::task::JoinSet;
use tonic::Status;

use super::client::GrpcClient;
use super::oracle::Oracle;
use super::traffic::Traffic;

/// After a refusal a client waits this long, as a polite one does.
const AFTER_REFUSAL: Duration = Duration::from_millis(20);

/// What each request looks like, and how many clients send them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) clients: usize,
    pub(crate) records: u64,
    /// Bytes per record that do not compress.
    pub(crate) padding: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self { clients: 4, records: 5, padding: 100 }
    }
}

/// Clients at work.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    is_stopped: AtomicBool,
    acknowledged: AtomicU64,
    refusals: Mutex<Vec<Status>>,
    slowest: Mutex<Duration>,
    connections: Arc<AtomicU64>,
}

/// What the clients saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) acknowledged: u64,
    pub(crate) refusals: Vec<Status>,
    /// The longest that one waited for its OK.
    pub(crate) slowest: Duration,
    /// Connections that were made.
    pub(crate) connections: u64,
}

impl Load {
    /// Starts clients, each with a connection of its own.
    pub(crate) fn start(
        address: SocketAddr,
        shape: Shape,
        traffic: &Arc<Traffic>,
        oracle: &Arc<Oracle>,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let mut clients = JoinSet::new();
        for idx in 0..shape.clients {
            let signal = Signal::ALL[idx % Signal::ALL.len()];
            let client = GrpcClient::counted(address, Arc::clone(&shared.connections));
            let (traffic, oracle) = (Arc::clone(traffic), Arc::clone(oracle));
            let shared = Arc::clone(&shared);
            clients.spawn(async move {
                while !shared.is_stopped.load(Ordering::SeqCst) {
                    let parcel = traffic.padded(signal, shape.records, shape.padding);
                    oracle.sends(&parcel);
                    let begun = Instant::now();
                    match client.send(&parcel).await {
                        Ok(_) => {
                            oracle.acknowledged(&parcel);
                            shared.acknowledged.fetch_add(1, Ordering::SeqCst);
                            let mut slowest = shared.slowest.lock().unwrap();
                            *slowest = slowest.max(begun.elapsed());
                        }
                        Err(status) => {
                            shared.refusals.lock().unwrap().push(status);
                            tokio::time::sleep(AFTER_REFUSAL).await;
                        }
                    }
                }
            });
        }
        Self { shared, clients }
    }

    /// Requests acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::SeqCst)
    }

    /// Requests refused so far.
    #[allow(dead_code, reason = "the torture needs it, the integration tests do not")]
    pub(crate) fn refused(&self) -> usize {
        self.shared.refusals.lock().unwrap().len()
    }

    /// Waits until so many more requests were acknowledged.
    pub(crate) async fn advance(&self, requests: u64, within: Duration) {
        let goal = self.acknowledged() + requests;
        let what = format!("{requests} more requests are acknowledged");
        super::eventually(within, &what, || self.acknowledged() >= goal).await;
    }

    /// Lets every client finish its request, and returns what they saw.
    pub(crate) async fn stop(mut self) -> Seen {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
        Seen {
            acknowledged: self.shared.acknowledged.load(Ordering::SeqCst),
            refusals: std::mem::take(&mut *self.shared.refusals.lock().unwrap()),
            slowest: *self.shared.slowest.lock().unwrap(),
            connections: self.shared.connections.load(Ordering::SeqCst),
        }
    }
}

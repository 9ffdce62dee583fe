//! Clients that send the same request again and again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use http::uri::PathAndQuery;
use tonic::transport::Endpoint;

use gophership_otlp::Signal;
use gophership_otlp_client::RawCodec;

pub(crate) const CONNECTIONS: usize = 4;
pub(crate) const STREAMS: usize = 4;
/// Of all connections.
const SENDERS: u32 = 16;

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const STOPPING: u8 = 2;

/// Clients at work.
pub(crate) struct Load {
    phase: Arc<AtomicU8>,
    clients: Vec<tokio::task::JoinHandle<Vec<Duration>>>,
}

impl Load {
    /// Starts clients; each sends the next request when it has the answer to the last, or `every` so long.
    pub(crate) async fn start(
        address: SocketAddr,
        request: &Bytes,
        every: Option<Duration>,
    ) -> Self {
        let phase = Arc::new(AtomicU8::new(WARMING));
        let mut clients = Vec::new();
        for connection in 0..CONNECTIONS {
            let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
            let channel = endpoint.connect().await.unwrap();
            for stream in 0..STREAMS {
                let grpc = tonic::client::Grpc::new(channel.clone());
                let (phase, request) = (Arc::clone(&phase), request.clone());
                let number = u32::try_from(connection * STREAMS + stream).unwrap();
                // They do not send in step.
                let begins = every.map(|every| every * number / SENDERS);
                let due = Instant::now() + begins.unwrap_or_default();
                clients.push(tokio::spawn(send(grpc, phase, request, every, due)));
            }
        }
        Self { phase, clients }
    }

    /// Keeps what is sent from now on.
    pub(crate) fn measure(&self) {
        self.phase.store(MEASURING, Ordering::Relaxed);
    }

    /// Ends it, and returns how long each measured request took.
    pub(crate) async fn stop(self) -> Vec<Duration> {
        self.phase.store(STOPPING, Ordering::Relaxed);
        let mut latencies = Vec::new();
        for client in self.clients {
            latencies.extend(client.await.unwrap());
        }
        latencies
    }
}

/// One client. With a pace, a request that begins late took from when it was due.
async fn send(
    mut grpc: tonic::client::Grpc<tonic::transport::Channel>,
    phase: Arc<AtomicU8>,
    request: Bytes,
    every: Option<Duration>,
    mut due: Instant,
) -> Vec<Duration> {
    let path = PathAndQuery::from_static(Signal::Logs.grpc_path());
    let mut latencies = Vec::new();
    loop {
        match every {
            Some(every) => {
                tokio::time::sleep_until(due.into()).await;
                due += every;
            }
            None => due = Instant::now(),
        }
        let began = due.checked_sub(every.unwrap_or_default()).unwrap_or(due);
        let now = phase.load(Ordering::Relaxed);
        if now == STOPPING {
            return latencies;
        }
        grpc.ready().await.unwrap();
        let message = tonic::Request::new(request.clone());
        let answer = grpc.unary(message, path.clone(), RawCodec).await;
        let answer: Result<tonic::Response<Bytes>, tonic::Status> = answer;
        // A vault that cannot follow says so; it is only filled.
        if answer.is_ok() && now == MEASURING {
            latencies.push(began.elapsed());
        }
    }
}

/// The time that one of a hundred requests took longer than, in milliseconds.
pub(crate) fn p99_ms(mut latencies: Vec<Duration>) -> f64 {
    latencies.sort_unstable();
    latencies[(latencies.len() - 1) * 99 / 100].as_secs_f64() * 1000.0
}

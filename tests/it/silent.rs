//! Networks that go silent: connections that nobody closed, and hosts that do not answer. No vault takes over
//! what waits for them.

use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;

use gophership_otlp::Signal;
use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Site;
use crate::harness::Traffic;

/// Far below the patience and the timeouts of the configurations, which are a minute.
const SOON: Duration = Duration::from_secs(10);

/// A network in front of a backend. It ends when dropped.
struct Network {
    address: SocketAddr,
    cuts: watch::Sender<()>,
    _relays: JoinSet<()>,
}

impl Network {
    async fn before(backend: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cuts = watch::Sender::new(());
        let (cut, mut relays) = (cuts.subscribe(), JoinSet::new());
        relays.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                connections.spawn(relay(near, backend, cut.clone()));
            }
        });
        Self { address, cuts, _relays: relays }
    }

    /// From now on no byte comes through the connections there are, and nobody closes them.
    fn cut(&self) {
        self.cuts.send_replace(());
    }
}

async fn relay(mut near: TcpStream, backend: SocketAddr, mut cut: watch::Receiver<()>) {
    cut.mark_unchanged();
    let mut far = TcpStream::connect(backend).await.unwrap();
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = cut.changed() => std::future::pending().await,
    }
}

/// Scenario: the connection to the backend goes silent while another would open.
/// Guarantees: it is found dead by its pings, long before the request's own timeout, and the request
/// arrives over a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_went_silent_is_replaced() {
    let backend = Backend::start().await;
    let network = Network::before(backend.address()).await;
    let site = Site::new(
        network.address,
        r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, patience: 1m, answer_within: 2m }
sinks:
  backend:
    type: otlp
    inputs: [otlp]
    endpoint: "http://$BACKEND"
    timeout: 1m
    keepalive: { interval: 300ms, timeout: 300ms }
"#,
    );
    let _process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    client.send(&traffic.request(Signal::Logs, 2)).await.unwrap();
    assert_eq!(backend.requests(), 1);

    network.cut();
    let (parcel, begun) = (traffic.request(Signal::Logs, 2), Instant::now());
    client.send(&parcel).await.unwrap();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_eq!(backend.has(&parcel.fingerprint), 1, "delivered");
}

/// A port whose host does not answer: the queue of its connections is full, and nobody takes one.
struct Mute {
    address: SocketAddr,
    _socket: (TcpListener, JoinSet<()>),
}

impl Mute {
    async fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut fillers = JoinSet::new();
        for _ in 0..4 {
            fillers.spawn(async move {
                let _held = TcpStream::connect(address).await;
                std::future::pending::<()>().await;
            });
        }
        let probe =
            || tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address));
        while probe().await.is_ok() {}
        Self { address, _socket: (listener, fillers) }
    }
}

/// Scenario: the first of two endpoints does not answer who wants to connect.
/// Guarantees: after `connect_timeout`, long before the attempt's own timeout, the second one has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_does_not_answer_costs_the_connect_timeout() {
    let (backend, mute) = (Backend::start().await, Mute::new().await);
    let mut site = Site::new(
        backend.address(),
        r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, patience: 1m, answer_within: 2m }
sinks:
  backend:
    type: otlp
    inputs: [otlp]
    endpoints: ["http://${MUTE}", "http://$BACKEND"]
    timeout: 1m
    connect_timeout: 300ms
"#,
    );
    site.env.push(("MUTE", mute.address.to_string()));
    let process = site.start().await;
    let (parcel, begun) = (Traffic::default().request(Signal::Logs, 2), Instant::now());
    GrpcClient::new(site.grpc()).send(&parcel).await.unwrap();
    let waited = begun.elapsed();
    assert!((Duration::from_millis(250)..SOON).contains(&waited), "{waited:?}");
    assert_eq!(backend.has(&parcel.fingerprint), 1, "delivered");
    process.logged(SOON, &["sink=backend", &format!("endpoint=http://{}", mute.address)]).await;
}

//! Several endpoints of one sink, and headers from files that are rotated.

use std::fs;
use std::time::Duration;

use gophership_otlp::Signal;

use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::NumberedRequest;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually_async;

const SOON: Duration = Duration::from_secs(20);

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault, patience: 5s }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend:
    type: otlp
    inputs: [otlp, replay]
    endpoints: ["http://$BACKEND", "http://${OTHER}"]
    balance: $BALANCE
    retry: { min: 2s, max: 2s }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

struct Scene {
    first: Backend,
    second: Backend,
    process: Process,
    client: GrpcClient,
    traffic: Traffic,
    sent: Vec<NumberedRequest>,
    _site: Site,
}

impl Scene {
    async fn start(balance: &str) -> Self {
        let (first, second) = (Backend::start().await, Backend::start().await);
        let mut site = Site::new(first.address(), &YAML.replace("$BALANCE", balance));
        site.env.push(("OTHER", second.address().to_string()));
        let process = site.start().await;
        let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
        Self { first, second, process, client, traffic, sent: Vec::new(), _site: site }
    }

    /// Sends a request, which is acknowledged.
    async fn send(&mut self) {
        let parcel = self.traffic.request(Signal::Logs, 2);
        self.client.send(&parcel).await.unwrap();
        self.sent.push(parcel);
    }

    /// A reading or a figure of the first endpoint.
    fn is_first_out(&self, metrics: &Metrics) -> bool {
        let endpoint = format!("http://{}", self.first.address());
        let out = metrics.sum("gophership_sink_endpoint_out", &[("endpoint", &endpoint)]);
        let place = format!("backend {endpoint}");
        let circuit = [("kind", "circuit"), ("place", place.as_str())];
        let reading = metrics.pressure(&circuit);
        assert!(out == 1 || reading <= 0.0, "the reading is not ahead of the figure");
        reading > 0.0
    }

    /// Every request was taken once, by one of the two.
    fn assert_once(&self) {
        for parcel in &self.sent {
            let taken = self.first.has(&parcel.fingerprint) + self.second.has(&parcel.fingerprint);
            assert_eq!(taken, 1, "{parcel:?}");
        }
    }
}

fn is_out(metrics: &Metrics) -> bool {
    let circuit = [("kind", "circuit"), ("place", "backend")];
    metrics.pressure(&circuit) > 0.0
}

/// Scenario: the first of two endpoints refuses, or closes its connections, and is back later.
/// Guarantees: the second takes every request at once, none waits or goes to the vault; log, status and
/// metrics name the endpoint that is out; when the first is back it has them all again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_endpoint_takes_over_at_once_and_gives_back() {
    for mode in [Mode::Unavailable, Mode::Gone] {
        let mut scene = Scene::start("failover").await;
        for _ in 0..5 {
            scene.send().await;
        }
        assert_eq!((scene.first.requests(), scene.second.requests()), (5, 0));

        scene.first.set(mode);
        // With a backoff of up to 2 s for each of the first five this would take longer.
        let begun = std::time::Instant::now();
        for _ in 0..20 {
            scene.send().await;
        }
        assert!(begun.elapsed() < Duration::from_secs(3), "{mode:?}: {:?}", begun.elapsed());
        assert_eq!((scene.first.requests(), scene.second.requests()), (5, 20), "{mode:?}");
        let endpoint = format!("endpoint=http://{}", scene.first.address());
        scene.process.logged(SOON, &["Backend is out", "sink=backend", &endpoint]).await;
        let seen = |metrics: &Metrics| scene.is_first_out(metrics) && !is_out(metrics);
        scene.process.measured(SOON, "one endpoint is out", seen).await;
        let status = scene.process.control(&["status"]);
        let status = String::from_utf8(status.stdout).unwrap();
        assert!(status.contains(&format!("backend http://{}", scene.first.address())), "{status}");

        scene.first.set(Mode::Accept);
        while scene.first.requests() == 5 {
            assert!(begun.elapsed() < SOON, "the first is not asked");
            scene.send().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let taken = scene.second.requests();
        for _ in 0..5 {
            scene.send().await;
        }
        assert_eq!(scene.second.requests(), taken, "the first has them again");
        let back = |metrics: &Metrics| !scene.is_first_out(metrics);
        scene.process.measured(SOON, "the first is back", back).await;
        scene.assert_once();
        let metrics = scene.process.metrics().await;
        assert_eq!(metrics.sum("gophership_somatic_pivots_total", &[]), 0, "{mode:?}");
    }
}

/// Scenario: both endpoints refuse; then the second one is back.
/// Guarantees: only then the sink is out, and what comes goes to the vault; the second gets it all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sink_is_out_when_all_of_its_endpoints_are() {
    let mut scene = Scene::start("least_loaded").await;
    for backend in [&scene.first, &scene.second] {
        backend.set(Mode::Unavailable);
    }
    let sending: Vec<_> = (0..12)
        .map(|_| {
            let (client, parcel) = (scene.client.clone(), scene.traffic.request(Signal::Logs, 2));
            scene.sent.push(parcel.clone());
            tokio::spawn(async move { client.send(&parcel).await })
        })
        .collect();
    scene.process.measured(SOON, "both are out", is_out).await;
    for sending in sending {
        sending.await.unwrap().unwrap();
    }
    for _ in 0..5 {
        scene.send().await;
    }
    scene.second.set(Mode::Accept);
    let all = "the second has everything";
    eventually_async(SOON, all, async || scene.second.requests() == 17).await;
    scene.assert_once();
    scene.process.measured(SOON, "the sink is back", |metrics| !is_out(metrics)).await;
    assert!(scene.is_first_out(&scene.process.metrics().await));
}

/// Scenario: two endpoints of which one takes twenty times as long.
/// Guarantees: both are used, the fast one far more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_least_loaded_endpoint_is_taken() {
    let scene = Scene::start("least_loaded").await;
    scene.first.set(Mode::Slow(Duration::from_millis(150)));
    scene.second.set(Mode::Slow(Duration::from_millis(8)));
    let senders: Vec<_> = (0..8)
        .map(|_| {
            let client = scene.client.clone();
            let parcels: Vec<_> = (0..20).map(|_| scene.traffic.request(Signal::Logs, 1)).collect();
            tokio::spawn(async move {
                for parcel in parcels {
                    client.send(&parcel).await.unwrap();
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let (slow, fast) = (scene.first.requests(), scene.second.requests());
    assert_eq!(slow + fast, 160);
    assert!(0 < slow && slow * 2 < fast, "{slow} and {fast}");
}

const TOKENS: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" } }
sinks:
  backend:
    type: otlp
    inputs: [otlp]
    endpoint: "http://$BACKEND"
    protocol: $PROTOCOL
    headers: { x-tenant: blue }
    headers_from: { x-api-key: "$DIR/key" }
    bearer_token_file: "$DIR/token"
"#;

/// Replaces a file in one step, as those do who rotate tokens.
fn rotate(site: &Site, name: &str, text: &str) {
    let fresh = site.dir().join("fresh");
    fs::write(&fresh, text).unwrap();
    fs::rename(fresh, site.dir().join(name)).unwrap();
}

/// Scenario: a token and a key in files, which are rotated, removed and put back while requests come.
/// Guarantees: requests carry what the files say, soon after it is written, and the last value while one
/// is gone, which the log says; no value is in the log; a file that is missing at start is named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_from_files_are_followed() {
    for protocol in ["grpc", "http"] {
        let backend = Backend::start().await;
        let site = Site::new(backend.address(), &TOKENS.replace("$PROTOCOL", protocol));
        rotate(&site, "key", "key-one");
        let mut failed = Process::spawn(&site);
        assert!(!failed.exit(SOON).await.success());
        let log = failed.log();
        let path = site.dir().join("token").display().to_string();
        assert!(log.contains(&format!("cannot read {path}: ")), "{log}");

        rotate(&site, "token", "secret-one\n");
        let mut process = site.start().await;
        let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
        let sends = async |key: &str, token: &str| {
            client.send(&traffic.request(Signal::Logs, 1)).await.unwrap();
            backend.last_header("x-api-key").as_deref() == Some(key)
                && backend.last_header("authorization") == Some(format!("Bearer {token}"))
                && backend.last_header("x-tenant").as_deref() == Some("blue")
                && backend.last_header("user-agent").is_some_and(|it| it.starts_with("GopherShip/"))
        };
        assert!(sends("key-one", "secret-one").await, "{protocol}");
        rotate(&site, "token", "secret-two");
        let what = "the new token is sent";
        eventually_async(SOON, what, async || sends("key-one", "secret-two").await).await;
        fs::remove_file(site.dir().join("token")).unwrap();
        rotate(&site, "key", "key-two");
        process.logged(SOON, &["Cannot read the header file", "last value", &path]).await;
        assert!(sends("key-two", "secret-two").await, "{protocol}");
        rotate(&site, "token", "secret-three");
        process.logged(SOON, &["readable again", &path]).await;
        assert!(sends("key-two", "secret-three").await, "{protocol}");
        let log = process.stop(SOON).await;
        assert!(!log.contains("secret-") && !log.contains("key-"), "{log}");
    }
}

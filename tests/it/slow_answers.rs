//! Slow answers: in Yellow an answer waits as the pressure says, so that who sends one request after
//! the other sends fewer; off by default.

use std::time::Duration;
use std::time::Instant;

use gophership_otlp::Signal;
use rustix::process::Signal as ProcessSignal;

use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::HttpClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::report;

const SOON: Duration = Duration::from_secs(20);

/// The queue of `backend` is as full as `filler` makes it, for the backend reads one request and hangs;
/// what comes over gRPC goes elsewhere at once, so nothing but the brake keeps its answer back.
const YAML: &str = r#"
sources:
  filler: { type: otlp, http: { listen: "$HTTP" }, ack: received, patience: 300s, answer_within: 310s }
  otlp: { type: otlp, grpc: { listen: "$GRPC" } }
sinks:
  backend:
    type: otlp
    inputs: [filler]
    endpoint: "http://$BACKEND"
    timeout: 300s
    concurrency: 1
    buffer: { batches: 100 }
  hole: { type: blackhole, inputs: [otlp] }
somatic:
  slow_answers: { max: $MAX }
  watermarks: { recover: 1%, yellow: 20%, red: 80% }
shutdown: { grace: 2s }
"#;

struct Scene {
    _backend: Backend,
    site: Site,
    process: Process,
    client: GrpcClient,
    traffic: Traffic,
}

impl Scene {
    async fn new(max: &str) -> Self {
        let backend = Backend::start().await;
        backend.set(Mode::Hang);
        let site = Site::new(backend.address(), &YAML.replace("$MAX", max));
        let process = site.start().await;
        let client = GrpcClient::new(site.grpc());
        Self { _backend: backend, site, process, client, traffic: Traffic::default() }
    }

    /// Sends one request, and returns how long its answer took.
    async fn send(&self) -> Duration {
        let begun = Instant::now();
        self.client.send(&self.traffic.request(Signal::Logs, 1)).await.unwrap();
        begun.elapsed()
    }

    /// Fills the queue to so many percent; returns the zone that follows.
    async fn fill(&self, percent: i64) -> i64 {
        self.process.hold("green");
        let filler = HttpClient::new(self.site.http());
        let waiting =
            |metrics: &Metrics| metrics.sum("gophership_edge_batches", &[("component", "backend")]);
        while waiting(&self.process.metrics().await) < percent {
            let kind = [("content-type", "application/x-protobuf")];
            let parcel = self.traffic.request(Signal::Logs, 1);
            assert_eq!(filler.post("/v1/logs", &kind, parcel.wire).await.status, 200);
        }
        self.process.hold("auto");
        self.process.metrics().await.zone()
    }

    /// Answers of one client that sends one request after the other, in a second.
    async fn rate(&self) -> u32 {
        let until = Instant::now() + Duration::from_secs(1);
        let mut answers = 0;
        while Instant::now() < until {
            self.send().await;
            answers += 1;
        }
        answers
    }
}

/// Scenario: the queue is filled step by step with slow answers on; at last the zone is red.
/// Guarantees: in green nobody waits; in yellow an answer waits as long as the pressure says, and never
/// much longer than the limit; in red, without a vault that fills up, nobody waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_wait_as_the_pressure_says_and_no_longer_than_they_may() {
    let scene = Scene::new("800ms").await;
    let max = Duration::from_millis(800);
    for (percent, zone, share) in [(10, 0, 0.0), (35, 1, 0.25), (65, 1, 0.75), (80, 2, 0.0)] {
        assert_eq!(scene.fill(percent).await, zone, "at {percent}%");
        // The shortest of some: what a busy machine adds is not ours.
        let mut shortest = Duration::MAX;
        for _ in 0..4 {
            shortest = shortest.min(scene.send().await);
        }
        report(&format!("queue {percent}% full: an answer takes {shortest:?}"));
        let expected = max.mul_f64(share);
        assert!(expected <= shortest, "at {percent}%: {shortest:?} and not {expected:?}");
        assert!(shortest < expected + max / 5, "at {percent}%: {shortest:?}");
    }
}

/// Scenario: one client sends one request after the other in yellow, with slow answers off, as they
/// are by default, then on after a reload, then off again.
/// Guarantees: with it the client offers as few requests as the wait says, without it as many as ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_answers_sends_fewer_and_nobody_waits_by_default() {
    let scene = Scene::new("0s").await;
    assert_eq!(scene.fill(50).await, 1);
    let before = scene.rate().await;
    let reload = async |max: &str, times| {
        scene.site.configure(&YAML.replace("$MAX", max));
        scene.process.signal(ProcessSignal::HUP);
        let is_reloaded = |metrics: &Metrics| {
            metrics.sum("gophership_config_reloads_total", &[("result", "ok")]) == times
        };
        scene.process.measured(SOON, "it is reloaded", is_reloaded).await;
        scene.fill(50).await;
    };
    reload("200ms", 1).await;
    let slow = scene.rate().await;
    reload("0s", 2).await;
    let after = scene.rate().await;
    report(&format!("answers in a second in yellow: off {before}, on {slow}, off {after}"));
    assert!((1..=11).contains(&slow), "100 ms each: {slow}");
    assert!(20 < before.min(after), "{before}, {after}");
}

/// Scenario: the process is stopped while an answer waits for two seconds.
/// Guarantees: it does not wait any longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stops_keeps_no_answer_back() {
    let mut scene = Scene::new("2500ms").await;
    assert_eq!(scene.fill(78).await, 1);
    let client = GrpcClient::new(scene.site.grpc());
    let parcel = scene.traffic.request(Signal::Logs, 1);
    let sent = tokio::spawn(async move {
        let begun = Instant::now();
        (client.send(&parcel).await.is_ok(), begun.elapsed())
    });
    let is_taken = |metrics: &Metrics| metrics.books("logs").count("delivered") == 1;
    scene.process.measured(SOON, "it is taken", is_taken).await;
    let stopped = Instant::now();
    scene.process.signal(ProcessSignal::TERM);
    let (is_answered, took) = sent.await.unwrap();
    assert!(is_answered);
    assert!(stopped.elapsed() < Duration::from_millis(900), "{took:?}, {:?}", stopped.elapsed());
    scene.process.exit(SOON).await;
}

//! `SIGTERM`: nothing new, everything answered for, in time.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use gophership_otlp::Signal;
use rustix::process::Signal as ProcessSignal;

use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::Oracle;
use crate::harness::Shape;
use crate::harness::Site;
use crate::harness::SteadyLoad;
use crate::harness::Traffic;
use crate::harness::eventually;

const SOON: Duration = Duration::from_secs(15);
const GRACE: Duration = Duration::from_secs(3);
/// A sink that does not end has a second more, and a busy machine takes its time.
const A_LITTLE: Duration = Duration::from_secs(4);

const YAML: &str = r#"
shutdown: { grace: 3s }
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, ack: $ACK, patience: 300ms, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend:
    type: otlp
    inputs: [otlp, replay]
    endpoint: "http://$BACKEND"
    retry: { min: 20ms, max: 200ms }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

/// Stops a process under load and starts the next one on what it left.
async fn stops_without_loss(ack: &str, mode: Mode) {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), &YAML.replace("$ACK", ack));
    let mut process = site.start().await;
    let (traffic, oracle) = (Arc::<Traffic>::default(), Arc::<Oracle>::default());
    let load = SteadyLoad::start(site.grpc(), Shape::default(), &traffic, &oracle);
    load.advance(30, SOON).await;
    backend.set(mode);
    load.advance(10, SOON).await;

    let begun = Instant::now();
    let log = process.stop(GRACE + A_LITTLE).await;
    let took = begun.elapsed();
    load.stop().await;
    assert!(took < GRACE + A_LITTLE, "{took:?}");
    assert!(log.contains("GopherShip is stopping."), "{log}");
    for signal in Signal::ALL {
        let line = log.lines().find(|line| line.contains(&format!("signal=\"{signal}\"")));
        let line = line.unwrap_or_else(|| panic!("no ledger of {signal} in\n{log}"));
        assert!(line.contains(" received=") && line.contains("imbalance=0"), "{line}");
    }
    if mode == Mode::Accept && ack == "delivered" {
        oracle.audit(&backend).assert_kept(&"with a healthy backend nothing waits for a restart");
    }

    backend.set(Mode::Accept);
    let _next = site.start().await;
    let audit = oracle.settle(&backend, SOON).await;
    audit.assert_kept(&format!("{ack}, {mode:?}"));
    assert!(audit.acknowledged >= 40, "{audit:?}");
}

/// Scenario: `SIGTERM` under load, every backend well.
/// Guarantees: exit 0 in time; every acknowledged record is delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stops_under_load() {
    stops_without_loss("delivered", Mode::Accept).await;
}

/// Scenario: `SIGTERM` under load while the backend hangs.
/// Guarantees: exit 0 in time; every acknowledged record is delivered or replayed at the next start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stops_in_time_when_the_backend_hangs() {
    stops_without_loss("delivered", Mode::Hang).await;
}

/// Scenario: the same with `ack: received`, where acknowledged requests are in memory only.
/// Guarantees: they are delivered before the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn received_requests_are_seen_through_before_the_end() {
    stops_without_loss("received", Mode::Accept).await;
}

/// Scenario: `ack: received` and a backend that hangs.
/// Guarantees: what is in memory goes to the vault before the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn received_requests_go_to_the_vault_when_the_backend_hangs() {
    stops_without_loss("received", Mode::Hang).await;
}

/// Scenario: `ack: journaled`, every backend well.
/// Guarantees: what is not delivered yet stays in the vault and is replayed at the next start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn journaled_requests_survive_a_stop() {
    stops_without_loss("journaled", Mode::Accept).await;
}

/// Scenario: `ack: journaled` and a backend that hangs.
/// Guarantees: exit 0 in time, nothing lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn journaled_requests_survive_a_stop_when_the_backend_hangs() {
    stops_without_loss("journaled", Mode::Hang).await;
}

/// Scenario: a backend that hangs, a source with a patience of half a minute, 12 MiB of requests that
/// wait for it; then `SIGTERM`.
/// Guarantees: the vault takes them at once, their clients have their OK, the process ends long before
/// its grace is over, and the next one delivers them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_memory_is_spilled_when_it_stops() {
    let backend = Backend::start().await;
    backend.set(Mode::Hang);
    let yaml = YAML.replace("$ACK", "delivered, answer_within: 40s").replace("300ms", "30s");
    let site = Site::new(backend.address(), &yaml.replace("grace: 3s", "grace: 30s"));
    let mut process = site.start().await;
    let (traffic, oracle) = (Arc::<Traffic>::default(), Arc::<Oracle>::default());
    let mut clients = Vec::new();
    for _ in 0..48 {
        let (client, oracle) = (GrpcClient::new(site.grpc()), Arc::clone(&oracle));
        let parcel = traffic.padded(Signal::Logs, 4, 64 << 10);
        oracle.sends(&parcel);
        clients.push(tokio::spawn(async move {
            client.send(&parcel).await.unwrap();
            oracle.acknowledged(&parcel);
        }));
    }
    // Most of them are still in memory: that the backend hangs is not known at once.
    let all_came = |metrics: &Metrics| metrics.books("logs").count("received") == 48 * 4;
    process.measured(SOON, "all of them came", all_came).await;
    let begun = Instant::now();
    process.stop(SOON).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    for client in clients {
        client.await.unwrap();
    }
    backend.set(Mode::Accept);
    let _next = site.start().await;
    let audit = oracle.settle(&backend, SOON).await;
    audit.assert_kept(&"spilled");
    assert_eq!(audit.acknowledged, 48);
}

/// Scenario: a request that cannot be answered holds the process up, and a second signal comes.
/// Guarantees: the process ends at once, with the exit code of a process that was terminated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_it_at_once() {
    let backend = Backend::start().await;
    backend.set(Mode::Hang);
    let yaml = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" } }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
"#;
    for signal in [ProcessSignal::TERM, ProcessSignal::INT] {
        let site = Site::new(backend.address(), yaml);
        let mut process = site.start().await;
        let attempts = backend.attempts();
        let client = GrpcClient::new(site.grpc());
        let held =
            tokio::spawn(
                async move { client.send(&Traffic::default().request(Signal::Logs, 1)).await },
            );
        eventually(SOON, "the backend has the request", || backend.attempts() > attempts).await;
        process.signal(ProcessSignal::TERM);
        process.logged(SOON, &["GopherShip is stopping."]).await;
        assert!(!process.has_ended());
        process.signal(signal);
        let status = process.exit(Duration::from_secs(2)).await;
        assert_eq!(status.code(), Some(143), "{status}");
        assert!(held.await.unwrap().is_err(), "what was not delivered was not acknowledged");
    }
}

/// Scenario: a process that is stopping is asked by a new client.
/// Guarantees: `/readyz` says no or nobody listens; a request is refused, never lost after an OK.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stops_takes_nothing_new() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), &YAML.replace("$ACK", "delivered"));
    let mut process = site.start().await;
    process.stop(SOON).await;
    let parcel = Traffic::default().request(Signal::Logs, 1);
    assert!(GrpcClient::new(site.grpc()).send(&parcel).await.is_err());
    assert!(!site.socket().exists(), "its socket is gone");
}

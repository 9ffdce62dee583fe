//! A want of memory turns the zone by itself: Yellow sheds what is optional, Red sends to the vault and
//! pauses replay, whichever share is short; and all of it comes back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gophership_otlp::Signal;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::Oracle;
use crate::harness::Process;
use crate::harness::Shape;
use crate::harness::Site;
use crate::harness::SteadyLoad;
use crate::harness::Traffic;
use crate::harness::eventually_async;

const SOON: Duration = Duration::from_secs(20);
const MIB: usize = 1 << 20;

/// The share of requests is 8 MiB; the marks of memory are 70% and 85%. The replay sends ten records
/// in a second, so that there is something left of it.
const YAML: &str = r#"
sources:
  otlp:
    type: otlp
    grpc: { listen: "$GRPC" }
    http: { listen: "$HTTP" }
    read_idle_timeout: 60s
    message_size_max: 7MiB
    pivot: vault
  replay: { type: vault_replay, vault: vault, rate: 10 }
transforms:
  optional: { type: enrich, inputs: [otlp], resource: { test.optional: "yes" }, shed_in: yellow }
sinks:
  backend: { type: otlp, inputs: [optional, replay], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
somatic: { dwell: 100ms, memory: { budget: 32MiB, shares: { ingest: 25% } } }
"#;

/// A request of which all bytes were announced and only the head was sent: it holds its room.
async fn hold_room(address: SocketAddr, bytes: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nHost: test\r\nContent-Type: application/x-protobuf\r\n\
         Content-Length: {bytes}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![0; bytes - 1]).await.unwrap();
    stream
}

async fn zone_becomes(process: &Process, zone: i64) {
    let what = format!("the zone is {zone}");
    process.measured(SOON, &what, |metrics: &Metrics| metrics.zone() == zone).await;
}

/// Sends until a request is enriched on its way: what is sent before the zone has fallen is not, and
/// what replay delivers meanwhile is not either.
async fn becomes_whole(client: &GrpcClient, traffic: &Traffic, backend: &Backend) {
    eventually_async(SOON, "the pipeline is whole", async || {
        client.send(&traffic.request(Signal::Logs, 1)).await.unwrap();
        is_enriched(backend)
    })
    .await;
}

/// Whether the last request that the backend has was enriched on its way.
fn is_enriched(backend: &Backend) -> bool {
    let marker = b"test.optional";
    backend.last().windows(marker.len()).any(|window| window == marker)
}

/// Scenario: half-sent requests fill the share of requests to 75%, then to 87%, then go away, while
/// the vault has something to replay.
/// Guarantees: Yellow leaves out what may be left out; Red sends the next request to the vault and
/// replays nothing; afterwards the pipeline is whole and the vault is emptied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_that_is_short_sheds_then_pivots_then_lets_go() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), YAML);
    let process = site.start().await;
    let client = GrpcClient::new(site.grpc());
    let traffic = Traffic::default();
    process.hold("red");
    for _ in 0..40 {
        client.send(&traffic.request(Signal::Traces, 2)).await.unwrap();
    }
    process.hold("auto");
    becomes_whole(&client, &traffic, &backend).await;

    let process_share = [("kind", "host"), ("place", "process")];
    let share = process.metrics().await.pressure(&process_share);
    assert!((0.001..0.5).contains(&share), "of what the configuration allows it: {share}");

    let some = hold_room(site.http(), 6 * MIB).await;
    zone_becomes(&process, 1).await;
    process.logged(SOON, &["to=yellow", "the memory share of ingest is"]).await;
    let parcel = traffic.request(Signal::Logs, 1);
    client.send(&parcel).await.unwrap();
    let records = backend.records(Signal::Logs);
    assert!(parcel.numbers.iter().all(|number| records.contains_key(number)), "delivered");
    // What was delivered as it was sent was not enriched.
    assert_eq!(backend.has(&parcel.fingerprint), 1);

    let more = hold_room(site.http(), MIB).await;
    zone_becomes(&process, 2).await;
    process.logged(SOON, &["to=red", "the memory share of ingest is"]).await;
    let parcel = traffic.request(Signal::Logs, 1);
    client.send(&parcel).await.unwrap();
    assert_eq!(backend.has(&parcel.fingerprint), 0);
    let diverted = [("cause", "diverted")];
    let metrics = process.metrics().await;
    assert_eq!(metrics.sum("gophership_somatic_pivots_total", &diverted), 41);
    // What was on its way when Red began may still arrive.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let replayed = backend.requests();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(backend.requests(), replayed, "replay pauses");

    drop((some, more));
    zone_becomes(&process, 0).await;
    let is_empty = |metrics: &Metrics| metrics.sum("gophership_vault_backlog_requests", &[]) == 0;
    process.measured(SOON, "the vault is empty", is_empty).await;
    assert_eq!(backend.has(&parcel.fingerprint), 1);
    becomes_whole(&client, &traffic, &backend).await;
}

/// Scenario: the same with a queue that is short instead: a backend that hangs behind a small part of
/// the share of queues.
/// Guarantees: it turns the zone by itself, the vault takes over, and all of it is delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_without_its_part_of_the_budget_turns_the_zone_too() {
    let backend = Backend::start().await;
    let yaml = YAML.replace("ingest: 25%", "ingest: 40%, edges: 4%");
    let yaml = yaml.replace("rate: 10", "rate: auto").replace(", shed_in: yellow", "");
    // Nothing alters what the oracle compares.
    let yaml = yaml.replace("inputs: [optional, replay]", "inputs: [otlp, replay]");
    let (before, after) = (yaml.find("transforms:").unwrap(), yaml.find("sinks:").unwrap());
    let yaml = [yaml.get(..before).unwrap(), yaml.get(after..).unwrap()].concat();
    let site = Site::new(backend.address(), &yaml);
    let process = site.start().await;
    backend.set(Mode::Hang);
    let traffic = Arc::new(Traffic::default());
    let oracle = Arc::new(Oracle::default());
    // 64 senders of 50 KB: more than the 1.28 MB of both queues, and more than the sink has under way.
    let shape = Shape { clients: 64, records: 1, padding: 50_000 };
    let load = SteadyLoad::start(site.grpc(), shape, &traffic, &oracle);
    process.logged(SOON, &["to=red", "the edge of"]).await;
    load.advance(20, SOON).await;
    backend.set(Mode::Accept);
    assert!(load.stop().await.refusals.is_empty());
    oracle.settle(&backend, SOON).await.assert_kept(&"after the queue was short");
    zone_becomes(&process, 0).await;
}

/// Scenario: a share fills up until Red begins; afterwards the file of the flight recorder is read.
/// Guarantees: each line says when, and in percent what was sensed; the share is seen to rise from line
/// to line, the last line is the moment of Red.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sensed_before_red_is_written_down() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), YAML);
    let process = site.start().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let some = hold_room(site.http(), 6 * MIB).await;
    zone_becomes(&process, 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let more = hold_room(site.http(), MIB).await;
    process.logged(SOON, &["Saved the sensor readings before the zone turned red"]).await;
    drop((some, more));

    let files = std::fs::read_dir(site.dir().join("data/flight")).unwrap();
    let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    let text = std::fs::read_to_string(file).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let share = |line: &serde_json::Value| line["memory"].as_f64().unwrap();
    let [first, .., last] = &lines[..] else { panic!("{text}") };
    assert_eq!((&first["sensed"], &last["sensed"]), (&"green".into(), &"red".into()));
    assert!(share(first) < 10.0 && 85.0 <= share(last), "{text}");
    let between = |line: &serde_json::Value| (70.0..85.0).contains(&share(line));
    assert!(lines.iter().any(between), "{text}");
    let at = |line: &serde_json::Value| line["unix_ms"].as_u64().unwrap();
    assert!(lines.is_sorted_by_key(at), "{text}");
}

/// Scenario: the same pressure while the controller only observes.
/// Guarantees: log and metrics say what the zone would be; it stays green, what is optional is done, and
/// the request is delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_observes_tells_and_changes_nothing() {
    let backend = Backend::start().await;
    let yaml = YAML.replace("somatic: {", "somatic: { mode: observe,");
    let site = Site::new(backend.address(), &yaml);
    let process = site.start().await;
    let held = [hold_room(site.http(), 6 * MIB).await, hold_room(site.http(), MIB).await];
    process.logged(SOON, &["Zone would change", "to=red", "the memory share of ingest is"]).await;
    let parcel = Traffic::default().request(Signal::Logs, 1);
    GrpcClient::new(site.grpc()).send(&parcel).await.unwrap();
    assert!(is_enriched(&backend));
    let metrics = process.metrics().await;
    assert_eq!(metrics.zone(), 0);
    assert_eq!(metrics.sum("gophership_somatic_pivots_total", &[]), 0);
    drop(held);
    process.logged(SOON, &["Zone would change", "to=green"]).await;
}

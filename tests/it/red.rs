//! Red and Yellow: the operator's switch, the vault, and the way back.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gophership_otlp::Signal;
use serde_json::Value;

use crate::harness::Backend;
use crate::harness::Books;
use crate::harness::GrpcClient;
use crate::harness::HttpClient;
use crate::harness::Oracle;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually;

const SOON: Duration = Duration::from_secs(10);

const REPLAYED: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, http: { listen: "$HTTP" }, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

const NOT_REPLAYED: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB, replay: off }
"#;

const OPTIONAL_WORK: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault }
transforms:
  optional:
    type: enrich
    inputs: [otlp]
    resource: { test.optional: "yes" }
    shed_in: yellow
  needed:
    type: filter
    inputs: [optional]
    drop: [{ attribute: test.parity, equals: odd }]
sinks:
  backend: { type: otlp, inputs: [needed], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

/// Scenario: requests of all signals over both protocols while an operator holds Red; then `auto`.
/// Guarantees: the client has OK each time and the backend nothing; afterwards the backend has every
/// request once, byte for byte, and the books say where the records were.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn red_keeps_the_bytes_and_replay_gives_them_back_identical() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), REPLAYED);
    let process = site.start().await;
    let (grpc, http) = (GrpcClient::new(site.grpc()), HttpClient::new(site.http()));
    let (traffic, oracle) = (Traffic::default(), Arc::new(Oracle::default()));

    process.hold("red");
    for round in 0..60_usize {
        let parcel = traffic.padded(Signal::ALL[round % 3], 5, round * 40);
        oracle.sends(&parcel);
        if round % 2 == 0 {
            grpc.send(&parcel).await.unwrap();
        } else {
            let kind = [("content-type", "application/x-protobuf")];
            let answer = http.post(parcel.signal.http_path(), &kind, parcel.wire.clone()).await;
            assert_eq!(answer.status, 200);
        }
        oracle.acknowledged(&parcel);
    }
    let metrics = process.metrics().await;
    assert_eq!(backend.attempts(), 0);
    assert_eq!(metrics.zone(), 2);
    assert_eq!(metrics.sum("gophership_somatic_pivots_total", &[("cause", "diverted")]), 60);
    for signal in Signal::ALL {
        let expected = Books::of(&[("received", 100), ("vaulted", 100)]);
        assert_eq!(metrics.books(signal.name()), expected);
    }

    process.hold("auto");
    let audit = oracle.settle(&backend, SOON).await;
    audit.assert_kept(&"after replay");
    assert_eq!((audit.acknowledged, audit.duplicates), (60, 0));
    let expected = Books::of(&[("received", 100), ("delivered", 100)]);
    for signal in Signal::ALL {
        process.books_become(signal, &expected, "replayed").await;
    }
    let metrics = process.metrics().await;
    assert_eq!(metrics.sum("gophership_vault_replayed_total", &[]), 60);
    assert_eq!(metrics.zone(), 0);
}

/// Scenario: the zone is switched between Red and Green before each single request.
/// Guarantees: the very next request follows, every time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_override_is_in_force_with_the_very_next_request() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), NOT_REPLAYED);
    let process = site.start().await;
    let client = GrpcClient::new(site.grpc());
    let traffic = Traffic::default();
    for round in 1..=15 {
        process.hold("red");
        let kept = traffic.request(Signal::Logs, 1);
        client.send(&kept).await.unwrap();
        process.hold("green");
        let delivered = traffic.request(Signal::Logs, 1);
        client.send(&delivered).await.unwrap();
        assert_eq!(backend.has(&kept.fingerprint), 0);
        assert_eq!(backend.has(&delivered.fingerprint), 1);
        let metrics = process.metrics().await;
        assert_eq!(metrics.sum("gophership_somatic_pivots_total", &[]), round);
        let expected =
            Books::of(&[("received", 2 * round), ("delivered", round), ("vaulted", round)]);
        assert_eq!(metrics.books("logs"), expected);
    }
}

/// Scenario: eight senders send all the time while the zone is switched between Red and Green.
/// Guarantees: no request that begins after the switch to Red has returned comes to the backend before the switch back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_comes_after_an_override_under_load_passes_an_edge() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), NOT_REPLAYED);
    let process = site.start().await;
    let (is_red, is_over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (traffic, kept) = (Arc::new(Traffic::default()), Arc::new(Mutex::new(Vec::new())));
    let senders: Vec<_> = (0..8)
        .map(|_| {
            let client = GrpcClient::new(site.grpc());
            let (is_red, is_over) = (Arc::clone(&is_red), Arc::clone(&is_over));
            let (traffic, kept) = (Arc::clone(&traffic), Arc::clone(&kept));
            tokio::spawn(async move {
                while !is_over.load(Ordering::SeqCst) {
                    let request = traffic.request(Signal::Logs, 3);
                    let begins_in_red = is_red.load(Ordering::SeqCst);
                    client.send(&request).await.unwrap();
                    // One that was on its way while Red ended may have passed.
                    if begins_in_red && is_red.load(Ordering::SeqCst) {
                        kept.lock().unwrap().push(request.fingerprint);
                    }
                }
            })
        })
        .collect();
    let kept_so_far = || kept.lock().unwrap().len();
    for _ in 0..10 {
        let passed = backend.requests();
        eventually(SOON, "requests pass in Green", || passed + 20 < backend.requests()).await;
        process.hold("red");
        is_red.store(true, Ordering::SeqCst);
        let before = kept_so_far();
        eventually(SOON, "requests are kept in Red", || before + 20 < kept_so_far()).await;
        is_red.store(false, Ordering::SeqCst);
        process.hold("green");
    }
    is_over.store(true, Ordering::SeqCst);
    for sender in senders {
        sender.await.unwrap();
    }
    let kept = kept.lock().unwrap();
    let found = kept.iter().filter(|fingerprint| backend.has(fingerprint) != 0).count();
    assert_eq!(found, 0, "of {} requests in Red", kept.len());
}

/// Scenario: a transform marked `shed_in: yellow` in front of one that is not, in each zone.
/// Guarantees: Yellow leaves out the marked one alone; Green brings it back. The log names it both times,
/// a gauge shows it, and the records that pass it by are counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn yellow_leaves_out_what_is_marked_and_nothing_else() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), OPTIONAL_WORK);
    let process = site.start().await;
    let client = GrpcClient::new(site.grpc());
    let traffic = Traffic::default();
    for (zone, is_enriched) in [("green", true), ("yellow", false), ("auto", true)] {
        process.hold(zone);
        let parcel = traffic.request(Signal::Logs, 6);
        client.send(&parcel).await.unwrap();
        let arrived = backend.last();
        let marker = b"test.optional";
        let has_marker = arrived.windows(marker.len()).any(|window| window == marker);
        assert_eq!(has_marker, is_enriched, "in {zone}");
        let metrics = process.metrics().await;
        let of_it = [("transform", "optional")];
        let is_shed = metrics.sum("gophership_transform_shed", &of_it);
        assert_eq!(is_shed == 1, zone == "yellow", "in {zone}");
        let passed_by = metrics.sum("gophership_transform_shed_records_total", &of_it);
        assert_eq!(passed_by, if zone == "green" { 0 } else { 6 }, "in {zone}");
        let records = backend.records(Signal::Logs);
        for number in &parcel.numbers {
            assert_eq!(records.contains_key(number), number % 2 == 0, "in {zone}");
        }
    }
    for words in ["Skipping optional transforms", "Optional transforms run again"] {
        process.logged(SOON, &[words, "transforms=\"optional\""]).await;
    }
}

fn status(process: &Process, format: &str) -> String {
    let output = process.control(&["status", "--output", format]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Scenario: `gs-ctl status` in each format while Red is held over a vault with content.
/// Guarantees: all say the same, and what is true.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_says_the_same_in_every_format() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), NOT_REPLAYED);
    let process = site.start().await;
    process.hold("red");
    let client = GrpcClient::new(site.grpc());
    client.send(&Traffic::default().request(Signal::Metrics, 9)).await.unwrap();

    let json: Value = serde_json::from_str(&status(&process, "json")).unwrap();
    assert_eq!(json["zone"], "red");
    assert_eq!(json["held"], "red");
    assert_eq!(json["zone_reason"], "operator override");
    assert_eq!(json["generation"], 1);
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    let components = json["components"].as_array().unwrap();
    let named = |id: &str| components.iter().find(|component| component["id"] == id).unwrap();
    assert_eq!(components.len(), 3);
    assert_eq!(named("otlp")["section"], "source");
    assert_eq!(named("vault")["type"], "raw_vault");
    assert_eq!(named("backend")["edge"]["batches"], 0);
    assert_eq!(json["ledger"]["metrics"]["received"], 9);
    assert_eq!(json["ledger"]["metrics"]["vaulted"], 9);
    assert_eq!(json["vaults"][0]["id"], "vault");
    assert_eq!(json["vaults"][0]["failed"], false);

    let yaml: Value = serde_yaml::from_str(&status(&process, "yaml")).unwrap();
    for key in ["zone", "held", "zone_reason", "generation", "version", "components", "ledger"] {
        assert_eq!(yaml[key], json[key], "{key}");
    }
    let table = status(&process, "table");
    for words in [
        "zone red for",
        "operator override, held at red by override",
        "configuration generation 1",
        "COMPONENT",
        "raw_vault",
        "vaulted",
    ] {
        assert!(table.contains(words), "{words:?} is not in\n{table}");
    }
    assert!(table.is_ascii() && table.lines().all(|line| line == line.trim_end()), "{table}");
}

/// Scenario: a process of before has left 20 flight records, and the zone turns red.
/// Guarantees: the newest 16 are left, and the new one is among them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_flight_records_are_kept() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), NOT_REPLAYED);
    let flights = site.dir().join("data/flight");
    std::fs::create_dir_all(&flights).unwrap();
    for unix_ms in 1..=20 {
        std::fs::write(flights.join(format!("red-{unix_ms:013}.jsonl")), "{}\n").unwrap();
    }
    let process = site.start().await;
    process.hold("red");
    process.logged(SOON, &["Saved the sensor readings before the zone turned red."]).await;
    let files = std::fs::read_dir(&flights).unwrap();
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names.len(), 16, "{names:?}");
    assert_eq!(names[0], "red-0000000000006.jsonl");
    let newest = names[15].to_str().unwrap();
    assert!(newest > "red-0000000000020.jsonl", "{newest}");
}

/// Scenario: `gs-ctl` with a socket that is not there, and with words it does not know.
/// Guarantees: an exit code of sysexits and one line that says what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gs_ctl_says_what_is_wrong() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), NOT_REPLAYED);
    let mut process = site.start().await;
    let output = process.control(&["override", "--zone", "blue"]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    process.stop(SOON).await;
    let output = process.control(&["status"]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("error: cannot reach GopherShip on "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

//! Requests of few bytes and extreme shape: what transforms and sinks take for them stays within the
//! budget, in Green and out of the vault.

use super::SOON;
use super::Scene;
use crate::harness::HttpClient;
use crate::harness::gzip;
use crate::harness::shapes;

/// The budget of 32 MiB, and what the allocator keeps beside.
const TAKEN_MAX: u64 = (32 + 16) << 20;
const RECORDS: usize = 400_000;

/// The door's own limits are out of the way: a vault may hold requests from when they were others.
const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: own }
  own_replay: { type: vault_replay, vault: own }
  bombs:
    type: otlp
    http: { listen: "$HTTP" }
    pivot: vault
    records_max: 1000000000
    resources_max: 1000000000
    compression_ratio_max: 1000000
  replay: { type: vault_replay, vault: vault }
transforms:
$TRANSFORMS
sinks:
  backend: { type: otlp, inputs: [otlp, own_replay], endpoint: "http://$BACKEND" }
  own: { type: raw_vault, staging: 2MiB }
  vault: { type: raw_vault, staging: 2MiB }
$SINK
somatic: { memory: { budget: 32MiB, shares: { vault: 20% } } }
"#;

const BLACKHOLE: &str = "  hole: { type: blackhole, inputs: [$INPUT] }";
const FILE: &str = "  file: { type: file, inputs: [$INPUT], path: \"$DIR/out/{signal}.jsonl\" }";

/// Transforms, the last of them named `last`, and the sink behind them.
const CASES: &[(&str, &str)] = &[
    (
        "  last: { type: enrich, inputs: [bombs, replay], resource: { a: b }, scope: { a: b }, \
         record: { a: b } }",
        BLACKHOLE,
    ),
    ("  last: { type: filter, inputs: [bombs, replay], drop: [{ attribute: a, exists: false }] }", BLACKHOLE),
    (
        "  sort:
    type: route
    inputs: [bombs, replay]
    routes:
      - { name: one, when: { attribute: a, exists: true } }
      - { name: two, when: { attribute: b, exists: true } }
  last: { type: filter, inputs: [sort.one, sort.two, sort.unmatched], drop: [{ attribute: c, exists: true }] }",
        BLACKHOLE,
    ),
    (
        "  last: { type: redact, inputs: [bombs, replay], patterns: [email, ipv4, card], keys: ['*'], \
         mask: '[gone]' }",
        BLACKHOLE,
    ),
    ("  last: { type: sample, inputs: [bombs, replay], rate: 0.5 }", BLACKHOLE),
    ("  last: { type: throttle, inputs: [bombs, replay], key: a, records: 1, burst: 10s }", BLACKHOLE),
    ("  last: { type: dedupe, inputs: [bombs, replay], window: 1h }", BLACKHOLE),
    ("  last: { type: batch, inputs: [bombs, replay], by: [a], timeout: 10ms }", BLACKHOLE),
    // The default chain.
    ("  last: { type: enrich, inputs: [bombs, replay], resource: { host.name: { set_if_absent: here } } }", FILE),
];

/// Forgets how much memory a process had in use at most.
fn forget_peak(pid: u32) {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
}

/// The most memory that a process had in use since then.
fn peak_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().split(' ').next().unwrap().parse::<u64>().unwrap() << 10
}

/// Scenario: each transform by itself, and the default chain, get requests of up to 2 MB that would make
/// a hundred times as much of lists; first in Green, then out of the vault; legitimate senders go on.
/// Guarantees: each request is answered, memory stays near the budget, the vault is emptied, and the
/// senders notice nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_made_of_a_request_stays_within_the_budget() {
    let shapes: Vec<_> = shapes(RECORDS)
        .into_iter()
        .map(|(name, signal, wire)| (name, signal, gzip(&wire)))
        .collect();
    for (case, (transforms, sink)) in CASES.iter().enumerate() {
        let yaml = YAML.replace("$TRANSFORMS", transforms);
        let yaml = yaml.replace("$SINK", &sink.replace("$INPUT", "last"));
        let scene = Scene::with(&yaml).await;
        let senders = scene.senders();
        senders.advance(20, SOON).await;
        let (client, pid) = (HttpClient::new(scene.site.http()), scene.process.id());
        let before = scene.resident_bytes();
        // What comes out of the vault goes the same way: for two of them that is enough.
        let zones = if sink == &BLACKHOLE && case > 0 { &[false][..] } else { &[false, true] };
        for is_red in zones {
            if *is_red {
                scene.process.hold("red");
            }
            for (name, signal, packed) in &shapes {
                forget_peak(pid);
                let headers =
                    [("content-type", "application/x-protobuf"), ("content-encoding", "gzip")];
                let answer = client.post(signal.http_path(), &headers, packed.clone()).await;
                let status = answer.status.as_u16();
                let context = format!("{name} in{transforms}, red: {is_red}: {status}");
                assert!(matches!(status, 200 | 400), "{context}: {:?}", answer.body);
                let taken = peak_bytes(pid).saturating_sub(before);
                assert!(taken <= TAKEN_MAX, "{context}: {} MiB", taken >> 20);
            }
        }
        forget_peak(pid);
        scene.process.hold("auto");
        let is_empty = |metrics: &crate::harness::Metrics| {
            metrics.sum("gophership_vault_backlog_requests", &[]) == 0
        };
        // A build without optimisation takes a minute for it on a busy machine.
        scene.process.measured(SOON * 9, "all is replayed or a dead letter", is_empty).await;
        let taken = peak_bytes(pid).saturating_sub(before);
        assert!(taken <= TAKEN_MAX, "out of the vault{transforms}: {} MiB", taken >> 20);
        scene.senders_are_well(senders).await;
    }
}

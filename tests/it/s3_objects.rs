//! The sink `s3` with inputs: what is acknowledged is in exactly one object, whatever happens.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use gophership_otlp::Signal;
use gophership_s3_sim::Fault;
use gophership_s3_sim::RequestKind;
use gophership_s3_sim::S3Server;
use gophership_s3_sim::Which;
use gophership_testbed::numbers;
use tempfile::TempDir;

use crate::harness::Backend;
use crate::harness::HttpClient;
use crate::harness::Metrics;
use crate::harness::Oracle;
use crate::harness::Shape;
use crate::harness::Site;
use crate::harness::SteadyLoad;
use crate::harness::Traffic;
use crate::harness::eventually;
use crate::harness::report;
use crate::harness::seed;

const BUCKET: &str = "lake";
const UPLOADED_WITHIN: Duration = Duration::from_mins(1);
const KILLS: u32 = 5;

const YAML: &str = r#"
sources:
  otlp:
    type: otlp
    grpc: { listen: "$GRPC" }
    http: { listen: "$HTTP" }
    ack: delivered
    pivot: off
sinks:
  lake:
    type: s3
    inputs: [otlp]
    bucket: { name: lake, path_style: true, attempt_timeout: 2s }
    prefix: telemetry
    node: node-1
    concurrency: 2
    retry: { min: 10ms, max: 100ms }
    objects: { max_bytes: 1MiB, max_age: 300ms, spool_max_size: $SPOOL, $MORE }
"#;

/// A bucket, and a site that writes to it.
struct Lake {
    server: S3Server,
    site: Site,
    _dir: TempDir,
}

impl Lake {
    async fn new(spool: &str, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = S3Server::start(dir.path()).unwrap();
        server.create_bucket(BUCKET).unwrap();
        let yaml = YAML.replace("$SPOOL", spool).replace("$MORE", more);
        let mut site = Site::new(Backend::start().await.address(), &yaml);
        site.env = server.environment();
        Self { server, site, _dir: dir }
    }

    /// The objects, without those files that the server keeps for itself.
    fn keys(&self) -> Vec<String> {
        let objects = self.server.objects(BUCKET).unwrap();
        objects.into_keys().filter(|key| !key.contains("/.") && !key.starts_with('.')).collect()
    }

    /// Every object, unpacked.
    fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let unpacked = |key: String| {
            let packed = fs::File::open(self.server.object_path(BUCKET, &key)).unwrap();
            let mut bytes = Vec::new();
            if Path::new(&key).extension().is_some_and(|end| end == "gz") {
                flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
            } else {
                zstd::Decoder::new(packed).unwrap().read_to_end(&mut bytes).unwrap();
            }
            (key, bytes)
        };
        self.keys().into_iter().map(unpacked).collect()
    }

    /// How often each record is in the bucket.
    fn counts(&self) -> BTreeMap<u64, u32> {
        let mut counts = BTreeMap::new();
        for (key, bytes) in self.objects() {
            let name = key.rsplit('/').next().unwrap().split('-').next().unwrap();
            let signal = Signal::ALL.into_iter().find(|signal| signal.name() == name).unwrap();
            for wire in requests(&bytes) {
                let found = numbers(signal, wire);
                for number in found.unwrap_or_else(|| panic!("{key} has something else")) {
                    *counts.entry(number).or_default() += 1;
                }
            }
        }
        counts
    }
}

impl Lake {
    /// Waits until everything is uploaded, and checks that all that was acknowledged is there, and nothing
    /// twice.
    async fn assert_exactly_once(&self, oracle: &Oracle, context: &str) {
        let acknowledged = oracle.acknowledged_records();
        let all_are_there = || {
            let counts = self.counts();
            acknowledged.iter().all(|number| counts.contains_key(number))
        };
        let what = format!("{context}: all that was acknowledged is in the bucket");
        eventually(UPLOADED_WITHIN, &what, all_are_there).await;
        let counts = self.counts();
        let twice: Vec<_> = counts.iter().filter(|(_, count)| 1 < **count).collect();
        assert!(twice.is_empty(), "{context}: in several objects: {twice:?}");
    }
}

/// The requests of an object of OTLP protobuf.
fn requests(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (mut len, mut shift) = (0, 0);
        loop {
            let (byte, rest) = bytes.split_first().unwrap();
            bytes = rest;
            len |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (request, rest) = bytes.split_at(len);
        found.push(request);
        bytes = rest;
    }
    found
}

/// Scenario: twelve clients send; the process is killed at random moments, also while it uploads; half of the
/// time the bucket fails meanwhile.
/// Guarantees: every acknowledged record is in exactly one object after the last start; what nobody
/// acknowledged is in one at most for each time it was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_nothing_acknowledged_and_repeat_nothing() {
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    let lake = Lake::new("128MiB", "").await;
    let (traffic, oracle) = (Arc::new(Traffic::default()), Arc::new(Oracle::default()));
    let mut process = lake.site.start().await;
    let mut acknowledged = 0;
    for kill in 0..KILLS {
        if random.bool() {
            lake.server.faults().next(Which::any(), 3, Fault::AnswerLost);
            lake.server.faults().next(Which::any(), 3, Fault::SLOW_DOWN);
        }
        let shape = Shape { clients: 12, records: 5, padding: 200 };
        let load = SteadyLoad::start(lake.site.grpc(), shape, &traffic, &oracle);
        // From before the first object on, to well into the uploads.
        tokio::time::sleep(Duration::from_micros(random.u64(50_000..=1_500_000))).await;
        process.kill();
        acknowledged += load.stop().await.acknowledged;
        report(&format!("seed {seed}, kill {kill}: {acknowledged} requests acknowledged"));
        process = lake.site.start().await;
    }
    lake.server.faults().clear();
    lake.assert_exactly_once(&oracle, &format!("seed {seed}")).await;
    process.stop(Duration::from_secs(30)).await;
    assert!(0 < acknowledged);
}

/// The memory of a process, in KiB.
fn resident_kib(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Scenario: the bucket is out until the spool is full, for a while, and comes back.
/// Guarantees: the sink takes nothing more while the spool is full, its memory does not grow, and what it had
/// acknowledged is in the bucket afterwards, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_spool_refuses_and_loses_nothing() {
    let lake = Lake::new("68MiB", "").await;
    lake.server.faults().always(Which::any(), Fault::Close);
    let (traffic, oracle) = (Arc::new(Traffic::default()), Arc::new(Oracle::default()));
    let mut process = lake.site.start().await;
    let shape = Shape { clients: 6, records: 1, padding: 200_000 };
    let load = SteadyLoad::start(lake.site.grpc(), shape, &traffic, &oracle);
    load.advance(50, UPLOADED_WITHIN).await;
    let before = resident_kib(process.id());
    let mut last = 0;
    let mut same = 0;
    eventually(UPLOADED_WITHIN, "the spool is full", || {
        same = if load.acknowledged() == last { same + 1 } else { 0 };
        last = load.acknowledged();
        200 < same
    })
    .await;
    let after = resident_kib(process.id());
    assert!(after < before + 96 * 1024, "{before} KiB became {after} KiB");
    let metrics = process.metrics().await;
    assert_eq!(metrics.sum("gophership_s3_out", &[("sink", "lake")]), 1);
    assert!(20 < metrics.sum("gophership_s3_lag_segments", &[("sink", "lake")]));
    lake.server.faults().clear();
    load.advance(20, UPLOADED_WITHIN).await;
    load.stop().await;
    lake.assert_exactly_once(&oracle, "after the outage").await;
    process.stop(Duration::from_secs(30)).await;
}

/// Scenario: the process is stopped while the sink waits for the list of abandoned uploads, which it asks for at
/// its start.
/// Guarantees: what the stop seals is uploaded before the process ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_uploads_what_was_spooled_while_the_sink_waited_for_the_bucket() {
    let lake = Lake::new("128MiB", "").await;
    let text = fs::read_to_string(lake.site.config()).unwrap().replace("300ms", "1h");
    fs::write(lake.site.config(), text).unwrap();
    let slow = Fault::Delay(Duration::from_secs(1));
    lake.server.faults().always(RequestKind::ListUploads, slow);
    let mut process = lake.site.start().await;
    let headers = [("content-type", "application/json")];
    let answer = HttpClient::new(lake.site.http()).post("/v1/logs", &headers, TWO_SERVICES).await;
    assert_eq!(answer.status, 200);
    process.stop(Duration::from_secs(30)).await;
    assert_eq!(lake.keys().len(), 1);
}

/// A request of two services, as JSON.
const TWO_SERVICES: &str = r#"{"resourceLogs":[
{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
 "scopeLogs":[{"logRecords":[{"body":{"stringValue":"sold"}}]}]},
{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a/../b"}}]},
 "scopeLogs":[{"logRecords":[{"body":{"stringValue":"other"}}]}]}]}"#;

/// Scenario: one request with resources of two services; objects are lines of JSON, packed with gzip, in a
/// folder for each service.
/// Guarantees: each service's records are in its folder alone, under a safe name; a stop uploads what is
/// spooled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_by_attribute_have_their_records_and_a_stop_uploads_the_rest() {
    let more = r#"encoding: otlp_json, compression: gzip, partitions_max: 4, key: "{host}/{attr:service.name}/{signal}""#;
    let lake = Lake::new("128MiB", more).await;
    // Nothing gets old before the stop.
    let text = fs::read_to_string(lake.site.config()).unwrap().replace("300ms", "1h");
    fs::write(lake.site.config(), text).unwrap();
    let mut process = lake.site.start().await;
    let headers = [("content-type", "application/json")];
    let answer = HttpClient::new(lake.site.http()).post("/v1/logs", &headers, TWO_SERVICES).await;
    assert_eq!(answer.status, 200);
    assert_eq!(lake.keys(), Vec::<String>::new(), "it is spooled");
    process.stop(Duration::from_secs(30)).await;
    let objects = lake.objects();
    let of = |folder: &str| {
        let folder = format!("telemetry/node-1/{folder}/logs/logs-");
        let found = objects.iter().find(|(key, _)| key.starts_with(&folder));
        let (key, bytes) = found.unwrap_or_else(|| panic!("{folder}: {:?}", objects.keys()));
        assert!(key.ends_with(".jsonl.gz"), "{key}");
        String::from_utf8(bytes.clone()).unwrap()
    };
    let (shop, other) = (of("shop"), of("a_.._b"));
    assert!(shop.contains("sold") && !shop.contains("other"), "{shop}");
    assert!(other.contains("other") && !other.contains("sold"), "{other}");
    assert!(shop.ends_with('\n') && shop.lines().count() == 1);
    assert_eq!(objects.len(), 2);
}

/// Scenario: a sink whose bucket is out is taken out of the configuration while its spool holds requests; the
/// process is started again without it; then the sink is put back.
/// Guarantees: the log, the metric and the status say what is left and where, at the reload and at the start;
/// what is back is told no more, and everything acknowledged is in the bucket once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spool_that_is_left_is_told_until_its_sink_is_back() {
    let lake = Lake::new("128MiB", "").await;
    lake.server.faults().always(Which::any(), Fault::Close);
    let (traffic, oracle) = (Arc::new(Traffic::default()), Arc::new(Oracle::default()));
    let mut process = lake.site.start().await;
    let shape = Shape { clients: 2, records: 5, padding: 200 };
    let load = SteadyLoad::start(lake.site.grpc(), shape, &traffic, &oracle);
    load.advance(40, UPLOADED_WITHIN).await;
    let acknowledged = load.stop().await.acknowledged;
    let (sources, _) = YAML.split_once("sinks:").unwrap();
    lake.site
        .configure(&format!("{sources}sinks:\n  nowhere: {{ type: blackhole, inputs: [otlp] }}\n"));
    let reload = process.control(&["reload", "--wait"]);
    assert!(reload.status.success(), "{}", String::from_utf8_lossy(&reload.stderr));
    for round in ["the reload", "the start"] {
        let is_told = |it: &Metrics| {
            let left = it.sum("gophership_vault_left_requests", &[]);
            u64::try_from(left).unwrap() == acknowledged
        };
        process.measured(UPLOADED_WITHIN, round, is_told).await;
        let requests = format!("requests={acknowledged}");
        process.logged(UPLOADED_WITHIN, &["/lake/spool", &requests]).await;
        let status = process.control(&["status"]);
        assert!(String::from_utf8_lossy(&status.stdout).contains("/lake/spool"), "{round}");
        process.stop(Duration::from_secs(30)).await;
        process = lake.site.start().await;
    }
    lake.server.faults().clear();
    lake.site.configure(&YAML.replace("$SPOOL", "128MiB").replace("$MORE", ""));
    assert!(process.control(&["reload", "--wait"]).status.success());
    let none = |it: &Metrics| it.sum("gophership_vault_left_requests", &[]) == 0;
    process.measured(UPLOADED_WITHIN, "nothing is left", none).await;
    lake.assert_exactly_once(&oracle, "the sink is back").await;
    process.stop(Duration::from_secs(30)).await;
}

//! The hot path takes no memory from the heap.
//!
//! What is measured begins where the codec has handed over a decoded gRPC frame as `Bytes`: the
//! pre-scan, the cell of the acknowledgement, the batch with its booking, the route in force and the
//! batch's place, which is (a) an edge or (b) the vault's staging buffer, with checksum and LZ4.
//! It ends when the acceptor may say OK. Only what the accepting thread allocates is counted; the
//! vault's writer thread works on its own.
//!
//! Nor do the senses, which are read a hundred times a second.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::LazyLock;
use std::task::Context;
use std::task::Waker;
use std::time::Duration;
use std::time::Instant;

use gophership::component::ComponentId;
use gophership::component::Context as BuildContext;
use gophership::component::OnLoss;
use gophership::component::Stop;
use gophership::config;
use gophership::event::Batch;
use gophership::event::Ledger;
use gophership::event::Ledgers;
use gophership::event::Provenance;
use gophership::event::Request;
use gophership::event::SinkSet;
use gophership::flow::Acceptor;
use gophership::flow::AckLevel;
use gophership::flow::Destination;
use gophership::flow::EdgeLimits;
use gophership::flow::EdgeReceiver;
use gophership::flow::Intake;
use gophership::flow::Output;
use gophership::flow::Pivot;
use gophership::flow::Pulse;
use gophership::flow::Reflex;
use gophership::flow::RouteTable;
use gophership::flow::Routes;
use gophership::flow::accept::Waits;
use gophership::flow::edge;
use gophership::metrics::Metrics;
use gophership::somatic::DiskSensor;
use gophership::somatic::LagSensor;
use gophership::somatic::MemoryBudget;
use gophership::somatic::MemorySensor;
use gophership::somatic::Place;
use gophership::somatic::PressureKind;
use gophership::somatic::Readings;
use gophership::somatic::Roots;
use gophership::somatic::Sensors;
use gophership::somatic::StallSensor;
use gophership::somatic::Zone;
use gophership::topology::SharedParts;
use gophership_otlp::DecodeLimits;
use gophership_otlp::Signal;
use gophership_otlp::demo::demo_logs;
use gophership_otlp::demo::demo_metrics;
use gophership_otlp::demo::demo_traces;
use tokio::sync::Notify;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::harness::NumberedRequest;
use crate::harness::Traffic;
use crate::heap::arm;
use crate::heap::disarm;
use crate::heap::peak_bytes;

const OPERATIONS: u32 = 10_000;
const WARM_UP: u32 = 500;

/// What a source holds: an acceptor over a route table.
fn acceptor(table: RouteTable, ledger: &'static Ledger, metrics: &Metrics) -> Acceptor {
    let routes = Arc::new(Routes::default());
    routes.put(table);
    let pulse = Pulse::new(1024, 850, Arc::new(Notify::new()));
    let output = Output::new(routes, Some(Reflex::new(Arc::default(), pulse)));
    let waits = Waits { patience: Duration::from_secs(1), answer_within: Duration::from_secs(8) };
    let metrics = metrics.source("otlp");
    Acceptor::new(output, AckLevel::Delivered, waits, ledger, metrics, Stop::new())
}

/// What the source does with the bytes of a frame.
fn request(parcel: &NumberedRequest) -> Request {
    static ORIGIN: LazyLock<Provenance> = LazyLock::new(|| Provenance::forever("otlp"));
    let summary = gophership_otlp::prescan(parcel.signal, &parcel.wire).unwrap();
    let (wire, provenance) = (parcel.wire.clone(), ORIGIN.clone());
    let (signal, records) = (parcel.signal, summary.records);
    Request { signal, wire, records, received_unix_ns: 1, provenance }
}

/// Takes one request into an edge, delivers it, and takes the answer.
async fn through_the_edge(
    acceptor: &Acceptor,
    receiver: &mut EdgeReceiver,
    parcel: &NumberedRequest,
) {
    let mut accepted = pin!(acceptor.accept(request(parcel), Instant::now()));
    let mut context = Context::from_waker(Waker::noop());
    assert!(accepted.as_mut().poll(&mut context).is_pending(), "it waits for its delivery");
    receiver.try_recv().unwrap().delivered();
    accepted.await.unwrap();
}

/// Returns what so many operations allocate.
async fn allocations_into_an_edge(parcels: &[NumberedRequest]) -> u64 {
    let (ledgers, metrics) = (Ledgers::leak(), Metrics::new());
    let (sender, mut receiver) =
        edge::edge_of(ledgers.sink("sink"), EdgeLimits { batches: 1024, bytes: 32 << 20 });
    let table =
        RouteTable { routes: vec![Destination::Edge(sender).into()], ..RouteTable::default() };
    let acceptor = acceptor(table, ledgers.source("otlp"), &metrics);
    for operation in 0..WARM_UP {
        let parcel = &parcels[operation as usize % parcels.len()];
        through_the_edge(&acceptor, &mut receiver, parcel).await;
    }
    arm();
    for operation in 0..OPERATIONS {
        let parcel = &parcels[operation as usize % parcels.len()];
        through_the_edge(&acceptor, &mut receiver, parcel).await;
    }
    disarm()
}

/// Opens a vault as the configuration does, and returns the way into it.
async fn intake(dir: &std::path::Path, ledgers: &'static Ledgers) -> Arc<dyn Intake> {
    let yaml = "
sources:
  otlp: { type: otlp, ack: journaled, pivot: vault }
sinks:
  vault: { type: raw_vault, max_size: 512MiB, segment_size: 64MiB, durability: written }
";
    let config = config::load_text("vault.yaml", yaml, &|_| None).unwrap();
    let (id, entry) = config.sinks.iter().next().unwrap();
    entry.config.build(&build_context(id, dir, ledgers)).await.unwrap().intake().unwrap()
}

/// What components are built with.
fn build_context(
    id: &ComponentId,
    dir: &std::path::Path,
    ledgers: &'static Ledgers,
) -> BuildContext {
    let (_zone, zone) = watch::channel(Zone::Red);
    let shared = SharedParts::new(zone, Arc::default(), OnLoss::default());
    SharedParts { ledgers, ..shared }.context(id, dir)
}

/// Transforms that look at everything and find nothing to change.
const IDLE_TRANSFORMS: &str = "
sources:
  otlp: { type: otlp }
transforms:
  redact:
    type: redact
    inputs: [otlp]
    patterns: [email, card, token, ipv4, ipv6]
    regex: ['secret=(.+)']
    keys: ['*password*']
  sample:
    type: sample
    inputs: [redact]
    rate: 0.5
    key: test.parity
    rates: { even: 1, odd: 1 }
  throttle: { type: throttle, inputs: [sample], key: test.parity, records: 1000000000000 }
sinks:
  sink: { type: blackhole, inputs: [throttle] }
";

/// Scenario: requests of every signal go through transforms that change nothing.
/// Guarantees: after the first ones nothing is allocated, and the bytes are the very same.
#[test]
fn transforms_that_change_nothing_allocate_nothing() {
    let config = config::load_text("idle.yaml", IDLE_TRANSFORMS, &|_| None).unwrap();
    let ledgers = Ledgers::leak();
    let parcels = parcels();
    for (id, entry) in &config.transforms {
        let context = build_context(id, std::path::Path::new("none"), ledgers);
        let mut transform = entry.config.build(&context).unwrap();
        let mut through = |parcel: &NumberedRequest| {
            let batch = Batch::received(&request(parcel), None, ledgers.source("otlp"));
            let batch = transform.apply(batch).unwrap();
            let is_same = batch.wire().as_ptr() == parcel.wire.as_ptr();
            batch.delivered();
            is_same
        };
        for parcel in parcels.iter().cycle().take(100) {
            assert!(through(parcel), "{id}");
        }
        arm();
        for parcel in parcels.iter().cycle().take(1_000) {
            through(parcel);
        }
        assert_eq!(disarm(), 0, "{id}");
    }
}

/// Returns what so many operations allocate.
async fn allocations_into_the_vault(parcels: &[NumberedRequest]) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let (ledgers, metrics) = (Ledgers::leak(), Metrics::new());
    let pivot =
        Pivot { vault: intake(dir.path(), ledgers).await, takes_all: true, out: SinkSet::NONE };
    let table = RouteTable { pivot: Some(pivot), ..RouteTable::default() };
    let acceptor = acceptor(table, ledgers.source("otlp"), &metrics);
    for operation in 0..WARM_UP {
        let parcel = &parcels[operation as usize % parcels.len()];
        acceptor.accept(request(parcel), Instant::now()).await.unwrap();
    }
    arm();
    for operation in 0..OPERATIONS {
        let parcel = &parcels[operation as usize % parcels.len()];
        acceptor.accept(request(parcel), Instant::now()).await.unwrap();
    }
    disarm()
}

/// Requests of each signal, from one record to some tens of kilobytes.
fn parcels() -> Vec<NumberedRequest> {
    let traffic = Traffic::default();
    let of = |(idx, records): (usize, &u64)| traffic.padded(Signal::ALL[idx % 3], *records, 40);
    [1, 10, 10, 1, 100, 10, 1, 10, 100].iter().enumerate().map(of).collect()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Scenario: 10,000 requests go through the acceptor into an edge and are delivered.
/// Guarantees: the accepting thread allocates nothing.
#[test]
fn the_way_into_an_edge_allocates_nothing() {
    assert_eq!(run(allocations_into_an_edge(&parcels())), 0);
}

/// Scenario: 10,000 requests go through the acceptor into the vault, as in Red.
/// Guarantees: the accepting thread allocates nothing.
#[test]
fn the_way_into_the_vault_allocates_nothing() {
    assert_eq!(run(allocations_into_the_vault(&parcels())), 0);
}

/// Scenario: one allocation on purpose.
/// Guarantees: the counter sees it; it would see any on the way as well.
#[test]
fn the_counter_counts() {
    arm();
    let planted = std::hint::black_box(Box::new(7_u8));
    let count = disarm();
    assert_eq!((*planted, count), (7, 1));
}

/// Scenario: requests of every signal are scanned, at each of the three depths.
/// Guarantees: no scan takes memory from the heap.
#[test]
fn scans_allocate_nothing() {
    let limits = DecodeLimits { decoded_bytes_max: u64::MAX, depth_max: 96 };
    for (signal, wire) in [
        (Signal::Logs, demo_logs(500, 1, 1)),
        (Signal::Traces, demo_traces(500, 1, 1)),
        (Signal::Metrics, demo_metrics(500, 1, 1)),
    ] {
        arm();
        let scanned = [
            gophership_otlp::prescan_envelope(signal, &wire),
            gophership_otlp::prescan(signal, &wire),
            gophership_otlp::inspect(signal, &wire, &limits),
        ];
        assert_eq!(disarm(), 0, "{signal}");
        assert!(scanned.iter().all(Result::is_ok));
    }
}

/// Files as the kernel shows them to a process in a cgroup that is nearly full.
fn kernel_files(dir: &std::path::Path) -> Roots {
    let stall = "some avg10=0.00 avg60=0.00 avg300=0.00 total=17\n";
    let files = [
        ("proc/self/cgroup", "0::/up/own\n"),
        ("proc/self/statm", "9000 256 17 5 0 123 0\n"),
        ("proc/meminfo", "MemTotal: 1000 kB\nMemFree: 50 kB\nMemAvailable: 400 kB\n"),
        ("proc/pressure/io", stall),
        ("cgroup/up/memory.max", "max\n"),
        ("cgroup/up/own/cgroup.type", "domain\n"),
        ("cgroup/up/own/memory.max", "1000\n"),
        ("cgroup/up/own/memory.current", "900\n"),
        ("cgroup/up/own/memory.stat", "anon 17\ninactive_file 100\n"),
        ("cgroup/up/own/cpu.pressure", stall),
        ("cgroup/up/own/memory.pressure", stall),
    ];
    for (path, text) in files {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    Roots { proc: dir.join("proc"), cgroup: dir.join("cgroup") }
}

/// Scenario: all sensors of a machine are read 1,000 times, each time with every file due, on this
/// machine's files and on those of a machine where every sensor has something to say.
/// Guarantees: after the first look nothing is allocated, and the looks see what is there.
#[test]
fn looking_around_allocates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_time().build().unwrap();
    for (roots, numbers_min) in [(kernel_files(dir.path()), 7), (Roots::default(), 3)] {
        let (mut sensors, mut readings) = (Sensors::default(), Readings::default());
        let (lag, probe) = LagSensor::new(CancellationToken::new(), Arc::default());
        runtime.spawn(probe);
        sensors.add(MemorySensor::new(&roots, MemoryBudget::new(Some(1 << 30))));
        sensors.add(StallSensor::new(roots));
        sensors.add(lag);
        sensors.add(DiskSensor::new([(Place::from("vault"), dir.path().to_owned())]));
        let start = Instant::now();
        sensors.read_all(start, &mut readings);
        arm();
        for look in 1..=1000 {
            sensors.read_all(start + Duration::from_secs(look), &mut readings);
        }
        assert_eq!(disarm(), 0);
        assert!(readings.iter().count() >= numbers_min, "{readings:?}");
        assert!(readings.highest(PressureKind::Disk).is_some());
    }
}

/// Scenario: a backend refuses a request with 4 MB of details, of two bytes each, as protobuf and as
/// JSON.
/// Guarantees: what it says is read, and takes no memory for the details.
#[test]
fn what_a_refusal_has_beside_its_words_takes_no_memory() {
    let said = [&[0x12, 2][..], b"no", &[0x1a, 0].repeat(2_000_000)].concat();
    let json = format!(r#"{{"details":[{}0],"message":"no"}}"#, "0,".repeat(2_000_000));
    let kinds = [("application/x-protobuf", said), ("application/json", json.into_bytes())];
    for (kind, body) in kinds {
        let refused = gophership_otlp_client::judge::of_http(http::StatusCode::BAD_REQUEST, None);
        let mut verdict = refused.clone();
        let peak =
            peak_bytes(|| verdict = gophership_otlp_client::judge::because(refused, kind, &body));
        let gophership_http_client::Answer::Rejected { reason } = verdict else {
            panic!("{verdict:?}")
        };
        assert!(reason.ends_with(": no"), "{reason}");
        assert!(peak < 4096, "{kind}: {peak} bytes");
    }
}

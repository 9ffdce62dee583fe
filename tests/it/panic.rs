//! A component that panics: started again, counted, and its batch is not lost.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use gophership::component::BuildError;
use gophership::component::ComponentInfo;
use gophership::component::Context;
use gophership::component::OnLoss;
use gophership::component::RunError;
use gophership::component::Sink;
use gophership::component::SinkConfig;
use gophership::component::Stop;
use gophership::component::Transform;
use gophership::component::TransformConfig;
use gophership::config;
use gophership::event::Batch;
use gophership::event::Bucket;
use gophership::event::Ledgers;
use gophership::flow::EdgeReceiver;
use gophership::flow::Pulse;
use gophership::metrics::Metrics;
use gophership::somatic::Zone;
use gophership::topology::RunningTopology;
use gophership::topology::SharedParts;
use gophership_otlp::Signal;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::sync::watch;

use crate::harness::GrpcClient;
use crate::harness::Traffic;
use crate::harness::eventually;
use crate::harness::free_address;

const SOON: Duration = Duration::from_secs(10);

/// Panics with the first batches it gets, counted over all its lives.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PanickyConfig {
    /// How often it panics.
    times: u32,
    /// The folder that is the backend of the sink: each batch that is delivered is a file there.
    #[serde(default)]
    backend: PathBuf,
    /// What is left of it; shared by all lives, as the options are.
    #[serde(skip)]
    panicked: Arc<AtomicU32>,
}

impl PanickyConfig {
    /// Whether this batch is fine.
    fn survives(&self) -> bool {
        self.panicked.fetch_add(1, Ordering::SeqCst) >= self.times
    }
}

struct Panicky(PanickyConfig);

inventory::submit! {
    ComponentInfo::sink::<PanickyConfig>("test_panicky", "Panics, for a test.")
}

#[async_trait]
impl SinkConfig for PanickyConfig {
    async fn build(&self, _context: &Context) -> Result<Box<dyn Sink>, BuildError> {
        Ok(Box::new(Panicky(self.clone())))
    }
}

#[async_trait]
impl Sink for Panicky {
    async fn run(self: Box<Self>, mut input: EdgeReceiver, _stop: Stop) -> Result<(), RunError> {
        while let Some(batch) = input.recv().await {
            assert!(self.0.survives(), "this sink panics with a batch in its hands");
            let name = self.0.panicked.load(Ordering::SeqCst).to_string();
            fs::write(self.0.backend.join(name), batch.wire()).unwrap();
            batch.delivered();
        }
        Ok(())
    }
}

inventory::submit! {
    ComponentInfo::transform::<PanickyConfig>("test_panicky", "Panics, for a test.")
}

impl TransformConfig for PanickyConfig {
    fn build(&self, _context: &Context) -> Result<Box<dyn Transform>, BuildError> {
        Ok(Box::new(Panicky(self.clone())))
    }
}

impl Transform for Panicky {
    fn apply(&mut self, batch: Batch) -> Option<Batch> {
        assert!(self.0.survives(), "this transform panics with a batch in its hands");
        Some(batch)
    }
}

/// The topology in this process, with all that the application would give it.
struct Plant {
    topology: RunningTopology,
    ledgers: &'static Ledgers,
    metrics: Arc<Metrics>,
    /// Kept, because components follow it.
    _zone: watch::Sender<Zone>,
    dir: tempfile::TempDir,
    client: GrpcClient,
}

impl Plant {
    async fn start(transform: &str, sink: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let address = free_address();
        fs::create_dir(dir.path().join("backend")).unwrap();
        let yaml = yaml(dir.path(), &address.to_string(), transform, sink);
        let config = config::load_text("panic.yaml", &yaml, &|_| None).unwrap();
        let (zone, zone_watch) = watch::channel(Zone::Green);
        let shared = SharedParts::new(zone_watch, Arc::default(), OnLoss::default());
        let (ledgers, metrics) = (shared.ledgers, Arc::clone(&shared.metrics));
        let pulse = Pulse::new(1024, 850, Arc::new(Notify::new()));
        let mut topology = RunningTopology::empty(shared, pulse);
        topology.reload(Arc::new(config), SOON).await.unwrap();
        let client = GrpcClient::new(address);
        Self { topology, ledgers, metrics, _zone: zone, dir, client }
    }

    fn restarts(&self, component: &str) -> u64 {
        self.metrics.restarts.with_label_values(&[component]).get()
    }

    fn count(&self, bucket: Bucket) -> i64 {
        self.ledgers.count(Signal::Logs, bucket)
    }

    /// The requests that the backend has, sorted.
    fn arrived(&self) -> Vec<Vec<u8>> {
        let entries = fs::read_dir(self.dir.path().join("backend")).unwrap();
        let mut wires: Vec<_> =
            entries.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
        wires.sort();
        wires
    }
}

fn yaml(dir: &Path, address: &str, transform: &str, sink: &str) -> String {
    let data = dir.display();
    format!(
        r#"
data_dir: "{data}"
sources:
  otlp: {{ type: otlp, grpc: {{ listen: "{address}" }}, patience: 5s, pivot: vault }}
  replay: {{ type: vault_replay, vault: vault }}
transforms:
  shaky: {{ type: test_panicky, inputs: [otlp, replay], times: {transform} }}
sinks:
  last: {{ type: test_panicky, inputs: [shaky], times: {sink}, backend: "{data}/backend" }}
  vault: {{ type: raw_vault, max_size: 128MiB, segment_size: 1MiB }}
"#
    )
}

/// Sends ten requests through a component that panics twice, and checks what becomes of them.
async fn survives(transform: &str, sink: &str, component: &str) {
    let plant = Plant::start(transform, sink).await;
    let traffic = Traffic::default();
    let mut sent = Vec::new();
    for _ in 0..10 {
        let request = traffic.request(Signal::Logs, 3);
        plant.client.send(&request).await.unwrap();
        sent.push(request.wire.to_vec());
    }
    sent.sort();
    eventually(SOON, "every record is delivered", || {
        plant.count(Bucket::Delivered) == 30 && plant.count(Bucket::InFlight) == 0
    })
    .await;
    assert!(plant.arrived() == sent, "the backend has each request once, byte for byte");
    assert_eq!(plant.restarts(component), 2);
    assert_eq!(plant.ledgers.imbalance(Signal::Logs), 0);
    let text = plant.metrics.render().unwrap();
    let counted = format!("gophership_component_restarts_total{{component=\"{component}\"}} 2");
    assert!(text.contains(&counted), "{text}");
    // A batch that was lost in a panic went to the vault and came back from there.
    let failed = "gophership_somatic_pivots_total{cause=\"failed\",source=\"otlp\"}";
    let line = text.lines().find_map(|line| line.strip_prefix(failed)).unwrap();
    assert!(line.trim().parse::<u64>().unwrap() >= 1, "{text}");
    plant.topology.shut_down(SOON).await;
}

/// Scenario: a sink panics twice with a batch in its hands.
/// Guarantees: the client has OK each time, the vault has the batch and replays it, the backend has each
/// request once and byte for byte, the sink is started again and counted; the process lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_panics_is_started_again_and_its_batch_is_kept() {
    survives("0", "2", "last").await;
}

/// Scenario: the same with a transform.
/// Guarantees: the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transform_that_panics_is_started_again_and_its_batch_is_kept() {
    survives("2", "0", "shaky").await;
}

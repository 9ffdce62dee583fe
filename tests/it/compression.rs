//! `compression: auto` of the vault: requests are stored compressed whenever there is time for it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use gophership_otlp::Signal;
use tokio::time::MissedTickBehavior;

use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Mode;
use crate::harness::Site;
use crate::harness::Traffic;

const SOON: Duration = Duration::from_secs(20);
/// 200 requests of 100 records each second.
const EVERY: Duration = Duration::from_millis(5);
const RECORDS: u64 = 100;
const REQUESTS: usize = 600;
/// So many are in the vault at least; the sink may have some.
const MOST: i64 = 500;
/// The requests compress to less than a third.
const RATIO_MIN: f64 = 3.0;

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 16MiB }
"#;

/// Threads that use less than half of the processors, in turns that overlap: somebody always waits for a
/// processor for a moment.
struct Neighbours {
    is_over: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Neighbours {
    fn start() -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let threads = (0..2 * processors).map(|_| {
            let is_over = Arc::clone(&is_over);
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    while begun.elapsed() < Duration::from_millis(4) {
                        std::hint::spin_loop();
                    }
                    std::thread::park_timeout(Duration::from_millis(16));
                }
            })
        });
        Self { threads: threads.collect(), is_over }
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

/// Scenario: a backend is gone, 20,000 records a second come, and other processes use half of the processors.
/// Guarantees: the vault stores them compressed; the metric and `gs-ctl status` say how well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_sidecar_stores_is_compressed_while_there_is_time_for_it() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), YAML);
    let process = site.start().await;
    backend.set(Mode::Unavailable);
    let neighbours = Neighbours::start();
    let client = Arc::new(GrpcClient::new(site.grpc()));
    let traffic = Traffic::default();
    let requests: Vec<_> = (0..REQUESTS).map(|_| traffic.request(Signal::Logs, RECORDS)).collect();
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sending = tokio::task::JoinSet::new();
    for request in requests {
        tick.tick().await;
        let client = Arc::clone(&client);
        sending.spawn(async move { client.send(&request).await.unwrap() });
    }
    sending.join_all().await;
    drop(neighbours);

    let vault = [("vault", "vault")];
    process
        .measured(SOON, "the vault has all of it", |metrics| {
            MOST <= metrics.sum("gophership_vault_backlog_requests", &vault)
        })
        .await;
    let metrics = process.metrics().await;
    let ratio = metrics.real_sum("gophership_vault_compression_ratio", &vault);
    assert!(RATIO_MIN < ratio, "compressed {ratio} times");
    let status = process.control(&["status", "-o", "json"]).stdout;
    let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
    let said = status["vaults"][0]["compression_ratio"].as_f64().unwrap();
    assert!(RATIO_MIN < said, "{said}");
}

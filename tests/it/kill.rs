//! `kill -9` under load: what was acknowledged is there after a restart, as it was sent.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use crate::harness::Backend;
use crate::harness::Mode;
use crate::harness::Oracle;
use crate::harness::Process;
use crate::harness::Shape;
use crate::harness::Site;
use crate::harness::SteadyLoad;
use crate::harness::Traffic;
use crate::harness::report;
use crate::harness::seed;

/// Until the vault is replayed after a restart.
const DRAINED_WITHIN: Duration = Duration::from_secs(30);

/// What a kill may repeat, as website/durability.md promises: the window of the replay, and what was
/// delivered in the last 100 ms, which is never more than 1,000 requests.
const DUPLICATES_PER_KILL_MAX: u64 = 64 + 1_000;

const YAML: &str = r#"
sources:
  otlp:
    type: otlp
    grpc: { listen: "$GRPC" }
    ack: delivered
    patience: 40ms
    pivot: vault
  replay: { type: vault_replay, vault: vault }
sinks:
  backend:
    type: otlp
    inputs: [otlp, replay]
    endpoint: "http://$BACKEND"
    retry: { min: 20ms, max: 200ms }
  vault: { type: raw_vault, max_size: 256MiB, segment_size: 1MiB }
"#;

/// What the process is under when it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pressure {
    Healthy,
    BackendDown,
    Red,
}

/// One process that is killed again and again.
struct Torture {
    pressure: Pressure,
    backend: Backend,
    site: Site,
    traffic: Arc<Traffic>,
    oracle: Arc<Oracle>,
    random: Rng,
}

impl Torture {
    async fn new(pressure: Pressure, seed: u64) -> Self {
        let backend = Backend::start().await;
        let site = Site::new(backend.address(), YAML);
        let random = Rng::with_seed(seed);
        Self { pressure, backend, site, traffic: Arc::default(), oracle: Arc::default(), random }
    }

    /// Loads the process, kills it at a random moment and starts it again.
    async fn round(&mut self, process: &mut Process) -> u64 {
        match self.pressure {
            Pressure::Healthy => {}
            Pressure::BackendDown => self.backend.set(Mode::Gone),
            Pressure::Red => process.hold("red"),
        }
        let shape = Shape { clients: 12, records: 5, padding: 200 };
        let load = SteadyLoad::start(self.site.grpc(), shape, &self.traffic, &self.oracle);
        let moment = Duration::from_micros(self.random.u64(5_000..=500_000));
        tokio::time::sleep(moment).await;
        process.kill();
        let seen = load.stop().await;
        *process = self.site.start().await;
        self.backend.set(Mode::Accept);
        seen.acknowledged
    }

    /// Kills `kills` times; half of the time it is killed again before the vault is drained.
    async fn run(mut self, kills: u32, seed: u64) {
        let context = format!("{:?}, seed {seed}", self.pressure);
        let mut process = self.site.start().await;
        let mut rounds_with_load = 0;
        for kill in 1..=kills {
            rounds_with_load += u32::from(self.round(&mut process).await > 0);
            if self.random.bool() || kill == kills {
                let audit = self.oracle.settle(&self.backend, DRAINED_WITHIN).await;
                audit.assert_kept(&format!("{context}, kill {kill}:\n{}", process.log()));
            }
        }
        let audit = self.oracle.audit(&self.backend);
        report(&format!("{context}: {kills} kills, {audit:?}"));
        assert!(rounds_with_load > kills / 2, "{context}: most kills hit a process at work");
        assert!(audit.duplicates <= DUPLICATES_PER_KILL_MAX * u64::from(kills), "{context}");
    }
}

async fn torture(pressure: Pressure, kills: u32) {
    let seed = seed();
    Torture::new(pressure, seed).await.run(kills, seed).await;
}

/// Scenario: twelve clients send to a healthy pipeline; the process is killed at 17 random moments.
/// Guarantees: no acknowledged record is missing or altered; duplicates are bounded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_killed_while_all_is_well() {
    torture(Pressure::Healthy, 17).await;
}

/// Scenario: the same with a backend that is down, so that patience hands everything to the vault.
/// Guarantees: the same, once the backend is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_killed_while_the_backend_is_down() {
    torture(Pressure::BackendDown, 17).await;
}

/// Scenario: the same in Red, where everything goes straight to the vault.
/// Guarantees: the same, once the process is started again, which is in Green.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_killed_in_red() {
    torture(Pressure::Red, 16).await;
}

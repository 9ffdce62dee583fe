//! Hostile clients, with legitimate senders beside them: they are bounded, their connections end, and
//! nobody else notices.
//!
//! | file | what is tried |
//! | --- | --- |
//! | `amplification` | requests of which transforms and sinks would make a hundred times as much |
//! | `announced` | more streams at once than are announced, and larger headers |
//! | `bombs` | bodies that inflate to much more than they are, and too many records or resources |
//! | `silent` | connections that say nothing, half of something, or nothing but pings |
//! | `crowd` | more connections than there may be: the longest idle one makes room |
//! | `greedy` | clients that never read, on every listener |
//! | `descriptors` | as many connections as there are file descriptors |
//! | `floods` | rapid reset, CONTINUATION, empty DATA, PING and SETTINGS floods, a window of 0 |
//! | `halves` | many streams on many connections, each with half of a large request |
//! | `forms` | what a port is not for, and messages that are not framed as they should be |
//! | `early` | refusals that come before the request is sent |
//! | `deadlines` | senders that say how long they wait |
//! | `handshakes` | old TLS, plain text to a TLS port, certificates that are not good |
//! | `wire` | odd protobuf through the vault and back |

mod amplification;
mod announced;
mod bombs;
mod crowd;
mod deadlines;
mod descriptors;
mod early;
mod floods;
mod forms;
mod greedy;
mod halves;
mod handshakes;
mod raw;
mod silent;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Resource;
use rustix::process::Rlimit;

use crate::harness::Backend;
use crate::harness::Metrics;
use crate::harness::Oracle;
use crate::harness::Process;
use crate::harness::Shape;
use crate::harness::Site;
use crate::harness::SteadyLoad;
use crate::harness::Traffic;
use crate::harness::eventually_async;

const SOON: Duration = Duration::from_secs(20);
/// A legitimate request has its answer by then, however busy the machine is that runs the tests.
const ANSWERED_WITHIN: Duration = Duration::from_secs(8);

/// Timeouts a tenth as long as the defaults and less, so that tests are short.
const YAML: &str = r#"
sources:
  otlp:
    type: otlp
    grpc: { listen: "$GRPC" }
    http: { listen: "$HTTP" }
    read_idle_timeout: 2s
    connections_max: $CONNECTIONS
    connection:
      handshake_timeout: 1s
      first_request_timeout: 3s
      header_timeout: 1s
      write_timeout: 2s
      idle_timeout: 4s
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
"#;

/// A process under attack, and legitimate senders.
struct Scene {
    backend: Backend,
    site: Site,
    process: Process,
    traffic: Arc<Traffic>,
    oracle: Arc<Oracle>,
}

impl Scene {
    async fn new(connections: usize) -> Self {
        Self::with(&YAML.replace("$CONNECTIONS", &connections.to_string())).await
    }

    async fn with(yaml: &str) -> Self {
        let backend = Backend::start().await;
        let site = Site::new(backend.address(), yaml);
        let process = site.start().await;
        Self { backend, site, process, traffic: Arc::default(), oracle: Arc::default() }
    }

    /// Senders that go on until they are told to stop.
    fn senders(&self) -> SteadyLoad {
        let shape = Shape { clients: 3, records: 5, padding: 100 };
        SteadyLoad::start(self.site.grpc(), shape, &self.traffic, &self.oracle)
    }

    /// They stop: none was refused or had to wait for long, and all that they sent has arrived.
    async fn senders_are_well(&self, senders: SteadyLoad) {
        senders.advance(20, SOON).await;
        let seen = senders.stop().await;
        assert!(seen.refusals.is_empty(), "{:?}", seen.refusals.first());
        assert!(seen.slowest < ANSWERED_WITHIN, "{:?}", seen.slowest);
        assert_eq!(seen.connections, 3, "their connections stay");
        self.oracle.settle(&self.backend, SOON).await.assert_kept(&"beside hostile clients");
    }

    /// Bytes of the process in memory.
    fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().split(' ').next().unwrap().parse::<u64>().unwrap() << 10
    }

    /// Waits until a listener has so many connections at most.
    async fn connections_fall(&self, listener: &str, to: i64) {
        let fell = |metrics: &Metrics| open(metrics, listener) <= to;
        self.process.measured(SOON, "hostile connections have ended", fell).await;
    }

    /// How many connections were closed for a cause.
    async fn closed(&self, cause: &str) -> i64 {
        let name = "gophership_listener_connections_closed_total";
        self.process.metrics().await.sum(name, &[("cause", cause)])
    }

    /// Waits until so many were closed for a cause, for a connection is counted after its end; returns how
    /// many it were then.
    async fn closed_in_time(&self, cause: &str, count: i64) -> i64 {
        let are_closed = async || count <= self.closed(cause).await;
        eventually_async(SOON, cause, are_closed).await;
        self.closed(cause).await
    }
}

/// Open connections of a listener.
fn open(metrics: &Metrics, listener: &str) -> i64 {
    metrics.sum("gophership_listener_connections", &[("listener", listener)])
}

/// Lets this process have as many connections as the system allows.
fn raise_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(Resource::Nofile, raised).unwrap();
}

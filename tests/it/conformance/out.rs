//! The other side: what the specification says of clients, of which the `otlp` sink is one. Each row is looked at in
//! what a backend gets over gRPC, HTTP/protobuf and HTTP/JSON, in green and from the vault.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use gophership_otlp::Signal;
use gophership_testbed::Backend;
use gophership_testbed::Mode;
use gophership_testbed::RequestRecorder;
use http::HeaderMap;
use serde_json::Value;
use serde_json::json;
use tokio::sync::watch;

use super::build::logs;
use super::build::metric;
use super::build::traces;
use super::run::shown;
use crate::harness::GrpcClient;
use crate::harness::Site;
use crate::harness::eventually;
use crate::harness::json::wire_of;

const SOON: Duration = Duration::from_secs(20);

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND", compression: $COMPRESSION, $WAY }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

/// How requests go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Grpc,
    Protobuf,
    Json,
}

impl Way {
    const ALL: [Self; 3] = [Self::Grpc, Self::Protobuf, Self::Json];

    const fn options(self) -> &'static str {
        match self {
            Self::Grpc => "protocol: grpc",
            Self::Protobuf => "protocol: http",
            Self::Json => "protocol: http, encoding: json",
        }
    }
}

/// A request as a backend got it.
#[derive(Clone, Debug)]
struct Got {
    signal: Signal,
    /// In protobuf, whatever it came as.
    wire: Bytes,
    headers: HeaderMap,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// An item of the specification, and whether a request keeps to it.
struct Item {
    section: &'static str,
    name: &'static str,
    holds: fn(Way, &Got) -> bool,
}

const ITEMS: [Item; 7] = [
    Item {
        section: "OpenTelemetry Protocol Exporter, User Agent",
        name: "the client says who it is, with its version",
        holds: |_, got| {
            got.header("user-agent")
                .split(' ')
                .any(|it| it == concat!("GopherShip/", env!("CARGO_PKG_VERSION")))
        },
    },
    Item {
        section: "OTLP/gRPC Request",
        name: "the content is gRPC",
        holds: |way, got| {
            way != Way::Grpc || got.header("content-type").starts_with("application/grpc")
        },
    },
    Item {
        section: "Binary Protobuf Encoding",
        name: "the content type of protobuf",
        holds: |way, got| {
            way != Way::Protobuf || got.header("content-type") == "application/x-protobuf"
        },
    },
    Item {
        section: "JSON Protobuf Encoding",
        name: "the content type of JSON",
        holds: |way, got| way != Way::Json || got.header("content-type") == "application/json",
    },
    Item {
        section: "OTLP/HTTP Request",
        name: "compression is declared",
        holds: |way, got| {
            let name = if way == Way::Grpc { "grpc-encoding" } else { "content-encoding" };
            // The backend reads a body as its header says.
            got.header(name) == "gzip"
        },
    },
    Item {
        section: "OTLP/HTTP Request",
        name: "each signal has its path, and its records are what was sent",
        holds: |_, got| shown(got.signal, &got.wire) == sent(got.signal),
    },
    Item {
        section: "Binary Protobuf Encoding",
        name: "the bytes are those that were sent",
        holds: |way, got| {
            // In JSON fields have one order.
            way == Way::Json || got.wire == wire_of(got.signal, &sent(got.signal).to_string())
        },
    },
];

/// The request of each signal, in its JSON form.
fn sent(signal: Signal) -> Value {
    let ids = ("0102030405060708090a0b0c0d0e0f10", "0102030405060708");
    match signal {
        Signal::Logs => logs(&[json!({
            "timeUnixNano": "1", "severityNumber": 9, "body": { "stringValue": "a" },
            "traceId": ids.0, "spanId": ids.1,
        })]),
        Signal::Traces => traces(&[json!({
            "traceId": ids.0, "spanId": ids.1, "name": "s", "kind": 2, "status": { "code": 2 },
        })]),
        Signal::Metrics => metric(&json!({ "name": "m", "sum": {
            "aggregationTemporality": 2, "isMonotonic": true,
            "dataPoints": [{ "timeUnixNano": "1", "asInt": "7" }],
        } })),
    }
}

#[derive(Default)]
struct Recorded(Mutex<Vec<Got>>);

impl RequestRecorder for Recorded {
    fn taken(&self, signal: Signal, wire: Bytes, headers: HeaderMap) {
        self.0.lock().unwrap().push(Got { signal, wire, headers });
    }

    fn unreadable(&self) {
        panic!("the backend cannot read what the sink sends");
    }
}

async fn check(way: Way, zone: &str) {
    let backend = Backend::bind().unwrap();
    let yaml = YAML.replace("$WAY", way.options()).replace("$COMPRESSION", "gzip");
    let site = Site::new(backend.address(), &yaml);
    let (recorded, mode) = (Arc::<Recorded>::default(), watch::Sender::new(Mode::Accept));
    let serving = tokio::spawn(backend.serve(recorded.clone(), mode.subscribe()));
    let process = site.start().await;
    process.hold(zone);
    let client = GrpcClient::new(site.grpc());
    for signal in Signal::ALL {
        let wire = wire_of(signal, &sent(signal).to_string());
        client.send_to(signal.grpc_path(), wire.into()).await.unwrap();
    }
    process.hold("auto");
    let count = || recorded.0.lock().unwrap().len();
    eventually(SOON, "each signal has arrived", || Signal::ALL.len() <= count()).await;
    let got = recorded.0.lock().unwrap().clone();
    for signal in Signal::ALL {
        assert!(got.iter().any(|got| got.signal == signal), "{signal} over {way:?} in {zone}");
    }
    for got in &got {
        for Item { section, name, holds } in &ITEMS {
            assert!(holds(way, got), "{section} / {name}, {way:?} in {zone}: {got:?}");
        }
    }
    serving.abort();
}

/// Scenario: a request of each signal goes to a backend over gRPC, HTTP/protobuf and HTTP/JSON, in green and through
/// the vault.
/// Guarantees: each request keeps to every item of the table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_sink_sends_is_what_the_specification_says() {
    for zone in ["green", "red"] {
        for way in Way::ALL {
            check(way, zone).await;
        }
    }
}

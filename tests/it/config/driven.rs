//! Every example with data: the real process runs it, with ports and paths of its own, and what is sent arrives.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use bytes::Bytes;
use gophership_otlp::Signal;

use super::examples::examples;
use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::HttpClient;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually;
use crate::harness::json;

const SOON: Duration = Duration::from_secs(30);
/// So many processes run at the same time.
const AT_ONCE: usize = 4;
const ALL: &[u64] = &[INFO, ERROR, DEBUG];
/// The numbers of the log records that are sent, and what they say.
const INFO: u64 = 1_000_001;
const ERROR: u64 = 1_000_002;
const DEBUG: u64 = 1_000_003;
/// One more of the kind of `INFO`, which comes last.
const LAST: u64 = 1_000_004;
/// One more of the kind of `ERROR`, sent while the zone is red.
const IN_RED: u64 = 1_000_005;
/// Examples that have tests of their own, and where.
const ELSEWHERE: [(&str, &str); 6] = [
    ("s3-archive.yaml", include_str!("../s3_archive.rs")),
    ("s3-objects.yaml", include_str!("driven_s3.rs")),
    ("s3-replay.yaml", include_str!("driven_s3.rs")),
    ("gateway-tls.yaml", include_str!("driven_tls.rs")),
    ("failover.yaml", include_str!("driven_tls.rs")),
    ("managed.yaml", include_str!("driven_tls.rs")),
];

/// One example, and where its data arrives.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    /// What stands in the example, and what takes its place; `$0`, `$1` and `$2` are backends.
    replace: &'static [(&'static str, &'static str)],
    env: &'static [(&'static str, &'static str)],
    arrives: &'static [Arrives],
}

#[derive(Clone, Copy)]
enum Arrives {
    /// These log records at a backend.
    Logs(usize, &'static [u64]),
    /// The spans and the data points at a backend.
    Others(usize, &'static [Signal]),
    /// The last request at a backend: with this text, without that, and with this value of `x-scope-orgid`.
    Last(usize, &'static str, &'static str, Option<&'static str>),
    /// A file below the data folder with this text, and without that.
    File(&'static str, &'static str, &'static str),
    /// This text on standard output.
    Out(&'static str),
}

use Arrives::File;
use Arrives::Last;
use Arrives::Logs;
use Arrives::Others;
use Arrives::Out;

const BOTH: &[Signal] = &[Signal::Traces, Signal::Metrics];
const EVERYTHING: &[Arrives] = &[Logs(0, ALL), Others(0, BOTH)];
const TO_BACKEND: &[(&str, &str)] = &[("BACKEND", "http://$0")];

const fn row(name: &'static str, arrives: &'static [Arrives]) -> Row {
    Row { name, replace: &[], env: TO_BACKEND, arrives }
}

const ROWS: &[Row] = &[
    row(
        "quickstart.yaml",
        &[
            File("otlp/logs.jsonl", "deployment.environment", "x-none"),
            File("otlp/traces.jsonl", "traceId", "x-none"),
            File("otlp/metrics.jsonl", "gauge", "x-none"),
            Out(" log records, "),
        ],
    ),
    row("demo.yaml", &[Out(" log records, ")]),
    Row { env: &[("COLLECTOR", "http://$0")], ..row("sidecar.yaml", EVERYTHING) },
    row("http-only.yaml", EVERYTHING),
    row("journaled.yaml", EVERYTHING),
    row("newest-first.yaml", EVERYTHING),
    row("small.yaml", EVERYTHING),
    row("load-balancer.yaml", EVERYTHING),
    Row {
        env: &[("OLD", "http://$0"), ("NEW", "http://$1")],
        ..row("fan-out.yaml", &[Logs(0, ALL), Others(0, BOTH), Logs(1, ALL), Others(1, BOTH)])
    },
    Row {
        env: &[("LOGS", "http://$0"), ("TRACES", "http://$1"), ("METRICS", "http://$2")],
        ..row(
            "by-signal.yaml",
            &[Logs(0, ALL), Others(1, &[Signal::Traces]), Others(2, &[Signal::Metrics])],
        )
    },
    Row {
        replace: &[("127.0.0.1:14317", "127.0.0.1:0")],
        ..row(
            "tenants.yaml",
            &[Logs(0, ALL), Others(0, BOTH), Last(0, "team", "x-none", Some("shop"))],
        )
    },
    Row {
        replace: &[
            ("http://127.0.0.1:14317", "http://$0"),
            ("http://127.0.0.1:24317", "http://$1"),
        ],
        ..row(
            "route.yaml",
            &[
                Logs(0, &[ERROR]),
                Logs(1, &[ERROR]),
                File("otlp/logs.jsonl", "order placed", "card refused"),
            ],
        )
    },
    row(
        "filter.yaml",
        &[
            File("otlp/logs.jsonl", "order placed", "cache miss"),
            File("otlp/errors.jsonl", "card refused", "order placed"),
        ],
    ),
    Row {
        replace: &[("http://127.0.0.1:14317", "http://$0")],
        ..row(
            "redact.yaml",
            &[Logs(0, ALL), Others(0, BOTH), Last(0, "order placed", "ann@example.com", None)],
        )
    },
    Row {
        replace: &[("http://127.0.0.1:14317", "http://$0")],
        ..row("fewer.yaml", &[Logs(0, &[ERROR])])
    },
    Row { replace: &[("http://127.0.0.1:14317", "http://$0")], ..row("joined.yaml", EVERYTHING) },
    Row {
        env: &[
            ("BACKEND", "http://$0"),
            ("TABLE", concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/lookup.csv")),
        ],
        ..row("lookup.yaml", &[Logs(0, ALL), Others(0, BOTH), Last(0, "team", "x-none", None)])
    },
];

/// Makes a site that runs an example: `text` with ports and paths of its own.
pub(super) fn site(text: &str, backend: &Backend) -> Site {
    let site = Site::new(backend.address(), "");
    let mut text = text.replace("./gophership-data", &format!("{}/data", site.dir().display()));
    for (port, address) in [("4317", site.grpc()), ("4318", site.http()), ("9091", site.metrics())]
    {
        for host in ["127.0.0.1", "0.0.0.0"] {
            text = text.replace(&format!("\"{host}:{port}\""), &format!("\"{address}\""));
        }
    }
    if !text.contains("\nmetrics:\n") {
        let metrics = format!("\nmetrics: {{ listen: \"{}\" }}\n", site.metrics());
        text.push_str(&metrics);
    }
    fs::write(site.config(), text).unwrap();
    site
}

/// The text of an example.
pub(super) fn example(name: &str) -> String {
    examples().into_iter().find(|(found, _)| found == name).unwrap().1
}

/// A request with one log record.
pub(super) fn log(number: u64, severity: u8, body: &str, service: &str) -> Bytes {
    let text = format!(
        r#"{{"resourceLogs":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":
        "{service}"}}}}]}},"scopeLogs":[{{"logRecords":[{{"timeUnixNano":"1767225600000000000",
        "severityNumber":{severity},"body":{{"stringValue":"{body}"}},"attributes":[
        {{"key":"test.number","value":{{"intValue":"{number}"}}}}]}}]}}]}}]}}"#
    );
    json::wire_of(Signal::Logs, &text).into()
}

fn info(number: u64) -> Bytes {
    log(number, 9, "order placed by ann@example.com", "shop")
}

fn error(number: u64) -> Bytes {
    log(number, 17, "card refused", "checkout")
}

/// A running example.
struct Scene {
    row: Row,
    text: String,
    site: Site,
    process: Process,
    backends: [Backend; 3],
}

impl Scene {
    async fn start(row: Row) -> Self {
        let backends = [Backend::start().await, Backend::start().await, Backend::start().await];
        let filled = |text: &str| {
            let each = backends.iter().enumerate();
            each.fold(text.to_owned(), |text, (idx, backend)| {
                text.replace(&format!("${idx}"), &backend.address().to_string())
            })
        };
        let replace = |text: String, (from, to): &(&str, &str)| {
            assert!(text.contains(from), "{} has no {from}", row.name);
            text.replace(from, &filled(to))
        };
        let text = row.replace.iter().fold(example(row.name), replace);
        let mut site = site(&text, &backends[0]);
        site.env = row.env.iter().map(|(name, value)| (*name, filled(value))).collect();
        let process = site.start().await;
        Self { row, text, site, process, backends }
    }

    /// Sends a request, over gRPC where the example listens for that.
    async fn send(&self, signal: Signal, wire: Bytes) {
        let name = self.row.name;
        if self.text.contains("grpc:") {
            let sent = GrpcClient::new(self.site.grpc()).send_to(signal.grpc_path(), wire).await;
            sent.unwrap_or_else(|status| panic!("{name}: {status}"));
        } else {
            let headers = [("content-type", "application/x-protobuf")];
            let answer =
                HttpClient::new(self.site.http()).post(signal.http_path(), &headers, wire).await;
            assert_eq!(answer.status, 200, "{name}: {answer:?}");
        }
    }

    /// Waits until a log record has arrived wherever the example leads it.
    async fn log_arrives(&self, backend: usize, number: u64) {
        let what = format!("{}: log record {number} at backend {backend}", self.row.name);
        let has = || self.backends[backend].records(Signal::Logs).contains_key(&number);
        eventually(SOON, &what, has).await;
    }

    async fn arrives(&self, arrives: Arrives) {
        let name = self.row.name;
        match arrives {
            Logs(backend, numbers) => {
                for number in numbers {
                    self.log_arrives(backend, *number).await;
                }
                let there: BTreeSet<u64> =
                    self.backends[backend].records(Signal::Logs).into_keys().collect();
                let others: Vec<_> =
                    ALL.iter().filter(|it| !numbers.contains(it) && there.contains(it)).collect();
                assert!(others.is_empty() || name == "fewer.yaml", "{name}: {others:?}");
            }
            Others(backend, signals) => {
                for signal in signals {
                    let there = || self.backends[backend].records(*signal).len() == 3;
                    eventually(SOON, &format!("{name}: {signal} at {backend}"), there).await;
                }
            }
            Last(backend, has, lacks, tenant) => {
                self.send(Signal::Logs, info(LAST)).await;
                self.log_arrives(backend, LAST).await;
                let last = self.backends[backend].last();
                let last = String::from_utf8_lossy(&last);
                assert!(last.contains(has) && !last.contains(lacks), "{name}: {last}");
                assert_eq!(self.backends[backend].last_header("x-scope-orgid").as_deref(), tenant);
            }
            File(path, has, lacks) => {
                let path = self.site.dir().join("data").join(path);
                let text = || fs::read_to_string(&path).unwrap_or_default();
                let what = format!("{name}: {has} in {}", path.display());
                eventually(SOON, &what, || text().contains(has)).await;
                assert!(!text().contains(lacks), "{name}: {}", text());
            }
            Out(text) => {
                let what = format!("{name}: {text} on standard output");
                eventually(SOON, &what, || self.process.out().contains(text)).await;
            }
        }
    }

    /// In red the vault takes a request, and afterwards it arrives where it belongs.
    async fn survives_red(&self) {
        self.process.hold("red");
        self.send(Signal::Logs, error(IN_RED)).await;
        let pivots = self.process.metrics().await.sum("gophership_somatic_pivots_total", &[]);
        assert!(0 < pivots, "{}: the vault took nothing", self.row.name);
        self.process.hold("auto");
        for arrives in self.row.arrives {
            if let Logs(backend, numbers) = arrives
                && numbers.contains(&ERROR)
            {
                self.log_arrives(*backend, IN_RED).await;
            }
        }
    }
}

async fn drive(row: Row) {
    let mut scene = Scene::start(row).await;
    if !scene.text.contains("type: demo") {
        let traffic = Traffic::default();
        for wire in [info(INFO), error(ERROR), log(DEBUG, 5, "cache miss", "shop")] {
            scene.send(Signal::Logs, wire).await;
        }
        for signal in BOTH {
            scene.send(*signal, traffic.request(*signal, 3).wire).await;
        }
    }
    for arrives in row.arrives {
        scene.arrives(*arrives).await;
    }
    if scene.text.contains("type: otlp\n    grpc:") && scene.text.contains("vault_replay") {
        scene.survives_red().await;
    }
    for signal in Signal::ALL {
        let books = scene.process.metrics().await.books(signal.name());
        assert_eq!(books.imbalance(), 0, "{}: {books:?}", row.name);
    }
    scene.process.stop(SOON).await;
}

/// Scenario: each example as a process, with requests of every signal, in green and in red.
/// Guarantees: everything arrives where the example says, changed as it says, and the ledger balances.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_to_an_example_arrives_where_it_says() {
    for rows in ROWS.chunks(AT_ONCE) {
        futures_util::future::join_all(rows.iter().map(|row| drive(*row))).await;
    }
}

#[test]
fn every_example_is_driven_with_data() {
    let here = ROWS.iter().map(|row| row.name.to_owned());
    let elsewhere = ELSEWHERE.iter().map(|(name, source)| {
        assert!(source.contains(name), "{name} is driven elsewhere");
        (*name).to_owned()
    });
    let driven: BTreeSet<String> = here.chain(elsewhere).collect();
    let all: BTreeSet<String> = examples().into_iter().map(|(name, _)| name).collect();
    assert_eq!(driven, all);
    assert!(20 <= all.len());
}

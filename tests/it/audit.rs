//! `gophership audit`: the ledger over restarts and kills is what clients, vaults and backends know.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use gophership_otlp::Signal;
use serde_json::Value;
use tonic::Code;

use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Mode;
use crate::harness::Oracle;
use crate::harness::Shape;
use crate::harness::Site;
use crate::harness::SteadyLoad;
use crate::harness::Traffic;
use crate::harness::eventually;
use crate::ledger::EVEN_TO_TWO;

const SOON: Duration = Duration::from_secs(15);
const LOGS: Signal = Signal::Logs;

const PLAIN: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, patience: 300ms, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND", retry: { min: 20ms, max: 100ms } }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

/// What the command said.
pub(crate) struct Audit {
    pub(crate) code: i32,
    pub(crate) page: Value,
    pub(crate) error: String,
}

impl Audit {
    pub(crate) fn take(site: &Site) -> Self {
        let output = Command::new(env!("CARGO_BIN_EXE_gophership"))
            .args(["audit", "-o", "json", "--within", "20s", "--config"])
            .arg(site.config())
            .envs(site.env.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        Self {
            code: output.status.code().unwrap(),
            page: serde_json::from_slice(&output.stdout).unwrap_or_default(),
            error: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// As [`Audit::take`], and everything is accounted for.
    pub(crate) fn balanced(site: &Site, state: &str) -> Self {
        let audit = Self::take(site);
        assert_eq!(audit.code, 0, "{}\n{:#}", audit.error, audit.page);
        assert_eq!((&audit.page["state"], &audit.page["compared"]), (&state.into(), &true.into()));
        for signal in Signal::ALL {
            assert_eq!(audit.page["signals"][signal.name()]["difference"], 0);
            audit.assert_rows_balance(signal);
        }
        audit
    }

    /// The sources add up to the whole, line by line, each is even by itself, and so is each sink; sinks
    /// have delivered what was delivered.
    fn assert_rows_balance(&self, signal: Signal) {
        let rows = |side: &str| -> Vec<Value> {
            let rows = self.page[side].as_object().unwrap().values();
            rows.filter_map(|row| row.get(signal.name()).cloned()).collect()
        };
        let (sources, sinks) = (rows("sources"), rows("sinks"));
        let whole = self.page["signals"][signal.name()]["lines"].as_object().unwrap();
        let number = |value: &Value| value.as_i64().unwrap();
        for (line, records) in whole {
            let sum: i64 = sources.iter().map(|row| number(&row["lines"][line])).sum();
            assert_eq!(sum, number(records), "{signal} {line}: {:#}", self.page["sources"]);
        }
        assert!(sources.iter().all(|row| row["difference"] == 0), "{:#}", self.page["sources"]);
        for row in &sinks {
            let gone = ["delivered", "rejected", "returned", "interrupted", "in_flight"];
            let gone: i64 = gone.iter().map(|line| number(&row[line])).sum();
            assert_eq!(number(&row["taken"]), gone, "{row}");
        }
        let delivered: i64 = sinks.iter().map(|row| number(&row["delivered"])).sum();
        assert_eq!(delivered, number(&whole["delivered"]), "{:#}", self.page["sinks"]);
    }

    fn line(&self, signal: Signal, line: &str) -> i64 {
        self.page["signals"][signal.name()]["lines"][line].as_i64().unwrap()
    }

    /// The lines that are not zero.
    fn lines(&self, signal: Signal) -> Vec<(String, i64)> {
        let lines = self.page["signals"][signal.name()]["lines"].as_object().unwrap();
        let number = |value: &Value| value.as_i64().unwrap();
        let some = lines.iter().filter(|(_, value)| number(value) != 0);
        some.map(|(line, value)| (line.clone(), number(value))).collect()
    }

    /// Records of a signal that the first vault really holds.
    fn held(&self, signal: Signal) -> i64 {
        self.page["vaults"][0]["vaulted"]["records"][signal.name()].as_i64().unwrap()
    }

    pub(crate) fn findings(&self) -> String {
        self.page["findings"].to_string()
    }
}

fn expected(lines: &[(&str, i64)]) -> Vec<(String, i64)> {
    let mut lines: Vec<_> = lines.iter().map(|(line, n)| ((*line).to_owned(), *n)).collect();
    lines.sort();
    lines
}

/// Records that a backend has, repeated ones counted as often as they came.
pub(crate) fn taken(backend: &Backend, signal: Signal) -> i64 {
    backend.records(signal).values().sum::<u64>().try_into().unwrap()
}

/// Scenario: fan-out through a filter, a refusal for good, Red; then `SIGTERM`, and a second process
/// that replays.
/// Guarantees: beside the running server, after its end and beside the second one every line is what
/// clients and backends know; the vault holds what the ledger says, and the audit names its source.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_goes_on_across_a_restart() {
    let (backend, other) = (Backend::start().await, Backend::start().await);
    let mut site = Site::new(backend.address(), EVEN_TO_TWO);
    site.env.push(("OTHER", other.address().to_string()));
    let mut process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    for _ in 0..5 {
        client.send(&traffic.request(LOGS, 6)).await.unwrap();
    }
    backend.set(Mode::Reject);
    let status = client.send(&traffic.request(LOGS, 6)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    backend.set(Mode::Accept);
    process.hold("red");
    for _ in 0..3 {
        client.send(&traffic.request(LOGS, 6)).await.unwrap();
    }
    let lines = expected(&[
        ("received", 54),
        ("copies", 18),
        ("delivered", 33),
        ("filtered", 18),
        ("rejected_by_backend", 3),
        ("vaulted", 18),
    ]);
    let live = Audit::balanced(&site, "quiet");
    assert_eq!(live.lines(LOGS), lines);
    assert_eq!(live.held(LOGS), 18);
    assert_eq!(live.page["vaults"][0]["vaulted"]["by_source"]["otlp"]["logs"], 18);
    process.stop(SOON).await;
    assert_eq!(Audit::balanced(&site, "ended").lines(LOGS), lines);

    let process = site.start().await;
    client.send(&traffic.request(LOGS, 6)).await.unwrap();
    let both = || taken(&backend, LOGS) + taken(&other, LOGS);
    eventually(SOON, "the vault is replayed", || both() == 33 + 18 + 6).await;
    let second = Audit::balanced(&site, "quiet");
    let lines = expected(&[
        ("received", 60),
        ("copies", 18 + 18 + 3),
        ("delivered", both()),
        ("filtered", 18 + 18 + 3),
        ("rejected_by_backend", 3),
    ]);
    assert_eq!(second.lines(LOGS), lines, "{}", process.log());
    assert_eq!((second.held(LOGS), &second.page["servers"]), (0, &2.into()));
}

/// Scenario: killed in Red, a while after the last request; the next process replays.
/// Guarantees: nothing is uncertain: before and after, each line is exact to the record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_nothing_moves_every_line_is_exact() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), PLAIN);
    let mut process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    client.send(&traffic.request(LOGS, 4)).await.unwrap();
    process.hold("red");
    for _ in 0..3 {
        client.send(&traffic.request(LOGS, 7)).await.unwrap();
    }
    let lines = expected(&[("received", 25), ("delivered", 4), ("vaulted", 21)]);
    assert_eq!(Audit::balanced(&site, "quiet").lines(LOGS), lines);
    process.kill();
    let killed = Audit::balanced(&site, "killed");
    assert_eq!((killed.lines(LOGS), killed.held(LOGS)), (lines, 21));
    let process = site.start().await;
    eventually(SOON, "the vault is replayed", || taken(&backend, LOGS) == 25).await;
    let after = Audit::balanced(&site, "quiet");
    let lines = expected(&[("received", 25), ("delivered", 25)]);
    assert_eq!(after.lines(LOGS), lines, "{}", process.log());
    assert_eq!((&after.page["servers"], &after.page["killed"]), (&2.into(), &1.into()));
}

/// Scenario: killed in Red right after the last OK, when the ledger on disk is behind.
/// Guarantees: the vault holds exactly what was acknowledged, and the audit says so; what the ledger
/// did not know is booked as unwritten, and with it the sum is exact.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_red_what_was_not_written_is_booked_by_what_the_vault_holds() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), PLAIN);
    let mut process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    process.hold("red");
    for _ in 0..40 {
        client.send(&traffic.request(LOGS, 5)).await.unwrap();
    }
    process.kill();
    assert_eq!(Audit::balanced(&site, "killed").held(LOGS), 200);
    let process = site.start().await;
    eventually(SOON, "the vault is replayed", || taken(&backend, LOGS) == 200).await;
    let after = Audit::balanced(&site, "quiet");
    let origins: i64 =
        ["received", "copies", "unwritten"].iter().map(|line| after.line(LOGS, line)).sum();
    assert_eq!(origins, 200 + after.line(LOGS, "interrupted"), "{}", process.log());
    assert_eq!(after.line(LOGS, "delivered"), 200);
    assert_eq!((after.line(LOGS, "vaulted"), after.held(LOGS)), (0, 0));
}

/// Scenario: twelve clients; the process is killed in Green under load, three times, and once with the
/// backend down, so that the vault has a part.
/// Guarantees: each time the audit balances, dead and alive; nothing acknowledged is missing; the
/// ledger claims no record that nobody sent and no delivery that the backend does not know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_it_balances_and_claims_nothing_that_was_not() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), PLAIN);
    let (traffic, oracle) = (Arc::<Traffic>::default(), Arc::<Oracle>::default());
    let mut process = site.start().await;
    for round in 0..4 {
        if round == 2 {
            backend.set(Mode::Gone);
        }
        let shape = Shape { clients: 12, records: 5, padding: 200 };
        let load = SteadyLoad::start(site.grpc(), shape, &traffic, &oracle);
        load.advance(300, SOON).await;
        process.kill();
        load.stop().await;
        let dead = Audit::take(&site);
        assert_eq!((dead.code, &dead.page["state"]), (0, &"killed".into()), "{}", dead.findings());
        process = site.start().await;
        backend.set(Mode::Accept);
    }
    // Those before may all have been delivered within a second of a kill, and be in no page.
    let client = GrpcClient::new(site.grpc());
    for signal in Signal::ALL {
        let parcel = traffic.request(signal, 1);
        oracle.sends(&parcel);
        client.send(&parcel).await.unwrap();
        oracle.acknowledged(&parcel);
    }
    oracle.settle(&backend, 2 * SOON).await.assert_kept(&process.log());
    let alive = Audit::balanced(&site, "quiet");
    assert_eq!(alive.page["killed"], 4);
    for signal in Signal::ALL {
        assert_eq!((alive.line(signal, "vaulted"), alive.held(signal)), (0, 0));
        assert!(0 < alive.line(signal, "delivered"), "{signal}");
        assert!(alive.line(signal, "delivered") <= taken(&backend, signal), "{signal}");
    }
}

/// Scenario: a vault is deleted behind a server that had ended in order.
/// Guarantees: the audit says how many records of which signal are not there, and fails; the next start
/// says it too and books them as missing, which the audit does not forget.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_disappears_from_a_vault_is_found() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), PLAIN);
    let mut process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    process.hold("red");
    client.send(&traffic.request(Signal::Traces, 9)).await.unwrap();
    process.stop(SOON).await;
    Audit::balanced(&site, "ended");
    fs::remove_dir_all(site.dir().join("data/vault")).unwrap();
    let lost = Audit::take(&site);
    assert_eq!(lost.code, 1, "{:#}", lost.page);
    assert!(lost.findings().contains("traces: the vaults hold 9 records fewer"), "{:#}", lost.page);
    let process = site.start().await;
    process.logged(SOON, &["missing from the vaults", "missing=9", "traces"]).await;
    let after = Audit::take(&site);
    assert_eq!((after.code, after.line(Signal::Traces, "missing")), (1, 9), "{:#}", after.page);
    assert_eq!(after.page["signals"]["traces"]["difference"], 0);
}

/// Scenario: no ledger; one that is damaged in both slots; a configuration with a mistake.
/// Guarantees: each has its exit code; the server starts beside the damage, says so and begins anew
/// with what the vault holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_ledger_stops_no_start_and_begins_with_what_the_vault_holds() {
    let backend = Backend::start().await;
    backend.set(Mode::Gone);
    let site = Site::new(backend.address(), PLAIN);
    let nothing = Audit::take(&site);
    assert!(nothing.code == 66 && nothing.error.contains("no ledger"), "{}", nothing.error);
    let mut process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    process.hold("red");
    client.send(&traffic.request(LOGS, 9)).await.unwrap();
    process.stop(SOON).await;
    fs::write(site.dir().join("data/ledger"), "scribble").unwrap();
    let damaged = Audit::take(&site);
    assert!(damaged.code == 1 && damaged.error.contains("damaged"), "{}", damaged.error);
    let process = site.start().await;
    process.logged(SOON, &["ledger is damaged"]).await;
    backend.set(Mode::Accept);
    eventually(SOON, "the vault is replayed", || taken(&backend, LOGS) == 9).await;
    let anew = Audit::balanced(&site, "quiet");
    assert_eq!(anew.lines(LOGS), expected(&[("recovered", 9), ("delivered", 9)]));
    site.configure("sources: { otlp: { type: nonsense } }\n");
    assert_eq!(Audit::take(&site).code, 78);
}

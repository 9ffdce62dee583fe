//! The ledger by source and by sink: each row is what the clients of the source and the backend of the
//! sink know, over restarts and kills.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use gophership_otlp::Signal;
use serde_json::Value;
use serde_json::json;
use tonic::Code;

use crate::audit::Audit;
use crate::audit::taken;
use crate::golden;
use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Mode;
use crate::harness::Oracle;
use crate::harness::Process;
use crate::harness::Shape;
use crate::harness::Site;
use crate::harness::SteadyLoad;
use crate::harness::Traffic;
use crate::harness::eventually;

const SOON: Duration = Duration::from_secs(20);
const LOGS: Signal = Signal::Logs;

/// Odd records are taken out; what is left goes to two sinks.
const TWO_TO_TWO: &str = r#"
sources:
  one: { type: otlp, grpc: { listen: "$GRPC" }, patience: 300ms, pivot: vault }
  two: { type: otlp, grpc: { listen: "$HTTP" }, patience: 300ms, pivot: vault }
  replay: { type: vault_replay, vault: vault }
transforms:
  even: { type: filter, inputs: [one, two, replay], drop: [{ attribute: test.parity, equals: odd }] }
sinks:
  first: { type: otlp, inputs: [even], endpoint: "http://$BACKEND", retry: { min: 20ms, max: 100ms } }
  second: { type: otlp, inputs: [even], endpoint: "http://${OTHER}" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

/// Lines of one row, in records.
type Row = Vec<(&'static str, i64)>;

/// What every row should be, built up act by act.
#[derive(Default)]
struct Expected {
    one: Row,
    two: Row,
    first: Row,
    second: Row,
}

fn add(row: &mut Row, lines: &[(&'static str, i64)]) {
    for (line, records) in lines {
        match row.iter_mut().find(|(known, _)| known == line) {
            Some((_, sum)) => *sum += records,
            None => row.push((*line, *records)),
        }
    }
}

/// The lines that are not zero.
fn some(row: &Row) -> Value {
    let lines = row.iter().filter(|(_, records)| *records != 0);
    lines.map(|(line, records)| ((*line).to_owned(), json!(records))).collect()
}

/// The lines of an audit's row that are not zero.
fn lines(row: &Value) -> Value {
    let all = row.get("lines").unwrap_or(row).as_object().cloned().unwrap_or_default();
    all.into_iter().filter(|(_, records)| *records != 0).collect()
}

impl Expected {
    /// Records of a source pass the filter: each sink takes half of them.
    fn pass(&mut self, source: fn(&mut Self) -> &mut Row, records: i64) {
        let (all, half) = (records, records / 2);
        add(source(self), &[("received", all), ("filtered", half)]);
        add(source(self), &[("copies", half), ("delivered", all)]);
        add(&mut self.first, &[("taken", half), ("delivered", half)]);
        add(&mut self.second, &[("taken", half), ("delivered", half)]);
    }

    fn assert_is(&self, audit: &Audit, act: &str) {
        let (sources, sinks) = (&audit.page["sources"], &audit.page["sinks"]);
        for (row, side, name) in [
            (&self.one, sources, "one"),
            (&self.two, sources, "two"),
            (&self.first, sinks, "first"),
            (&self.second, sinks, "second"),
        ] {
            assert_eq!(lines(&side[name]["logs"]), some(row), "{act}: {name}");
        }
        let names = |side: &Value| side.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(sources), ["one", "two"], "{act}");
        assert_eq!(names(sinks), ["first", "second"], "{act}");
    }
}

struct Scene {
    backend: Backend,
    other: Backend,
    site: Site,
    clients: [GrpcClient; 2],
    traffic: Traffic,
}

impl Scene {
    async fn set() -> Self {
        let (backend, other) = (Backend::start().await, Backend::start().await);
        let mut site = Site::new(backend.address(), TWO_TO_TWO);
        site.env.push(("OTHER", other.address().to_string()));
        let clients = [GrpcClient::new(site.grpc()), GrpcClient::new(site.http())];
        Self { backend, other, site, clients, traffic: Traffic::default() }
    }

    /// Sends requests of six records, half of them even.
    async fn send(&self, client: usize, requests: u64) {
        for _ in 0..requests {
            self.clients[client].send(&self.traffic.request(LOGS, 6)).await.unwrap();
        }
    }

    /// Each sink has delivered what its backend has.
    fn assert_backends(&self, expected: &Expected) {
        for (backend, row) in [(&self.backend, &expected.first), (&self.other, &expected.second)] {
            let delivered = row.iter().find(|(line, _)| *line == "delivered").unwrap().1;
            assert_eq!(delivered, taken(backend, LOGS));
        }
    }
}

/// `gs-ctl status` and `/metrics` say the same of this process as the audit.
async fn assert_shown(process: &Process, expected: &Expected) {
    let output = process.control(&["status", "-o", "json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let table = String::from_utf8(process.control(&["status"]).stdout).unwrap();
    let metrics = process.metrics().await;
    let rows = [
        ("source", "bucket", "one", &expected.one),
        ("source", "bucket", "two", &expected.two),
        ("sink", "bucket", "first", &expected.first),
        ("sink", "bucket", "second", &expected.second),
    ];
    for (side, label, name, row) in rows {
        assert_eq!(status[format!("{side}s")][name]["logs"], some(row), "{name}");
        let is_row = |line: &&str| line.starts_with(name) && line.contains("logs");
        assert!(table.lines().any(|line| is_row(&line)), "{name} is not in\n{table}");
        for (line, records) in row {
            let labels = [(side, name), ("signal", "logs"), (label, *line)];
            let family = format!("gophership_ledger_{side}_records");
            assert_eq!(metrics.sum(&family, &labels), *records, "{name} {line}");
        }
    }
}

/// Scenario: two sources, a filter, two sinks: all is delivered; one sink refuses for good; one hangs
/// until patience is over; Red; the end of the process, of which the next one's first sink refuses for
/// good what is replayed; Red again, and a kill.
/// Guarantees: after each act each row is exact to the record, in the audit, in `gs-ctl status` and in
/// the metrics; the vault names what it holds by source, and what each cursor has before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_is_exact_over_a_restart_and_a_kill() {
    let scene = Scene::set().await;
    let (site, mut expected) = (&scene.site, Expected::default());
    let mut process = site.start().await;
    scene.send(0, 5).await;
    scene.send(1, 2).await;
    expected.pass(|rows| &mut rows.one, 30);
    expected.pass(|rows| &mut rows.two, 12);

    scene.backend.set(Mode::Reject);
    let status = scene.clients[0].send(&scene.traffic.request(LOGS, 6)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    expected.pass(|rows| &mut rows.one, 6);
    add(&mut expected.one, &[("delivered", -3), ("rejected_by_backend", 3)]);
    add(&mut expected.first, &[("delivered", -3), ("rejected", 3)]);
    scene.backend.set(Mode::Accept);
    expected.assert_is(&Audit::balanced(site, "quiet"), "delivered and rejected");

    scene.backend.set(Mode::Hang);
    scene.send(1, 1).await;
    scene.backend.set(Mode::Accept);
    expected.pass(|rows| &mut rows.two, 6);
    // The copy of the first sink is withdrawn, and comes back from the vault through the filter.
    add(&mut expected.two, &[("copies", 3), ("filtered", 3)]);
    add(&mut expected.first, &[("taken", 3), ("returned", 3)]);
    eventually(SOON, "what was late is replayed", || taken(&scene.backend, LOGS) == 24).await;

    process.hold("red");
    scene.send(0, 2).await;
    scene.send(1, 1).await;
    add(&mut expected.one, &[("received", 12), ("vaulted", 12)]);
    add(&mut expected.two, &[("received", 6), ("vaulted", 6)]);
    let audit = Audit::balanced(site, "quiet");
    expected.assert_is(&audit, "in Red");
    assert_shown(&process, &expected).await;
    let vaulted = &audit.page["vaults"][0]["vaulted"];
    assert_eq!(vaulted["by_source"]["one"]["logs"], 12);
    assert_eq!(vaulted["by_source"]["two"]["logs"], 6);
    for sink in ["first", "second"] {
        assert_eq!(vaulted["by_cursor"][format!("replay.TO.{sink}")]["logs"], 18, "{sink}");
    }
    process.stop(SOON).await;
    expected.assert_is(&Audit::balanced(site, "ended"), "ended");
    check_page(site);

    scene.backend.set(Mode::Reject);
    let mut process = site.start().await;
    buried(&scene, &mut expected).await;
    expected.assert_is(&Audit::balanced(site, "quiet"), "buried");

    scene.backend.set(Mode::Accept);
    process.hold("red");
    scene.send(1, 3).await;
    add(&mut expected.two, &[("received", 18), ("vaulted", 18)]);
    expected.assert_is(&Audit::balanced(site, "quiet"), "before the kill");
    process.kill();
    expected.assert_is(&Audit::balanced(site, "killed"), "killed");
    let process = site.start().await;
    let has_all = || (taken(&scene.backend, LOGS), taken(&scene.other, LOGS)) == (33, 45);
    eventually(SOON, "the vault is replayed", has_all).await;
    // For each of the sinks a copy passes the filter.
    add(&mut expected.two, &[("vaulted", -18), ("copies", 18)]);
    add(&mut expected.two, &[("filtered", 18), ("delivered", 18)]);
    add(&mut expected.first, &[("taken", 9), ("delivered", 9)]);
    add(&mut expected.second, &[("taken", 9), ("delivered", 9)]);
    expected.assert_is(&Audit::balanced(site, "quiet"), &process.log());
    scene.assert_backends(&expected);
}

/// What was in the vault is replayed; the first sink refuses it for good.
async fn buried(scene: &Scene, expected: &mut Expected) {
    for (row, records) in [(&mut expected.one, 12), (&mut expected.two, 6)] {
        add(row, &[("vaulted", -records), ("dead_lettered", records), ("copies", records)]);
        add(row, &[("filtered", records / 2), ("delivered", records / 2)]);
    }
    // They are dead letters as they were stored, with what the filter would have taken out.
    add(&mut expected.first, &[("taken", 9), ("rejected", 9), ("dead_lettered", 18)]);
    add(&mut expected.second, &[("taken", 9), ("delivered", 9)]);
    eventually(SOON, "the second sink has its part", || taken(&scene.other, LOGS) == 36).await;
}

/// The page about the audit shows what it says here.
fn check_page(site: &Site) {
    const BEGIN: &str = "<!-- generated: audit -->\n```text\n";
    const END: &str = "```\n<!-- end -->\n";
    const PAGE: &str = "website/audit.md";
    let output = Command::new(env!("CARGO_BIN_EXE_gophership"))
        .args(["audit", "--config"])
        .arg(site.config())
        .envs(site.env.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let data_dir = site.dir().join("data").display().to_string();
    let shown = |line: &str| match line.split_once(' ') {
        Some(("begun", _)) => "begun   2026-07-01T08:00:00Z\n".to_owned(),
        Some(("written", _)) => {
            "written 2026-07-01T09:30:00Z, by a server that stopped cleanly\n".to_owned()
        }
        _ => format!("{}\n", line.replace(&data_dir, "/var/lib/gophership")),
    };
    assert!(text.contains("by a server that stopped cleanly"), "{text}");
    let text: String = text.lines().map(shown).collect();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    golden::check(PAGE, &format!("{before}{BEGIN}{text}{END}{after}"));
}

/// Scenario: clients at both sources; killed under load in Green, in Red, and with one backend down.
/// Guarantees: each time every row balances, dead and alive, sources and sinks agree, and nothing
/// acknowledged is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_every_row_balances() {
    let scene = Scene::set().await;
    let plain: Vec<&str> = TWO_TO_TWO.lines().filter(|line| !line.contains("even: {")).collect();
    let plain =
        plain.join("\n").replace("transforms:\n", "").replace("[even]", "[one, two, replay]");
    scene.site.configure(&plain);
    let (traffic, oracle) = (Arc::<Traffic>::default(), Arc::<Oracle>::default());
    let mut process = scene.site.start().await;
    for round in 0..3 {
        match round {
            1 => scene.other.set(Mode::Gone),
            2 => process.hold("red"),
            _ => {}
        }
        let shape = Shape { clients: 6, records: 5, padding: 200 };
        let loads = [scene.site.grpc(), scene.site.http()]
            .map(|address| SteadyLoad::start(address, shape, &traffic, &oracle));
        for load in &loads {
            load.advance(150, SOON).await;
        }
        process.kill();
        for load in loads {
            load.stop().await;
        }
        let dead = Audit::take(&scene.site);
        assert_eq!((dead.code, &dead.page["state"]), (0, &"killed".into()), "{}", dead.findings());
        scene.other.set(Mode::Accept);
        process = scene.site.start().await;
    }
    for backend in [&scene.backend, &scene.other] {
        oracle.settle(backend, 2 * SOON).await.assert_kept(&process.log());
    }
    let alive = Audit::balanced(&scene.site, "quiet");
    for (sink, backend) in [("first", &scene.backend), ("second", &scene.other)] {
        for signal in Signal::ALL {
            let row = &alive.page["sinks"][sink][signal.name()];
            let delivered = row["delivered"].as_i64().unwrap();
            assert!(delivered <= taken(backend, signal), "{sink} {signal}: {row}");
        }
    }
    // Of a process that was killed before it first wrote its books, only what its vault holds is known.
    let one = &alive.page["sources"]["one"]["logs"]["origins"];
    assert!(0 < one.as_i64().unwrap(), "{:#}", alive.page["sources"]);
}

//! An outage as an operator sees it who has nothing but the log, `gs-ctl status` and `/metrics`: each of them says in
//! one line when it began, what is where, when it was over, and whether anything was lost.

use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use gophership_otlp::Signal;
use gophership_units::parse_timestamp;

use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually;
use crate::harness::get;

const SOON: Duration = Duration::from_secs(20);
const REQUESTS: u64 = 20;
const SINK: [(&str, &str); 1] = [("sink", "backend")];

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault, patience: 2s }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

fn now_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// The status, with each sentence in one line again.
fn status(process: &Process) -> String {
    let output = process.control(&["status"]);
    String::from_utf8(output.stdout).unwrap().replace("\n  ", " ")
}

/// The only line that has all of these words.
#[track_caller]
fn line<'t>(text: &'t str, words: &[&str]) -> &'t str {
    let mut lines = text.lines().filter(|line| words.iter().all(|word| line.contains(word)));
    let line = lines.next().unwrap_or_else(|| panic!("no line has {words:?} in\n{text}"));
    assert_eq!(lines.next(), None, "two lines have {words:?}");
    line
}

/// A time as the log and the status write it, in seconds since 1970.
fn seconds_of(text: &str) -> f64 {
    let ns = parse_timestamp(text).unwrap_or_else(|| panic!("{text:?} is no time"));
    Duration::from_nanos(ns).as_secs_f64()
}

/// The time that stands behind a word.
fn time_after(line: &str, word: &str) -> f64 {
    let (_, rest) = line.split_once(word).unwrap();
    seconds_of(rest.split([' ', ';']).next().unwrap())
}

const BEGUN: &str = "The vault keeps requests for a sink that does not accept them now";
const OVER: &str = "The vault has delivered everything that it kept for the sink";
const TOLD: &str = "20 requests (100 records, ";

/// A time as it should be told: between two moments, in seconds since 1970.
#[derive(Clone, Copy)]
struct Between(f64, f64);

impl Between {
    #[track_caller]
    fn check(self, seconds: f64, line: &str) {
        let Self(from, to) = self;
        // The clock of the log is not the one of the test to the last digit.
        assert!(from - 1.0 <= seconds && seconds <= to + 1.0, "{from} {seconds} {to}: {line}");
    }
}

/// Scenario: a backend is out for some seconds, in which 20 requests with 100 records come, and is back.
/// Guarantees: the log, the status and the metrics each say when that began and how many requests are in the vault,
/// while it lasts; and when it was over and that nothing was lost, afterwards. `/readyz` has the line of the status.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_question_about_an_outage_is_answered_by_one_line_in_each_place() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), YAML);
    let process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    assert!(status(&process).contains("since the start: 0 requests lost, 0 dead letters"));
    let before = now_seconds();
    backend.set(Mode::Unavailable);
    for _ in 0..REQUESTS {
        client.send(&traffic.request(Signal::Logs, 5)).await.unwrap();
    }
    process.logged(SOON, &[BEGUN]).await;
    let waits = |metrics: &Metrics| metrics.sum("gophership_sink_backlog_requests", &SINK) == 20;
    process.measured(SOON, "20 requests wait", waits).await;
    process.logged(SOON, &["Backend is out"]).await;
    eventually(SOON, "the status tells what waits", || status(&process).contains(TOLD)).await;
    let meanwhile = now_seconds();
    while_it_lasts(&site, &process, Between(before, meanwhile)).await;

    backend.set(Mode::Accept);
    process.logged(SOON, &[OVER]).await;
    let end = Between(meanwhile, now_seconds());
    afterwards(&process, Between(before, meanwhile), end).await;
}

/// What is told while the backend is out, since a time between two others.
async fn while_it_lasts(site: &Site, process: &Process, began: Between) {
    let log = process.log();
    let told = line(&log, &[BEGUN, "sink=backend", "vault=vault", "requests="]);
    began.check(seconds_of(told.split(' ').next().unwrap()), told);
    let words = ["degraded: sink backend has been out for ", TOLD, " in the vault, oldest "];
    let said = status(process);
    let degraded = line(&said, &words);
    assert!(degraded.contains("Unavailable"), "{degraded}");
    line(&get(site.metrics(), "/readyz").await.unwrap().1, &words);
    let health = String::from_utf8(process.control(&["health"]).stdout).unwrap();
    line(&health.replace("\n  ", " "), &words);
    let metrics = process.metrics().await;
    let real = |name: &str| metrics.real_sum(&format!("gophership_sink_backlog_{name}"), &SINK);
    began.check(real("began_timestamp_seconds"), "metrics");
    assert!(real("ended_timestamp_seconds") <= 0.0);
    let oldest = real("oldest_seconds");
    assert!(0.0 < oldest && oldest <= now_seconds() + 1.0 - began.0, "{oldest}");
}

/// What is told when everything is delivered.
async fn afterwards(process: &Process, began: Between, end: Between) {
    let log = process.log();
    let sums = ["requests=20", "records=100", "dead_letters=0", "lost=0", "lasted_seconds="];
    let over = line(&log, &[&[OVER, "sink=backend"][..], &sums].concat());
    end.check(seconds_of(over.split(' ').next().unwrap()), over);
    let is_over = |metrics: &Metrics| {
        0.0 < metrics.real_sum("gophership_sink_backlog_ended_timestamp_seconds", &SINK)
            && metrics.sum("gophership_sink_backlog_requests", &SINK) == 0
    };
    process.measured(SOON, "the metrics say that it is over", is_over).await;
    let metrics = process.metrics().await;
    end.check(
        metrics.real_sum("gophership_sink_backlog_ended_timestamp_seconds", &SINK),
        "metrics",
    );
    for none in ["lost_requests", "dropped_requests", "dead_lettered"] {
        assert_eq!(metrics.sum(&format!("gophership_vault_{none}_total"), &[]), 0, "{none}");
    }
    eventually(SOON, "nothing is degraded", || !status(process).contains("degraded")).await;
    let said = status(process);
    let kept =
        line(&said, &["the vault kept requests for sink backend from ", "; none is left there"]);
    began.check(time_after(kept, " from "), kept);
    end.check(time_after(kept, " to "), kept);
    line(&said, &["since the start: 0 requests lost, 0 dead letters"]);
    line(&said, &["the ledger balances"]);
}

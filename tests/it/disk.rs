//! The disk under the vault of a running server: what an OK waits for, and what is said while it fails.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Lines;
use std::process::Child;
use std::process::ChildStderr;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use gophership_otlp::Signal;
use rustix::process::Pid;
use rustix::process::Signal as ProcessSignal;
use tonic::Code;
use tonic_types::StatusExt;

use crate::audit::taken;
use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually;

const SOON: Duration = Duration::from_secs(20);
const LOGS: Signal = Signal::Logs;
/// How long the slow disk takes for each write and sync, and how much sooner an answer without it comes.
const SLOW: Duration = Duration::from_secs(3);
const AT_ONCE: Duration = Duration::from_millis(1_500);

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, ack: journaled, patience: $PATIENCE, answer_within: 9s, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND", retry: { min: 20ms, max: 100ms } }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB, durability: $LEVEL }
"#;

fn yaml(level: &str, patience: &str) -> String {
    YAML.replace("$LEVEL", level).replace("$PATIENCE", patience)
}

/// The words before a program whose first segment takes so long for each write and sync.
fn delayed(site: &Site, delay: Duration) -> Vec<String> {
    let segment = site.dir().join(format!("data/vault/seg-{:020}.open", 1));
    let words = format!(
        "strace -D -f -qq -o /dev/null -P {} -e trace=pwrite64,fdatasync -e inject=pwrite64,fdatasync:delay_enter={}",
        segment.display(),
        delay.as_micros(),
    );
    words.split(' ').map(str::to_owned).collect()
}

/// Sends a request to a server whose first segment is on a slow disk; returns how long its OK took, and
/// what is delivered of it after a stop and another start.
async fn stored(level: &str) -> (Duration, i64) {
    let backend = Backend::start().await;
    backend.set(Mode::Unavailable);
    let mut site = Site::new(backend.address(), &yaml(level, "8s"));
    site.before = delayed(&site, SLOW);
    let mut process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    let begun = Instant::now();
    client.send(&traffic.request(LOGS, 3)).await.unwrap();
    let took = begun.elapsed();
    process.stop(SOON).await;
    site.before.clear();
    backend.set(Mode::Accept);
    let _process = site.start().await;
    eventually(SOON, "it is delivered", || taken(&backend, LOGS) >= 3).await;
    (took, taken(&backend, LOGS))
}

/// Scenario: a disk that takes three seconds for each write and sync; one request, then a clean stop.
/// Guarantees: with `memory` the OK does not wait for the disk, with `written` and `synced` it does; a clean
/// stop keeps the request at every level.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_answers_without_the_disk_and_a_stop_keeps_all() {
    if !untested::can_run("it disk::memory_answers_without_the_disk_and_a_stop_keeps_all") {
        return;
    }
    let (memory, written, synced) =
        tokio::join!(stored("memory"), stored("written"), stored("synced"));
    assert!(memory.0 < AT_ONCE, "{memory:?}");
    assert!(SLOW <= written.0, "{written:?}");
    assert!(SLOW * 2 <= synced.0, "{synced:?}");
    assert_eq!((memory.1, written.1, synced.1), (3, 3, 3));
}

/// Scenario: each write and sync of a vault takes 0.7 s; requests are stored, one after the other, and then none.
/// Guarantees: commits count as pressure, which turns the zone yellow; with nothing to store they do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_commits_turn_the_zone_yellow() {
    if !untested::can_run("it disk::slow_commits_turn_the_zone_yellow") {
        return;
    }
    let backend = Backend::start().await;
    let mut site = Site::new(backend.address(), &yaml("synced", "8s"));
    site.before = delayed(&site, Duration::from_millis(700));
    let process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    let sending =
        tokio::spawn(async move { while client.send(&traffic.request(LOGS, 1)).await.is_ok() {} });
    let commit = [("kind", "commit"), ("place", "vault")];
    // The zone may be yellow for other reasons too, on a machine that is busy.
    let is_yellow = |metrics: &Metrics| 0.5 <= metrics.pressure(&commit) && 1 <= metrics.zone();
    process.measured(SOON, "commits are slow, and the zone is yellow", is_yellow).await;
    sending.abort();
    let is_over = |metrics: &Metrics| metrics.pressure(&commit) < 0.2;
    process.measured(SOON, "nothing is stored", is_over).await;
}

/// Makes every sync of a running process fail; ended when dropped.
struct FailingSyncs {
    strace: Child,
    /// Kept: it would end when it cannot say that it follows another thread.
    _told: Lines<BufReader<ChildStderr>>,
}

impl FailingSyncs {
    fn of(process: &Process) -> Self {
        let mut strace = Command::new("strace")
            .args(["-f", "-o", "/dev/null", "-e", "trace=fdatasync,fsync"])
            .args(["-e", "inject=fdatasync,fsync:error=EIO", "-p", &process.id().to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(strace.stderr.take().unwrap()).lines();
        let attached = told.next().expect("strace says that it is attached").unwrap();
        assert!(attached.contains("attached"), "{attached}");
        Self { strace, _told: told }
    }
}

impl Drop for FailingSyncs {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.strace.id().try_into().unwrap()).unwrap();
        // It lets the process go, which a kill would not.
        let _gone = rustix::process::kill_process(pid, ProcessSignal::INT);
        let _ended = self.strace.wait();
    }
}

/// Scenario: every sync of a running server fails for a while, then none; requests come all the time.
/// Guarantees: senders get `UNAVAILABLE` with `RetryInfo`, the metric and one line of the log say so, and one
/// line says when it is over; requests are taken again by themselves, and all that had an OK arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_refuses_says_so_and_takes_requests_again() {
    if !untested::can_run("it disk::a_disk_that_fails_refuses_says_so_and_takes_requests_again") {
        return;
    }
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), &yaml("synced", "300ms"));
    let process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    let mut acknowledged = 0;
    let mut send = async || {
        let answer = client.send(&traffic.request(LOGS, 1)).await;
        acknowledged += i64::from(answer.is_ok());
        answer
    };
    send().await.unwrap();

    let failing = FailingSyncs::of(&process);
    let is_failed = |metrics: &Metrics| metrics.sum("gophership_vault_failed", &[]) == 1;
    let deadline = Instant::now() + SOON;
    while !is_failed(&process.metrics().await) {
        assert!(Instant::now() < deadline, "{}", process.log());
        let status = send().await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    }
    let status = send().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(status.message(), "the vault cannot write to its disk now; retry later");
    let hint = status.get_details_retry_info().and_then(|info| info.retry_delay);
    assert!(hint.is_some_and(|delay| !delay.is_zero()), "{status:?}");
    process.logged(SOON, &["Vault cannot write. It refuses requests"]).await;

    drop(failing);
    process.measured(SOON, "the vault writes again", |metrics| !is_failed(metrics)).await;
    process.logged(SOON, &["Vault can write again."]).await;
    send().await.unwrap();
    for once in ["Vault cannot write. It refuses requests", "Vault can write again."] {
        assert_eq!(process.count_in_log(once), 1, "{}", process.log());
    }
    eventually(SOON, "all that had an OK arrive", || acknowledged <= taken(&backend, LOGS)).await;
}

/// Scenario: the disk of the vault takes three seconds for each write and sync, and requests must be answered within
/// one: one that goes to the vault at once, and one whose backend is out.
/// Guarantees: both senders are told that the disk was too slow, and to try again; neither is told that a sink is at
/// fault or that the vault did not take the request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_too_slow_is_named_in_the_refusal() {
    if !untested::can_run("it disk::a_disk_that_is_too_slow_is_named_in_the_refusal") {
        return;
    }
    let words = "the disk of the vault did not store the request in time; retry later";
    for ack in ["journaled", "delivered"] {
        let backend = Backend::start().await;
        backend.set(Mode::Unavailable);
        let yaml = yaml("synced", "100ms")
            .replace("ack: journaled", &format!("ack: {ack}"))
            .replace("answer_within: 9s", "answer_within: 1s");
        let mut site = Site::new(backend.address(), &yaml);
        site.before = delayed(&site, SLOW);
        let _process = site.start().await;
        let client = GrpcClient::new(site.grpc());
        let status = client.send(&Traffic::default().request(LOGS, 3)).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unavailable, words), "{ack}");
        let hint = status.get_details_retry_info().and_then(|info| info.retry_delay);
        assert!(hint.is_some_and(|delay| !delay.is_zero()), "{status:?}");
    }
}

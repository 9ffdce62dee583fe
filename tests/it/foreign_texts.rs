//! What others say is shown as one line of bounded length, wherever it comes to light: in the log, in
//! `/readyz`, in `gs-ctl status`, in dead letters, and in what a sender is told.

use std::net::SocketAddr;
use std::time::Duration;

use gophership_otlp::Signal;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually;
use crate::harness::get;

const SOON: Duration = Duration::from_secs(20);
/// What the backend says, in bytes; of which so many are shown.
const SAID_BYTES: usize = 100_000;
const SHOWN_BYTES: usize = 512;
const BEGINS: &str = "unknown tenant";

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault, patience: 300ms }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND", protocol: http, retry: { min: 20ms, max: 100ms } }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

/// A server that refuses every request, in many words, with line ends and escape sequences among them.
struct Talkative {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Talkative {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Talkative {
    async fn answering(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let said = format!("{BEGINS}\x1b[31m\r\nFORGED {}", "word ".repeat(20_000));
                    let said = said.get(..SAID_BYTES).unwrap();
                    let answer = format!(
                        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nConnection: close\r\n\
                         Content-Length: {SAID_BYTES}\r\n\r\n{said}"
                    );
                    // An answer that comes before its request is none.
                    let mut head = Vec::new();
                    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let _gone = stream.write_all(answer.as_bytes()).await;
                    // What was sent is read, so that the answer is not lost with a reset.
                    let _read = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                });
            }
        });
        Self { address, task }
    }
}

/// Checks that a text has the beginning of what the backend said, says how much is left out, and has nothing that a
/// terminal obeys.
#[track_caller]
fn check(place: &str, text: &str) {
    let lines = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(lines.contains(BEGINS), "{place}: {text}");
    let is_bad = |letter: char| letter.is_control() && letter != '\n';
    assert!(!text.contains(is_bad), "{place}: {text:?}");
    let words = lines.matches("word").count();
    let told = lines.matches(BEGINS).count();
    // 14 and some bytes stand before the words, which are of 5 bytes each.
    assert!(words <= told * SHOWN_BYTES / 5, "{place}: {words} words in {told} texts");
    assert!(lines.contains(" bytes more"), "{place}: {text}");
    assert!(!text.lines().any(|line| line.starts_with("FORGED")), "{place}: {text}");
}

fn printed(process: &Process, arguments: &[&str]) -> String {
    String::from_utf8(process.control(arguments).stdout).unwrap()
}

/// Scenario: a backend that does not let the sink in says so in 100,000 bytes.
/// Guarantees: the log, `/readyz` and `gs-ctl status` show 512 of them at most, and say how many are left out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_word_of_a_backend_that_is_out_is_cut() {
    let backend = Talkative::answering("401 Unauthorized").await;
    let site = Site::new(backend.address, YAML);
    let process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    for _ in 0..3 {
        client.send(&traffic.request(Signal::Logs, 3)).await.unwrap();
    }
    process.logged(SOON, &[BEGINS, "bytes more"]).await;
    let is_out = || printed(&process, &["status"]).contains("degraded: sink backend");
    eventually(SOON, "the status tells of it", is_out).await;
    check("log", &process.log());
    check("status", &printed(&process, &["status"]));
    check("status as JSON", &printed(&process, &["status", "-o", "json"]));
    check("readyz", &get(site.metrics(), "/readyz").await.unwrap().1);
}

/// Scenario: a backend rejects requests for good in 100,000 bytes: one at once, one from the vault.
/// Guarantees: the sender, the log and the dead letter have 512 of them at most, and say how many are left out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_word_about_a_rejected_request_is_cut() {
    let backend = Talkative::answering("400 Bad Request").await;
    let site = Site::new(backend.address, YAML);
    let process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    let refused = client.send(&traffic.request(Signal::Logs, 3)).await.unwrap_err();
    check("sender", refused.message());
    process.logged(SOON, &["Backend rejected a request.", BEGINS, "bytes more"]).await;
    process.hold("red");
    client.send(&traffic.request(Signal::Logs, 3)).await.unwrap();
    process.hold("auto");
    let is_letter = |metrics: &Metrics| metrics.books("logs").count("dead_lettered") == 3;
    process.measured(SOON, "it is a dead letter", is_letter).await;
    process.logged(SOON, &["dead-letter store", BEGINS, "bytes more"]).await;
    check("log", &process.log());
    check("letters", &printed(&process, &["dead-letters", "ls"]));
    check("letters as JSON", &printed(&process, &["dead-letters", "ls", "-o", "json"]));
}

//! As many connections as there are file descriptors.

use std::fs;

use gophership_otlp::Signal;

use super::SOON;
use super::raise_limit;
use super::raw;
use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually_async;
use crate::harness::get;

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, http: { listen: "$HTTP" }, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

/// The soft and the hard limit of descriptors of a process.
fn limits(process: &Process) -> (String, String) {
    let text = fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let line = text.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let mut words = line.split_whitespace().skip(3).map(str::to_owned);
    (words.next().unwrap(), words.next().unwrap())
}

/// Scenario: a process that may open 256 files, of which the soft limit gives it 80; 400 silent
/// connections come to its two ports, and it holds them for as long as it may.
/// Guarantees: it raises its limit, and says that it is too low for `connections_max`; health, metrics and
/// `gs-ctl` answer, a sender is served, in red by a vault that opens its segments, and `accept` never
/// fails for want of a descriptor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_leave_descriptors_for_all_else() {
    raise_limit();
    let backend = Backend::start().await;
    let mut site = Site::new(backend.address(), YAML);
    let lower = "ulimit -Sn 80; ulimit -Hn 256; exec \"$@\"";
    site.before = ["sh", "-c", lower, "sh"].map(str::to_owned).to_vec();
    let process = site.start().await;
    assert_eq!(limits(&process), ("256".to_owned(), "256".to_owned()));
    process.logged(SOON, &["WARN", "limit of file descriptors is too low", "limit=256"]).await;

    let mut silent = Vec::new();
    for idx in 0..400 {
        let address = if idx % 2 == 0 { site.grpc() } else { site.http() };
        silent.push(raw::connect(address).await);
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer = tokio::time::timeout(SOON, get(site.metrics(), path)).await.unwrap();
        assert_eq!(answer.map(|(status, _)| status), Some(200), "{path}");
    }
    assert!(process.control(&["status"]).status.success());
    process.hold("red");
    let traffic = Traffic::default();
    let client = GrpcClient::new(site.grpc());
    drop(silent.drain(..200));
    for _ in 0..20 {
        let parcel = traffic.padded(Signal::Logs, 1, 300 << 10);
        let send = async || client.send(&parcel).await.is_ok();
        eventually_async(SOON, "a sender is served", send).await;
    }
    assert_eq!(process.count_in_log("Cannot accept a connection"), 0);
}

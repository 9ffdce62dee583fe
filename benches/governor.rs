//! `cargo bench --bench governor`: what ingest pays for background work while both processors are busy.
//!
//! A server with clients that saturate the machine, in turns: with a vault full of requests to replay
//! and sealed segments to read back and to archive in a bucket, while `gophership vault verify` and `export` go through that vault
//! again and again, and with nothing but ingest. The zone is held green, in which background work may do
//! most. It fails when the median over the rounds of the ratio of both 99th percentiles is 1.2 or more.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints figures, or stops"
)]

use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use http::uri::PathAndQuery;
use tonic::transport::Endpoint;

use gophership::app::App;
use gophership::app::ConfigSource;
use gophership::app::Signals;
use gophership::component::OnLoss;
use gophership_control::Client;
use gophership_control::proto;
use gophership_control::proto::Zone;
use gophership_otlp::Signal;
use gophership_otlp::demo::demo_logs;
use gophership_otlp_client::RawCodec;
use gophership_s3_sim::S3Server;

const ROUNDS: usize = 7;
const RECORDS: usize = 100;
const CONNECTIONS: usize = 4;
const STREAMS: usize = 4;
/// The governor sees within a second that somebody is to be yielded to.
const WARM_UP: Duration = Duration::from_millis(1500);
const MEASURED: Duration = Duration::from_secs(3);
/// What there is to replay at the begin of a turn, in requests: more than a turn can replay.
const BACKLOG: u64 = 4_000;
const FILLED_WITHIN: Duration = Duration::from_secs(30);
const DRAINED_WITHIN: Duration = Duration::from_mins(1);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const RATIO_MAX: f64 = 1.2;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(position) = args.iter().position(|arg| arg == "--serve") {
        return serve(&args[position + 1]);
    }
    let server = Server::start();
    let request = demo_logs(RECORDS, 7, 1_700_000_000_000_000_000);
    println!("{} bytes each, {} clients, p99 in ms", request.len(), CONNECTIONS * STREAMS);
    println!(
        "{:>5} {:>10} {:>10} {:>7} {:>11} {:>11} {:>12} {:>13} {:>14} {:>14}",
        "round",
        "with work",
        "without",
        "ratio",
        "with req/s",
        "without",
        "replayed/s",
        "archived MB/s",
        "verified MB/s",
        "exported MB/s"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut ratios: Vec<f64> = Vec::new();
    for round in 1..=ROUNDS {
        let (with, without) = runtime.block_on(turn(&server, &request));
        let ratio = with.p99_ms / without.p99_ms;
        println!(
            "{round:>5} {:>10.2} {:>10.2} {ratio:>7.2} {:>11.0} {:>11.0} {:>12.0} {:>13.1} {:>14.1} \
             {:>14.1}",
            with.p99_ms,
            without.p99_ms,
            with.per_second,
            without.per_second,
            with.replayed,
            with.archived,
            with.verified,
            with.exported
        );
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    println!("median of the ratios: {median:.2}, at most {RATIO_MAX} is allowed");
    assert!(median < RATIO_MAX, "background work is in the way of ingest");
}

struct Figure {
    p99_ms: f64,
    per_second: f64,
    /// Requests that were replayed in a second.
    replayed: f64,
    /// Megabytes of segments that were archived in a second.
    archived: f64,
    /// Megabytes that the tools read in a second.
    verified: f64,
    exported: f64,
}

/// Fills the vault, measures with work in the background, lets it come to an end, measures without.
async fn turn(server: &Server, request: &Bytes) -> (Figure, Figure) {
    server.hold(Zone::Red).await;
    let load = Load::start(server.address, request).await;
    let is_filled = || server.metric("vault_backlog_requests") >= BACKLOG;
    until(FILLED_WITHIN, "the vault is filled", is_filled).await;
    load.stop().await;
    server.hold(Zone::Green).await;
    let [verify, export] = [Tool::start(server, "verify"), Tool::start(server, "export")];
    let begun = Instant::now();
    let mut with = measure(server, request).await;
    with.verified = verify.stop() as f64 / begun.elapsed().as_secs_f64() / 1e6;
    with.exported = export.stop() as f64 / begun.elapsed().as_secs_f64() / 1e6;
    assert!(0 < server.metric("vault_backlog_requests"), "there was work to the end");
    let done = [with.replayed, with.archived, with.verified, with.exported];
    assert!(done.iter().all(|done| 0.0 < *done), "some of it was done: {done:?}");
    let is_drained = || {
        ["vault_backlog_requests", "vault_unread_segments", "s3_lag_segments"]
            .iter()
            .all(|name| server.metric(name) == 0)
    };
    until(DRAINED_WITHIN, "the vault is drained", is_drained).await;
    (with, measure(server, request).await)
}

async fn measure(server: &Server, request: &Bytes) -> Figure {
    let load = Load::start(server.address, request).await;
    tokio::time::sleep(WARM_UP).await;
    load.phase.store(MEASURING, Ordering::Relaxed);
    let archived_before = server.metric("s3_raw_bytes_total");
    let (before, begun) = (server.metric("vault_replayed_total"), Instant::now());
    tokio::time::sleep(MEASURED).await;
    let replayed = server.metric("vault_replayed_total") - before;
    let archived = server.metric("s3_raw_bytes_total") - archived_before;
    let took = begun.elapsed().as_secs_f64();
    let mut latencies = load.stop().await;
    latencies.sort_unstable();
    let p99 = latencies[(latencies.len() - 1) * 99 / 100];
    Figure {
        p99_ms: p99.as_secs_f64() * 1000.0,
        per_second: latencies.len() as f64 / took,
        replayed: replayed as f64 / took,
        archived: archived as f64 / took / 1e6,
        verified: 0.0,
        exported: 0.0,
    }
}

async fn until(within: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const STOPPING: u8 = 2;

/// Clients that send the same request again and again.
struct Load {
    phase: Arc<AtomicU8>,
    clients: Vec<tokio::task::JoinHandle<Vec<Duration>>>,
}

impl Load {
    async fn start(address: SocketAddr, request: &Bytes) -> Self {
        let phase = Arc::new(AtomicU8::new(WARMING));
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
            let channel = endpoint.connect().await.unwrap();
            for _ in 0..STREAMS {
                let mut grpc = tonic::client::Grpc::new(channel.clone());
                let (phase, request) = (Arc::clone(&phase), request.clone());
                clients.push(tokio::spawn(async move {
                    let path = PathAndQuery::from_static(Signal::Logs.grpc_path());
                    let mut latencies = Vec::new();
                    loop {
                        let now = phase.load(Ordering::Relaxed);
                        if now == STOPPING {
                            return latencies;
                        }
                        let begun = Instant::now();
                        grpc.ready().await.unwrap();
                        let message = tonic::Request::new(request.clone());
                        let answer = grpc.unary(message, path.clone(), RawCodec).await;
                        let answer: Result<tonic::Response<Bytes>, tonic::Status> = answer;
                        // A vault that cannot follow says so; it is only filled.
                        if answer.is_ok() && now == MEASURING {
                            latencies.push(begun.elapsed());
                        }
                    }
                }));
            }
        }
        Self { phase, clients }
    }

    async fn stop(self) -> Vec<Duration> {
        self.phase.store(STOPPING, Ordering::Relaxed);
        let mut latencies = Vec::new();
        for client in self.clients {
            latencies.extend(client.await.unwrap());
        }
        latencies
    }
}

/// A vault tool that is run again and again, and what it has read.
struct Tool {
    is_over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<u64>,
}

impl Tool {
    fn start(server: &Server, command: &'static str) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, dir) = (Arc::clone(&is_over), server.dir.path().to_owned());
        let run = move || {
            let mut read = 0;
            while !over.load(Ordering::Relaxed) {
                let out = tempfile::tempdir_in(&dir).unwrap();
                let mut tool = Command::new(env!("CARGO_BIN_EXE_gophership"));
                tool.args(["vault", command, "--quiet"]);
                if command == "export" {
                    tool.arg("--to").arg(out.path());
                }
                tool.arg(dir.join("vault")).stdout(Stdio::null());
                read += read_by(tool.spawn().unwrap(), &over);
            }
            read
        };
        Self { is_over, thread: std::thread::spawn(run) }
    }

    /// Ends it, and returns the bytes that it read.
    fn stop(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// What a process reads until it ends, or has to.
fn read_by(mut process: Child, is_over: &AtomicBool) -> u64 {
    let io = format!("/proc/{}/io", process.id());
    let mut read = 0;
    while process.try_wait().unwrap().is_none() {
        if is_over.load(Ordering::Relaxed) {
            process.kill().unwrap();
        }
        let text = std::fs::read_to_string(&io).unwrap_or_default();
        let now = text.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok());
        read = now.unwrap_or(read);
        std::thread::park_timeout(Duration::from_millis(20));
    }
    read
}

/// The server, in a process of its own.
struct Server {
    process: Child,
    address: SocketAddr,
    metrics: SocketAddr,
    dir: tempfile::TempDir,
    /// Where it archives; its work is on the same processors.
    _bucket: S3Server,
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let bucket = S3Server::start(&dir.path().join("bucket")).unwrap();
        bucket.create_bucket("archive").unwrap();
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg("--serve")
            .arg(dir.path())
            .envs(bucket.environment())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (address, metrics) = line.trim().split_once(' ').unwrap();
        let (address, metrics) = (address.parse().unwrap(), metrics.parse().unwrap());
        Self { process, address, metrics, dir, _bucket: bucket }
    }

    /// One figure, over all its labels.
    fn metric(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(self.metrics).unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let name = format!("gophership_{name}{{");
        let of_line = |line: &str| {
            line.starts_with(&name).then(|| line.rsplit_once(' ')?.1.parse::<u64>().ok())?
        };
        text.lines().filter_map(of_line).sum()
    }

    async fn hold(&self, zone: Zone) {
        let socket = self.dir.path().join("control.sock");
        let mut client = Client::connect(&socket, ANSWER_WITHIN).await.unwrap();
        let request = proto::OverrideRequest { zone: zone.into(), ..Default::default() };
        client.hold(request).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Serves until killed; the first line on standard output has the addresses.
fn serve(dir: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (dir, address, metrics) = (Path::new(dir), free_address(), free_address());
        let config = dir.join("bench.yaml");
        std::fs::write(&config, yaml(dir, address, metrics)).unwrap();
        let app = App::start(ConfigSource::File(config), OnLoss::Start).await.unwrap();
        println!("{address} {metrics}");
        app.run(&Signals::listen(|| std::process::exit(143)).unwrap()).await;
    });
}

fn yaml(dir: &Path, address: SocketAddr, metrics: SocketAddr) -> String {
    format!(
        r#"
data_dir: "{dir}"
sources:
  otlp: {{ type: otlp, grpc: {{ listen: "{address}" }}, pivot: vault }}
  replay: {{ type: vault_replay, vault: vault }}
sinks:
  hole: {{ type: blackhole, inputs: [otlp] }}
  replayed: {{ type: blackhole, inputs: [replay] }}
  vault: {{ type: raw_vault, max_size: 8GiB, segment_size: 16MiB, durability: written }}
  archive: {{ type: s3, vault: vault, bucket: {{ name: archive, path_style: true }} }}
control: {{ socket: "{dir}/control.sock" }}
metrics: {{ listen: "{metrics}" }}
"#,
        dir = dir.display()
    )
}

fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

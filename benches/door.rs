//! `cargo bench`: how many records a CPU second takes in, in one run, as ratios:
//!
//! * `bare`: a bare tonic server with a raw codec that answers OK and forgets;
//! * `green`: GopherShip, OTLP -> blackhole, acknowledged when delivered;
//! * `red`: GopherShip in Red, OTLP -> vault, acknowledged at each durability level.
//!
//! Each server is a process of its own, so its CPU time is its own; the rounds take turns, so that
//! a machine whose speed drifts treats all alike. The figures are medians over the rounds.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints figures, or stops"
)]

use std::io::BufRead;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use http::uri::PathAndQuery;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::transport::Endpoint;

use gophership::app::App;
use gophership::app::ConfigSource;
use gophership::app::Signals;
use gophership::component::OnLoss;
use gophership_control::Client;
use gophership_control::proto;
use gophership_otlp::Signal;
use gophership_otlp::demo::demo_logs;
use gophership_otlp_client::RawCodec;

const ROUNDS: usize = 5;
const WARM_UP: Duration = Duration::from_millis(300);
const MEASURED: Duration = Duration::from_millis(1500);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Connections, and streams of each: several, and one that has to share a processor with its streams.
const LOADS: [(usize, usize); 2] = [(4, 8), (1, 32)];
/// Clock ticks per second of /proc/PID/stat; the kernel reports in hundredths on every platform.
const TICKS: f64 = 100.0;

const SERVERS: [&str; 5] = ["bare", "green", "red-memory", "red-written", "red-synced"];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(position) = args.iter().position(|arg| arg == "--serve") {
        return serve(&args[position + 1], Path::new(&args[position + 2]));
    }
    for (connections, streams) in LOADS {
        for records in [100, 1000] {
            compare(records, connections, streams);
        }
    }
}

/// Runs every server in turn, several rounds, and prints the medians.
fn compare(records: usize, connections: usize, streams: usize) {
    let request = demo_logs(records, 7, 1_700_000_000_000_000_000);
    let per_record = request.len() / records;
    println!("\n{connections} connections of {streams} streams");
    println!("requests of {records} records of {per_record} bytes; medians of {ROUNDS} rounds");
    println!(
        "{:<12} {:>16} {:>14} {:>9} {:>9} {:>9}",
        "server", "records/CPU s", "records/s", "to bare", "p50 ms", "p99 ms"
    );
    let mut figures: Vec<Vec<Figure>> = vec![Vec::new(); SERVERS.len()];
    for _ in 0..ROUNDS {
        for (name, figures) in SERVERS.iter().zip(&mut figures) {
            let load = (connections, streams);
            figures.push(measure(name, &request, records, load));
        }
    }
    let bare = median(figures[0].iter().map(|figure| figure.per_cpu_second));
    for (name, figures) in SERVERS.iter().zip(&figures) {
        let ratio = median(figures.iter().map(|figure| figure.per_cpu_second)) / bare;
        println!(
            "{name:<12} {:>16.0} {:>14.0} {ratio:>9.2} {:>9.2} {:>9.2}",
            median(figures.iter().map(|figure| figure.per_cpu_second)),
            median(figures.iter().map(|figure| figure.per_second)),
            median(figures.iter().map(|figure| figure.p50_ms)),
            median(figures.iter().map(|figure| figure.p99_ms)),
        );
    }
}

#[derive(Clone, Debug)]
struct Figure {
    per_cpu_second: f64,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A server in a process of its own.
struct Server {
    process: Child,
    address: SocketAddr,
    /// Its data, gigabytes of it: removed when the process is gone.
    _dir: tempfile::TempDir,
}

impl Server {
    fn start(name: &str) -> Self {
        let dir = tempfile::tempdir_in("target").unwrap();
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--serve", name])
            .arg(dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { process, address: line.trim().parse().unwrap(), _dir: dir }
    }

    fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let after_name = stat.rsplit_once(')').unwrap().1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        ticks as f64 / TICKS
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn measure(name: &str, request: &Bytes, records: usize, load: (usize, usize)) -> Figure {
    let server = Server::start(name);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let load = Load::start(server.address, request, load).await;
        tokio::time::sleep(WARM_UP).await;
        let (done, cpu, begun) =
            (load.done.load(Ordering::Relaxed), server.cpu_seconds(), Instant::now());
        tokio::time::sleep(MEASURED).await;
        let done = load.done.load(Ordering::Relaxed) - done;
        let cpu = server.cpu_seconds() - cpu;
        let wall = begun.elapsed().as_secs_f64();
        let mut latencies = load.stop().await;
        latencies.sort_unstable();
        let percentile =
            |share: usize| latencies[(latencies.len() - 1) * share / 100].as_secs_f64() * 1000.0;
        let records = done as f64 * records as f64;
        Figure {
            per_cpu_second: records / cpu,
            per_second: records / wall,
            p50_ms: percentile(50),
            p99_ms: percentile(99),
        }
    })
}

/// Clients that send the same request again and again.
struct Load {
    done: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<Vec<Duration>>>,
}

/// Connects as soon as the server listens.
async fn connect(endpoint: &Endpoint) -> Channel {
    for _ in 0..500 {
        if let Ok(channel) = endpoint.connect().await {
            return channel;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    unreachable!("the server does not listen");
}

impl Load {
    async fn start(
        address: SocketAddr,
        request: &Bytes,
        (connections, streams): (usize, usize),
    ) -> Self {
        let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let mut clients = Vec::new();
        for _ in 0..connections {
            let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
            let channel = connect(&endpoint).await;
            for _ in 0..streams {
                let mut grpc = tonic::client::Grpc::new(channel.clone());
                let (done, stop, request) = (Arc::clone(&done), Arc::clone(&stop), request.clone());
                clients.push(tokio::spawn(async move {
                    let path = PathAndQuery::from_static(Signal::Logs.grpc_path());
                    let mut latencies = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let begun = Instant::now();
                        grpc.ready().await.unwrap();
                        let message = tonic::Request::new(request.clone());
                        let answer = grpc.unary(message, path.clone(), RawCodec).await;
                        let _answer: tonic::Response<Bytes> = answer.unwrap();
                        latencies.push(begun.elapsed());
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    latencies
                }));
            }
        }
        Self { done, stop, clients }
    }

    async fn stop(self) -> Vec<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        let mut latencies = Vec::new();
        for client in self.clients {
            latencies.extend(client.await.unwrap());
        }
        latencies
    }
}

/// Serves until killed; the first line on standard output is the address.
fn serve(name: &str, dir: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match name {
            "bare" => serve_bare().await,
            _ => serve_gophership(name, dir).await,
        }
    });
}

async fn serve_bare() {
    let address = free_address();
    println!("{address}");
    let service = tower::service_fn(|request: http::Request<Body>| async move {
        let limit = 64 << 20;
        let mut grpc = tonic::server::Grpc::new(RawCodec).max_decoding_message_size(limit);
        Ok::<_, std::convert::Infallible>(grpc.unary(Forget, request).await)
    });
    tonic::transport::Server::builder().serve(address, service).await.unwrap();
}

/// The cheapest unary method there is.
struct Forget;

impl tonic::server::UnaryService<Bytes> for Forget {
    type Response = Bytes;
    type Future = std::future::Ready<Result<tonic::Response<Bytes>, tonic::Status>>;

    fn call(&mut self, _request: tonic::Request<Bytes>) -> Self::Future {
        std::future::ready(Ok(tonic::Response::new(Bytes::new())))
    }
}

async fn serve_gophership(name: &str, dir: &Path) {
    let address = free_address();
    let durability = name.strip_prefix("red-").unwrap_or("synced");
    let config = dir.join("bench.yaml");
    std::fs::write(&config, yaml(dir, address, durability)).unwrap();
    let app = App::start(ConfigSource::File(config), OnLoss::Start).await.unwrap();
    if name.starts_with("red") {
        hold_red(&dir.join("control.sock")).await;
    }
    println!("{address}");
    app.run(&Signals::listen(|| std::process::exit(143)).unwrap()).await;
}

fn yaml(dir: &Path, address: SocketAddr, durability: &str) -> String {
    format!(
        r#"
data_dir: "{dir}"
sources:
  otlp: {{ type: otlp, grpc: {{ listen: "{address}" }}, pivot: vault }}
sinks:
  hole: {{ type: blackhole, inputs: [otlp] }}
  vault: {{ type: raw_vault, max_size: 16GiB, durability: {durability}, replay: off }}
control: {{ socket: "{dir}/control.sock" }}
metrics: {{ listen: off }}
"#,
        dir = dir.display()
    )
}

async fn hold_red(socket: &Path) {
    let mut client = Client::connect(socket, ANSWER_WITHIN).await.unwrap();
    let request = proto::OverrideRequest { zone: proto::Zone::Red.into(), ..Default::default() };
    client.hold(request).await.unwrap();
}

fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

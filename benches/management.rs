//! `cargo bench --bench management`: what the management plane costs the ingest.
//!
//! Requests of 100 log records are sent at a steady rate; in one half of each round 1,000 management calls a second,
//! ten watches and a tap come on top. Rounds are short and many, and every other one begins with the managed half, so
//! that what else happens on the machine hits both. A percentile is that of one half, from when a request was due to
//! its answer; shown are the medians over the rounds, and between which values half of the rounds are. Server, senders
//! and managers are processes of their own on one machine. The managers have the lowest priority, because they stand
//! for programs on other machines: what the server does for them is in the figures, what they do themselves is as
//! little as can be.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints figures, or stops"
)]

use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use http::uri::PathAndQuery;
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

const ROUNDS: usize = 25;
const WARM_UP: Duration = Duration::from_secs(3);
const MEASURED: Duration = Duration::from_secs(1);
/// Between two halves: what is left of one is over before the next begins.
const SETTLES_WITHIN: Duration = Duration::from_millis(150);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Of the senders, and the requests of each in a second.
const SENDERS: u32 = 8;
const SENDER_RATE: u32 = 50;
const RECORDS: usize = 100;
/// Of the managers, and the calls of each in a second: every tenth asks for the status.
const MANAGERS: u32 = 10;
const MANAGER_RATE: u32 = 100;
const WATCHES: usize = 10;
/// What the p99 may grow by.
const GROWTH_MAX: f64 = 1.1;
/// Clock ticks per second of /proc/PID/stat; the kernel reports in hundredths on every platform.
const TICKS: f64 = 100.0;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--serve", dir] => runtime.block_on(serve(Path::new(dir))),
        ["--manage", dir] => runtime.block_on(manage(Path::new(dir))),
        _ => runtime.block_on(compare()),
    }
}

/// A process of this benchmark, killed when dropped.
struct Role(Child);

impl Role {
    fn start(role: &str, dir: &Path) -> (Self, BufReader<ChildStdout>) {
        let program = std::env::current_exe().unwrap();
        let mut command = if role == "--manage" {
            let mut command = Command::new("nice");
            command.args(["-n", "19"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        let mut process = command.arg(role).arg(dir).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        (Self(process), out)
    }

    fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let after_name = stat.rsplit_once(')').unwrap().1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        ticks as f64 / TICKS
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[derive(Clone, Copy, Debug)]
struct Figures {
    p50_ms: f64,
    p99_ms: f64,
    processors: f64,
}

async fn compare() {
    let dir = tempfile::tempdir_in("target").unwrap();
    let (server, mut out) = Role::start("--serve", dir.path());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let channel = connect(line.trim().parse().unwrap()).await;
    let (mut alone, mut managed, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    measure(&server, &channel, WARM_UP).await;
    for round in 0..ROUNDS {
        for is_managed in [round % 2 == 1, round % 2 == 0] {
            tokio::time::sleep(SETTLES_WITHIN).await;
            if !is_managed {
                alone.push(measure(&server, &channel, MEASURED).await);
                continue;
            }
            let (managers, mut out) = Role::start("--manage", dir.path());
            // It says when all are connected, and then how many calls there were in each second.
            out.read_line(&mut String::new()).unwrap();
            managed.push(measure(&server, &channel, MEASURED).await);
            let mut said = String::new();
            out.read_line(&mut said).unwrap();
            calls.push(said.trim().parse::<f64>().unwrap());
            drop(managers);
        }
    }
    show(&alone, &managed, &calls);
}

/// Prints the figures, and whether the bound is kept.
fn show(alone: &[Figures], managed: &[Figures], calls: &[f64]) {
    println!("{} requests/s of {RECORDS} records, {ROUNDS} rounds", SENDERS * SENDER_RATE);
    println!(
        "with management: {:.0} calls/s, {WATCHES} watches, a tap",
        median(calls.iter().copied())
    );
    println!(
        "{:<16} {:>8} {:>8} {:>15} {:>11}",
        "", "p50 ms", "p99 ms", "half of the p99", "processors"
    );
    for (name, figures) in [("alone", alone), ("with management", managed)] {
        let p99 = |share| quantile(figures.iter().map(|figures| figures.p99_ms), share);
        println!(
            "{name:<16} {:>8.2} {:>8.2} {:>6.2} to {:>5.2} {:>11.3}",
            median(figures.iter().map(|figures| figures.p50_ms)),
            p99(0.5),
            p99(0.25),
            p99(0.75),
            median(figures.iter().map(|figures| figures.processors)),
        );
    }
    let p99 = |figures: &[Figures]| median(figures.iter().map(|figures| figures.p99_ms));
    let growth = p99(managed) / p99(alone);
    println!("p99 with management is {growth:.2} of that without; {GROWTH_MAX:.2} is allowed");
    if GROWTH_MAX < growth {
        println!("NOT within the bound");
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    quantile(values, 0.5)
}

/// The value below which a share of them is.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a few values"
)]
fn quantile(values: impl Iterator<Item = f64>, share: f64) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

async fn connect(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    for _ in 0..500 {
        if let Ok(channel) = endpoint.connect().await {
            return channel;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    unreachable!("the server does not listen");
}

/// Sends at the steady rate for a time.
async fn measure(server: &Role, channel: &Channel, lasts: Duration) -> Figures {
    let request: Bytes = demo_logs(RECORDS, 7, 1_700_000_000_000_000_000);
    let (cpu, began) = (server.cpu_seconds(), Instant::now());
    let interval = Duration::from_secs(1) / SENDER_RATE;
    let sender = |number: u32| {
        let (mut grpc, request) = (tonic::client::Grpc::new(channel.clone()), request.clone());
        tokio::spawn(async move {
            let path = PathAndQuery::from_static(Signal::Logs.grpc_path());
            let mut latencies = Vec::new();
            let mut due = began + interval * number / SENDERS;
            while due < began + lasts {
                tokio::time::sleep_until(due.into()).await;
                grpc.ready().await.unwrap();
                let message = tonic::Request::new(request.clone());
                let answer = grpc.unary(message, path.clone(), RawCodec).await;
                let _answer: tonic::Response<Bytes> = answer.unwrap();
                latencies.push(due.elapsed());
                due += interval;
            }
            latencies
        })
    };
    let senders: Vec<_> = (0..SENDERS).map(sender).collect();
    let mut latencies = Vec::new();
    for sender in senders {
        latencies.extend(sender.await.unwrap());
    }
    latencies.sort_unstable();
    let percentile =
        |share: usize| latencies[(latencies.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    let processors = (server.cpu_seconds() - cpu) / began.elapsed().as_secs_f64();
    Figures { p50_ms: percentile(50), p99_ms: percentile(99), processors }
}

/// Serves until killed; the first line on standard output is the address.
async fn serve(dir: &Path) {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = dir.join("bench.yaml");
    let yaml = format!(
        r#"
data_dir: "{dir}"
sources:
  otlp: {{ type: otlp, grpc: {{ listen: "{address}" }}, pivot: vault }}
sinks:
  hole: {{ type: blackhole, inputs: [otlp] }}
  vault: {{ type: raw_vault, max_size: 1GiB, replay: off }}
control: {{ socket: "{dir}/control.sock" }}
metrics: {{ listen: off }}
"#,
        dir = dir.display()
    );
    std::fs::write(&config, yaml).unwrap();
    let app = App::start(ConfigSource::File(config), OnLoss::Start).await.unwrap();
    println!("{address}");
    app.run(&Signals::listen(|| std::process::exit(143)).unwrap()).await;
}

/// Calls, watches and taps until killed; says when all have begun, and later how many calls there were in a second.
async fn manage(dir: &Path) {
    let socket = dir.join("control.sock");
    let mut streams = Vec::new();
    let mut client = Client::connect(&socket, ANSWER_WITHIN).await.unwrap();
    for _ in 0..WATCHES {
        let request = proto::WatchRequest {};
        let mut watch = client.call(async |control| control.watch(request).await).await.unwrap();
        streams.push(tokio::spawn(async move { while let Ok(Some(_)) = watch.message().await {} }));
    }
    let request = proto::TapRequest::default();
    let mut tap = client.call(async |control| control.tap(request).await).await.unwrap();
    streams.push(tokio::spawn(async move { while let Ok(Some(_)) = tap.message().await {} }));
    let (began, lasts) = (Instant::now(), MEASURED + Duration::from_millis(200));
    println!("begun");
    std::io::stdout().flush().unwrap();
    let manager = |number: u32| {
        let socket = socket.clone();
        tokio::spawn(async move {
            let mut client = Client::connect(&socket, ANSWER_WITHIN).await.unwrap();
            let interval = Duration::from_secs(1) / MANAGER_RATE;
            let mut due = began + interval * number / MANAGERS;
            let mut calls = 0_u32;
            while due < began + lasts {
                tokio::time::sleep_until(due.into()).await;
                if calls.is_multiple_of(10) {
                    client.status().await.unwrap();
                } else {
                    client.share().await.unwrap();
                }
                calls += 1;
                due += interval;
            }
            calls
        })
    };
    let managers: Vec<_> = (0..MANAGERS).map(manager).collect();
    let mut calls = 0;
    for manager in managers {
        calls += manager.await.unwrap();
    }
    println!("{:.0}", f64::from(calls) / began.elapsed().as_secs_f64());
    std::io::stdout().flush().unwrap();
    for stream in streams {
        stream.await.unwrap();
    }
}

//! The server, the bucket that it archives to, and how they are started in processes of their own.

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
use std::time::Duration;

use gophership::app::App;
use gophership::app::ConfigSource;
use gophership::app::Signals;
use gophership::background::give_way;
use gophership::component::OnLoss;
use gophership_control::Client;
use gophership_control::proto;
use gophership_control::proto::Zone;
use gophership_s3_sim::S3Server;

const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const BUCKET: &str = "archive";

/// The server, in a process of its own.
pub(crate) struct Server {
    process: Child,
    bucket: Child,
    pub(crate) address: SocketAddr,
    metrics: SocketAddr,
    pub(crate) dir: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (bucket, environment) = begin("--bucket", dir.path(), &[]);
        let environment: Vec<(&str, &str)> =
            environment.split(' ').filter_map(|variable| variable.split_once('=')).collect();
        let (process, line) = begin("--serve", dir.path(), &environment);
        let (address, metrics) = line.split_once(' ').unwrap();
        let (address, metrics) = (address.parse().unwrap(), metrics.parse().unwrap());
        Self { process, bucket, address, metrics, dir }
    }

    /// One figure, over all its labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
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

    async fn control(&self) -> Client {
        let socket = self.dir.path().join("control.sock");
        Client::connect(&socket, ANSWER_WITHIN).await.unwrap()
    }

    /// Pauses replays, or lets them go on.
    pub(crate) async fn pause_replay(&self, paused: bool) {
        let request = proto::PauseReplayRequest { paused, reason: "a benchmark".to_owned() };
        let mut client = self.control().await;
        client.call(async |control| control.pause_replay(request).await).await.unwrap();
    }

    /// Holds a zone.
    pub(crate) async fn hold(&self, zone: Zone) {
        let mut client = self.control().await;
        let request = proto::OverrideRequest { zone: zone.into(), ..Default::default() };
        client.hold(request).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for process in [&mut self.process, &mut self.bucket] {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

/// Starts this program as something else; returns the first line that it says.
fn begin(role: &str, dir: &Path, environment: &[(&str, &str)]) -> (Child, String) {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .arg(role)
        .arg(dir)
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (process, line.trim().to_owned())
}

/// Is the bucket until killed; the first line on standard output has the environment of who uses it.
pub(crate) fn be_bucket(dir: &str) {
    // It stands for one on other machines, so it gets only the processor time that nobody else wants.
    give_way();
    let bucket = S3Server::start(&Path::new(dir).join("bucket")).unwrap();
    bucket.create_bucket(BUCKET).unwrap();
    let variables = bucket.environment().into_iter().map(|(name, value)| format!("{name}={value}"));
    println!("{}", variables.collect::<Vec<_>>().join(" "));
    loop {
        std::thread::park();
    }
}

/// Serves until killed; the first line on standard output has the addresses.
pub(crate) fn serve(dir: &str) {
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

//! R5: the real server runs out of file descriptors.

use std::net::TcpStream;
use std::time::Duration;
use std::time::Instant;

use fastrand::Rng;
use gophership_otlp::Signal;

use crate::harness::GrpcClient;
use crate::harness::Process;
use crate::harness::get;
use crate::suite::Run;
use crate::suite::Suite;

use super::server;
use super::server::Scene;

const FILES_MAX: usize = 64;
/// Connections leave as many files at most to the vault, health checks and `gs-ctl`.
const RESERVED_MAX: usize = 16;
/// More connections than files.
const CONNECTIONS: usize = 100;
/// Of one processor, in percent.
const CPU_MAX: u64 = 20;
const MEASURED_FOR: Duration = Duration::from_millis(500);
const RECOVERS_WITHIN: Duration = Duration::from_secs(5);
const DRAINED_WITHIN: Duration = Duration::from_secs(30);
const STARVED_WITHIN: Duration = Duration::from_secs(10);

pub(super) const SUITE: Suite = Suite {
    id: "R5",
    title: "64 file descriptors: less than 20% of a core while starved, well again within 5 s, nothing acknowledged is lost",
    fast: 20,
    long: 20,
    run,
};

/// Small segments: the vault needs new files while there are none.
const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, ack: journaled, patience: 50ms, answer_within: 1s, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend:
    type: otlp
    inputs: [otlp, replay]
    endpoint: "http://$BACKEND"
    concurrency: 2
    retry: { min: 20ms, max: 100ms }
  vault: { type: raw_vault, max_size: 256MiB, segment_size: 1MiB, staging: 2MiB }
"#;

#[derive(Default)]
struct Sums {
    busiest: u64,
    slowest: Duration,
    acknowledged: u64,
    acknowledged_starved: u64,
    refused_starved: u64,
}

fn run(run: &mut Run) {
    server::block_on(starve_often(run));
}

async fn starve_often(run: &mut Run) {
    let mut scene = Scene::new(YAML).await;
    let limit = ["prlimit".to_owned(), format!("--nofile={FILES_MAX}:{FILES_MAX}")];
    scene.site.before = limit.to_vec();
    let mut process = scene.start().await;
    let mut sums = Sums::default();
    for seed in run.seed..run.seed + run.runs {
        let found = starve(&scene, &process, &mut Rng::with_seed(seed), &mut sums).await;
        for violation in found {
            run.violation(seed, violation);
        }
        if let Some(panic) = server::panicked(&process) {
            run.violation(seed, panic);
        }
        run.done(1);
        if process.has_ended() {
            run.violation(seed, "the server ended");
            return;
        }
    }
    sums.acknowledged = scene.oracle.audit(&scene.backend).acknowledged;
    run.note(format!(
        "{} requests kept, while starved {} OK and {} refused, {}% of a core at most, well again after {:?} at most",
        sums.acknowledged,
        sums.acknowledged_starved,
        sums.refused_starved,
        sums.busiest,
        sums.slowest,
    ));
}

/// Takes every descriptor, looks at what the server does, and gives them back.
async fn starve(
    scene: &Scene,
    process: &Process,
    random: &mut Rng,
    sums: &mut Sums,
) -> Vec<String> {
    let mut violations = Vec::new();
    let padding = random.usize(1_000..200_000);
    let client = GrpcClient::new(scene.site.grpc());
    // What is left of the last starvation may take as long to end as after this one.
    if well(scene, &client, padding).await.is_none() {
        violations.push("not well before anything was wrong".to_owned());
    }
    let connections: Vec<TcpStream> =
        (0..CONNECTIONS).filter_map(|_| TcpStream::connect(scene.site.grpc()).ok()).collect();
    let deadline = Instant::now() + STARVED_WITHIN;
    let wanted = FILES_MAX - RESERVED_MAX;
    while server::open_files(process.id()) < wanted && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if server::open_files(process.id()) < wanted {
        violations.push(format!("{} files are open only", server::open_files(process.id())));
    }
    if get(scene.site.metrics(), "/healthz").await.is_none() {
        violations.push("not healthy when connections have all files they may have".to_owned());
    }
    // Something else takes what is left.
    limit_files(process, server::open_files(process.id()));

    let ticks = server::used_ticks(process.id());
    tokio::time::sleep(MEASURED_FOR).await;
    let used = server::used_ticks(process.id()) - ticks;
    let percent = used * 1_000 / u64::try_from(MEASURED_FOR.as_millis()).unwrap_or(1);
    sums.busiest = sums.busiest.max(percent);
    if CPU_MAX < percent {
        violations.push(format!("{percent}% of a core while starved"));
    }
    // The old connection is served; the vault needs another segment soon.
    for _ in 0..random.u64(5..30) {
        match send(scene, &client, padding).await {
            Ok(()) => sums.acknowledged_starved += 1,
            Err(status) => {
                sums.refused_starved += 1;
                violations.extend(server::unhinted(&[server::judged(&status)]));
            }
        }
    }

    drop(connections);
    limit_files(process, FILES_MAX);
    let newcomer = GrpcClient::new(scene.site.grpc());
    let took = well(scene, &newcomer, padding).await.unwrap_or(Duration::MAX);
    sums.slowest = sums.slowest.max(took);
    if took == Duration::MAX {
        violations.push(format!("not well {RECOVERS_WITHIN:?} after there were files"));
    }
    violations.extend(scene.settle(DRAINED_WITHIN, "after there were files").await);
    violations
}

/// Lets the server have so many files, and no more.
fn limit_files(process: &Process, files: usize) {
    let pid = i32::try_from(process.id()).ok().and_then(rustix::process::Pid::from_raw);
    let limit =
        rustix::process::Rlimit { current: Some(files as u64), maximum: Some(FILES_MAX as u64) };
    rustix::process::prlimit(pid, rustix::process::Resource::Nofile, limit)
        .expect("the limit of a child can be set");
}

/// How long it takes until a request is taken, if it is not too long.
async fn well(scene: &Scene, client: &GrpcClient, padding: usize) -> Option<Duration> {
    let begun = Instant::now();
    while begun.elapsed() < RECOVERS_WITHIN {
        if send(scene, client, padding).await.is_ok() {
            return Some(begun.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None
}

async fn send(scene: &Scene, client: &GrpcClient, padding: usize) -> Result<(), tonic::Status> {
    let parcel = scene.traffic.padded(Signal::Logs, 1, padding);
    scene.oracle.sends(&parcel);
    client.send(&parcel).await?;
    scene.oracle.acknowledged(&parcel);
    Ok(())
}

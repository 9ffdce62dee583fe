//! W1: the real server on a file system that has no direct I/O.

use std::time::Duration;

use crate::harness::Shape;
use crate::suite::Run;
use crate::suite::Suite;

use super::disk::Place;
use super::server;
use super::server::Scene;

const LOADED_FOR: Duration = Duration::from_millis(300);
const DRAINED_WITHIN: Duration = Duration::from_secs(30);

pub(super) const SUITE: Suite = Suite {
    id: "W1",
    title: "ramfs, which has no direct I/O, and kill -9: the vault goes through the page cache, nothing acknowledged is lost",
    fast: 3,
    long: 20,
    run,
};

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, ack: journaled, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, path: "$VAULT", max_size: 256MiB, segment_size: 1MiB }
"#;

fn run(run: &mut Run) {
    let mut place = Place::new();
    let vault = place.ramfs("mount").join("vault").display().to_string();
    server::block_on(kill_often(run, &YAML.replace("$VAULT", &vault)));
}

async fn kill_often(run: &mut Run, yaml: &str) {
    let mut scene = Scene::new(yaml).await;
    let mut process = scene.start().await;
    for seed in run.seed..run.seed + run.runs {
        let load = scene.load(Shape { clients: 4, records: 1, padding: 20_000 });
        tokio::time::sleep(LOADED_FOR).await;
        process.kill();
        load.stop().await;
        process = scene.start().await;
        for violation in scene.settle(DRAINED_WITHIN, "after the kill").await {
            run.violation(seed, violation);
        }
        if let Some(panic) = server::panicked(&process) {
            run.violation(seed, panic);
        }
        run.done(1);
    }
    let kept = scene.oracle.audit(&scene.backend).acknowledged;
    if kept == 0 {
        run.violation(run.seed, "nothing was acknowledged");
    }
    run.note(format!("{kept} requests kept"));
}

//! All background work beside clients that saturate the machine.

use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;

use gophership_control::proto::Zone;

use crate::WARM_UP;
use crate::judge;
use crate::load::CONNECTIONS;
use crate::load::Load;
use crate::load::STREAMS;
use crate::load::p99_ms;
use crate::server::Server;
use crate::tools::Tool;
use crate::until;

const ROUNDS: usize = 7;
const MEASURED: Duration = Duration::from_secs(3);
/// What there is to replay at the begin of a turn, in requests: more than a turn can replay.
const BACKLOG: u64 = 4_000;
const FILLED_WITHIN: Duration = Duration::from_secs(30);
const DRAINED_WITHIN: Duration = Duration::from_mins(1);
const RATIO_MAX: f64 = 1.2;

/// Runs it; returns whether ingest pays little enough.
pub(crate) async fn run(server: &Server, request: &Bytes) -> bool {
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
    let mut ratios: Vec<f64> = Vec::new();
    for round in 1..=ROUNDS {
        let (with, without) = turn(server, request).await;
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
    judge(ratios, RATIO_MAX)
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
    let load = Load::start(server.address, request, None).await;
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
    let load = Load::start(server.address, request, None).await;
    tokio::time::sleep(WARM_UP).await;
    load.measure();
    let archived_before = server.metric("s3_raw_bytes_total");
    let (before, begun) = (server.metric("vault_replayed_total"), Instant::now());
    tokio::time::sleep(MEASURED).await;
    let replayed = server.metric("vault_replayed_total") - before;
    let archived = server.metric("s3_raw_bytes_total") - archived_before;
    let took = begun.elapsed().as_secs_f64();
    let latencies = load.stop().await;
    let per_second = latencies.len() as f64 / took;
    Figure {
        p99_ms: p99_ms(latencies),
        per_second,
        replayed: replayed as f64 / took,
        archived: archived as f64 / took / 1e6,
        verified: 0.0,
        exported: 0.0,
    }
}

//! The archive alone, beside clients at a steady pace: many short rounds with it and without it, in turns.

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
use crate::until;

const ROUNDS: usize = 20;
const MEASURED: Duration = Duration::from_secs(2);
/// Each client sends a request as often as this: 1,600 requests or 160,000 records a second together.
const EVERY: Duration = Duration::from_millis(10);
/// What there is to archive at the begin of a round, in segments: more than a round can archive.
const SEGMENTS: u64 = 64;
const FILLED_WITHIN: Duration = Duration::from_mins(1);
const ARCHIVED_WITHIN: Duration = Duration::from_mins(2);
const RATIO_MAX: f64 = 1.1;

/// What a measurement came to.
struct Figure {
    p99_ms: f64,
    /// Megabytes of segments that were archived in a second.
    archived: f64,
}

/// Runs it; returns whether ingest pays little enough.
pub(crate) async fn run(server: &Server, request: &Bytes) -> bool {
    let clients = CONNECTIONS * STREAMS;
    println!(
        "the archive alone: {} bytes each, {clients} clients, one every {EVERY:?}",
        request.len()
    );
    println!(
        "{:>5} {:>12} {:>12} {:>7} {:>14}",
        "round", "p99 with ms", "without ms", "ratio", "archived MB/s"
    );
    // What is replayed would be work too.
    server.pause_replay(true).await;
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        // What one measurement leaves behind meets each of both as often.
        let (with, without) = if round % 2 == 0 {
            let without = measure(server, request).await;
            (busy(server, request).await, without)
        } else {
            let with = busy(server, request).await;
            (with, measure(server, request).await)
        };
        let ratio = with.p99_ms / without.p99_ms;
        println!(
            "{round:>5} {:>12.3} {:>12.3} {ratio:>7.3} {:>14.1}",
            with.p99_ms, without.p99_ms, with.archived
        );
        assert!(without.archived == 0.0, "nothing was left to archive");
        ratios.push(ratio);
    }
    judge(ratios, RATIO_MAX)
}

/// Fills the vault, measures while it is archived, and lets that come to an end.
async fn busy(server: &Server, request: &Bytes) -> Figure {
    server.hold(Zone::Red).await;
    let load = Load::start(server.address, request, None).await;
    until(FILLED_WITHIN, "the vault is filled", || server.metric("s3_lag_segments") >= SEGMENTS)
        .await;
    load.stop().await;
    server.hold(Zone::Green).await;
    let with = measure(server, request).await;
    assert!(0.0 < with.archived, "something was archived");
    assert!(0 < server.metric("s3_lag_segments"), "there was work to the end");
    drained(server).await;
    with
}

/// Waits until everything is archived and delivered.
async fn drained(server: &Server) {
    server.pause_replay(false).await;
    let names = ["vault_backlog_requests", "vault_unread_segments", "s3_lag_segments"];
    let is_drained = || names.iter().all(|name| server.metric(name) == 0);
    until(ARCHIVED_WITHIN, "the vault is archived and drained", is_drained).await;
    server.pause_replay(true).await;
}

async fn measure(server: &Server, request: &Bytes) -> Figure {
    let load = Load::start(server.address, request, Some(EVERY)).await;
    tokio::time::sleep(WARM_UP).await;
    load.measure();
    let (before, began) = (server.metric("s3_raw_bytes_total"), Instant::now());
    tokio::time::sleep(MEASURED).await;
    let archived = server.metric("s3_raw_bytes_total") - before;
    let took = began.elapsed().as_secs_f64();
    Figure { p99_ms: p99_ms(load.stop().await), archived: archived as f64 / took / 1e6 }
}

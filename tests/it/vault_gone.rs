//! Vaults whose files are taken away, or whose disk stands still: what is lost is told, and nothing else.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use gophership_otlp::Signal;
use rustix::process::Signal as ProcessSignal;

use crate::audit::Audit;
use crate::audit::taken;
use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually;
use crate::harness::eventually_async;
use crate::tool::tool;
use crate::vault_tools::document;

const SOON: Duration = Duration::from_secs(20);
const LOGS: Signal = Signal::Logs;

const PLAIN: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, patience: 300ms, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND", retry: { min: 20ms, max: 100ms } }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
shutdown: { grace: 1s }
"#;

/// With a second sink.
const TWO: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, patience: 300ms, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  fast: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND" }
  slow: { type: otlp, inputs: [otlp, replay], endpoint: "http://${SLOW}", retry: { min: 20ms, max: 100ms } }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB, segment_age: 200ms, compression: none }
"#;

fn vault_dir(site: &Site) -> PathBuf {
    site.dir().join("data/vault")
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let is_segment =
        |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("seg-");
    paths.filter(is_segment).collect()
}

fn lost(metrics: &Metrics) -> i64 {
    metrics.sum("gophership_vault_lost_requests_total", &[])
}

/// Scenario: 30 requests in the vault; `kill -9`, every segment is deleted.
/// Guarantees: the audit names what is missing and fails; a strict start refuses; a start counts it, books
/// it as missing and not as unwritten, uses no number twice, and the audit goes on failing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_deleted_after_a_kill_are_missed() {
    let backend = Backend::start().await;
    let mut site = Site::new(backend.address(), PLAIN);
    let mut process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    process.hold("red");
    for _ in 0..30 {
        client.send(&traffic.request(LOGS, 7)).await.unwrap();
    }
    Audit::balanced(&site, "quiet");
    process.kill();
    Audit::balanced(&site, "killed");
    for path in segments(&vault_dir(&site)) {
        fs::remove_file(path).unwrap();
    }
    let dead = Audit::take(&site);
    assert_eq!((dead.code, &dead.page["lost_requests"]), (1, &30.into()), "{:#}", dead.page);
    assert!(dead.findings().contains("30 acknowledged requests are missing"), "{:#}", dead.page);

    site.env.push(("GOPHERSHIP_STRICT", "true".to_owned()));
    for _ in 0..2 {
        let mut process = Process::spawn(&site);
        let status = process.exit(SOON).await;
        assert_eq!(status.code(), Some(69), "{}", process.log());
        assert!(
            process.log().contains("30 acknowledged requests are missing"),
            "{}",
            process.log()
        );
    }
    site.env.clear();
    let mut process = site.start().await;
    process.measured(SOON, "the loss is counted", |metrics| lost(metrics) == 30).await;
    client.send(&traffic.request(LOGS, 1)).await.unwrap();
    let alive = Audit::take(&site);
    let line = |line: &str| alive.page["signals"]["logs"]["lines"][line].as_i64().unwrap();
    assert_eq!((alive.code, line("missing"), line("unwritten")), (1, 210, 0), "{:#}", alive.page);
    process.hold("red");
    client.send(&traffic.request(LOGS, 1)).await.unwrap();
    process.stop(SOON).await;
    let listed = document(0, &["ls", "-o", "json", &vault_dir(&site).display().to_string()]);
    let mut used = listed["segments"].as_array().unwrap().iter().filter(|one| one["requests"] != 0);
    assert_eq!(used.next().unwrap()["first_seq"], 31, "{listed:#}");
    assert_eq!(Audit::take(&site).code, 1);
}

/// Scenario: requests wait in the vault; its segments, or its whole directory, are deleted under the
/// running server.
/// Guarantees: it goes on and its later OKs are true; what is lost is in log, metric and audit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_under_a_running_server_is_told_and_it_goes_on() {
    for is_whole in [false, true] {
        let backend = Backend::start().await;
        let site = Site::new(backend.address(), PLAIN);
        let mut process = site.start().await;
        let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
        process.hold("red");
        for _ in 0..10 {
            client.send(&traffic.request(LOGS, 4)).await.unwrap();
        }
        if is_whole {
            fs::remove_dir_all(vault_dir(&site)).unwrap();
        } else {
            for path in segments(&vault_dir(&site)) {
                fs::remove_file(path).unwrap();
            }
        }
        // What the replay had in its hands already is not lost yet.
        process.logged(SOON, &["Segment file is gone"]).await;
        process.measured(SOON, "the loss is counted", |metrics| 0 < lost(metrics)).await;
        let count = lost(&process.metrics().await);
        assert!(count <= 10, "{count}");
        eventually(SOON, "it is made again", || {
            vault_dir(&site).join("vault_id").exists() && !segments(&vault_dir(&site)).is_empty()
        })
        .await;
        for _ in 0..5 {
            client.send(&traffic.request(LOGS, 4)).await.unwrap();
        }
        let live = Audit::take(&site);
        assert_eq!((live.code, &live.page["lost_requests"]), (1, &count.into()), "{:#}", live.page);
        assert!(live.findings().contains("acknowledged requests were lost"), "{:#}", live.page);
        process.kill();
        assert_eq!(Audit::take(&site).code, 1);
        let process = site.start().await;
        eventually(SOON, "the rest is delivered", || taken(&backend, LOGS) == 20).await;
        let after = Audit::take(&site);
        let missing = &after.page["signals"]["logs"]["lines"]["missing"];
        assert_eq!((after.code, missing), (1, &40.into()), "{:#}\n{}", after.page, process.log());
    }
}

/// Scenario: one of two sinks is out; its cursor's file is deleted while the server is down.
/// Guarantees: `prune` deletes nothing that is for that sink, says why and fails, with the ledger and
/// without it; with consent it deletes; the next start makes the cursor again, and that sink gets all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prune_does_not_take_a_missing_cursor_for_one_that_needs_nothing() {
    let (fast, slow) = (Backend::start().await, Backend::start().await);
    let mut site = Site::new(fast.address(), TWO);
    site.env.push(("SLOW", slow.address().to_string()));
    slow.set(Mode::Gone);
    let mut process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    for _ in 0..60 {
        client.send(&traffic.padded(LOGS, 1, 100 << 10)).await.unwrap();
    }
    process.measured(SOON, "the fast one has all", |_| taken(&fast, LOGS) == 60).await;
    let dir = vault_dir(&site);
    let sealed = || {
        let is_sealed = |path: &PathBuf| path.extension().is_some_and(|it| it == "gsv");
        segments(&dir).into_iter().filter(is_sealed).count()
    };
    process.stop(SOON).await;
    let (path, before) = (dir.display().to_string(), sealed());
    assert!(2 < before);
    assert!(tool(&["prune", &path]).status.success(), "the cursor holds them");
    assert_eq!(sealed(), before);
    fs::remove_file(dir.join("cursors/replay.TO.slow")).unwrap();
    let ledger = site.dir().join("data/ledger");
    for has_ledger in [true, false] {
        if !has_ledger {
            fs::rename(&ledger, site.dir().join("ledger")).unwrap();
        }
        let refused = tool(&["prune", &path]);
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{text}");
        assert!(text.contains("slow") && text.contains("nothing was deleted"), "{text}");
        assert_eq!(sealed(), before);
        let planned = document(0, &["prune", "--yes-lose-data", "--dry-run", "-o", "json", &path]);
        let undelivered: u64 = planned["segments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["undelivered_requests"].as_u64().unwrap())
            .sum();
        assert!(20 < undelivered, "{planned:#}");
    }
    fs::rename(site.dir().join("ledger"), &ledger).unwrap();
    slow.set(Mode::Accept);
    let mut process = site.start().await;
    eventually(SOON, "the slow one has all", || taken(&slow, LOGS) >= 60).await;
    process.stop(SOON).await;
}

/// Scenario: the vault's disk stands still (its `fdatasync` takes 8 seconds) when the server is told to
/// stop; what it was about to store is there afterwards.
/// Guarantees: the audit says at no time that records are missing, and they are delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_stands_still_at_the_end_loses_nothing() {
    if !untested::can_run("it vault_gone::a_disk_that_stands_still_at_the_end_loses_nothing") {
        return;
    }
    let backend = Backend::start().await;
    let mut site = Site::new(backend.address(), PLAIN);
    // The first segment has this number.
    let segment = vault_dir(&site).join(format!("seg-{:020}.open", 1));
    let words = format!(
        "strace -D -f -qq -o /dev/null -P {} -e trace=fdatasync -e inject=fdatasync:delay_enter=8000000",
        segment.display()
    );
    site.before = words.split(' ').map(str::to_owned).collect();
    let mut process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    process.hold("red");
    let parcel = traffic.request(LOGS, 40);
    let sent = tokio::spawn(async move { client.send(&parcel).await });
    eventually_async(SOON, "the request waits for the disk", async || {
        process.metrics().await.sum("gophership_vault_staged_bytes", &[]) > 0
    })
    .await;
    process.signal(ProcessSignal::TERM);
    process.exit(SOON).await;
    let _answer = sent.await;
    let dead = Audit::take(&site);
    assert_eq!(dead.code, 0, "{:#}", dead.page);
    site.before.clear();
    let process = site.start().await;
    eventually(SOON, "it is delivered", || taken(&backend, LOGS) == 40).await;
    let after = Audit::take(&site);
    let missing = &after.page["signals"]["logs"]["lines"]["missing"];
    assert_eq!((after.code, missing), (0, &0.into()), "{:#}\n{}", after.page, process.log());
}

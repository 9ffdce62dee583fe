//! `gs-ctl vault verify`, `hold`, `release` and `prune` on a running process.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use gophership_otlp::Signal;
use serde_json::Value;

use super::commands::json;
use super::commands::said;
use super::port::SOON;
use crate::audit::Audit;
use crate::harness::Backend;
use crate::harness::Books;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::NumberedRequest;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::audit_lines;
use crate::harness::eventually;

/// A segment takes ten requests of 100 KiB.
const REPLAYED: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB, compression: none }
"#;

/// Fills a vault with requests of 100 KiB and one record, while its replay is paused.
async fn fill(site: &Site, process: &Process, requests: u64) -> Vec<NumberedRequest> {
    json(process, &["replay", "pause"]);
    process.hold("red");
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    let mut sent = Vec::new();
    for _ in 0..requests {
        let parcel = traffic.padded(Signal::Logs, 1, 100 << 10);
        client.send(&parcel).await.unwrap();
        sent.push(parcel);
    }
    process.hold("green");
    let left = i64::try_from(requests).unwrap();
    let is_there =
        |metrics: &Metrics| metrics.sum("gophership_vault_backlog_requests", &[]) == left;
    process.measured(SOON, "all is in the vault", is_there).await;
    sent
}

/// The sealed segments of the vault, oldest first.
fn sealed(site: &Site) -> Vec<(u64, PathBuf)> {
    let number = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.to_owned();
        let digits = name.strip_prefix("seg-")?.strip_suffix(".gsv")?;
        Some((digits.parse().ok()?, path))
    };
    let entries = fs::read_dir(site.dir().join("data/vault")).unwrap();
    let mut sealed: Vec<_> = entries.filter_map(|entry| number(entry.unwrap().path())).collect();
    sealed.sort();
    sealed
}

async fn sealed_are(site: &Site, least: usize) {
    eventually(SOON, "segments are sealed", || least <= sealed(site).len()).await;
}

fn refused(process: &Process, arguments: &[&str], code: i32, words: &str) {
    let output = process.control(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
    assert!(said(&output).contains(words), "{arguments:?}: {}", said(&output));
}

/// Scenario: a vault with several sealed segments is verified, then a byte of one of them changes.
/// Guarantees: the sound vault is told to be sound with everything that is in it; the changed byte is found
/// in its segment alone, with exit code 1; the server goes on; a vault that is none is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_vault_is_verified_and_a_changed_byte_is_found() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), REPLAYED);
    let process = site.start().await;
    fill(&site, &process, 35).await;
    sealed_are(&site, 3).await;
    let result = &json(&process, &["vault", "verify"])["vaults"][0];
    assert_eq!((&result["id"], &result["sound"]), (&"vault".into(), &true.into()), "{result}");
    assert_eq!(result["requests"], 35);
    assert!(3_500_000 < result["read_bytes"].as_u64().unwrap(), "{result}");

    let is_read_back =
        |metrics: &Metrics| metrics.sum("gophership_vault_unread_segments", &[]) == 0;
    process.measured(SOON, "all is read back", is_read_back).await;
    let (id, path) = sealed(&site).swap_remove(1);
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 300_000).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 300_000).unwrap();
    let output = process.control(&["vault", "verify", "vault", "-o", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = &found["vaults"][0];
    assert_eq!((&found["sound"], &found["lost_requests"]), (&false.into(), &1.into()), "{found}");
    let findings = found["findings"].as_array().unwrap();
    assert!(findings.iter().all(|finding| finding["segment"] == id), "{found}");
    let (first, this) = (sealed(&site)[0].0.to_string(), id.to_string());
    json(&process, &["vault", "verify", "vault", "--segment", &first]);
    let output = process.control(&["vault", "verify", "vault", "--segment", &this]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    refused(&process, &["vault", "verify", "attic"], 74, "there is no vault \"attic\"");
}

/// Scenario: a vault is held, then delivered; the process is restarted; the hold gets an end of a second.
/// Guarantees: everything delivered stays while the hold is there, before and after the restart; status,
/// `vault ls` and metrics show it; pruning is refused; without the hold everything goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_keeps_what_is_delivered_also_over_a_restart_until_it_ends() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), REPLAYED);
    let mut process = site.start().await;
    fill(&site, &process, 35).await;
    sealed_are(&site, 3).await;
    let held = json(&process, &["vault", "hold", "vault", "--reason", "backup of May"]);
    assert_eq!(held["hold"]["name"], "operator");
    assert!(4 <= held["segments"].as_u64().unwrap(), "{held}");
    json(&process, &["replay", "resume"]);
    let books = Books::of(&[("received", 35), ("delivered", 35)]);
    process.books_become(Signal::Logs, &books, "delivered").await;
    // All but the newest segment, which stays in any case.
    let files = sealed(&site);
    let bytes = files.iter().take(3).map(|(_, path)| fs::metadata(path).unwrap().len());
    let kept = i64::try_from(bytes.sum::<u64>()).unwrap();
    let is_told = |metrics: &Metrics| {
        metrics.sum("gophership_vault_holds", &[]) == 1
            && metrics.sum("gophership_vault_held_bytes", &[]) == kept
    };
    process.measured(SOON, "the hold and what it keeps are told", is_told).await;
    let status = json(&process, &["status"]);
    assert_eq!(status["vaults"][0]["holds"][0]["reason"], "backup of May", "{status}");
    refused(&process, &["vault", "prune", "vault", "--yes"], 74, "hold \"operator\" keeps segment");

    process.stop(SOON).await;
    let process = site.start().await;
    let listed = &json(&process, &["vault", "ls"])["vaults"][0];
    assert_eq!(listed["requests"], 35, "{listed}");
    assert_eq!(listed["holds"][0]["reason"], "backup of May", "{listed}");
    // Retention looks every second; it has by the time that the vault tells what it is kept from.
    process.measured(SOON, "the hold is told", is_told).await;
    assert!(3 <= sealed(&site).len());

    json(&process, &["vault", "hold", "vault", "--hold", "short", "--ttl", "1s"]);
    refused(&process, &["vault", "release", "vault", "--hold", "longer"], 74, "has no hold");
    let ls = || json(&process, &["vault", "ls"])["vaults"][0].clone();
    let is_over = || ls()["holds"].as_array().is_some_and(|holds| holds.len() == 1);
    eventually(SOON, "the short hold is over by itself", is_over).await;
    assert!(3 <= sealed(&site).len(), "the other one still holds");
    let released = json(&process, &["vault", "release", "vault", "--reason", "copied"]);
    assert_eq!(released["holds"], serde_json::json!([]));
    eventually(SOON, "what is delivered goes", || sealed(&site).len() <= 1).await;
    let changes = audit_lines(site.dir(), "change");
    let has = |action: &str, reason: &str| {
        changes.iter().any(|line| line["action"] == action && line["reason"] == reason)
    };
    assert!(has("HoldVault", "backup of May") && has("ReleaseVault", "copied"), "{changes:?}");
}

/// Scenario: nothing of a vault is delivered; one segment is pruned with force, and the rest is delivered.
/// Guarantees: without force nothing goes, without `--yes` nothing is asked for; what was foretold is what
/// goes; its records are dropped in the ledger, which balances; the rest arrives once, and after a restart
/// nothing is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pruned_with_force_is_booked_as_dropped_and_the_rest_arrives() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), REPLAYED);
    let mut process = site.start().await;
    let sent = fill(&site, &process, 35).await;
    sealed_are(&site, 3).await;
    let unforced = json(&process, &["vault", "prune", "vault", "--yes"]);
    assert_eq!(unforced["segments"], serde_json::json!([]));
    for unasked in
        [&["vault", "prune", "vault"][..], &["vault", "prune", "vault", "--force"], &["drain"]]
    {
        refused(&process, unasked, 64, "add --yes");
    }
    let force = ["vault", "prune", "vault", "--force"];
    let old = [&force[..], &["--dry-run", "--older-than", "1h"]].concat();
    assert_eq!(json(&process, &old)["segments"], serde_json::json!([]));
    let planned = json(&process, &[&force[..], &["--dry-run"]].concat());
    let planned = planned["segments"].as_array().unwrap().clone();
    assert_eq!(planned.len(), sealed(&site).len(), "{planned:?}");

    let victim = planned[1].clone();
    let (id, requests) = (victim["segment"].to_string(), victim["requests"].as_u64().unwrap());
    assert_eq!(victim["undelivered_requests"], requests);
    let one = ["--segment", &id];
    refused(&process, &[&["vault", "prune", "vault", "--yes"][..], &one].concat(), 74, "--force");
    let pruned = json(&process, &[&force[..], &one, &["--yes", "--reason", "poison"]].concat());
    assert_eq!(pruned["segments"], serde_json::json!([victim]));
    assert!(sealed(&site).iter().all(|(segment, _)| segment.to_string() != id));
    let dropped = i64::try_from(requests).unwrap();
    let expected = Books::of(&[("received", 35), ("vaulted", 35 - dropped), ("dropped", dropped)]);
    process.books_become(Signal::Logs, &expected, "dropped").await;
    json(&process, &["replay", "resume"]);
    let expected =
        Books::of(&[("received", 35), ("delivered", 35 - dropped), ("dropped", dropped)]);
    process.books_become(Signal::Logs, &expected, "delivered").await;
    let arrived = sent.iter().filter(|parcel| backend.has(&parcel.fingerprint) == 1).count();
    assert_eq!(i64::try_from(arrived).unwrap(), 35 - dropped);
    let is_told =
        |metrics: &Metrics| metrics.sum("gophership_vault_dropped_requests_total", &[]) == dropped;
    process.measured(SOON, "the vault counts it", is_told).await;
    let changes = audit_lines(site.dir(), "change");
    let noted =
        changes.iter().find(|line| line["action"] == "PruneVault" && line["reason"] == "poison");
    assert!(noted.unwrap()["outcome"].as_str().unwrap().starts_with("deleted 1 segments"));
    process.stop(SOON).await;
    Audit::balanced(&site, "ended");
    site.start()
        .await
        .measured(SOON, "nothing is lost", |metrics| {
            metrics.sum("gophership_vault_lost_requests_total", &[]) == 0
        })
        .await;
}

/// Scenario: a backend takes requests and does not answer, so a replay has some on their way; all sealed
/// segments are pruned with force meanwhile; then the backend answers.
/// Guarantees: every record is delivered or dropped, the ledger balances, and nothing stays in the vault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pruned_while_it_is_replayed_is_booked_once() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), REPLAYED);
    let process = site.start().await;
    fill(&site, &process, 35).await;
    sealed_are(&site, 3).await;
    backend.set(Mode::Stall);
    json(&process, &["replay", "resume"]);
    let is_sending = |metrics: &Metrics| 0 < metrics.books("logs").count("in_flight");
    process.measured(SOON, "some are on their way", is_sending).await;
    let pruned = json(&process, &["vault", "prune", "vault", "--force", "--yes"]);
    let undelivered = pruned["segments"].as_array().unwrap().iter();
    let dropped: i64 = undelivered.map(|one| one["undelivered_requests"].as_i64().unwrap()).sum();
    assert!(20 <= dropped, "{pruned}");
    backend.set(Mode::Accept);
    let is_over = |metrics: &Metrics| {
        let books = metrics.books("logs");
        let left = books.count("vaulted") + books.count("in_flight");
        left == 0 && books.count("dropped") == dropped && books.imbalance() == 0
    };
    process.measured(SOON, "all is delivered or dropped, once", is_over).await;
    let books = process.metrics().await.books("logs");
    assert!(35 <= books.count("delivered") + books.count("dropped"), "{books:?}");
    let backlog = |metrics: &Metrics| metrics.sum("gophership_vault_backlog_requests", &[]) == 0;
    process.measured(SOON, "nothing waits", backlog).await;
}

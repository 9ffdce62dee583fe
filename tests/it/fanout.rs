//! Two sinks behind one source: what one of them cannot take now holds nothing up for the other, and
//! comes to it alone when it can.

use std::time::Duration;
use std::time::Instant;

use gophership_otlp::Signal;
use rustix::process::Signal as ProcessSignal;
use tokio::task::JoinSet;

use crate::harness::Backend;
use crate::harness::Books;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::NumberedRequest;
use crate::harness::Oracle;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually_async;

const SOON: Duration = Duration::from_secs(20);

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault, patience: 1s }
  replay: { type: vault_replay, vault: vault }
transforms:
  host: { type: enrich, inputs: [otlp, replay], resource: { host.name: here } }
sinks:
  there: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND" }
  away: { type: otlp, inputs: [$AWAY], endpoint: "http://$OTHER" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB, keep_for_removed_sinks: 0s }
"#;

/// A process with two backends.
struct Pair {
    there: Backend,
    away: Backend,
    site: Site,
    client: GrpcClient,
    traffic: Traffic,
    oracle: Oracle,
}

impl Pair {
    async fn start() -> Self {
        let (there, away) = (Backend::start().await, Backend::start().await);
        let site = Site::new(there.address(), &yaml("otlp, replay", &away));
        let client = GrpcClient::new(site.grpc());
        let (traffic, oracle) = (Traffic::default(), Oracle::default());
        Self { there, away, site, client, traffic, oracle }
    }

    /// Sends some requests, one after the other; returns them, and how long the longest took.
    async fn send(&self, count: u64) -> (Vec<NumberedRequest>, Duration) {
        let (mut sent, mut longest) = (Vec::new(), Duration::ZERO);
        for _ in 0..count {
            let parcel = self.traffic.request(Signal::Logs, 1);
            self.oracle.sends(&parcel);
            let begun = Instant::now();
            self.client.send(&parcel).await.unwrap();
            longest = longest.max(begun.elapsed());
            self.oracle.acknowledged(&parcel);
            sent.push(parcel);
        }
        (sent, longest)
    }

    /// Both have everything, and how many copies too many came to each.
    async fn settled(&self) -> [u64; 2] {
        let mut copies = [0; 2];
        for (copies, backend) in copies.iter_mut().zip([&self.there, &self.away]) {
            let audit = self.oracle.settle(backend, SOON).await;
            audit.assert_kept(&"both have everything");
            *copies = audit.duplicates;
        }
        copies
    }
}

fn yaml(away_inputs: &str, away: &Backend) -> String {
    let yaml = YAML.replace("$AWAY", away_inputs).replace("$OTHER", &away.address().to_string());
    if away_inputs.contains("host") { yaml } else { without_transform(&yaml) }
}

fn without_transform(yaml: &str) -> String {
    let (head, rest) = yaml.split_once("transforms:").unwrap();
    let (_, sinks) = rest.split_once("sinks:").unwrap();
    format!("{head}sinks:{sinks}")
}

fn is_out(metrics: &Metrics) -> bool {
    let circuit = [("kind", "circuit"), ("place", "away")];
    metrics.pressure(&circuit) > 0.0
}

/// Scenario: one of two backends says that it cannot, or is gone, or hangs; later it is back.
/// Guarantees: once that is known nobody waits for it, the other one gets each request at once and
/// once, and what it missed comes to the one alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_backend_misses_comes_to_it_alone() {
    for mode in [Mode::Unavailable, Mode::Gone, Mode::Hang] {
        let pair = Pair::start().await;
        let process = pair.site.start().await;
        pair.send(5).await;
        pair.away.set(mode);
        let probe = async {
            while !is_out(&process.metrics().await) {
                pair.send(1).await;
            }
        };
        tokio::time::timeout(SOON, probe).await.unwrap();
        let (sent, longest) = pair.send(50).await;
        assert!(longest < Duration::from_millis(500), "{mode:?}: {longest:?}");
        let what = "the backend that is there has them";
        let has_all = || sent.iter().all(|parcel| pair.there.has(&parcel.fingerprint) == 1);
        eventually_async(Duration::from_secs(2), what, async || has_all()).await;
        let diverted = [("cause", "diverted")];
        assert_eq!(process.metrics().await.sum("gophership_somatic_pivots_total", &diverted), 0);

        pair.away.set(Mode::Accept);
        let [there, away] = pair.settled().await;
        assert_eq!(there, 0, "{mode:?}");
        // What was under way when it went may come twice.
        assert!(away <= 4, "{mode:?}: {away}");
        let n = i64::try_from(pair.there.requests()).unwrap();
        let books = Books::of(&[("received", n), ("copies", n), ("delivered", 2 * n)]);
        process.books_become(Signal::Logs, &books, "both have everything").await;
    }
}

/// Scenario: a whole outage of both goes to the vault; one comes back a good while before the other,
/// and between that the process is killed.
/// Guarantees: neither waits for the other, and the one that was back is not sent everything again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_has_a_cursor_of_its_own_that_outlives_the_process() {
    let pair = Pair::start().await;
    let mut process = pair.site.start().await;
    process.hold("red");
    let (sent, _) = pair.send(200).await;
    pair.away.set(Mode::Unavailable);
    process.hold("auto");
    let has_all = || sent.iter().all(|parcel| pair.there.has(&parcel.fingerprint) == 1);
    eventually_async(SOON, "one has everything", async || has_all()).await;
    // The cursor is saved ten times a second.
    tokio::time::sleep(Duration::from_millis(500)).await;
    process.kill();
    drop(process);
    let mut process = pair.site.start().await;
    pair.send(20).await;
    assert!(!sent.iter().any(|parcel| pair.there.has(&parcel.fingerprint) != 1), "sent again");
    pair.away.set(Mode::Accept);
    assert_eq!(pair.settled().await[0], 0);
    let is_even = |metrics: &Metrics| {
        let books = metrics.books("logs");
        books.imbalance() == 0 && books.count("vaulted") == 0 && books.count("in_flight") == 0
    };
    process.measured(SOON, "the vault is empty and the books are even", is_even).await;
    process.stop(SOON).await;
}

/// Scenario: while one backend is out, its sink is taken out of the configuration, with nothing to be kept for
/// it; later there is one of another name, behind a transform.
/// Guarantees: what only the former one missed is dropped, holds nothing back and does not come to the other one a
/// second time, and the new one gets what comes from then on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_is_removed_holds_nothing_back() {
    let pair = Pair::start().await;
    let mut process = pair.site.start().await;
    pair.away.set(Mode::Gone);
    let (sent, _) = pair.send(30).await;
    // What went to the vault for both before that was known is the replay's, for both.
    let has_all = || sent.iter().all(|parcel| pair.there.has(&parcel.fingerprint) == 1);
    eventually_async(SOON, "the one that is there has everything", async || has_all()).await;
    let only = yaml("otlp, replay", &pair.away);
    let only: Vec<&str> = only.lines().filter(|line| !line.contains("away:")).collect();
    pair.site.configure(&only.join("\n"));
    process.signal(ProcessSignal::HUP);
    process.logged(SOON, &["Dropped the undelivered requests of a sink", "sink=away"]).await;
    let is_over = |metrics: &Metrics| metrics.sum("gophership_vault_backlog_requests", &[]) == 0;
    process.measured(SOON, "nothing is held back", is_over).await;
    assert!(has_all(), "it had them already");

    pair.away.set(Mode::Accept);
    pair.site.configure(&yaml("host", &pair.away).replace("away:", "another:"));
    process.signal(ProcessSignal::HUP);
    process.logged(SOON, &["component=another outcome=started"]).await;
    let before = pair.away.requests();
    pair.send(10).await;
    let has_more = async || before + 10 <= pair.away.requests();
    eventually_async(SOON, "the new one has what came since", has_more).await;
    process.stop(SOON).await;
}

/// Scenario: a sink is taken out of the configuration while the vault has a good many requests for it and
/// the zone is red; the process is stopped before that is over, and started again.
/// Guarantees: letting go of what the sink missed rests in red, delays no stop, and is finished later;
/// the other sink gets everything, and the books are even.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letting_go_of_a_sink_rests_and_stops_like_other_background_work() {
    let pair = Pair::start().await;
    let mut process = pair.site.start().await;
    process.hold("red");
    let (sent, _) = pair.send(100).await;
    let both = yaml("otlp, replay", &pair.away);
    let only: Vec<&str> = both.lines().filter(|line| !line.contains("away:")).collect();
    pair.site.configure(&only.join("\n"));
    process.signal(ProcessSignal::HUP);
    process.logged(SOON, &["component=away outcome="]).await;
    // The replay looks twice a second who is there.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(process.count_in_log("Dropped the undelivered requests"), 0, "it is red");
    process.stop(SOON).await;

    let process = pair.site.start().await;
    process.logged(SOON, &["Dropped the undelivered requests of a sink", "sink=away"]).await;
    let has_all = || sent.iter().all(|parcel| pair.there.has(&parcel.fingerprint) == 1);
    eventually_async(SOON, "the other one has everything", async || has_all()).await;
    let is_even = |metrics: &Metrics| {
        let books = metrics.books("logs");
        books.imbalance() == 0 && books.count("vaulted") == 0 && books.count("in_flight") == 0
    };
    process.measured(SOON, "the vault is empty and the books are even", is_even).await;
}

/// Scenario: behind a transform one of two backends hangs, and its queue is full long before anybody
/// loses patience.
/// Guarantees: the other one gets each request at once and once, and what the one missed comes to it
/// alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_hangs_behind_a_transform_holds_nothing_up() {
    let pair = Pair::start().await;
    let narrow = "inputs: [host], concurrency: 1, buffer: { batches: 4 }, endpoint";
    let behind = yaml("host", &pair.away)
        .replace("inputs: [host], endpoint", narrow)
        .replace("inputs: [otlp, replay], endpoint", "inputs: [host], endpoint");
    pair.site.configure(&behind.replace("patience: 1s", "patience: 5s"));
    let process = pair.site.start().await;
    pair.away.set(Mode::Hang);
    let mut senders = JoinSet::new();
    for parcel in (0..40).map(|_| pair.traffic.request(Signal::Logs, 1)) {
        let client = pair.client.clone();
        senders.spawn(async move { client.send(&parcel).await });
    }
    // Once each: what it has was changed on the way.
    let has_all = |backend: &Backend| {
        let records = backend.records(Signal::Logs);
        records.len() == 40 && records.values().all(|count| *count == 1)
    };
    let soon = Duration::from_secs(2);
    eventually_async(soon, "the other one has all", async || has_all(&pair.there)).await;
    assert_ne!(process.metrics().await.zone(), 2, "red would hold the other one up too");
    while let Some(answer) = senders.join_next().await {
        answer.unwrap().unwrap();
    }

    pair.away.set(Mode::Accept);
    let is_even = |metrics: &Metrics| {
        let books = metrics.books("logs");
        books.imbalance() == 0 && books.count("vaulted") == 0 && books.count("in_flight") == 0
    };
    process.measured(SOON, "both have all", is_even).await;
    assert_eq!(pair.away.records(Signal::Logs).len(), 40);
    assert!(has_all(&pair.there), "what one misses comes to it alone");
}

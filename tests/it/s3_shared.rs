//! Hosts that share an archive: each segment once, and together faster.

use std::time::Duration;
use std::time::Instant;

use gophership_s3_sim::Fault;
use gophership_s3_sim::RequestKind;
use gophership_s3_sim::Which;

use crate::harness::Process;
use crate::harness::eventually;
use crate::harness::report;
use crate::s3_replay::DONE_WITHIN;
use crate::s3_replay::Fixture;
use crate::s3_replay::ended;
use crate::s3_replay::summary;

/// So much faster two hosts are than one.
const SPEEDUP_MIN: f64 = 1.8;
/// On a machine that does something else meanwhile the best of so many counts.
const TRIES: u32 = 3;
/// The bucket begins to answer after this long; so a host waits for the bucket, not for its processor.
const BUCKET_DELAY: Duration = Duration::from_millis(400);
const REQUESTS: u64 = 360;

/// Waits until `count` more requests than `before` have arrived; how long it took from the first of them.
async fn arriving(fixture: &Fixture, before: u64, count: u64) -> Duration {
    eventually(DONE_WITHIN, "the first arrived", || before < fixture.backend.requests()).await;
    let began = Instant::now();
    eventually(DONE_WITHIN, "all arrived", || before + count <= fixture.backend.requests()).await;
    began.elapsed()
}

/// Replays the archive with one host and then with two, under new names; how long each took.
async fn race(fixture: &Fixture, options: &str, round: u64) -> (Duration, Duration) {
    let host = |who: &str| fixture.host(&format!("    {options}\n    replay_id: {who}-{round}"));
    let before = fixture.backend.requests();
    let one = host("alone");
    let mut process = Process::spawn(&one);
    let alone = arriving(fixture, before, REQUESTS).await;
    ended(&mut process).await;
    let hosts = [host("together"), host("together")];
    let mut processes = hosts.each_ref().map(Process::spawn);
    let together = arriving(fixture, before + REQUESTS, REQUESTS).await;
    let [one, two] = &mut processes;
    let logs = [ended(one).await, ended(two).await];
    assert_eq!(fixture.arrivals(), vec![2 * round; 360], "once alone and once together");
    let shares = logs.each_ref().map(|log| summary(log, "segments"));
    assert_eq!(shares.iter().sum::<u64>(), fixture.segments as u64);
    assert!(shares.iter().all(|share| 0 < *share), "{shares:?}");
    report(&format!("{options}: one host {alone:?}, two hosts {together:?}, {shares:?} segments"));
    (alone, together)
}

async fn assert_faster_together(fixture: &Fixture, options: &str) {
    let mut best: f64 = 0.0;
    for round in 1..=TRIES {
        let (alone, together) = race(fixture, options, round.into()).await;
        best = best.max(alone.as_secs_f64() / together.as_secs_f64());
        if SPEEDUP_MIN <= best {
            return;
        }
    }
    panic!("two hosts are {best:.2} times as fast as one");
}

/// Scenario: one host replays an archive from a bucket that is slow to answer, a segment at a time, and then two
/// hosts do so together.
/// Guarantees: every segment is replayed exactly once, both have taken part, and they are 1.8 times as fast.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_are_nearly_twice_as_fast_when_the_bucket_is_the_limit() {
    let fixture = Fixture::new(REQUESTS).await;
    let slow = Fault::Delay(BUCKET_DELAY);
    fixture.server.faults().always(Which::from(RequestKind::Get).with("/seg/"), slow);
    assert_faster_together(&fixture, "concurrency: 1").await;
}

/// Scenario: one host replays an archive at a limited rate, and then two hosts do so together.
/// Guarantees: as above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_are_nearly_twice_as_fast_when_their_rate_is_the_limit() {
    let fixture = Fixture::new(REQUESTS).await;
    assert_faster_together(&fixture, "rate: 200").await;
}

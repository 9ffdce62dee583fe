//! Uploads pause in red, also between the attempts of one, and keep to the rate.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use gophership_s3_sim::Fault;
use gophership_s3_sim::Which;

use super::rig::Rig;
use super::rig::eventually;
use crate::somatic::Governor;

/// What is on its way when a pause begins has ended after this long.
const UNDER_WAY: Duration = Duration::from_millis(700);
const PAUSE: Duration = Duration::from_secs(1);

/// Scenario: the bucket refuses every request, so that the sink tries again and again; then background work pauses,
/// as in red, and goes on later.
/// Guarantees: no request is made in the pause; afterwards everything is archived.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_holds_between_the_attempts_of_an_upload() {
    let (rig, governor) = (Rig::new(3), Arc::new(Governor::default()));
    let faults = rig.server.faults();
    faults.always(Which::any(), Fault::INTERNAL_ERROR);
    let running = rig.start_at(2, Arc::clone(&governor), None).await;
    eventually("the sink tries", || 10 < faults.seen_all()).await;
    governor.follow(0);
    tokio::time::sleep(UNDER_WAY).await;
    let before = faults.seen_all();
    tokio::time::sleep(PAUSE).await;
    assert_eq!(faults.seen_all(), before, "requests in the pause");
    faults.clear();
    governor.follow(Governor::ALL);
    rig.until_archived().await;
    running.end().await;
    rig.assert_complete("pause");
}

/// Scenario: segments are uploaded at a rate, two at a time.
/// Guarantees: both together keep to it; the metrics show what is on its way and how much of it is sent, and
/// nothing when all is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_keep_to_the_rate_and_show_how_far_they_are() {
    const RATE: u64 = 1 << 20;
    let rig = Rig::with_segments(4, 1 << 20);
    let began = Instant::now();
    let running = rig.start_at(2, Arc::new(Governor::default()), Some(RATE)).await;
    let figure = |name: &str| running.figure(name, "archive");
    let is_on_its_way = || {
        let (all, sent) =
            (figure("gophership_s3_uploading_bytes"), figure("gophership_s3_uploading_sent_bytes"));
        0 < sent && sent < all
    };
    eventually("an upload is half done", is_on_its_way).await;
    rig.until_archived().await;
    let bytes = figure("gophership_s3_object_bytes_total");
    let least = Duration::from_secs(bytes / RATE).saturating_sub(Duration::from_secs(1));
    assert!(least < began.elapsed(), "{bytes} bytes in {:?}", began.elapsed());
    assert!(2 * RATE < bytes, "there was something to hold back: {bytes}");
    for name in ["gophership_s3_uploading_bytes", "gophership_s3_uploading_sent_bytes"] {
        assert_eq!(figure(name), 0, "{name}");
    }
    running.end().await;
    rig.assert_complete("rate");
}

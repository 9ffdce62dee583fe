//! The fault table: each way in which a bucket fails, 30 times.

use std::time::Duration;

use gophership_s3_sim::Fault;
use gophership_s3_sim::RequestKind;
use gophership_s3_sim::Which;

use super::rig::Rig;
use super::rig::eventually;
use crate::component::copy_cursor_name;

/// Segments that meet each fault.
const RUNS: usize = 30;

const FAULTS: [(&str, Fault); 15] = [
    ("500", Fault::INTERNAL_ERROR),
    ("503 slow down", Fault::SLOW_DOWN),
    ("403 expired token", Fault::EXPIRED_TOKEN),
    ("403 denied", Fault::ACCESS_DENIED),
    ("404 bucket", Fault::NO_SUCH_BUCKET),
    ("409", Fault::CONFLICT),
    ("412 without an object", Fault::PRECONDITION_FAILED),
    ("400 bad digest", Fault::BAD_DIGEST),
    ("no answer", Fault::Stall),
    ("closed", Fault::Close),
    ("reset in mid body", Fault::ResetBody),
    ("200 and nothing stored", Fault::NotStored),
    ("stored, answer lost", Fault::AnswerLost),
    ("damaged on its disk", Fault::Corrupt),
    ("shortened on its disk", Fault::Shortened),
];

/// Scenario: of 30 segments the upload of each object, or of each manifest, meets a fault once or twice.
/// Guarantees: each segment is one object and one manifest, which come to the same bytes; a second run
/// writes nothing; the fault really was met.
async fn faults_of(kind: RequestKind, part: &str) {
    for (name, fault) in FAULTS {
        let rig = Rig::new(RUNS);
        for (number, segment) in rig.originals.keys().enumerate() {
            let which = Which::from(kind).with(&format!("{part}/{segment:020}"));
            rig.server.faults().next(which, 1 + u32::from(number % 3 == 0), fault);
        }
        let running = rig.start(2).await;
        rig.until_archived().await;
        running.end().await;
        assert!(RUNS as u64 <= rig.server.faults().injected(), "{name}: was met");
        rig.server.faults().clear();
        rig.assert_complete(name);
        assert_second_run_writes_nothing(&rig, name).await;
    }
}

/// Forgets how far the sink was, as if the state was lost, and runs it again.
async fn assert_second_run_writes_nothing(rig: &Rig, name: &str) {
    let before = rig.keys();
    let cursor = copy_cursor_name(&Rig::id());
    rig.log.remove_cursor(&cursor).unwrap();
    let puts = rig.server.faults().seen(RequestKind::Put);
    let running = rig.start(2).await;
    eventually("nothing is left", || rig.log.cursor(&cursor).is_some()).await;
    rig.until_archived().await;
    running.end().await;
    assert_eq!(rig.keys(), before, "{name}");
    assert_eq!(rig.server.faults().seen(RequestKind::Put), puts, "{name}: nothing is put again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_survive_every_fault() {
    faults_of(RequestKind::Put, "seg").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn manifests_survive_every_fault() {
    faults_of(RequestKind::Put, "manifest").await;
}

/// Scenario: looking at an object fails, or at a manifest, in each way in which reading can.
/// Guarantees: as above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_survives_every_fault() {
    let faults = [
        ("500", Fault::INTERNAL_ERROR),
        ("503", Fault::SLOW_DOWN),
        ("403", Fault::EXPIRED_TOKEN),
        ("no answer", Fault::Stall),
        ("closed", Fault::Close),
        ("truncated", Fault::TruncatedBody),
        ("half", Fault::StallBody),
    ];
    for (name, fault) in faults {
        let rig = Rig::new(RUNS);
        for segment in rig.originals.keys() {
            for (kind, part) in [(RequestKind::Head, "seg"), (RequestKind::Get, "manifest")] {
                let which = Which::from(kind).with(&format!("{part}/{segment:020}"));
                rig.server.faults().next(which, 1, fault);
            }
        }
        let running = rig.start(2).await;
        rig.until_archived().await;
        running.end().await;
        rig.server.faults().clear();
        rig.assert_complete(name);
    }
}

/// Scenario: the sink is ended while each of its requests is on its way, before the server does it and
/// after, 30 times each; then it is started anew.
/// Guarantees: as above, and no segment leaves the vault before object and manifest are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sink_can_be_ended_between_any_two_steps() {
    let steps = [
        (RequestKind::Put, "seg"),
        (RequestKind::Head, "seg"),
        (RequestKind::Put, "manifest"),
        (RequestKind::Get, "manifest"),
    ];
    for (kind, part) in steps {
        for fault in [Fault::Stall, Fault::AnswerLost] {
            let rig = Rig::new(RUNS);
            let segments: Vec<u64> = rig.originals.keys().copied().collect();
            for segment in segments {
                let faults = rig.server.faults();
                // No sink comes farther than this segment before it is ended, however late that is.
                let hold_later = || {
                    for later in rig.originals.keys().filter(|later| segment < **later) {
                        faults.always(Which::any().with(&format!("/{later:020}")), Fault::Stall);
                    }
                };
                faults.always(Which::from(kind).with(&format!("{part}/{segment:020}")), fault);
                hold_later();
                let before = faults.injected();
                let running = rig.start(1).await;
                eventually("the request is on its way", || before < faults.injected()).await;
                rig.assert_kept_until_complete(segment);
                running.end().await;
                rig.assert_kept_until_complete(segment);
                faults.clear();
                hold_later();
                let running = rig.start(1).await;
                eventually("the segment is archived", || rig.is_passed(segment)).await;
                running.end().await;
                faults.clear();
            }
            rig.assert_complete(&format!("{kind:?} {part} {fault:?}"));
        }
    }
}

/// Scenario: the bucket is out for some seconds, then back.
/// Guarantees: nothing leaves the vault meanwhile, the outage shows, and all is archived afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_holds_the_segments_and_ends_by_itself() {
    let rig = Rig::new(RUNS);
    rig.server.faults().always(Which::any(), Fault::Close);
    let running = rig.start(2).await;
    eventually("the outage shows", || running.figure("gophership_s3_out", "archive") == 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let lag = running.figure("gophership_s3_lag_segments", "archive");
    assert_eq!(lag, rig.originals.len() as u64);
    assert!(rig.originals.keys().all(|segment| rig.local(*segment).exists()));
    rig.server.faults().clear();
    rig.until_archived().await;
    assert_eq!(running.figure("gophership_s3_out", "archive"), 0);
    running.end().await;
    rig.assert_complete("outage");
}

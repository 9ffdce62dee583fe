//! What the sink does with what is not as it should be.

use std::fs;

use gophership_archive::Manifest;
use gophership_s3::BucketClient;
use gophership_s3::ObjectBody;
use gophership_s3::PutOptions;
use gophership_s3_sim::Fault;
use gophership_s3_sim::Which;
use gophership_vault::SealedSegment;

use super::rig::BUCKET;
use super::rig::Rig;
use super::rig::eventually;

/// Scenario: under the key of one segment, and of the manifest of another, there is something else.
/// Guarantees: both are alarms, nothing is overwritten, the segments stay in the vault, the others go on; when
/// the operator has removed what was there and starts it again, all is archived.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_ours_is_an_alarm_and_left_alone() {
    let rig = Rig::new(5);
    let bucket = BucketClient::connect(&rig.bucket_options()).await.unwrap();
    let numbers: Vec<u64> = rig.originals.keys().copied().collect();
    let segment = SealedSegment::open(&rig.local(numbers[1])).unwrap();
    let key = Manifest::key_of(&segment).key(&rig.prefix);
    let put = PutOptions::default();
    bucket.put(&key, ObjectBody::Bytes("foreign".into()), &put).await.unwrap();
    let other = SealedSegment::open(&rig.local(numbers[3])).unwrap();
    let manifest_key = Manifest::key_of(&other).manifest().key(&rig.prefix);
    let running = rig.start(1).await;
    let first = Manifest::key_of(&SealedSegment::open(&rig.local(numbers[0])).unwrap());
    eventually("the first is archived", || rig.is_passed(numbers[0])).await;
    running.end().await;
    let bytes = fs::read(rig.server.object_path(BUCKET, &first.manifest().key(&rig.prefix)));
    bucket.put(&manifest_key, ObjectBody::Bytes(bytes.unwrap().into()), &put).await.unwrap();

    let running = rig.start(1).await;
    let are_seen = || running.figure("gophership_s3_alarms", "different") == 2;
    eventually("both are alarms", are_seen).await;
    eventually("the others go on", || [0, 2, 4].iter().all(|at| rig.is_passed(numbers[*at]))).await;
    for at in [1, 3] {
        assert!(!rig.is_passed(numbers[at]) && rig.local(numbers[at]).exists());
    }
    running.end().await;
    let foreign = fs::read(rig.server.object_path(BUCKET, &key)).unwrap();
    assert_eq!(foreign, b"foreign");
    for key in [key, manifest_key] {
        assert!(bucket.delete(&key, None).await.unwrap());
    }
    let running = rig.start(1).await;
    rig.until_archived().await;
    running.end().await;
    rig.assert_complete("after the operator");
}

/// Scenario: the credentials have expired for a while.
/// Guarantees: that is an alarm, and it ends by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_credentials_are_an_alarm_that_ends_by_itself() {
    let rig = Rig::new(2);
    rig.server.faults().always(Which::any(), Fault::EXPIRED_TOKEN);
    let running = rig.start(1).await;
    // The answer to a question for headers alone does not say why.
    let alarm = || {
        ["credentials", "denied"]
            .map(|it| running.figure("gophership_s3_alarms", it))
            .iter()
            .sum::<u64>()
    };
    eventually("it is an alarm", || alarm() == 1).await;
    rig.server.faults().clear();
    rig.until_archived().await;
    eventually("it is over", || alarm() == 0).await;
    running.end().await;
    rig.assert_complete("credentials");
}

/// Scenario: one byte of a sealed segment changes on the local disk.
/// Guarantees: it is not archived as if it were whole, that is an alarm, and the others go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_segment_is_an_alarm_and_not_archived() {
    let rig = Rig::new(3);
    let numbers: Vec<u64> = rig.originals.keys().copied().collect();
    let mut bytes = rig.originals[&numbers[1]].clone();
    bytes[10_000] ^= 1;
    fs::write(rig.local(numbers[1]), bytes).unwrap();
    let running = rig.start(1).await;
    eventually("the others are archived", || [0, 2].iter().all(|at| rig.is_passed(numbers[*at])))
        .await;
    let is_known = || {
        running.figure("gophership_s3_alarms", "different") == 1
            || running.figure("gophership_s3_skipped_segments_total", "quarantined") == 1
    };
    eventually("the damage shows", is_known).await;
    running.end().await;
    assert!(rig.keys().iter().all(|key| !key.contains(&format!("{:020}", numbers[1]))));
}

/// Scenario: 64 MiB of requests in segments of 8 MiB, which are uploaded two at a time.
/// Guarantees: what comes back is the same, byte for byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_segments_come_back_bit_for_bit() {
    let rig = Rig::with_segments(8, 8 << 20);
    let bytes: usize = rig.originals.values().map(Vec::len).sum();
    assert!(60 << 20 < bytes, "{bytes}");
    let running = rig.start(2).await;
    rig.until_archived().await;
    running.end().await;
    rig.assert_complete("large");
}

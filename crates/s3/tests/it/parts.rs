//! Uploads in parts: bytes, checksums, conditions, and nothing left behind.

use std::path::PathBuf;
use std::time::Duration;

use gophership_s3::Operation;
use gophership_s3::PART_BYTES_MIN;
use gophership_s3::PutOptions;
use gophership_s3::PutOutcome;
use gophership_s3::RequestOutcome;
use gophership_s3::S3ErrorKind;
use gophership_s3_sim::Fault;
use gophership_s3_sim::RequestKind;

use crate::fixture::BUCKET;
use crate::fixture::Fixture;
use crate::fixture::body;
use crate::fixture::if_absent;
use crate::fixture::noise;

/// Two parts and a byte.
const LEN: usize = (10 << 20) + 1;

async fn fixture() -> (Fixture, PathBuf, Vec<u8>) {
    // A digest of each part takes its time where nothing is optimised.
    let fixture = Fixture::with(|it| {
        it.attempt_timeout = gophership_units::HumanDuration::seconds(20);
    });
    let fixture = fixture.await;
    let bytes = noise(LEN);
    let path = fixture.folder.path().join("large");
    std::fs::write(&path, &bytes).unwrap();
    (fixture, path, bytes)
}

/// Scenario: a file of two parts and a byte is written, with its checksum and metadata.
/// Guarantees: it reads as it was written; each part is one request; nothing is left of the upload.
#[tokio::test]
async fn an_object_of_parts_reads_as_it_was_written() {
    let (fixture, path, bytes) = fixture().await;
    let put = PutOptions {
        crc32: Some(crc32fast::hash(&bytes)),
        metadata: vec![("records".to_owned(), "17".to_owned())],
        ..if_absent()
    };
    let outcome = fixture.bucket.put_multipart("large", &path, PART_BYTES_MIN, &put).await;
    assert!(matches!(outcome.unwrap(), PutOutcome::Written { etag: Some(_) }));
    let parts = fixture.reports().into_iter().filter(|it| it.operation == Operation::UploadPart);
    let sent: Vec<_> = parts.map(|it| it.sent_bytes).collect();
    assert_eq!(sent, [PART_BYTES_MIN, PART_BYTES_MIN, 1]);
    let info = fixture.bucket.head("large").await.unwrap().unwrap();
    assert_eq!((info.bytes, info.metadata["records"].as_str()), (LEN as u64, "17"));
    assert!(fixture.read("large").await.unwrap() == bytes);
    assert_eq!(fixture.server.open_uploads(), 0);

    let outcome = fixture.bucket.put_multipart("large", &path, PART_BYTES_MIN, &put).await;
    assert_eq!(outcome.unwrap(), PutOutcome::Refused);
    assert_eq!(fixture.server.open_uploads(), 0, "what was refused is given up");
}

/// Scenario: a file that fits into one part.
/// Guarantees: one request writes it.
#[tokio::test]
async fn a_small_file_is_one_request() {
    let (fixture, path, _) = fixture().await;
    let outcome = fixture.bucket.put_multipart("large", &path, LEN as u64, &if_absent()).await;
    assert!(matches!(outcome.unwrap(), PutOutcome::Written { .. }));
    let operations: Vec<_> = fixture.reports().into_iter().map(|it| it.operation).collect();
    assert_eq!(operations, [Operation::Put]);
}

/// Scenario: each request of an upload fails in turn, with each kind of failure.
/// Guarantees: an error that may be retried, no object, no parts left, and the retry succeeds.
#[tokio::test]
async fn a_failed_upload_leaves_nothing() {
    let (fixture, path, bytes) = fixture().await;
    let put = PutOptions { crc32: Some(crc32fast::hash(&bytes)), ..if_absent() };
    let faults = [
        (RequestKind::CreateUpload, Fault::INTERNAL_ERROR),
        (RequestKind::UploadPart, Fault::SLOW_DOWN),
        (RequestKind::UploadPart, Fault::ResetBody),
        (RequestKind::UploadPart, Fault::AnswerLost),
        (RequestKind::UploadPart, Fault::EXPIRED_TOKEN),
        (RequestKind::CompleteUpload, Fault::Close),
        (RequestKind::CompleteUpload, Fault::CONFLICT),
    ];
    for (kind, fault) in faults {
        fixture.server.faults().next(kind, 1, fault);
        let outcome = fixture.bucket.put_multipart("large", &path, PART_BYTES_MIN, &put).await;
        assert!(outcome.err().unwrap().is_retryable(), "{kind:?} {fault:?}");
        assert_eq!(fixture.server.open_uploads(), 0, "{kind:?} {fault:?}");
        assert_eq!(fixture.server.objects(BUCKET).unwrap().len(), 0, "{kind:?} {fault:?}");
    }
    assert_eq!(fixture.server.faults().injected(), faults.len() as u64);
    let outcome = fixture.bucket.put_multipart("large", &path, PART_BYTES_MIN, &put).await;
    assert!(matches!(outcome.unwrap(), PutOutcome::Written { .. }));
}

/// Scenario: the answer to the last request of an upload is lost.
/// Guarantees: an error; the object is there, and the retry is refused.
#[tokio::test]
async fn a_lost_answer_does_not_write_twice() {
    let (fixture, path, bytes) = fixture().await;
    fixture.server.faults().next(RequestKind::CompleteUpload, 1, Fault::AnswerLost);
    let outcome = fixture.bucket.put_multipart("large", &path, PART_BYTES_MIN, &if_absent()).await;
    assert_eq!(outcome.err().unwrap().kind, S3ErrorKind::Connection);
    let outcome = fixture.bucket.put_multipart("large", &path, PART_BYTES_MIN, &if_absent()).await;
    assert_eq!(outcome.unwrap(), PutOutcome::Refused);
    assert!(fixture.read("large").await.unwrap() == bytes);
}

/// Scenario: the file is not the one whose checksum is told.
/// Guarantees: nothing is written.
#[tokio::test]
async fn a_file_with_another_checksum_is_not_written() {
    let (fixture, path, _) = fixture().await;
    let put = PutOptions { crc32: Some(1), ..if_absent() };
    let outcome = fixture.bucket.put_multipart("large", &path, PART_BYTES_MIN, &put).await;
    assert_eq!(outcome.err().unwrap().kind, S3ErrorKind::Checksum);
    assert_eq!(fixture.server.objects(BUCKET).unwrap().len(), 0);
    assert_eq!(fixture.server.open_uploads(), 0);
}

/// Scenario: parts that S3 does not take.
/// Guarantees: an error before any request.
#[tokio::test]
async fn parts_have_bounds() {
    let (fixture, path, _) = fixture().await;
    let outcome = fixture.bucket.put_multipart("large", &path, 1 << 20, &if_absent()).await;
    let error = outcome.err().unwrap();
    assert_eq!(error.kind, S3ErrorKind::Invalid);
    assert!(error.to_string().contains("in parts of 1048576 bytes"), "{error}");
    assert!(fixture.reports().is_empty());
}

/// Scenario: three uploads were abandoned, one of them a moment ago and one below another prefix.
/// Guarantees: the sweep gives up the old one below its prefix, and only that.
#[tokio::test]
async fn a_sweep_gives_up_what_is_old() {
    let (fixture, path, _) = fixture().await;
    let faults = fixture.server.faults();
    let abandon = async |key: &str| {
        faults.next(RequestKind::UploadPart, 1, Fault::INTERNAL_ERROR);
        faults.next(RequestKind::AbortUpload, 1, Fault::INTERNAL_ERROR);
        let outcome = fixture.bucket.put_multipart(key, &path, PART_BYTES_MIN, &if_absent()).await;
        outcome.err().unwrap();
    };
    abandon("mine/old").await;
    abandon("other/old").await;
    fixture.server.age_uploads(Duration::from_hours(2));
    abandon("mine/new").await;
    assert_eq!(fixture.server.open_uploads(), 3);
    let hour = Duration::from_hours(1);
    assert_eq!(fixture.bucket.sweep_uploads("mine/", hour).await.unwrap(), 1);
    assert_eq!(fixture.server.open_uploads(), 2);
    assert_eq!(fixture.bucket.sweep_uploads("mine/", hour).await.unwrap(), 0);
    assert_eq!(fixture.bucket.sweep_uploads("", Duration::ZERO).await.unwrap(), 2);
}

/// Scenario: 2,500 uploads were abandoned.
/// Guarantees: one sweep gives up all of them, page by page.
#[tokio::test]
async fn a_sweep_reads_every_page() {
    let fixture = Fixture::new().await;
    fixture.server.abandon_uploads(BUCKET, 2500);
    let sweep = fixture.bucket.sweep_uploads("", Duration::ZERO).await.unwrap();
    assert_eq!(sweep, 2500);
    assert_eq!(fixture.server.open_uploads(), 0);
    let told = fixture.reports();
    let lists = told.iter().filter(|it| it.operation == Operation::ListUploads).count();
    assert_eq!(lists, 3);
    assert!(told.iter().all(|it| it.outcome == RequestOutcome::Done));
    fixture.bucket.put("a", body("x"), &if_absent()).await.unwrap();
}

//! Every fault of a server is an error by what the caller can do.

use std::time::Duration;

use gophership_s3::ObjectBody;
use gophership_s3::PutOptions;
use gophership_s3::PutOutcome;
use gophership_s3::RequestOutcome;
use gophership_s3::S3Error;
use gophership_s3::S3ErrorKind;
use gophership_s3_sim::Fault;
use gophership_s3_sim::RequestKind;
use gophership_s3_sim::Which;

use crate::fixture::BUCKET;
use crate::fixture::Fixture;
use crate::fixture::body;
use crate::fixture::if_absent;
use crate::fixture::noise;

/// What answers with a body, and what without, share these.
const EVERYWHERE: [(Fault, S3ErrorKind); 6] = [
    (Fault::INTERNAL_ERROR, S3ErrorKind::Server),
    (Fault::SLOW_DOWN, S3ErrorKind::Throttled),
    (Fault::ACCESS_DENIED, S3ErrorKind::Denied),
    (Fault::CONFLICT, S3ErrorKind::Conflict),
    (Fault::Stall, S3ErrorKind::Timeout),
    (Fault::Close, S3ErrorKind::Connection),
];

const REQUESTS: [RequestKind; 7] = [
    RequestKind::Put,
    RequestKind::Get,
    RequestKind::Head,
    RequestKind::List,
    RequestKind::Delete,
    RequestKind::ListUploads,
    RequestKind::AbortUpload,
];

/// Makes one request of a kind for the object `a`.
async fn make(fixture: &Fixture, kind: RequestKind) -> Result<(), S3Error> {
    let bucket = &fixture.bucket;
    match kind {
        RequestKind::Put => bucket.put("a", body("text"), &PutOptions::default()).await.map(drop),
        RequestKind::Get => match bucket.get("a", None).await? {
            Some(reader) => reader.read_all(1 << 20).await.map(drop),
            None => Ok(()),
        },
        RequestKind::Head => bucket.head("a").await.map(drop),
        RequestKind::List => bucket.list("", None, 10).await.map(drop),
        RequestKind::Delete => bucket.delete("b", None).await.map(drop),
        RequestKind::ListUploads | RequestKind::AbortUpload => {
            fixture.server.abandon_uploads(BUCKET, 1);
            bucket.sweep_uploads("", Duration::ZERO).await.map(drop)
        }
        _ => panic!("{kind:?} is part of an upload in parts"),
    }
}

/// Scenario: each kind of request meets each fault that any request can meet.
/// Guarantees: the error is of the right kind and retryable; the observer is told; the next attempt works.
#[tokio::test]
async fn a_fault_is_an_error_by_what_the_caller_can_do() {
    let fixture = Fixture::new().await;
    make(&fixture, RequestKind::Put).await.unwrap();
    fixture.reports();
    for kind in REQUESTS {
        for (fault, expected) in EVERYWHERE {
            fixture.server.faults().next(kind, 1, fault);
            let error = make(&fixture, kind).await.err();
            let error = error.unwrap_or_else(|| panic!("{kind:?} {fault:?} is an error"));
            assert_eq!(error.kind, expected, "{kind:?} {fault:?}: {error}");
            assert!(error.is_retryable());
            assert!(error.to_string().starts_with("cannot "), "{error}");
            let told = fixture.reports().pop().unwrap();
            assert_eq!(told.outcome, RequestOutcome::Failed(expected), "{kind:?} {fault:?}");
            make(&fixture, kind).await.unwrap();
            fixture.reports();
        }
    }
    let count = REQUESTS.len() * EVERYWHERE.len();
    assert_eq!(fixture.server.faults().injected(), count as u64);
}

/// Scenario: credentials have expired.
/// Guarantees: an error of credentials, which is retryable and says what to look at; also for HEAD, whose
/// answer cannot say it.
#[tokio::test]
async fn expired_credentials_are_retryable_and_named() {
    let fixture = Fixture::new().await;
    let expired = Fault::Answer { status: 400, code: "ExpiredToken" };
    fixture.server.faults().next(RequestKind::Put, 1, Fault::EXPIRED_TOKEN);
    fixture.server.faults().next(RequestKind::Head, 1, expired);
    for kind in [RequestKind::Put, RequestKind::Head] {
        let error = make(&fixture, kind).await.err().unwrap();
        assert_eq!(error.kind, S3ErrorKind::Credentials, "{error}");
        assert!(error.is_retryable() && error.kind.needs_operator());
        assert!(error.to_string().contains("check the access key"), "{error}");
    }
    let error = {
        fixture.server.faults().next(RequestKind::Put, 1, Fault::EXPIRED_TOKEN);
        make(&fixture, RequestKind::Put).await.err().unwrap()
    };
    assert_eq!((error.status, error.request_id.as_deref()), (Some(403), Some("TESTREQUEST")));
}

/// Scenario: the connection is reset in the middle of an upload.
/// Guarantees: an error of the connection, and nothing is stored.
#[tokio::test]
async fn half_an_upload_stores_nothing() {
    let fixture = Fixture::new().await;
    fixture.server.faults().next(RequestKind::Put, 1, Fault::ResetBody);
    let large = ObjectBody::Bytes(noise(4 << 20).into());
    let error = fixture.bucket.put("a", large, &if_absent()).await.err().unwrap();
    assert_eq!(error.kind, S3ErrorKind::Connection, "{error}");
    assert_eq!(fixture.server.objects(BUCKET).unwrap().len(), 0);
}

/// Scenario: the object is stored, and the answer is lost.
/// Guarantees: an error of the connection; the retry is refused, because the object is there.
#[tokio::test]
async fn a_lost_answer_is_an_error_and_the_retry_is_refused() {
    let fixture = Fixture::new().await;
    fixture.server.faults().next(RequestKind::Put, 1, Fault::AnswerLost);
    let error = fixture.bucket.put("a", body("text"), &if_absent()).await.err().unwrap();
    assert_eq!(error.kind, S3ErrorKind::Connection, "{error}");
    let outcome = fixture.bucket.put("a", body("text"), &if_absent()).await.unwrap();
    assert_eq!(outcome, PutOutcome::Refused);
    assert_eq!(fixture.read("a").await.unwrap(), b"text");
}

/// Scenario: the server says that it stored an object, and did not; or lost half of it.
/// Guarantees: HEAD shows both.
#[tokio::test]
async fn a_look_shows_what_was_not_stored() {
    let fixture = Fixture::new().await;
    fixture.server.faults().next(RequestKind::Put, 1, Fault::NotStored);
    let outcome = fixture.bucket.put("a", body("text"), &if_absent()).await.unwrap();
    assert!(matches!(outcome, PutOutcome::Written { .. }));
    assert_eq!(fixture.bucket.head("a").await.unwrap(), None);

    fixture.server.faults().next(RequestKind::Put, 1, Fault::Shortened);
    fixture.bucket.put("b", body("text"), &if_absent()).await.unwrap();
    assert_eq!(fixture.bucket.head("b").await.unwrap().unwrap().bytes, 2);
}

/// Scenario: what is sent is not what its checksum says, from memory and from a file.
/// Guarantees: the bucket refuses it and stores nothing.
#[tokio::test]
async fn a_wrong_checksum_is_refused() {
    let fixture = Fixture::new().await;
    let path = fixture.folder.path().join("file");
    std::fs::write(&path, "text").unwrap();
    let put = PutOptions { crc32: Some(7), ..if_absent() };
    for body in [body("text"), ObjectBody::File { path, bytes: 4 }] {
        let error = fixture.bucket.put("a", body, &put).await.err().unwrap();
        assert_eq!(error.kind, S3ErrorKind::Checksum, "{error}");
        assert_eq!(fixture.server.objects(BUCKET).unwrap().len(), 0);
    }
}

/// Scenario: the file is gone, or shorter than it was.
/// Guarantees: an error of the file, and nothing is stored.
#[tokio::test]
async fn a_file_that_cannot_be_read_is_an_error_of_its_own() {
    let fixture = Fixture::new().await;
    let path = fixture.folder.path().join("file");
    for text in [None, Some("text")] {
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let body = ObjectBody::File { path: path.clone(), bytes: 9 };
        let error = fixture.bucket.put("a", body, &if_absent()).await.err().unwrap();
        assert_eq!(error.kind, S3ErrorKind::LocalFile, "{error}");
        assert_eq!(fixture.server.objects(BUCKET).unwrap().len(), 0);
    }
}

/// Scenario: the bytes of a stored object change.
/// Guarantees: reading it is an error of the checksum.
#[tokio::test]
async fn changed_bytes_are_found_while_reading() {
    let fixture = Fixture::new().await;
    fixture.server.faults().next(RequestKind::Put, 1, Fault::Corrupt);
    let large = ObjectBody::Bytes(noise(100_000).into());
    fixture.bucket.put("a", large, &if_absent()).await.unwrap();
    let error = make(&fixture, RequestKind::Get).await.err().unwrap();
    assert_eq!(error.kind, S3ErrorKind::Checksum, "{error}");
}

/// Scenario: the body of an answer ends, is reset, or stops in the middle.
/// Guarantees: an error that is retryable, never a short object.
#[tokio::test]
async fn half_an_answer_is_an_error() {
    let fixture = Fixture::new().await;
    fixture.bucket.put("a", ObjectBody::Bytes(noise(200_000).into()), &if_absent()).await.unwrap();
    for (fault, expected) in [
        (Fault::TruncatedBody, S3ErrorKind::Connection),
        (Fault::ResetBody, S3ErrorKind::Connection),
        (Fault::StallBody, S3ErrorKind::Timeout),
    ] {
        fixture.reports();
        fixture.server.faults().next(RequestKind::Get, 1, fault);
        let error = make(&fixture, RequestKind::Get).await.err().unwrap();
        assert_eq!(error.kind, expected, "{fault:?}: {error}");
        let told = fixture.reports().pop().unwrap();
        assert_eq!(told.outcome, RequestOutcome::Failed(expected));
        assert!(told.received_bytes <= 100_000);
    }
}

/// Scenario: faults are for some keys, for some requests, and for a time.
/// Guarantees: exactly those fail.
#[tokio::test]
async fn faults_meet_what_they_are_for() {
    let fixture = Fixture::new().await;
    let faults = fixture.server.faults();
    faults.always(Which::from(RequestKind::Put).with("manifest/"), Fault::SLOW_DOWN);
    faults.next(RequestKind::Put, 2, Fault::INTERNAL_ERROR);
    let put = async |key: &str| {
        let outcome = fixture.bucket.put(key, body("x"), &PutOptions::default()).await;
        outcome.err().map(|error| error.kind)
    };
    assert_eq!(put("seg/1").await, Some(S3ErrorKind::Server));
    assert_eq!(put("manifest/1").await, Some(S3ErrorKind::Throttled));
    assert_eq!(put("seg/1").await, Some(S3ErrorKind::Server));
    assert_eq!(put("seg/1").await, None);
    assert_eq!(put("manifest/1").await, Some(S3ErrorKind::Throttled));
    faults.clear();
    assert_eq!(put("manifest/1").await, None);
    assert_eq!((faults.seen(RequestKind::Put), faults.injected()), (6, 4));
}

/// Scenario: nothing listens.
/// Guarantees: an error of the connection, at once.
#[tokio::test]
async fn a_server_that_is_away_is_an_error_of_the_connection() {
    let fixture = Fixture::new().await;
    let Fixture { server, bucket, folder, .. } = fixture;
    let (address, root) = (server.address(), folder.path().join("server"));
    drop(server);
    let error = bucket.head("a").await.err().unwrap();
    assert_eq!(error.kind, S3ErrorKind::Connection, "{error}");
    let _server = gophership_s3_sim::S3Server::start_at(&root, address).unwrap();
    assert_eq!(bucket.head("a").await.unwrap(), None);
}

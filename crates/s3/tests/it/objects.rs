//! Objects are written, read, listed and deleted, and conditions hold.

use std::time::Duration;
use std::time::SystemTime;

use gophership_s3::BucketClient;
use gophership_s3::BucketOptions;
use gophership_s3::Listing;
use gophership_s3::ObjectBody;
use gophership_s3::Operation;
use gophership_s3::PutCondition;
use gophership_s3::PutOptions;
use gophership_s3::PutOutcome;
use gophership_s3::RequestOutcome;
use gophership_s3::S3ErrorKind;

use crate::fixture::BUCKET;
use crate::fixture::Fixture;
use crate::fixture::body;
use crate::fixture::if_absent;
use crate::fixture::noise;
use crate::fixture::options;

/// Scenario: an object is written from memory and from a file, with metadata and a checksum.
/// Guarantees: it reads as it was written, and the bucket tells length, time, metadata and checksum.
#[tokio::test]
async fn an_object_reads_as_it_was_written() {
    let fixture = Fixture::new().await;
    let bytes = noise(300_000);
    let path = fixture.folder.path().join("file");
    std::fs::write(&path, &bytes).unwrap();
    let put = PutOptions {
        crc32: Some(crc32fast::hash(&bytes)),
        metadata: vec![("records".to_owned(), "17".to_owned())],
        content_type: Some("application/zstd"),
        content_encoding: Some("zstd"),
        ..PutOptions::default()
    };
    for (key, body) in [
        ("v1/date=2026-11-29/memory", ObjectBody::Bytes(bytes.clone().into())),
        ("v1/file", ObjectBody::File { path, bytes: bytes.len() as u64 }),
    ] {
        let outcome = fixture.bucket.put(key, body, &put).await.unwrap();
        assert!(matches!(outcome, PutOutcome::Written { etag: Some(_) }));
        let info = fixture.bucket.head(key).await.unwrap().unwrap();
        assert_eq!(info.bytes, 300_000);
        assert_eq!(info.crc32, put.crc32);
        assert_eq!(info.metadata["records"], "17");
        assert_eq!(info.content_encoding.as_deref(), Some("zstd"));
        let age = SystemTime::now().duration_since(info.last_modified.unwrap());
        assert!(age.unwrap_or_default() < Duration::from_mins(1));
        let reader = fixture.bucket.get(key, None).await.unwrap().unwrap();
        assert_eq!(reader.info().etag, info.etag);
        assert_eq!(reader.read_all(300_000).await.unwrap(), bytes);
    }
    let reader = fixture.bucket.get("v1/file", Some(100_000..100_010)).await.unwrap().unwrap();
    assert_eq!(reader.info().bytes, 10);
    assert_eq!(reader.read_all(10).await.unwrap(), bytes[100_000..100_010]);
}

/// Scenario: a key is written twice with each condition.
/// Guarantees: only a write whose condition holds has an effect, and a refusal is not an error.
#[tokio::test]
async fn a_condition_decides_on_a_write() {
    let fixture = Fixture::new().await;
    let bucket = &fixture.bucket;
    let PutOutcome::Written { etag: Some(etag) } =
        bucket.put("claim", body("first"), &if_absent()).await.unwrap()
    else {
        panic!("there is nothing yet")
    };
    let refused = bucket.put("claim", body("second"), &if_absent()).await.unwrap();
    assert_eq!(refused, PutOutcome::Refused);
    assert_eq!(fixture.read("claim").await.unwrap(), b"first");

    let matching = |etag: &str| PutOptions {
        condition: PutCondition::IfMatch(etag.to_owned()),
        ..PutOptions::default()
    };
    let written = bucket.put("claim", body("third"), &matching(&etag)).await.unwrap();
    assert!(matches!(written, PutOutcome::Written { .. }));
    let refused = bucket.put("claim", body("fourth"), &matching(&etag)).await.unwrap();
    assert_eq!(refused, PutOutcome::Refused, "the etag is that of the first");
    assert_eq!(fixture.read("claim").await.unwrap(), b"third");
    let refused = bucket.put("nothing", body("fifth"), &matching(&etag)).await.unwrap();
    assert_eq!(refused, PutOutcome::Refused, "there is nothing to match");

    assert!(!bucket.delete("claim", Some(&etag)).await.unwrap());
    let etag = bucket.head("claim").await.unwrap().unwrap().etag.unwrap();
    assert!(bucket.delete("claim", Some(&etag)).await.unwrap());
    assert!(bucket.delete("claim", None).await.unwrap(), "nothing is left, as asked");
    assert_eq!(fixture.server.objects(BUCKET).unwrap().len(), 0);
}

/// Scenario: eight writers write the same key at the same moment, 20 times.
/// Guarantees: exactly one of them has written it.
#[tokio::test]
async fn one_of_many_writers_wins() {
    let fixture = Fixture::new().await;
    for round in 0..20 {
        let key = format!("claims/{round}");
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (bucket, key) = (fixture.bucket.clone(), key.clone());
            writers.spawn(async move { bucket.put(&key, body("mine"), &if_absent()).await });
        }
        let outcomes = writers.join_all().await;
        let is_written = |outcome: &PutOutcome| matches!(outcome, PutOutcome::Written { .. });
        let winners = outcomes.into_iter().filter(|it| is_written(it.as_ref().unwrap())).count();
        assert_eq!(winners, 1);
    }
}

/// Scenario: 25 objects are listed in pages of 10.
/// Guarantees: each is listed once, by key, and other prefixes are not.
#[tokio::test]
async fn a_listing_goes_on_behind_its_last_key() {
    let fixture = Fixture::new().await;
    fixture.bucket.put("other/0", body("x"), &PutOptions::default()).await.unwrap();
    for idx in 0..25 {
        let key = format!("seg/{idx:03}");
        fixture.bucket.put(&key, body("text"), &PutOptions::default()).await.unwrap();
    }
    let (mut keys, mut pages) = (Vec::new(), 0);
    loop {
        let behind: Option<String> = keys.last().cloned();
        let page = fixture.bucket.list("seg/", behind.as_deref(), 10).await.unwrap();
        assert!(page.objects.iter().all(|it| it.bytes == 4 && it.last_modified.is_some()));
        keys.extend(page.objects.into_iter().map(|it| it.key));
        pages += 1;
        if !page.is_truncated {
            break;
        }
    }
    assert_eq!(keys, (0..25).map(|idx| format!("seg/{idx:03}")).collect::<Vec<_>>());
    assert_eq!(pages, 3);
    assert_eq!(fixture.bucket.list("none/", None, 10).await.unwrap(), Listing::default());
}

/// Scenario: what is not there is asked for.
/// Guarantees: a missing object is no error, and a missing bucket is one that says so.
#[tokio::test]
async fn a_missing_object_is_not_a_missing_bucket() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.bucket.head("none").await.unwrap(), None);
    assert!(fixture.bucket.get("none", None).await.unwrap().is_none());

    let mut options = options(&fixture.server);
    options.name = "gone".to_owned();
    let bucket = BucketClient::connect(&options).await.unwrap();
    let errors = [
        bucket.put("a", body("x"), &PutOptions::default()).await.err().unwrap(),
        bucket.get("a", None).await.err().unwrap(),
        bucket.list("", None, 1).await.err().unwrap(),
        bucket.sweep_uploads("", Duration::ZERO).await.err().unwrap(),
    ];
    for error in errors {
        assert_eq!(error.kind, S3ErrorKind::NoSuchBucket);
        assert!(error.to_string().contains("create the bucket"), "{error}");
    }
}

/// Scenario: every kind of request is made once.
/// Guarantees: the observer is told each once, with its bytes both ways and its outcome.
#[tokio::test]
async fn the_observer_is_told_each_request() {
    let fixture = Fixture::new().await;
    let bucket = &fixture.bucket;
    bucket.put("a", body("12345"), &if_absent()).await.unwrap();
    bucket.put("a", body("12345"), &if_absent()).await.unwrap();
    bucket.head("none").await.unwrap();
    fixture.read("a").await.unwrap();
    drop(bucket.get("a", None).await.unwrap());
    bucket.list("", None, 9).await.unwrap();
    bucket.delete("a", None).await.unwrap();
    let told: Vec<_> = fixture
        .reports()
        .into_iter()
        .map(|it| (it.operation, it.outcome, it.sent_bytes, it.received_bytes))
        .collect();
    assert_eq!(
        told,
        [
            (Operation::Put, RequestOutcome::Done, 5, 0),
            (Operation::Put, RequestOutcome::Refused, 5, 0),
            (Operation::Head, RequestOutcome::Missing, 0, 0),
            (Operation::Get, RequestOutcome::Done, 0, 5),
            (Operation::Get, RequestOutcome::Cancelled, 0, 0),
            (Operation::List, RequestOutcome::Done, 0, 0),
            (Operation::Delete, RequestOutcome::Done, 0, 0),
        ]
    );
}

/// Scenario: options, or a request, that can never work.
/// Guarantees: an error that is not retried, and says what to change.
#[tokio::test]
async fn what_can_never_work_is_not_retried() {
    let fixture = Fixture::new().await;
    let mut wrong = options(&fixture.server);
    wrong.ca_file = Some(fixture.folder.path().join("ca.pem"));
    for pem in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(fixture.folder.path().join("ca.pem"), pem).unwrap();
        let error = BucketClient::connect(&wrong).await.err().unwrap();
        assert_eq!(error.kind, S3ErrorKind::Invalid);
        assert!(error.to_string().contains("cannot use the certificates of"), "{error}");
    }
    let error = BucketClient::connect(&BucketOptions::new("")).await.err().unwrap();
    assert!(error.to_string().starts_with("option `name` must be"), "{error}");

    fixture.bucket.put("a", body("12345"), &PutOptions::default()).await.unwrap();
    let error = fixture.bucket.get("a", Some(9..10)).await.err().unwrap();
    assert_eq!(error.kind, S3ErrorKind::Invalid, "{error}");
    assert!(!error.is_retryable());
    let reader = fixture.bucket.get("a", None).await.unwrap().unwrap();
    assert_eq!(reader.read_all(4).await.err().unwrap().kind, S3ErrorKind::Invalid);
}

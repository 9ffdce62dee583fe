//! The client against a server of others, which `AWS_*` variables and `GS_TEST_BUCKET` name; `tests/interop`
//! runs it against `SeaweedFS`. `cargo test` leaves it out; run without the variables it fails.
#![expect(clippy::unwrap_used, reason = "a test stops where it finds something")]

use std::time::Duration;

use bytes::Bytes;
use gophership_s3::BucketClient;
use gophership_s3::BucketOptions;
use gophership_s3::ObjectBody;
use gophership_s3::PART_BYTES_MIN;
use gophership_s3::PutCondition;
use gophership_s3::PutOptions;
use gophership_s3::PutOutcome;
use gophership_s3::S3ErrorKind;

/// The bucket to test.
async fn bucket() -> BucketClient {
    let name = std::env::var("GS_TEST_BUCKET").expect("GS_TEST_BUCKET names a bucket");
    let mut options = BucketOptions::new(name);
    options.path_style = true;
    BucketClient::connect(&options).await.unwrap()
}

fn if_absent() -> PutOptions {
    PutOptions { condition: PutCondition::IfAbsent, ..PutOptions::default() }
}

/// Bytes of which others can compute the same.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|idx| (idx % 251).to_le_bytes()[0]).collect()
}

async fn read(bucket: &BucketClient, key: &str) -> Vec<u8> {
    let reader = bucket.get(key, None).await.unwrap().unwrap();
    reader.read_all(1 << 30).await.unwrap()
}

/// Scenario: a key is written twice on condition, then with a right and a wrong etag.
/// Guarantees: only writes whose condition holds have an effect.
#[tokio::test]
async fn conditions_hold() {
    let bucket = bucket().await;
    let body = |text: &'static str| ObjectBody::Bytes(Bytes::from_static(text.as_bytes()));
    let first = bucket.put("ours/claim", body("first"), &if_absent()).await.unwrap();
    let PutOutcome::Written { etag: Some(etag) } = first else { panic!("{first:?}") };
    let second = bucket.put("ours/claim", body("second"), &if_absent()).await.unwrap();
    assert_eq!(second, PutOutcome::Refused);
    let matching = PutOptions { condition: PutCondition::IfMatch(etag), ..PutOptions::default() };
    let third = bucket.put("ours/claim", body("third"), &matching).await.unwrap();
    assert!(matches!(third, PutOutcome::Written { .. }));
    let fourth = bucket.put("ours/claim", body("fourth"), &matching).await.unwrap();
    assert_eq!(fourth, PutOutcome::Refused);
    assert_eq!(read(&bucket, "ours/claim").await, b"third");
}

/// Scenario: an object with metadata, its checksum and a range of it.
/// Guarantees: all of it comes back; the object stays, for others to read.
#[tokio::test]
async fn an_object_reads_as_it_was_written() {
    let bucket = bucket().await;
    let bytes = pattern(300_000);
    let put = PutOptions {
        crc32: Some(crc32fast::hash(&bytes)),
        metadata: vec![("records".to_owned(), "17".to_owned())],
        content_type: Some("application/zstd"),
        ..if_absent()
    };
    let body = ObjectBody::Bytes(bytes.clone().into());
    let outcome = bucket.put("ours/date=2026-11-29/object", body, &put).await.unwrap();
    assert!(matches!(outcome, PutOutcome::Written { .. }));
    let info = bucket.head("ours/date=2026-11-29/object").await.unwrap().unwrap();
    assert_eq!((info.bytes, info.metadata["records"].as_str()), (300_000, "17"));
    assert_eq!(info.crc32, put.crc32);
    assert!(read(&bucket, "ours/date=2026-11-29/object").await == bytes);
    let range = bucket.get("ours/date=2026-11-29/object", Some(1000..1010)).await.unwrap();
    assert_eq!(range.unwrap().read_all(10).await.unwrap(), bytes[1000..1010]);
}

/// Scenario: a file of two parts and a byte, twice.
/// Guarantees: it is written once and reads as it was; no upload is left.
#[tokio::test]
async fn parts_make_an_object() {
    let bucket = bucket().await;
    let bytes = pattern((10 << 20) + 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large");
    std::fs::write(&path, &bytes).unwrap();
    let put = PutOptions { crc32: Some(crc32fast::hash(&bytes)), ..if_absent() };
    let outcome = bucket.put_multipart("parts/large", &path, PART_BYTES_MIN, &put).await;
    assert!(matches!(outcome.unwrap(), PutOutcome::Written { .. }));
    assert!(read(&bucket, "parts/large").await == bytes);
    let outcome = bucket.put_multipart("parts/large", &path, PART_BYTES_MIN, &put).await;
    assert_eq!(outcome.unwrap(), PutOutcome::Refused);
    assert_eq!(bucket.sweep_uploads("parts/", Duration::ZERO).await.unwrap(), 0);
}

/// Scenario: bytes with the checksum of others.
/// Guarantees: the bucket refuses them, and nothing is stored.
#[tokio::test]
async fn a_wrong_checksum_is_refused() {
    let bucket = bucket().await;
    let put = PutOptions { crc32: Some(7), ..if_absent() };
    let body = ObjectBody::Bytes(Bytes::from_static(b"text"));
    let error = bucket.put("ours/wrong", body, &put).await.err().unwrap();
    assert_eq!(error.kind, S3ErrorKind::Checksum, "{error}");
    assert_eq!(bucket.head("ours/wrong").await.unwrap(), None);
}

/// Scenario: seven objects are listed in pages of three, and deleted.
/// Guarantees: each is listed once, by key; none is left.
#[tokio::test]
async fn a_listing_goes_on_behind_its_last_key() {
    let bucket = bucket().await;
    for idx in 0..7 {
        let body = ObjectBody::Bytes(Bytes::from_static(b"text"));
        bucket.put(&format!("list/{idx}"), body, &if_absent()).await.unwrap();
    }
    let (mut keys, mut pages) = (Vec::new(), 0);
    loop {
        let behind: Option<String> = keys.last().cloned();
        let page = bucket.list("list/", behind.as_deref(), 3).await.unwrap();
        keys.extend(page.objects.into_iter().map(|it| it.key));
        pages += 1;
        if !page.is_truncated {
            break;
        }
    }
    assert_eq!(keys, (0..7).map(|idx| format!("list/{idx}")).collect::<Vec<_>>());
    assert_eq!(pages, 3);
    for key in &keys {
        assert!(bucket.delete(key, None).await.unwrap());
    }
    assert!(bucket.list("list/", None, 3).await.unwrap().objects.is_empty());
}

/// Scenario: what others wrote, and a bucket that is not there.
/// Guarantees: the one is read, the other is an error that says so.
#[tokio::test]
async fn what_others_wrote_is_read() {
    let ours = bucket().await;
    assert!(read(&ours, "theirs/object").await == pattern(200_000));
    let info = ours.head("theirs/object").await.unwrap().unwrap();
    assert_eq!(info.metadata["writer"], "boto3");
    let mut options = BucketOptions::new("no-such-bucket");
    options.path_style = true;
    let missing = BucketClient::connect(&options).await.unwrap();
    let error = missing.list("", None, 1).await.err().unwrap();
    assert_eq!(error.kind, S3ErrorKind::NoSuchBucket, "{error}");
}

//! Options become the headers of S3, whatever a server makes of them.

use gophership_s3::BucketClient;
use gophership_s3::BucketOptions;
use gophership_s3::Encryption;
use gophership_s3::ObjectBody;
use gophership_s3::PutOptions;
use gophership_s3::RequestChecksums;
use gophership_units::Secret;

use crate::credentials::Giver;
use crate::fixture::body;
use crate::fixture::if_absent;

const MIB: u64 = 1 << 20;
const KEY_ID: &str = "arn:aws:kms:eu-west-1:1:key/a";

/// Says yes to everything.
fn server() -> Giver {
    Giver::start(|request| {
        let line = request.lines().next().unwrap_or_default();
        let answer = if line.starts_with("POST") && line.contains("uploads") {
            "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
        } else if line.starts_with("POST") {
            "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>"
        } else {
            ""
        };
        answer.to_owned()
    })
}

async fn bucket(server: &Giver, change: impl FnOnce(&mut BucketOptions)) -> BucketClient {
    let mut options = BucketOptions::new("archive");
    options.endpoint = Some(server.address.clone());
    options.path_style = true;
    options.credentials.access_key_id = Some(Secret("id".to_owned()));
    options.credentials.secret_access_key = Some(Secret("secret".to_owned()));
    options.credentials.session_token = Some(Secret("a-token".to_owned()));
    change(&mut options);
    BucketClient::connect(&options).await.unwrap()
}

/// The value of a header.
fn header<'r>(request: &'r str, name: &str) -> Option<&'r str> {
    let head = request.split("\r\n\r\n").next().unwrap_or_default();
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut found = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value.trim())
}

/// Scenario: an object and one in parts are written with a storage class, a KMS key, tags, metadata, a condition
/// and temporary credentials.
/// Guarantees: the headers say so, where S3 wants them: at the one request, or when the upload begins, and the
/// condition when it ends.
#[tokio::test]
async fn options_are_headers_of_objects_and_of_uploads_in_parts() {
    let server = server();
    let bucket = bucket(&server, |it| {
        it.storage_class = Some("STANDARD_IA".to_owned());
        it.encryption = Encryption::SseKms;
        it.kms_key_id = Some(KEY_ID.to_owned());
        it.tags = [("team", "telemetry"), ("a b", "c&d")].map(|(k, v)| (k.into(), v.into())).into();
    })
    .await;
    let put = PutOptions { metadata: vec![("records".to_owned(), "7".to_owned())], ..if_absent() };
    bucket.put("one", body("text"), &put).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, vec![b'a'; 6 << 20]).unwrap();
    bucket.put_multipart("parts", &path, 5 * MIB, &put).await.unwrap();

    let asked = server.requests();
    assert_eq!(asked.len(), 5, "one, begin, two parts, end");
    for request in [&asked[0], &asked[1]] {
        for (name, value) in [
            ("x-amz-storage-class", "STANDARD_IA"),
            ("x-amz-server-side-encryption", "aws:kms"),
            ("x-amz-server-side-encryption-aws-kms-key-id", KEY_ID),
            ("x-amz-tagging", "a%20b=c%26d&team=telemetry"),
            ("x-amz-meta-records", "7"),
            ("x-amz-security-token", "a-token"),
        ] {
            assert_eq!(header(request, name), Some(value), "{name}");
        }
    }
    assert_eq!(header(&asked[0], "if-none-match"), Some("*"));
    assert_eq!(header(&asked[4], "if-none-match"), Some("*"), "when all parts are there");
    for (part, bytes) in [(&asked[2], 5 * MIB), (&asked[3], MIB)] {
        assert_eq!(header(part, "content-length"), Some(bytes.to_string().as_str()));
        assert_eq!(header(part, "transfer-encoding"), None);
    }
}

/// Scenario: objects are encrypted with keys of S3.
/// Guarantees: the header says AES256, and names no key.
#[tokio::test]
async fn objects_are_encrypted_with_keys_of_s3() {
    let server = server();
    let bucket = bucket(&server, |it| it.encryption = Encryption::SseS3).await;
    bucket.put("one", body("text"), &if_absent()).await.unwrap();
    let asked = server.requests();
    assert_eq!(header(&asked[0], "x-amz-server-side-encryption"), Some("AES256"));
    assert_eq!(header(&asked[0], "x-amz-server-side-encryption-aws-kms-key-id"), None);
}

/// Scenario: uploads carry checksums, and then they do not.
/// Guarantees: with `when_supported` every body has its CRC-32 in a header; with `when_required` no request has a
/// header or a trailer with a checksum, which some servers refuse.
#[tokio::test]
async fn checksums_are_sent_only_if_they_are_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, vec![b'a'; 6 << 20]).unwrap();
    for (option, is_checked) in
        [(RequestChecksums::WhenSupported, true), (RequestChecksums::WhenRequired, false)]
    {
        let server = server();
        let bucket = bucket(&server, |it| it.request_checksums = option).await;
        let put = PutOptions { crc32: Some(crc32fast::hash(&[b'a'; 1000])), ..if_absent() };
        bucket.put("memory", body("text"), &if_absent()).await.unwrap();
        let file = ObjectBody::File { path: path.clone(), bytes: 1000 };
        bucket.put("file", file, &put).await.unwrap();
        bucket.put_multipart("parts", &path, 5 * MIB, &if_absent()).await.unwrap();
        let asked = server.requests();
        for idx in [0, 1, 3, 4] {
            assert_eq!(header(&asked[idx], "x-amz-checksum-crc32").is_some(), is_checked, "{idx}");
        }
        for request in &asked {
            for name in ["x-amz-trailer", "x-amz-sdk-checksum-algorithm", "content-md5"] {
                let is_there = header(request, name).is_some();
                assert!(
                    !is_there || is_checked && name == "x-amz-sdk-checksum-algorithm",
                    "{name}"
                );
            }
            let algorithm = header(request, "x-amz-checksum-algorithm");
            assert!(is_checked || algorithm.is_none(), "{algorithm:?}");
        }
    }
}

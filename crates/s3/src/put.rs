//! Writes an object in one request.

use std::path::PathBuf;

use aws_sdk_s3::types::ServerSideEncryption;
use aws_sdk_s3::types::StorageClass;
use bytes::Bytes;

use crate::answer::ConditionalResult;
use crate::bucket::BucketClient;
use crate::bucket::crc32_text;
use crate::error::S3Error;
use crate::error::S3ErrorKind;
use crate::observe::Operation;
use crate::options::BucketOptions;
use crate::options::Encryption;
use crate::options::RequestChecksums;
use crate::paced::HeldTime;
use crate::paced::PacedBody;

/// What an object is made of.
#[derive(Clone, Debug)]
pub enum ObjectBody {
    /// Bytes in memory.
    Bytes(Bytes),
    /// The first bytes of a file, which is read while it is sent.
    File {
        /// The file.
        path: PathBuf,
        /// How many bytes.
        bytes: u64,
    },
}

impl ObjectBody {
    /// Returns its length.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { bytes, .. } => *bytes,
        }
    }
}

/// How an object is written.
#[derive(Clone, Debug, Default)]
pub struct PutOptions {
    /// When to write at all.
    pub condition: PutCondition,
    /// The CRC-32 of the whole object, which the bucket checks. Without it, bytes in memory get one, and a
    /// file is sent without.
    pub crc32: Option<u32>,
    /// What readers shall be told: names in lower case and values, together at most 2 KB.
    pub metadata: Vec<(String, String)>,
    /// The media type.
    pub content_type: Option<&'static str>,
    /// How the object is compressed.
    pub content_encoding: Option<&'static str>,
}

/// When an object is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PutCondition {
    /// Always.
    #[default]
    Always,
    /// If there is no object of this key.
    IfAbsent,
    /// If the object of this key has this etag.
    IfMatch(String),
}

impl PutCondition {
    /// The two headers.
    pub(crate) fn headers(&self) -> (Option<String>, Option<String>) {
        match self {
            Self::Always => (None, None),
            Self::IfAbsent => (None, Some("*".to_owned())),
            Self::IfMatch(etag) => (Some(etag.clone()), None),
        }
    }
}

/// What a write came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object is there.
    Written {
        /// Its etag.
        etag: Option<String>,
    },
    /// The condition does not hold.
    Refused,
}

impl BucketClient {
    /// Writes an object. A future that is dropped half-way may have written it.
    ///
    /// # Errors
    ///
    /// Every [`S3ErrorKind`]. After `Timeout`, `Connection` and `Server` the object may have been written.
    pub async fn put(
        &self,
        key: &str,
        body: ObjectBody,
        put: &PutOptions,
    ) -> Result<PutOutcome, S3Error> {
        let options = &self.shared.options;
        let bytes = body.bytes();
        let crc32 = match (&body, put.crc32) {
            (_, Some(crc32)) => Some(crc32),
            (ObjectBody::Bytes(bytes), None) => Some(crc32fast::hash(bytes)),
            (ObjectBody::File { .. }, None) => None,
        };
        let is_checked = options.request_checksums == RequestChecksums::WhenSupported;
        let (if_match, if_none_match) = put.condition.headers();
        let held = HeldTime::default();
        let body = match body {
            // What is small goes with a signature of its bytes, and at once.
            ObjectBody::Bytes(bytes) => bytes.into(),
            ObjectBody::File { path, bytes } => {
                let pacer = self.pacer.clone();
                PacedBody::of_file(&path, bytes, pacer, held.clone()).await?.into_stream()
            }
        };
        let mut request = self
            .shared
            .client
            .put_object()
            .bucket(self.name())
            .key(key)
            .body(body)
            .content_length(i64::try_from(bytes).unwrap_or(i64::MAX))
            .set_if_match(if_match)
            .set_if_none_match(if_none_match)
            .set_checksum_crc32(crc32.filter(|_| is_checked).map(crc32_text))
            .set_content_type(put.content_type.map(str::to_owned))
            .set_content_encoding(put.content_encoding.map(str::to_owned))
            .set_storage_class(options.storage_class.as_deref().map(StorageClass::from))
            .set_server_side_encryption(encryption(options))
            .set_ssekms_key_id(options.kms_key_id.clone())
            .set_tagging(tagging(options));
        for (name, value) in &put.metadata {
            request = request.metadata(name, value);
        }
        let sending = Box::pin(request.send());
        match self.upload(Operation::Put, key, bytes, sending, &held).await? {
            ConditionalResult::Done(output) => Ok(PutOutcome::Written { etag: output.e_tag }),
            ConditionalResult::Refused => Ok(PutOutcome::Refused),
            // With an etag there must be an object.
            ConditionalResult::Missing if matches!(put.condition, PutCondition::IfMatch(_)) => {
                Ok(PutOutcome::Refused)
            }
            ConditionalResult::Missing => {
                let message = format!("cannot put s3://{}/{key}: 404", self.name());
                Err(S3Error::new(S3ErrorKind::NoSuchBucket, message))
            }
        }
    }
}

/// How the SDK says what an object is encrypted with.
pub(crate) fn encryption(options: &BucketOptions) -> Option<ServerSideEncryption> {
    match options.encryption {
        Encryption::None => None,
        Encryption::SseS3 => Some(ServerSideEncryption::Aes256),
        Encryption::SseKms => Some(ServerSideEncryption::AwsKms),
    }
}

/// The tags, as the query of a URL.
pub(crate) fn tagging(options: &BucketOptions) -> Option<String> {
    let tags =
        options.tags.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    let tags = tags.collect::<Vec<_>>().join("&");
    (!tags.is_empty()).then_some(tags)
}

fn encoded(text: &str) -> String {
    use std::fmt::Write as _;

    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a string takes any text");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_written_as_a_query() {
        let mut options = BucketOptions::new("archive");
        assert_eq!(tagging(&options), None);
        options.tags.insert("cost center".to_owned(), "a&b=c".to_owned());
        options.tags.insert("team".to_owned(), "tele-metry".to_owned());
        assert_eq!(tagging(&options).unwrap(), "cost%20center=a%26b%3Dc&team=tele-metry");
    }
}

//! A bucket: its client, how each request to it is made, and the requests without a body.

use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::RequestId;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::ChecksumMode;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::answer::ConditionalResult;
use crate::answer::judge;
use crate::connect::client;
use crate::error::S3Error;
use crate::error::S3ErrorKind;
use crate::observe::Observer;
use crate::observe::Operation;
use crate::observe::RequestOutcome;
use crate::observe::RequestWatch;
use crate::options::BucketOptions;
use crate::paced::HeldTime;
use crate::paced::UploadPacer;

/// A request that sends so much may take a second longer.
const BYTES_PER_SECOND: u64 = 1 << 20;

/// A request of the SDK. Its future is large: on the heap it does not swell those of all callers.
pub(crate) type Sending<'f, T, E> =
    Pin<Box<dyn Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send + 'f>>;

/// A bucket. Clones share connections and credentials.
#[derive(Clone)]
pub struct BucketClient {
    pub(crate) shared: Arc<BucketInner>,
    observer: Option<Observer>,
    pub(crate) pacer: Option<Arc<dyn UploadPacer>>,
}

/// What all clones of a bucket share.
pub(crate) struct BucketInner {
    pub(crate) client: Client,
    pub(crate) options: BucketOptions,
}

/// What a bucket tells about an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The length of the object.
    pub bytes: u64,
    /// Changes when the object does; quotes included, if the server sends them.
    pub etag: Option<String>,
    /// What the writer said about the object, by names in lower case.
    pub metadata: BTreeMap<String, String>,
    /// When the object was written, by the clock of the server.
    pub last_modified: Option<SystemTime>,
    /// The CRC-32 of the whole object, if the server keeps one.
    pub crc32: Option<u32>,
    /// The `Content-Encoding` that the writer gave.
    pub content_encoding: Option<String>,
}

impl BucketClient {
    /// Prepares for requests to a bucket. No connection is made, and credentials are fetched by the first
    /// request that needs them.
    ///
    /// # Errors
    ///
    /// When options are wrong, the region is not known, or `ca_file` cannot be used.
    pub async fn connect(options: &BucketOptions) -> Result<Self, S3Error> {
        if let Some(problem) = options.problems().first() {
            let message = format!("option `{}` {}", problem.option, problem.reason);
            return Err(S3Error::new(S3ErrorKind::Invalid, message));
        }
        let client = client(options).await?;
        let shared = BucketInner { client, options: options.clone() };
        Ok(Self { shared: Arc::new(shared), observer: None, pacer: None })
    }

    /// Returns the bucket with an observer of its requests; clones made from it have it too.
    #[must_use]
    pub fn with_observer(self, observer: Observer) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// Returns the bucket with a pacer of the files that it uploads; clones made from it have it too.
    #[must_use]
    pub fn with_pacer(self, pacer: Arc<dyn UploadPacer>) -> Self {
        Self { pacer: Some(pacer), ..self }
    }

    /// Returns the name of the bucket.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.options.name
    }

    /// Asks what is known about an object; `None` if there is none. A bucket that does not exist looks the
    /// same, because the answer has no text.
    ///
    /// # Errors
    ///
    /// Every [`S3ErrorKind`] but `Conflict`, `LocalFile` and `NoSuchBucket`.
    pub async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, S3Error> {
        let request = self.shared.client.head_object().bucket(self.name()).key(key);
        let request = request.checksum_mode(ChecksumMode::Enabled);
        match self.request(Operation::Head, key, 0, Box::pin(request.send())).await? {
            ConditionalResult::Done(output) => Ok(Some(info(&output))),
            ConditionalResult::Refused | ConditionalResult::Missing => Ok(None),
        }
    }

    /// Deletes an object; with an etag only the object that has it. Returns whether no object of this key
    /// and etag is left: without an etag always `true`.
    ///
    /// # Errors
    ///
    /// Every [`S3ErrorKind`] but `LocalFile` and `Checksum`.
    pub async fn delete(&self, key: &str, if_match: Option<&str>) -> Result<bool, S3Error> {
        let request = self.shared.client.delete_object().bucket(self.name()).key(key);
        let request = request.set_if_match(if_match.map(str::to_owned));
        match self.request(Operation::Delete, key, 0, Box::pin(request.send())).await? {
            ConditionalResult::Done(_) | ConditionalResult::Missing => Ok(true),
            ConditionalResult::Refused => Ok(false),
        }
    }

    /// Makes a request within its time, judges its answer and tells the observer.
    pub(crate) async fn request<T, E>(
        &self,
        operation: Operation,
        key: &str,
        sent_bytes: u64,
        sending: Sending<'_, T, E>,
    ) -> Result<ConditionalResult<T>, S3Error>
    where
        E: ProvideErrorMetadata + RequestId + Error + Send + Sync + 'static,
    {
        self.upload(operation, key, sent_bytes, sending, &HeldTime::default()).await
    }

    /// As [`Self::request`], of which a body is held back.
    pub(crate) async fn upload<T, E>(
        &self,
        operation: Operation,
        key: &str,
        sent_bytes: u64,
        sending: Sending<'_, T, E>,
        held: &HeldTime,
    ) -> Result<ConditionalResult<T>, S3Error>
    where
        E: ProvideErrorMetadata + RequestId + Error + Send + Sync + 'static,
    {
        let watch = self.watch(operation, sent_bytes);
        self.watched(watch, key, sent_bytes, sending, held).await.map(|(answer, _)| answer)
    }

    /// As [`Self::request`], and returns the watch, so that what the answer brings is counted too.
    pub(crate) async fn watched<T, E>(
        &self,
        mut watch: RequestWatch,
        key: &str,
        sent_bytes: u64,
        sending: Sending<'_, T, E>,
        held: &HeldTime,
    ) -> Result<(ConditionalResult<T>, RequestWatch), S3Error>
    where
        E: ProvideErrorMetadata + RequestId + Error + Send + Sync + 'static,
    {
        let allowed = self.allowed_time(sent_bytes);
        let doing = format!("{} s3://{}/{key}", watch.operation().verb(), self.name());
        let judged = match held.within(allowed, sending).await {
            Some(Ok(output)) => Ok(ConditionalResult::Done(output)),
            Some(Err(error)) => judge(&doing, &error),
            None => {
                let message = format!("cannot {doing}: no answer within {allowed:?}");
                Err(S3Error::new(S3ErrorKind::Timeout, message))
            }
        };
        watch.set_outcome(match &judged {
            Ok(ConditionalResult::Done(_)) => RequestOutcome::Done,
            Ok(ConditionalResult::Refused) => RequestOutcome::Refused,
            Ok(ConditionalResult::Missing) => RequestOutcome::Missing,
            Err(error) => RequestOutcome::Failed(error.kind),
        });
        judged.map(|answer| (answer, watch))
    }

    pub(crate) fn watch(&self, operation: Operation, sent_bytes: u64) -> RequestWatch {
        RequestWatch::start(self.observer.clone(), operation, sent_bytes)
    }

    /// The longest time of a request.
    pub(crate) fn allowed_time(&self, sent_bytes: u64) -> Duration {
        let options = &self.shared.options;
        let more = Duration::from_secs(sent_bytes / BYTES_PER_SECOND);
        (options.attempt_timeout.0 + more).min(options.timeout.0)
    }
}

fn info(output: &HeadObjectOutput) -> ObjectInfo {
    ObjectInfo {
        bytes: length(output.content_length()),
        etag: output.e_tag().map(str::to_owned),
        metadata: output.metadata().map(metadata).unwrap_or_default(),
        last_modified: output.last_modified().and_then(system_time),
        crc32: output.checksum_crc32().and_then(crc32_of),
        content_encoding: output.content_encoding().map(str::to_owned),
    }
}

/// A length as the SDK has it.
pub(crate) fn length(bytes: Option<i64>) -> u64 {
    bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0)
}

/// Metadata as the SDK has it.
pub(crate) fn metadata(
    metadata: &std::collections::HashMap<String, String>,
) -> BTreeMap<String, String> {
    metadata.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
}

/// A time as the SDK has it.
pub(crate) fn system_time(time: &DateTime) -> Option<SystemTime> {
    let since = Duration::new(u64::try_from(time.secs()).ok()?, time.subsec_nanos());
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// A CRC-32 in Base64. That of an upload in parts is one over their checksums, and says so with `-3`.
pub(crate) fn crc32_of(text: &str) -> Option<u32> {
    let mut bytes = [0; 4];
    let (digits, _) = text.split_at_checked(6).filter(|(_, end)| *end == "==")?;
    let mut bits: u64 = 0;
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u64::from(value);
    }
    // Six digits are 36 bits, of which the last four are nothing.
    bytes.copy_from_slice(&(bits >> 4).to_be_bytes()[4..]);
    Some(u32::from_be_bytes(bytes))
}

/// Writes a CRC-32 in Base64, as S3 has it in headers.
pub(crate) fn crc32_text(crc: u32) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = u64::from(crc) << 4;
    let digit = |idx: u32| char::from(DIGITS[(bits >> (30 - 6 * idx) & 63) as usize]);
    (0..6).map(digit).chain(['=', '=']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_reads_as_it_was_written() {
        // `printf 123456789 | gzip | tail -c8 | head -c4 | xxd` and Base64 of its reverse.
        assert_eq!(crc32_text(0xcbf4_3926), "y/Q5Jg==");
        for crc in [0, 1, 0xcbf4_3926, 0x8000_0000, u32::MAX] {
            assert_eq!(crc32_of(&crc32_text(crc)), Some(crc));
        }
        assert_eq!(crc32_of("y/Q5Jg==-3"), None);
        assert_eq!(crc32_of("y/Q5J"), None);
    }
}

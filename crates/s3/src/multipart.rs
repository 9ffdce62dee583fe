//! Writes a large object in parts, with one part in memory at a time.

use std::path::Path;

use aws_sdk_s3::types::ChecksumAlgorithm;
use aws_sdk_s3::types::CompletedMultipartUpload;
use aws_sdk_s3::types::CompletedPart;
use aws_sdk_s3::types::StorageClass;
use bytes::Bytes;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use crate::answer::ConditionalResult;
use crate::bucket::BucketClient;
use crate::bucket::crc32_text;
use crate::error::S3Error;
use crate::error::S3ErrorKind;
use crate::observe::Operation;
use crate::options::RequestChecksums;
use crate::paced::HeldTime;
use crate::paced::PacedBody;
use crate::put::ObjectBody;
use crate::put::PutOptions;
use crate::put::PutOutcome;
use crate::put::encryption;
use crate::put::tagging;

/// S3 takes no smaller part, but for the last.
pub const PART_BYTES_MIN: u64 = 5 << 20;

/// S3 takes no more parts.
const PARTS_MAX: u64 = 10_000;

/// An upload in parts.
struct Upload<'b> {
    bucket: &'b BucketClient,
    key: &'b str,
    id: String,
}

impl BucketClient {
    /// Writes a file as an object: in parts of `part_bytes`, or in one request if one part is enough. It
    /// holds one part in memory. A condition is checked when all parts are there.
    ///
    /// If a part or the end fails, it gives up the upload. If the future is dropped or the process ends,
    /// the parts stay until [`Self::sweep_uploads`].
    ///
    /// # Errors
    ///
    /// As [`Self::put`]; `Checksum` also if the file is not what `put.crc32` is of, `Invalid` if the parts
    /// are smaller than 5 MiB or more than 10,000.
    pub async fn put_multipart(
        &self,
        key: &str,
        file: &Path,
        part_bytes: u64,
        put: &PutOptions,
    ) -> Result<PutOutcome, S3Error> {
        let unreadable = |error: std::io::Error| {
            let message = format!("cannot read {}: {error}", file.display());
            S3Error::new(S3ErrorKind::LocalFile, message)
        };
        let bytes = tokio::fs::metadata(file).await.map_err(unreadable)?.len();
        if bytes <= part_bytes {
            return self.put(key, ObjectBody::File { path: file.to_owned(), bytes }, put).await;
        }
        if part_bytes < PART_BYTES_MIN || PARTS_MAX < bytes.div_ceil(part_bytes) {
            let message = format!(
                "cannot put s3://{}/{key}: {bytes} bytes in parts of {part_bytes} bytes; a part needs \
                 at least {PART_BYTES_MIN} bytes, and {PARTS_MAX} parts are the most",
                self.name()
            );
            return Err(S3Error::new(S3ErrorKind::Invalid, message));
        }
        let mut source = File::open(file).await.map_err(unreadable)?;
        let upload = Upload { bucket: self, key, id: self.create_upload(key, put).await? };
        let written = upload.write(&mut source, bytes, part_bytes, put).await;
        if !matches!(written, Ok(PutOutcome::Written { .. })) {
            upload.abort().await;
        }
        written
    }

    async fn create_upload(&self, key: &str, put: &PutOptions) -> Result<String, S3Error> {
        let options = &self.shared.options;
        let is_checked = options.request_checksums == RequestChecksums::WhenSupported;
        let mut request = self
            .shared
            .client
            .create_multipart_upload()
            .bucket(self.name())
            .key(key)
            .set_checksum_algorithm(is_checked.then_some(ChecksumAlgorithm::Crc32))
            .set_content_type(put.content_type.map(str::to_owned))
            .set_content_encoding(put.content_encoding.map(str::to_owned))
            .set_storage_class(options.storage_class.as_deref().map(StorageClass::from))
            .set_server_side_encryption(encryption(options))
            .set_ssekms_key_id(options.kms_key_id.clone())
            .set_tagging(tagging(options));
        for (name, value) in &put.metadata {
            request = request.metadata(name, value);
        }
        let answer =
            self.request(Operation::CreateUpload, key, 0, Box::pin(request.send())).await?;
        let id = match answer {
            ConditionalResult::Done(output) => output.upload_id,
            ConditionalResult::Refused | ConditionalResult::Missing => None,
        };
        id.ok_or_else(|| {
            let message =
                format!("cannot begin upload of s3://{}/{key}: no upload id", self.name());
            S3Error::new(S3ErrorKind::Server, message)
        })
    }
}

impl Upload<'_> {
    async fn write(
        &self,
        source: &mut File,
        bytes: u64,
        part_bytes: u64,
        put: &PutOptions,
    ) -> Result<PutOutcome, S3Error> {
        let mut parts = Vec::new();
        let mut whole = crc32fast::Hasher::new();
        let mut left_bytes = bytes;
        while 0 < left_bytes {
            if let Some(pacer) = &self.bucket.pacer {
                pacer.turn().await;
            }
            let part = read_part(source, left_bytes.min(part_bytes)).await;
            let part =
                part.map_err(|error| self.error(S3ErrorKind::LocalFile, &error.to_string()))?;
            left_bytes -= part.len() as u64;
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(&part);
            whole.combine(&hasher);
            parts.push(self.send(parts.len(), part, hasher.finalize()).await?);
        }
        if put.crc32.is_some_and(|crc32| crc32 != whole.finalize()) {
            return Err(
                self.error(S3ErrorKind::Checksum, "the file does not have the expected CRC-32")
            );
        }
        self.complete(parts, put).await
    }

    /// Sends a part, by its place from 0.
    async fn send(&self, idx: usize, part: Bytes, crc32: u32) -> Result<CompletedPart, S3Error> {
        let bucket = self.bucket;
        let is_checked = bucket.shared.options.request_checksums == RequestChecksums::WhenSupported;
        let number = i32::try_from(idx + 1).unwrap_or(i32::MAX);
        let bytes = part.len() as u64;
        let checksum = is_checked.then(|| crc32_text(crc32));
        let held = HeldTime::default();
        let body = PacedBody::of_bytes(part, bucket.pacer.clone(), held.clone()).into_stream();
        let request = bucket
            .shared
            .client
            .upload_part()
            .bucket(bucket.name())
            .key(self.key)
            .upload_id(&self.id)
            .part_number(number)
            .set_checksum_crc32(checksum.clone())
            .content_length(i64::try_from(bytes).unwrap_or(i64::MAX))
            .body(body);
        let sending = Box::pin(request.send());
        match bucket.upload(Operation::UploadPart, self.key, bytes, sending, &held).await? {
            ConditionalResult::Done(output) => Ok(CompletedPart::builder()
                .part_number(number)
                .set_e_tag(output.e_tag)
                .set_checksum_crc32(checksum)
                .build()),
            ConditionalResult::Refused | ConditionalResult::Missing => Err(self.lost()),
        }
    }

    async fn complete(
        &self,
        parts: Vec<CompletedPart>,
        put: &PutOptions,
    ) -> Result<PutOutcome, S3Error> {
        let bucket = self.bucket;
        let (if_match, if_none_match) = put.condition.headers();
        let request = bucket
            .shared
            .client
            .complete_multipart_upload()
            .bucket(bucket.name())
            .key(self.key)
            .upload_id(&self.id)
            .set_if_match(if_match)
            .set_if_none_match(if_none_match)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build());
        match bucket
            .request(Operation::CompleteUpload, self.key, 0, Box::pin(request.send()))
            .await?
        {
            ConditionalResult::Done(output) => Ok(PutOutcome::Written { etag: output.e_tag }),
            ConditionalResult::Refused => Ok(PutOutcome::Refused),
            ConditionalResult::Missing => Err(self.lost()),
        }
    }

    /// Gives up the upload. If that fails, the sweep finds it.
    async fn abort(&self) {
        let bucket = self.bucket;
        let request = bucket
            .shared
            .client
            .abort_multipart_upload()
            .bucket(bucket.name())
            .key(self.key)
            .upload_id(&self.id);
        let _is_gone = bucket
            .request(Operation::AbortUpload, self.key, 0, Box::pin(request.send()))
            .await
            .is_ok();
    }

    fn lost(&self) -> S3Error {
        self.error(S3ErrorKind::Conflict, "the bucket no longer has the upload")
    }

    fn error(&self, kind: S3ErrorKind, reason: &str) -> S3Error {
        let message = format!("cannot put s3://{}/{}: {reason}", self.bucket.name(), self.key);
        S3Error::new(kind, message)
    }
}

async fn read_part(source: &mut File, bytes: u64) -> std::io::Result<Bytes> {
    let len = usize::try_from(bytes).map_err(std::io::Error::other)?;
    let mut part = vec![0; len];
    source.read_exact(&mut part).await?;
    Ok(part.into())
}

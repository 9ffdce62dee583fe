//! Reads an object as it arrives.

use std::ops::Range;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumMode;
use bytes::Bytes;

use crate::answer::ConditionalResult;
use crate::bucket::BucketClient;
use crate::bucket::ObjectInfo;
use crate::bucket::crc32_of;
use crate::bucket::length;
use crate::bucket::metadata;
use crate::bucket::system_time;
use crate::causes::chain;
use crate::error::S3Error;
use crate::error::S3ErrorKind;
use crate::observe::Operation;
use crate::observe::RequestOutcome;
use crate::observe::RequestWatch;
use crate::paced::HeldTime;

/// An object on its way. Dropping it gives up the rest.
pub struct ObjectReader {
    info: ObjectInfo,
    body: ByteStream,
    /// What is still to come.
    left_bytes: u64,
    allowed_time: std::time::Duration,
    doing: String,
    watch: RequestWatch,
}

impl BucketClient {
    /// Begins to read an object, or a range of its bytes; `None` if there is no object.
    ///
    /// # Errors
    ///
    /// Every [`S3ErrorKind`] but `Conflict` and `LocalFile`. `Invalid` if the range is empty or begins
    /// behind the end.
    pub async fn get(
        &self,
        key: &str,
        range: Option<Range<u64>>,
    ) -> Result<Option<ObjectReader>, S3Error> {
        let doing = format!("get s3://{}/{key}", self.name());
        if range.as_ref().is_some_and(Range::is_empty) {
            let message = format!("cannot {doing}: the range is empty");
            return Err(S3Error::new(S3ErrorKind::Invalid, message));
        }
        let header = range.as_ref().map(|range| format!("bytes={}-{}", range.start, range.end - 1));
        let mut request = self.shared.client.get_object().bucket(self.name()).key(key);
        request = request.set_range(header);
        if range.is_none() {
            // With a range the server has no checksum for what it sends.
            request = request.checksum_mode(ChecksumMode::Enabled);
        }
        // Until the last byte is there, it is not done.
        let watch = self.watch(Operation::Get, 0);
        let (sending, held) = (Box::pin(request.send()), HeldTime::default());
        let (answer, mut watch) = self.watched(watch, key, 0, sending, &held).await?;
        let ConditionalResult::Done(mut output) = answer else { return Ok(None) };
        watch.set_outcome(RequestOutcome::Cancelled);
        let body = std::mem::take(&mut output.body);
        let info = info(&output);
        let left_bytes = info.bytes;
        let allowed_time = self.allowed_time(0);
        Ok(Some(ObjectReader { info, body, left_bytes, allowed_time, doing, watch }))
    }
}

impl ObjectReader {
    /// Returns what the bucket tells about the object; `bytes` is the length of the range that was asked for.
    #[must_use]
    pub const fn info(&self) -> &ObjectInfo {
        &self.info
    }

    /// Waits for the next bytes; `None` when all are there.
    ///
    /// A future that is dropped loses nothing.
    ///
    /// # Errors
    ///
    /// `Timeout` if nothing comes for as long as an attempt may take, `Connection` if the body ends before
    /// its length, `Checksum` if it is not what the bucket keeps a checksum of. What was read before is
    /// then worth nothing.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, S3Error> {
        let result = match tokio::time::timeout(self.allowed_time, self.body.next()).await {
            Err(_) => Err((S3ErrorKind::Timeout, format!("no byte for {:?}", self.allowed_time))),
            Ok(Some(Ok(bytes))) => self.count(bytes).map(Some),
            Ok(Some(Err(error))) => {
                let text = chain(&error);
                let is_checksum = text.to_ascii_lowercase().contains("checksum");
                let kind =
                    if is_checksum { S3ErrorKind::Checksum } else { S3ErrorKind::Connection };
                Err((kind, text))
            }
            Ok(None) if 0 < self.left_bytes => Err((
                S3ErrorKind::Connection,
                format!("the body ended {} bytes before its end", self.left_bytes),
            )),
            Ok(None) => Ok(None),
        };
        match &result {
            Ok(Some(_)) => {}
            Ok(None) => self.watch.set_outcome(RequestOutcome::Done),
            Err((kind, _)) => self.watch.set_outcome(RequestOutcome::Failed(*kind)),
        }
        result.map_err(|(kind, reason)| {
            S3Error::new(kind, format!("cannot {}: {reason}", self.doing))
        })
    }

    /// Reads all of a small object.
    ///
    /// # Errors
    ///
    /// As [`Self::next_chunk`], and `Invalid` if it has more than `bytes_max`.
    pub async fn read_all(mut self, bytes_max: usize) -> Result<Vec<u8>, S3Error> {
        if (bytes_max as u64) < self.info.bytes {
            let reason = format!("{} bytes are more than {bytes_max}", self.info.bytes);
            return Err(S3Error::new(
                S3ErrorKind::Invalid,
                format!("cannot {}: {reason}", self.doing),
            ));
        }
        let mut all = Vec::new();
        while let Some(bytes) = self.next_chunk().await? {
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }

    fn count(&mut self, bytes: Bytes) -> Result<Bytes, (S3ErrorKind, String)> {
        let len = bytes.len() as u64;
        self.watch.add_received(len);
        let left = self.left_bytes.checked_sub(len);
        self.left_bytes = left
            .ok_or_else(|| (S3ErrorKind::Server, "the body is longer than announced".to_owned()))?;
        Ok(bytes)
    }
}

fn info(output: &GetObjectOutput) -> ObjectInfo {
    ObjectInfo {
        bytes: length(output.content_length()),
        etag: output.e_tag().map(str::to_owned),
        metadata: output.metadata().map(metadata).unwrap_or_default(),
        last_modified: output.last_modified().and_then(system_time),
        crc32: output.checksum_crc32().and_then(crc32_of),
        content_encoding: output.content_encoding().map(str::to_owned),
    }
}

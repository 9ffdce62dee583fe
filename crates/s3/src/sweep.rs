//! Gives up uploads in parts that nobody will end: their parts cost money and are in no listing.

use std::time::Duration;
use std::time::SystemTime;

use aws_sdk_s3::types::MultipartUpload;

use crate::answer::ConditionalResult;
use crate::bucket::BucketClient;
use crate::bucket::system_time;
use crate::error::S3Error;
use crate::observe::Operation;

/// A sweep looks at no more pages of 1000 uploads; the next one goes on.
const PAGES_MAX: u32 = 100;

impl BucketClient {
    /// Gives up the uploads in parts whose keys begin with `prefix` and that began `older_than` ago or
    /// earlier. Returns how many.
    ///
    /// # Errors
    ///
    /// Every [`S3ErrorKind`](crate::S3ErrorKind) but `Conflict`, `LocalFile` and `Checksum`; `Invalid` from
    /// servers that cannot list uploads.
    pub async fn sweep_uploads(&self, prefix: &str, older_than: Duration) -> Result<u64, S3Error> {
        let began_before = SystemTime::now().checked_sub(older_than);
        let is_old = |upload: &MultipartUpload| {
            upload.initiated().and_then(system_time).is_some_and(|at| Some(at) <= began_before)
        };
        let (mut key_marker, mut id_marker) = (None, None);
        let mut swept = 0;
        for _ in 0..PAGES_MAX {
            let request = self.shared.client.list_multipart_uploads().bucket(self.name());
            let request = request.prefix(prefix).set_key_marker(key_marker);
            let request = request.set_upload_id_marker(id_marker);
            let answer =
                self.request(Operation::ListUploads, prefix, 0, Box::pin(request.send())).await?;
            let ConditionalResult::Done(page) = answer else { break };
            for upload in page.uploads().iter().filter(|upload| is_old(upload)) {
                let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) else { continue };
                // Some servers do not look at the prefix.
                if key.starts_with(prefix) && self.abort_upload(key, id).await? {
                    swept += 1;
                }
            }
            if page.is_truncated() != Some(true) {
                break;
            }
            (key_marker, id_marker) = (page.next_key_marker, page.next_upload_id_marker);
        }
        Ok(swept)
    }

    /// Gives up an upload. Returns whether it was there.
    async fn abort_upload(&self, key: &str, id: &str) -> Result<bool, S3Error> {
        let request = self.shared.client.abort_multipart_upload().bucket(self.name());
        let request = request.key(key).upload_id(id);
        let answer = self.request(Operation::AbortUpload, key, 0, Box::pin(request.send())).await?;
        Ok(matches!(answer, ConditionalResult::Done(_)))
    }
}

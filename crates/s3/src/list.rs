//! Lists objects, one page at a time.

use std::time::SystemTime;

use crate::answer::ConditionalResult;
use crate::bucket::BucketClient;
use crate::bucket::length;
use crate::bucket::system_time;
use crate::error::S3Error;
use crate::error::S3ErrorKind;
use crate::observe::Operation;

/// S3 lists no more objects at once.
const PAGE_MAX: u32 = 1000;

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The objects, by key.
    pub objects: Vec<ListedObject>,
    /// Whether there are more behind the last one.
    pub is_truncated: bool,
}

/// An object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedObject {
    /// The key.
    pub key: String,
    /// The length.
    pub bytes: u64,
    /// Changes when the object does. Some servers do not list it.
    pub etag: Option<String>,
    /// When it was written, by the clock of the server.
    pub last_modified: Option<SystemTime>,
}

impl BucketClient {
    /// Lists objects whose keys begin with `prefix`, behind the key `start_after`, at most `max` and at most
    /// 1000.
    ///
    /// # Errors
    ///
    /// Every [`S3ErrorKind`] but `Conflict`, `LocalFile` and `Checksum`.
    pub async fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        max: u32,
    ) -> Result<Listing, S3Error> {
        let max_keys = i32::try_from(max.clamp(1, PAGE_MAX)).unwrap_or(1);
        let request = self.shared.client.list_objects_v2().bucket(self.name()).prefix(prefix);
        let request = request.set_start_after(start_after.map(str::to_owned)).max_keys(max_keys);
        let output =
            match self.request(Operation::List, prefix, 0, Box::pin(request.send())).await? {
                ConditionalResult::Done(output) => output,
                ConditionalResult::Refused | ConditionalResult::Missing => {
                    let message = format!("cannot list s3://{}/{prefix}: 404", self.name());
                    return Err(S3Error::new(S3ErrorKind::NoSuchBucket, message));
                }
            };
        let is_truncated = output.is_truncated() == Some(true);
        let listed = output.contents.unwrap_or_default().into_iter().filter_map(|object| {
            Some(ListedObject {
                bytes: length(object.size()),
                last_modified: object.last_modified().and_then(system_time),
                etag: object.e_tag,
                key: object.key?,
            })
        });
        Ok(Listing { objects: listed.collect(), is_truncated })
    }
}

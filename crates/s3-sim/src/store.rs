//! What `s3s-fs` keeps, as strictly as AWS: conditions hold at the moment of the write, a wrong checksum
//! stores nothing, buckets must exist, and uploads in parts are listed.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::BodyExt;
use s3s::S3;
use s3s::S3Request;
use s3s::S3Response;
use s3s::S3Result;
use s3s::dto;
use s3s::s3_error;
use s3s_fs::FileSystem;

/// As many as AWS lists at once.
const PAGE_MAX: i32 = 1000;

/// How the ids of uploads begin that no client began.
const ABANDONED: &str = "abandoned-";

/// An upload in parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Upload {
    bucket: String,
    key: String,
    id: String,
}

/// Uploads in parts, and when they began. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Uploads(Arc<Mutex<BTreeMap<Upload, SystemTime>>>);

impl Uploads {
    pub(crate) fn len(&self) -> usize {
        self.all().len()
    }

    pub(crate) fn age(&self, by: Duration) {
        self.all().values_mut().for_each(|began| *began -= by);
    }

    /// Begins uploads that nobody will complete.
    pub(crate) fn abandon(&self, bucket: &str, count: u32) {
        for idx in 0..count {
            let (key, id) = (format!("abandoned/{idx:05}"), format!("{ABANDONED}{idx}"));
            let upload = Upload { bucket: bucket.to_owned(), key, id };
            self.all().insert(upload, SystemTime::now());
        }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Upload, SystemTime>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The objects.
pub(crate) struct ObjectStore {
    files: FileSystem,
    root: PathBuf,
    uploads: Uploads,
    /// What looks at a condition and then writes has all of it for itself.
    writing: tokio::sync::Mutex<()>,
}

impl ObjectStore {
    pub(crate) fn new(root: &Path, uploads: Uploads) -> io::Result<Self> {
        let files =
            FileSystem::new(root).map_err(|error| io::Error::other(format!("{error:?}")))?;
        Ok(Self { files, root: root.to_owned(), uploads, writing: tokio::sync::Mutex::default() })
    }

    fn demand_bucket(&self, name: &str) -> S3Result<()> {
        if self.root.join(name).is_dir() { Ok(()) } else { Err(s3_error!(NoSuchBucket)) }
    }
}

/// Reads a body, and compares it with its checksum.
async fn checked(body: Option<dto::StreamingBlob>, crc32: Option<&str>) -> S3Result<Bytes> {
    let Some(body) = body else { return Ok(Bytes::new()) };
    let body = s3s::Body::from(body).collect().await;
    let bytes = body.map_err(|_| s3_error!(IncompleteBody))?.to_bytes();
    if crc32.is_some_and(|crc32| crc32 != base64(crc32fast::hash(&bytes))) {
        return Err(s3_error!(BadDigest, "the CRC-32 you specified did not match"));
    }
    Ok(bytes)
}

/// A CRC-32 as S3 has it in headers.
fn base64(crc: u32) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = u64::from(crc) << 4;
    let digit = |idx: u32| char::from(DIGITS[(bits >> (30 - 6 * idx) & 63) as usize]);
    (0..6).map(digit).chain(['=', '=']).collect()
}

#[async_trait::async_trait]
impl S3 for ObjectStore {
    async fn put_object(
        &self,
        mut request: S3Request<dto::PutObjectInput>,
    ) -> S3Result<S3Response<dto::PutObjectOutput>> {
        self.demand_bucket(&request.input.bucket)?;
        let body = request.input.body.take();
        let bytes = checked(body, request.input.checksum_crc32.as_deref()).await?;
        request.input.body = Some(s3s::Body::from(bytes).into());
        // Classes have no effect here, and `s3s-fs` knows two.
        request.input.storage_class = None;
        let _alone = self.writing.lock().await;
        self.files.put_object(request).await
    }

    async fn get_object(
        &self,
        request: S3Request<dto::GetObjectInput>,
    ) -> S3Result<S3Response<dto::GetObjectOutput>> {
        self.demand_bucket(&request.input.bucket)?;
        self.files.get_object(request).await
    }

    async fn head_object(
        &self,
        request: S3Request<dto::HeadObjectInput>,
    ) -> S3Result<S3Response<dto::HeadObjectOutput>> {
        self.files.head_object(request).await
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<dto::ListObjectsV2Input>,
    ) -> S3Result<S3Response<dto::ListObjectsV2Output>> {
        self.files.list_objects_v2(request).await
    }

    async fn delete_object(
        &self,
        request: S3Request<dto::DeleteObjectInput>,
    ) -> S3Result<S3Response<dto::DeleteObjectOutput>> {
        let _alone = self.writing.lock().await;
        if let Some(wanted) = request.input.if_match.as_ref().and_then(|it| it.as_etag().cloned()) {
            let input = dto::HeadObjectInput::builder()
                .bucket(request.input.bucket.clone())
                .key(request.input.key.clone())
                .build()
                .map_err(|error| s3_error!(error, InternalError))?;
            let head = self.files.head_object(request.clone().map_input(|_| input)).await?;
            if head.output.e_tag.is_none_or(|etag| !etag.strong_cmp(&wanted)) {
                return Err(s3_error!(PreconditionFailed, "ETag does not match"));
            }
        }
        self.files.delete_object(request).await
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<dto::CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<dto::CreateMultipartUploadOutput>> {
        self.demand_bucket(&request.input.bucket)?;
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        let response = self.files.create_multipart_upload(request).await?;
        let id = response.output.upload_id.clone().unwrap_or_default();
        self.uploads.all().insert(Upload { bucket, key, id }, SystemTime::now());
        Ok(response)
    }

    async fn upload_part(
        &self,
        mut request: S3Request<dto::UploadPartInput>,
    ) -> S3Result<S3Response<dto::UploadPartOutput>> {
        let body = request.input.body.take();
        let bytes = checked(body, request.input.checksum_crc32.as_deref()).await?;
        request.input.body = Some(s3s::Body::from(bytes).into());
        self.files.upload_part(request).await
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<dto::CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<dto::CompleteMultipartUploadOutput>> {
        let upload = Upload {
            bucket: request.input.bucket.clone(),
            key: request.input.key.clone(),
            id: request.input.upload_id.clone(),
        };
        let _alone = self.writing.lock().await;
        let response = self.files.complete_multipart_upload(request).await?;
        self.uploads.all().remove(&upload);
        Ok(response)
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<dto::AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<dto::AbortMultipartUploadOutput>> {
        let upload = Upload {
            bucket: request.input.bucket.clone(),
            key: request.input.key.clone(),
            id: request.input.upload_id.clone(),
        };
        if self.uploads.all().remove(&upload).is_none() {
            return Err(s3_error!(NoSuchUpload));
        }
        if upload.id.starts_with(ABANDONED) {
            return Ok(S3Response::new(dto::AbortMultipartUploadOutput::default()));
        }
        self.files.abort_multipart_upload(request).await
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<dto::ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<dto::ListMultipartUploadsOutput>> {
        let input = request.input;
        self.demand_bucket(&input.bucket)?;
        let prefix = input.prefix.as_deref().unwrap_or_default();
        let behind = Upload {
            bucket: input.bucket.clone(),
            key: input.key_marker.clone().unwrap_or_default(),
            id: input.upload_id_marker.clone().unwrap_or_default(),
        };
        let max = usize::try_from(input.max_uploads.unwrap_or(PAGE_MAX)).unwrap_or(0);
        let all = self.uploads.all().clone();
        let is_meant = |upload: &Upload| {
            upload.bucket == input.bucket && upload.key.starts_with(prefix) && behind < *upload
        };
        let listed = all.into_iter().filter(|(upload, _)| is_meant(upload));
        let mut listed: Vec<_> = listed.take(max + 1).collect();
        let is_truncated = max < listed.len();
        listed.truncate(max);
        let last = listed.last().filter(|_| is_truncated).map(|(upload, _)| upload.clone());
        let uploads = listed.into_iter().map(|(upload, began)| dto::MultipartUpload {
            key: Some(upload.key),
            upload_id: Some(upload.id),
            initiated: Some(began.into()),
            ..dto::MultipartUpload::default()
        });
        Ok(S3Response::new(dto::ListMultipartUploadsOutput {
            bucket: Some(input.bucket.clone()),
            is_truncated: Some(is_truncated),
            uploads: Some(uploads.collect()),
            next_key_marker: last.as_ref().map(|upload| upload.key.clone()),
            next_upload_id_marker: last.map(|upload| upload.id),
            ..dto::ListMultipartUploadsOutput::default()
        }))
    }
}

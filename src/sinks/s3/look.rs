//! What is in the bucket: looks at objects and manifests, and reads them where that is needed to tell.

use gophership_archive::Manifest;
use gophership_archive::ObjectFacts;
use gophership_archive::Observed;
use gophership_archive::Summing;
use gophership_archive::Sums;
use gophership_s3::BucketClient;
use gophership_s3::ObjectInfo;
use gophership_s3::S3Error;
use gophership_s3::S3ErrorKind;

/// Larger than any manifest.
const MANIFEST_BYTES_MAX: usize = 256 * 1024;
/// The header of a manifest that tells its own damage from somebody else's object.
const MANIFEST_DIGEST: &str = "gs-manifest-blake3";

/// How closely it looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct BucketInspector {
    /// Whether each object is read back after it was written.
    pub(super) reads_back: bool,
}

/// What is under the key of a manifest.
pub(super) enum SeenManifest {
    /// A manifest, or nothing of it if it is damaged.
    Ours {
        /// What it says.
        manifest: Option<Box<Manifest>>,
        /// Its etag.
        etag: Option<String>,
    },
    /// Something that was not written by this program.
    Foreign,
}

/// The header that a manifest of these bytes gets.
pub(super) fn manifest_digest(bytes: &[u8]) -> (String, String) {
    (MANIFEST_DIGEST.to_owned(), blake3::hash(bytes).to_hex().to_string())
}

impl BucketInspector {
    /// Looks at an object; nothing if there is none. An object that lost its headers is compared with what
    /// this process would write.
    pub(super) async fn object(
        self,
        bucket: &BucketClient,
        key: &str,
        own: &ObjectFacts,
    ) -> Result<Option<Observed>, S3Error> {
        let Some(info) = bucket.head(key).await? else { return Ok(None) };
        let mut seen = observed(info);
        let facts = ObjectFacts::read(&seen.metadata);
        let may_be_ours = facts.is_none() && seen.bytes == own.object.bytes;
        if !(may_be_ours || facts.is_some() && self.reads_back) {
            return Ok(Some(seen));
        }
        let sums = match sums(bucket, key).await {
            // The bucket itself notices that it kept something else.
            Err(error) if error.kind == S3ErrorKind::Checksum => Some(Sums::default()),
            sums => sums?,
        };
        let Some(sums) = sums else { return Ok(None) };
        if may_be_ours && sums == own.object {
            seen.metadata = own.metadata();
        }
        (seen.bytes, seen.crc32) = (sums.bytes, Some(sums.crc32));
        Ok(Some(seen))
    }

    /// Reads a manifest; nothing if there is none.
    pub(super) async fn manifest(
        self,
        bucket: &BucketClient,
        key: &str,
    ) -> Result<Option<SeenManifest>, S3Error> {
        let Some(reader) = bucket.get(key, None).await? else { return Ok(None) };
        let info = reader.info();
        let (etag, digest) = (info.etag.clone(), info.metadata.get(MANIFEST_DIGEST).cloned());
        if MANIFEST_BYTES_MAX as u64 <= info.bytes {
            return Ok(Some(SeenManifest::Foreign));
        }
        let bytes = match reader.read_all(MANIFEST_BYTES_MAX).await {
            Err(error) if error.kind == S3ErrorKind::Checksum => {
                return Ok(Some(SeenManifest::Ours { manifest: None, etag }));
            }
            bytes => bytes?,
        };
        let is_whole = digest.as_ref().map(|digest| *digest == manifest_digest(&bytes).1);
        let manifest = Manifest::read(&bytes, key).ok().map(Box::new);
        Ok(Some(match (is_whole, manifest) {
            (Some(false), _) => SeenManifest::Ours { manifest: None, etag },
            (_, Some(manifest)) => SeenManifest::Ours { manifest: Some(manifest), etag },
            (_, None) => SeenManifest::Foreign,
        }))
    }
}

/// Reads an object and takes its sums; nothing if it is gone.
async fn sums(bucket: &BucketClient, key: &str) -> Result<Option<Sums>, S3Error> {
    let Some(mut reader) = bucket.get(key, None).await? else { return Ok(None) };
    let mut summing = Summing::default();
    while let Some(bytes) = reader.next_chunk().await? {
        summing.update(&bytes);
    }
    Ok(Some(summing.sums()))
}

fn observed(info: ObjectInfo) -> Observed {
    let ObjectInfo { bytes, etag, metadata, crc32, .. } = info;
    Observed { bytes, etag, crc32, metadata: metadata.into_iter().collect() }
}

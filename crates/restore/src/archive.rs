//! What is in an archive: vaults, the manifests of their segments, and objects.

use std::sync::Arc;

use gophership_archive::Manifest;
use gophership_archive::ManifestKey;
use gophership_archive::Prefix;
use gophership_archive::parse_vault_id;
use gophership_archive::vault_id_text;
use gophership_s3::BucketClient;
use gophership_s3::ListedObject;
use gophership_s3::Listing;
use gophership_s3::ObjectReader;
use tokio::task::JoinSet;

use crate::attempts::Attempt;
use crate::attempts::repeat;
use crate::error::RestoreError;
use crate::selection::Selection;

/// At most so many segments are selected at once: their manifests are in memory, about 1 KiB each.
pub const SEGMENTS_MAX: usize = 100_000;
/// Vaults in one archive.
const VAULTS_MAX: usize = 10_000;
/// Manifests that are read at the same time.
const READS_MAX: usize = 8;
/// A page of a listing.
const PAGE: u32 = 1000;
/// A manifest has fewer bytes.
const MANIFEST_BYTES_MAX: usize = 256 * 1024;

/// An archive in a bucket.
#[derive(Clone)]
pub struct Archive {
    pub(crate) bucket: BucketClient,
    pub(crate) prefix: Arc<Prefix>,
    pub(crate) attempts: u32,
}

impl Archive {
    /// An archive below a prefix of a bucket. Each request is made up to `attempts` times.
    #[must_use]
    pub fn new(bucket: BucketClient, prefix: Prefix, attempts: u32) -> Self {
        Self { bucket, prefix: Arc::new(prefix), attempts }
    }

    /// Returns where it is: `s3://bucket/prefix`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket.name(), self.prefix)
    }

    /// Returns the ids of its vaults, in order. It makes one request for each.
    ///
    /// # Errors
    ///
    /// [`RestoreError::S3`], or [`RestoreError::TooMany`].
    pub async fn vaults(&self) -> Result<Vec<u128>, RestoreError> {
        let folder = self.prefix.vaults();
        let mut vaults = Vec::new();
        let mut behind: Option<String> = None;
        while let Some(object) = self.first(&folder, behind.as_deref()).await? {
            let name = object.key.strip_prefix(&folder).and_then(|rest| rest.split('/').next());
            let Some(name) = name.filter(|name| !name.is_empty()) else { break };
            vaults.extend(parse_vault_id(name));
            if VAULTS_MAX < vaults.len() {
                return Err(RestoreError::TooMany { max: VAULTS_MAX });
            }
            // The character behind the slash: behind all keys of this folder.
            behind = Some(format!("{folder}{name}0"));
        }
        Ok(vaults)
    }

    async fn first(
        &self,
        folder: &str,
        behind: Option<&str>,
    ) -> Result<Option<ListedObject>, RestoreError> {
        let page = repeat(self.attempts, || Box::pin(self.bucket.list(folder, behind, 1)));
        Ok(page.await?.objects.into_iter().next())
    }

    async fn page(&self, folder: &str, behind: Option<&str>) -> Result<Listing, RestoreError> {
        let list = || -> Attempt<'_, _> { Box::pin(self.bucket.list(folder, behind, PAGE)) };
        Ok(repeat(self.attempts, list).await?)
    }

    /// Reads the manifests of the segments that are meant, by vault and number. Whatever else stands among
    /// the manifests is passed.
    ///
    /// # Errors
    ///
    /// [`RestoreError::S3`], [`RestoreError::Archive`] for a manifest that cannot be used, or
    /// [`RestoreError::TooMany`].
    pub async fn manifests(&self, selection: &Selection) -> Result<Vec<Manifest>, RestoreError> {
        let mut manifests = Vec::new();
        for vault_id in self.vaults().await? {
            if selection.vault_id.is_some_and(|wanted| wanted != vault_id) {
                continue;
            }
            let folder = self.prefix.manifests(vault_id);
            let mut behind: Option<String> = None;
            loop {
                let page = self.page(&folder, behind.as_deref()).await?;
                let keys = page.objects.iter().filter_map(|object| {
                    let key = ManifestKey::parse(&self.prefix, &object.key)?;
                    selection.wants_segment(vault_id, key.segment).then_some(key)
                });
                let read = self.read_all(keys.collect()).await?;
                manifests.extend(read.into_iter().filter(|manifest| selection.wants(manifest)));
                if SEGMENTS_MAX < manifests.len() {
                    return Err(RestoreError::TooMany { max: SEGMENTS_MAX });
                }
                behind = page.objects.last().map(|object| object.key.clone());
                if !page.is_truncated || behind.is_none() {
                    break;
                }
            }
        }
        Ok(manifests)
    }

    /// Reads manifests, some at the same time; returns them in the order of their keys.
    async fn read_all(&self, keys: Vec<ManifestKey>) -> Result<Vec<Manifest>, RestoreError> {
        let mut reads = JoinSet::new();
        let mut manifests = Vec::new();
        let mut left = keys.into_iter();
        loop {
            while reads.len() < READS_MAX
                && let Some(key) = left.next()
            {
                let archive = self.clone();
                reads.spawn(async move { archive.manifest(&key).await });
            }
            let Some(read) = reads.join_next().await else { break };
            let read = read.map_err(|error| RestoreError::Panicked(error.to_string()))?;
            // A manifest that was deleted since it was listed is not there any more.
            manifests.extend(read?);
        }
        manifests.sort_by_key(|manifest: &Manifest| manifest.segment);
        Ok(manifests)
    }

    /// Reads a manifest, if it is there.
    ///
    /// # Errors
    ///
    /// [`RestoreError::S3`], or [`RestoreError::Archive`] if it cannot be used.
    pub async fn manifest(&self, key: &ManifestKey) -> Result<Option<Manifest>, RestoreError> {
        let key = key.key(&self.prefix);
        let (bucket, at) = (&self.bucket, key.as_str());
        let read = || -> Attempt<'_, _> {
            Box::pin(async move {
                let Some(reader) = bucket.get(at, None).await? else { return Ok(None) };
                reader.read_all(MANIFEST_BYTES_MAX).await.map(Some)
            })
        };
        let Some(bytes) = repeat(self.attempts, read).await? else { return Ok(None) };
        let manifest = Manifest::read(&bytes, &key)?;
        manifest.object_key(&self.prefix, &key)?;
        Ok(Some(manifest))
    }

    /// Begins to read the object of a segment.
    pub(crate) async fn object(&self, manifest: &Manifest) -> Result<ObjectReader, RestoreError> {
        let key = manifest.segment_key().key(&self.prefix);
        let get = || -> Attempt<'_, _> { Box::pin(self.bucket.get(&key, None)) };
        let reader = repeat(self.attempts, get).await?;
        reader.ok_or(RestoreError::Missing { what: "object", key })
    }

    /// Returns the keys of objects that have no manifest: of segments whose upload has not ended. It looks
    /// at one vault.
    ///
    /// # Errors
    ///
    /// [`RestoreError::S3`].
    pub async fn without_manifest(
        &self,
        vault_id: u128,
        has_manifest: impl Fn(u64) -> bool,
    ) -> Result<Vec<String>, RestoreError> {
        let folder = self.prefix.segments(vault_id);
        let mut behind: Option<String> = None;
        let mut without = Vec::new();
        loop {
            let page = self.page(&folder, behind.as_deref()).await?;
            behind = page.objects.last().map(|object| object.key.clone());
            let is_truncated = page.is_truncated;
            without.extend(page.objects.into_iter().map(|object| object.key).filter(|key| {
                gophership_archive::SegmentKey::parse(&self.prefix, key)
                    .is_some_and(|key| !has_manifest(key.segment))
            }));
            if !is_truncated || behind.is_none() || SEGMENTS_MAX < without.len() {
                return Ok(without);
            }
        }
    }

    /// Returns how the claims of a replay begin.
    pub(crate) fn claims(&self, replay_id: &str) -> String {
        self.prefix.join(&format!("claims/{replay_id}/"))
    }

    /// Returns the key of the claim on a segment.
    pub(crate) fn claim_key(&self, replay_id: &str, manifest: &Manifest) -> String {
        let vault_id = vault_id_text(manifest.vault_id);
        format!("{}{vault_id}-{:020}.json", self.claims(replay_id), manifest.segment)
    }
}

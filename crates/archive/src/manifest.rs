//! The manifest of a segment: what is in its object, without opening it.
//!
//! Its bytes follow from the segment, its object and the node: there is no time and no random number in it.

use std::collections::BTreeMap;

use gophership_vault::SealedSegment;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::error::ArchiveError;
use crate::facts::ObjectFacts;
use crate::hex;
use crate::key::Prefix;
use crate::key::SegmentKey;
use crate::summary::ReceivedRange;
use crate::summary::SegmentSummary;
use crate::summary::SignalCount;
use crate::summary::SourceCount;
use crate::sums::Sums;

/// The version of manifests.
const VERSION: u32 = 1;
/// A manifest with more bytes is none: it lists at most 65 signals and 65 sources.
const BYTES_MAX: usize = 256 * 1024;

/// What the archive knows of one segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "GopherShip archive: manifest of a segment")]
pub struct Manifest {
    /// The version of this form: 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// The vault that the segment belongs to.
    #[serde(with = "hex::vault_id")]
    #[schemars(with = "String", regex(pattern = "^[0-9a-f]{32}$"))]
    pub vault_id: u128,
    /// The machine that archived it.
    pub node: String,
    /// The version of GopherShip that archived it.
    pub gophership: String,
    /// The number of the segment.
    pub segment: u64,
    /// The number of its first request.
    pub first_seq: u64,
    /// The number of its last request.
    pub last_seq: u64,
    /// Intact requests in it.
    pub requests: u64,
    /// Requests that were already damaged when it was sealed.
    pub damaged_requests: u64,
    /// When the requests came in; missing without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<ReceivedRange>,
    /// How much of each signal is in it.
    pub signals: BTreeMap<String, SignalCount>,
    /// How much of each source is in it.
    pub sources: BTreeMap<String, SourceCount>,
    /// CRC-32/ISO-HDLC of the requests, as the segment's footer has it.
    #[serde(with = "hex::crc")]
    #[schemars(with = "String", regex(pattern = "^[0-9a-f]{8}$"))]
    pub segment_crc32: u32,
    /// The file of the segment.
    pub raw: StoredSums,
    /// The object: the file as one zstd frame.
    pub object: StoredSums,
    /// What ties the segment to the one before it.
    pub chain: Chain,
}

/// Length and checksums of a file or object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoredSums {
    /// Its length.
    pub bytes: u64,
    /// CRC-32/ISO-HDLC, which S3 calls CRC32.
    #[serde(with = "hex::crc")]
    #[schemars(with = "String", regex(pattern = "^[0-9a-f]{8}$"))]
    pub crc32: u32,
    /// BLAKE3.
    #[serde(with = "hex::digest")]
    #[schemars(with = "String", regex(pattern = "^[0-9a-f]{64}$"))]
    pub blake3: [u8; 32],
}

/// The chain of digests: BLAKE3 of the digest before and of the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// The digest of the segment before; zeros without one.
    #[serde(with = "hex::digest")]
    #[schemars(with = "String", regex(pattern = "^[0-9a-f]{64}$"))]
    pub previous_digest: [u8; 32],
    /// The digest of this segment.
    #[serde(with = "hex::digest")]
    #[schemars(with = "String", regex(pattern = "^[0-9a-f]{64}$"))]
    pub digest: [u8; 32],
}

/// Who archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archiver {
    /// The machine.
    pub node: String,
    /// The version of GopherShip.
    pub gophership: String,
}

impl From<Sums> for StoredSums {
    fn from(sums: Sums) -> Self {
        let Sums { bytes, crc32, blake3 } = sums;
        Self { bytes, crc32, blake3 }
    }
}

impl StoredSums {
    /// Returns the sums.
    #[must_use]
    pub const fn sums(&self) -> Sums {
        Sums { bytes: self.bytes, crc32: self.crc32, blake3: self.blake3 }
    }
}

impl Manifest {
    /// Describes a segment and the object that is confirmed to have it.
    #[must_use]
    pub fn new(
        segment: &SealedSegment,
        summary: &SegmentSummary,
        facts: &ObjectFacts,
        origin: &Archiver,
    ) -> Self {
        Self {
            version: VERSION,
            vault_id: segment.vault_id,
            node: origin.node.clone(),
            gophership: origin.gophership.clone(),
            segment: segment.segment,
            first_seq: segment.first_seq,
            last_seq: segment.last_seq,
            requests: summary.requests,
            damaged_requests: segment.bad_records,
            received: summary.received,
            signals: summary.signals.clone(),
            sources: summary.sources.clone(),
            segment_crc32: segment.segment_crc,
            raw: facts.raw.into(),
            object: facts.object.into(),
            chain: Chain { previous_digest: segment.previous_digest, digest: segment.digest },
        }
    }

    /// Returns the key that a segment has in the archive.
    #[must_use]
    pub const fn key_of(segment: &SealedSegment) -> SegmentKey {
        SegmentKey {
            vault_id: segment.vault_id,
            segment: segment.segment,
            first_seq: segment.first_seq,
            last_seq: segment.last_seq,
            segment_crc: segment.segment_crc,
        }
    }

    /// Returns the key of the object.
    #[must_use]
    pub const fn segment_key(&self) -> SegmentKey {
        SegmentKey {
            vault_id: self.vault_id,
            segment: self.segment,
            first_seq: self.first_seq,
            last_seq: self.last_seq,
            segment_crc: self.segment_crc32,
        }
    }

    /// Returns its bytes: JSON with a line end, always the same for the same manifest.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Texts and numbers always are JSON.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads a manifest; `key` is its key, for the error.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Manifest`] when the bytes are no manifest of a known version.
    pub fn read(bytes: &[u8], key: &str) -> Result<Self, ArchiveError> {
        let unusable = |problem: String| ArchiveError::Manifest { key: key.to_owned(), problem };
        if BYTES_MAX < bytes.len() {
            return Err(unusable(format!("it has more than {BYTES_MAX} bytes")));
        }
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|error| unusable(error.to_string()))?;
        if manifest.version != VERSION {
            return Err(unusable(format!("its version is {}, not {VERSION}", manifest.version)));
        }
        Ok(manifest)
    }

    /// Checks that it stands under the key that it describes, and returns the key of its object.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Manifest`] when it is another segment's.
    pub fn object_key(&self, prefix: &Prefix, key: &str) -> Result<String, ArchiveError> {
        let segment = self.segment_key();
        if segment.manifest().key(prefix) == key {
            return Ok(segment.key(prefix));
        }
        let problem = format!("it describes segment {}", self.segment);
        Err(ArchiveError::Manifest { key: key.to_owned(), problem })
    }

    /// Whether another manifest describes the same segment. Who wrote it, and with which compression, does
    /// not matter.
    #[must_use]
    pub fn is_of_same_segment(&self, other: &Self) -> bool {
        self.segment_key() == other.segment_key()
            && self.raw == other.raw
            && self.chain == other.chain
    }
}

/// Returns the JSON schema of manifests, as it is published.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Manifest).to_value()
}

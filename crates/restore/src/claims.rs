//! One host has a segment at a time: claims by conditional writes, with a lease and takeover.

use std::time::Duration;
use std::time::SystemTime;

use gophership_archive::Manifest;
use gophership_s3::ObjectBody;
use gophership_s3::PutCondition;
use gophership_s3::PutOptions;
use gophership_s3::PutOutcome;

use crate::archive::Archive;
use crate::attempts::Attempt;
use crate::attempts::repeat;
use crate::claim::Claim;
use crate::claim::ClaimDecision;
use crate::error::RestoreError;

/// A claim has fewer bytes.
const CLAIM_BYTES_MAX: usize = 4096;

/// The claims of one host on the segments of one replay.
#[derive(Clone)]
pub struct Claims {
    archive: Archive,
    replay_id: String,
    owner: String,
    lease: Duration,
}

/// Whether a host has a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimAnswer {
    /// It has, until its lease ends.
    Held(HeldClaim),
    /// Another host has it for so long.
    Taken {
        /// How long, by the clocks of both.
        left: Duration,
    },
    /// It is done.
    Done,
}

/// A claim that this host has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldClaim {
    key: String,
    claim: Claim,
    etag: String,
}

impl HeldClaim {
    /// Returns how many hosts have taken the segment, this one included.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.claim.attempt
    }
}

impl Claims {
    /// The claims of `owner`, which no other host may be called, in a replay that all hosts call the same.
    /// A host that is silent for `lease` loses its segments.
    #[must_use]
    pub fn new(archive: Archive, replay_id: &str, owner: &str, lease: Duration) -> Self {
        Self { archive, replay_id: replay_id.to_owned(), owner: owner.to_owned(), lease }
    }

    /// Asks for a segment.
    ///
    /// # Errors
    ///
    /// [`RestoreError::S3`]; then the segment may be claimed until the lease ends.
    pub async fn take(&self, manifest: &Manifest) -> Result<ClaimAnswer, RestoreError> {
        let key = self.archive.claim_key(&self.replay_id, manifest);
        let lease_until = self.lease_until();
        let (claim, condition) = match self.read(&key).await? {
            None => (Claim::first(&self.owner, lease_until), PutCondition::IfAbsent),
            Some((claim, etag)) => match claim.next(&self.owner, unix_ms(), lease_until) {
                ClaimDecision::Take(claim) => (claim, PutCondition::IfMatch(etag)),
                ClaimDecision::Leave { until_unix_ms } => {
                    let left = until_unix_ms.saturating_sub(unix_ms());
                    return Ok(ClaimAnswer::Taken { left: Duration::from_millis(left) });
                }
                ClaimDecision::Done => return Ok(ClaimAnswer::Done),
            },
        };
        match self.write(&key, &claim, condition).await? {
            Some(etag) => Ok(ClaimAnswer::Held(HeldClaim { key, claim, etag })),
            // Another host was faster.
            None => Ok(ClaimAnswer::Taken { left: self.lease }),
        }
    }

    /// Begins the lease again. Returns whether this host still has the segment.
    ///
    /// # Errors
    ///
    /// [`RestoreError::S3`]; then the lease that was in force is.
    pub async fn renew(&self, held: &mut HeldClaim) -> Result<bool, RestoreError> {
        let claim = held.claim.renewed(self.lease_until());
        self.replace(held, claim).await
    }

    /// Says that every request of the segment is delivered. Returns whether this host still had it.
    ///
    /// # Errors
    ///
    /// [`RestoreError::S3`]; then another host takes it when the lease is over.
    pub async fn finish(&self, held: &mut HeldClaim) -> Result<bool, RestoreError> {
        let claim = held.claim.done();
        self.replace(held, claim).await
    }

    /// Lets another host have the segment at once.
    ///
    /// # Errors
    ///
    /// [`RestoreError::S3`]; then another host takes it when the lease is over.
    pub async fn release(&self, held: &mut HeldClaim) -> Result<bool, RestoreError> {
        let claim = held.claim.renewed(0);
        self.replace(held, claim).await
    }

    async fn replace(&self, held: &mut HeldClaim, claim: Claim) -> Result<bool, RestoreError> {
        let condition = PutCondition::IfMatch(held.etag.clone());
        let Some(etag) = self.write(&held.key, &claim, condition).await? else { return Ok(false) };
        (held.claim, held.etag) = (claim, etag);
        Ok(true)
    }

    fn lease_until(&self) -> u64 {
        unix_ms().saturating_add(u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX))
    }

    async fn read(&self, key: &str) -> Result<Option<(Claim, String)>, RestoreError> {
        let bucket = &self.archive.bucket;
        let read = || -> Attempt<'_, _> {
            Box::pin(async move {
                let Some(reader) = bucket.get(key, None).await? else { return Ok(None) };
                let etag = reader.info().etag.clone().unwrap_or_default();
                Ok(Some((reader.read_all(CLAIM_BYTES_MAX).await?, etag)))
            })
        };
        let Some((bytes, etag)) = repeat(self.archive.attempts, read).await? else {
            return Ok(None);
        };
        let unusable = |problem| RestoreError::Claim { key: key.to_owned(), problem };
        Ok(Some((Claim::read(&bytes).map_err(unusable)?, etag)))
    }

    /// Writes a claim; returns its etag, or nothing if the condition does not hold. If an answer was lost,
    /// the second attempt is refused, and what is there shows that it is ours.
    async fn write(
        &self,
        key: &str,
        claim: &Claim,
        condition: PutCondition,
    ) -> Result<Option<String>, RestoreError> {
        let bytes = claim.to_bytes();
        let put = PutOptions {
            condition,
            content_type: Some("application/json"),
            ..PutOptions::default()
        };
        let (bucket, put) = (&self.archive.bucket, &put);
        let write = || -> Attempt<'_, _> {
            let body = ObjectBody::Bytes(bytes.clone().into());
            Box::pin(bucket.put(key, body, put))
        };
        let written = repeat(self.archive.attempts, write).await?;
        if let PutOutcome::Written { etag: Some(etag) } = written {
            return Ok(Some(etag));
        }
        let there = self.read(key).await?;
        Ok(there.filter(|(there, _)| there == claim).map(|(_, etag)| etag))
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

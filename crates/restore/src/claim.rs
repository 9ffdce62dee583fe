//! What a claim says: who replays a segment, until when, and whether it is done.
//!
//! ```text
//!   (no object) --IfAbsent--> held --IfMatch--> held (renewed) --IfMatch--> done
//!                              |                                             (stays)
//!                              +--lease over: IfMatch--> held by another
//! ```
//!
//! Pure: what a claim becomes follows from what it is, from who asks and from the time.

use serde::Deserialize;
use serde::Serialize;

/// The version of claims.
const VERSION: u32 = 1;

/// The content of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claim {
    /// The version of this form: 1.
    version: u32,
    /// Who has the segment, or had it last.
    pub(crate) owner: String,
    /// How many have taken it, this one included.
    pub(crate) attempt: u32,
    /// When the lease ends, in milliseconds since 1970 by the clock of the owner.
    pub(crate) lease_until_unix_ms: u64,
    /// Every request of it is delivered.
    pub(crate) is_done: bool,
}

/// What a host may do with a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClaimDecision {
    /// Write this claim, if nobody else has written one meanwhile.
    Take(Claim),
    /// Leave it: another host has it until then.
    Leave { until_unix_ms: u64 },
    /// It is done.
    Done,
}

impl Claim {
    /// A claim of whoever comes first.
    pub(crate) fn first(owner: &str, lease_until_unix_ms: u64) -> Self {
        let owner = owner.to_owned();
        Self { version: VERSION, owner, attempt: 1, lease_until_unix_ms, is_done: false }
    }

    /// The same with another end of the lease.
    pub(crate) fn renewed(&self, lease_until_unix_ms: u64) -> Self {
        Self { lease_until_unix_ms, ..self.clone() }
    }

    /// The same, and done.
    pub(crate) fn done(&self) -> Self {
        Self { is_done: true, ..self.clone() }
    }

    /// What `owner` may do about it. A lease of its own is from a run before, which is over.
    pub(crate) fn next(
        &self,
        owner: &str,
        now_unix_ms: u64,
        lease_until_unix_ms: u64,
    ) -> ClaimDecision {
        if self.is_done {
            return ClaimDecision::Done;
        }
        if self.owner != owner && now_unix_ms < self.lease_until_unix_ms {
            return ClaimDecision::Leave { until_unix_ms: self.lease_until_unix_ms };
        }
        let attempt = self.attempt.saturating_add(1);
        ClaimDecision::Take(Self { attempt, ..Self::first(owner, lease_until_unix_ms) })
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // Texts and numbers always are JSON.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let claim: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if claim.version == VERSION { Ok(claim) } else { Err("its version is unknown".to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_protects_until_it_is_over() {
        let claim = Claim::first("a", 1000);
        assert_eq!(claim.next("b", 999, 5000), ClaimDecision::Leave { until_unix_ms: 1000 });
        let ClaimDecision::Take(taken) = claim.next("b", 1000, 5000) else { panic!("it is over") };
        assert_eq!((taken.owner.as_str(), taken.attempt), ("b", 2));
        assert_eq!(taken.lease_until_unix_ms, 5000);
        assert!(
            matches!(claim.next("a", 0, 5000), ClaimDecision::Take(_)),
            "its own, of a run before"
        );
        assert_eq!(claim.done().next("b", 9999, 10_000), ClaimDecision::Done);
        assert_eq!(claim.done().next("a", 9999, 10_000), ClaimDecision::Done);
    }

    #[test]
    fn a_claim_reads_as_it_was_written() {
        let claim = Claim::first("host-a", 1000).renewed(2000).done();
        assert_eq!(Claim::read(&claim.to_bytes()), Ok(claim));
        assert!(Claim::read(b"{}").is_err());
    }
}

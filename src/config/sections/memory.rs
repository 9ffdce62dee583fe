//! How much memory the process may use, and which part of it for what.

use gophership_units::ByteSize;
use gophership_units::Share;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::component::OptionProblem;
use crate::pool::MemoryLimits;

/// Below this the smallest staging area and one ordinary request do not fit beside each other.
const BUDGET_BYTES_MIN: u64 = 16 << 20;
const BUDGET_BYTES_MAX: u64 = 1 << 50;
const MIB: u64 = 1 << 20;
/// Where nothing limits the memory.
const BUDGET_BYTES_USUAL: u64 = 256 << 20;
/// What requests get of a limit unless it is said; the program and its connections need the rest.
const BUDGET_OF_LIMIT_PERCENT: u64 = 40;
/// What `s3` sinks get of the budget at most, unless it is said.
const S3_PERMILLE_MAX: u16 = 125;

/// The memory that requests may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryConfig {
    /// The total that `shares` divides, at least 16MiB. GopherShip itself needs about 50MiB more. By default
    /// 256MiB, or 40% of the memory limit of the cgroup (container, systemd unit) if that is less.
    pub budget: Option<ByteSize>,
    /// How the budget is divided. The sum must not exceed 100%.
    pub shares: MemoryShares,
}

/// How the budget is divided. The sum must not exceed 100%.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryShares {
    /// Requests in all sources, from their first byte to their answer.
    pub ingest: Share,
    /// Batches in the queues between components. If all `buffer.bytes` together exceed this share,
    /// each is reduced by the same factor.
    pub edges: Share,
    /// Working memory of transforms, in addition to the requests that they process: lists of
    /// changes, and output. A request that needs more is split, and its parts are processed one
    /// after another. A single record that needs more is rejected; if it came from a vault, it
    /// becomes a dead letter.
    pub processing: Share,
    /// Requests that wait to be written to vaults: the `staging` of all vaults.
    pub vault: Share,
    /// Requests that are being replayed from vaults.
    pub replay: Share,
    /// Buffers of `s3` sinks, which compress and upload. By default 12.5%, or what the other shares
    /// leave if that is less. Without an `s3` sink nothing of it is used.
    pub s3: Option<Share>,
}

impl Default for MemoryShares {
    fn default() -> Self {
        Self {
            ingest: Share::percent(40),
            edges: Share::percent(30),
            processing: Share::percent(5),
            vault: Share::percent(10),
            replay: Share::percent(5),
            s3: None,
        }
    }
}

impl MemoryShares {
    /// Those that are given, or have a default of their own.
    fn each(&self) -> impl Iterator<Item = (&'static str, Share)> {
        let always = [
            ("ingest", self.ingest),
            ("edges", self.edges),
            ("processing", self.processing),
            ("vault", self.vault),
            ("replay", self.replay),
        ];
        always.into_iter().chain(self.s3.map(|share| ("s3", share)))
    }

    /// The share of `s3` in thousandths: as given, or of what the others leave.
    fn s3_permille(&self) -> u16 {
        let sum: u32 = self.each().map(|(_, share)| u32::from(share.permille())).sum();
        let left = u16::try_from(1000_u32.saturating_sub(sum)).unwrap_or(0);
        self.s3.map_or(left.min(S3_PERMILLE_MAX), Share::permille)
    }
}

impl MemoryConfig {
    /// Returns the budget in bytes.
    #[must_use]
    pub fn budget_bytes(&self) -> u64 {
        self.budget.map_or(BUDGET_BYTES_USUAL, ByteSize::bytes)
    }

    /// Makes a budget that is not given fit a limit of the memory, in bytes.
    pub fn fit(&mut self, limit_bytes: u64) {
        let part = (limit_bytes / 100).saturating_mul(BUDGET_OF_LIMIT_PERCENT);
        let part = (part & !(MIB - 1)).clamp(BUDGET_BYTES_MIN, BUDGET_BYTES_USUAL);
        self.budget.get_or_insert(ByteSize(part));
    }

    /// Returns the shares in bytes.
    #[must_use]
    pub fn limits(&self) -> MemoryLimits {
        let permille = |permille: u16| {
            let bytes = u128::from(self.budget_bytes()) * u128::from(permille) / 1000;
            u64::try_from(bytes).unwrap_or(u64::MAX)
        };
        let part = |share: Share| permille(share.permille());
        let MemoryShares { ingest, edges, processing, vault, replay, .. } = self.shares;
        MemoryLimits {
            ingest: part(ingest),
            edges: part(edges),
            processing: part(processing),
            vault: part(vault),
            replay: part(replay),
            s3: permille(self.shares.s3_permille()),
        }
    }

    /// Returns what is wrong beyond types.
    pub(in crate::config) fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        if !(BUDGET_BYTES_MIN..=BUDGET_BYTES_MAX).contains(&self.budget_bytes()) {
            let (least, most) = (ByteSize(BUDGET_BYTES_MIN), ByteSize(BUDGET_BYTES_MAX));
            let message = format!("must be from {least} to {most}");
            problems.push(OptionProblem::new("somatic.memory.budget", message));
        }
        let sum: u32 = self.shares.each().map(|(_, share)| u32::from(share.permille())).sum();
        if 1000 < sum {
            let sum = format!("{}.{}%", sum / 10, sum % 10);
            let message = format!("the shares add up to {sum}; the limit is 100%");
            problems.push(OptionProblem::new("somatic.memory.shares", message));
        }
        for (name, share) in self.shares.each() {
            if share.permille() == 0 {
                let path = format!("somatic.memory.shares.{name}");
                problems.push(OptionProblem::new(path, "must be more than 0%"));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_that_is_not_given_follows_the_limit_of_the_memory() {
        let fitted = |mib: u64| {
            let mut memory = MemoryConfig::default();
            memory.fit(mib << 20);
            assert!(memory.problems().is_empty(), "{mib}");
            memory.budget_bytes()
        };
        assert_eq!([0, 8, 30].map(fitted), [16 << 20; 3]);
        assert_eq!([64, 256, 512].map(fitted), [25 << 20, 102 << 20, 204 << 20]);
        assert_eq!([1024, 65_536].map(fitted), [256 << 20; 2]);
        let given = Some(ByteSize::mib(300));
        let mut memory = MemoryConfig { budget: given, ..MemoryConfig::default() };
        memory.fit(64 << 20);
        assert_eq!(memory.budget, given);
    }

    #[test]
    fn shares_of_the_default_leave_some_and_fit_the_defaults_of_components() {
        let limits = MemoryConfig::default().limits();
        let mib = |bytes: u64| bytes >> 20;
        assert_eq!(
            [limits.ingest, limits.edges, limits.processing, limits.vault, limits.replay].map(mib),
            [102, 76, 12, 25, 12]
        );
        assert_eq!(mib(limits.s3), 25, "the rest");
        let full = MemoryShares { ingest: Share::percent(50), ..MemoryShares::default() };
        let full = MemoryConfig { shares: full, ..MemoryConfig::default() };
        assert_eq!(full.limits().s3, 0);
        assert!(full.problems().is_empty(), "nobody needs it");
        assert!(MemoryConfig::default().problems().is_empty());
    }
}

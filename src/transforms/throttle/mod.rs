//! The `throttle` transform: takes out what comes faster than it may, key by key.

mod bucket;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::num::NonZeroU32;
use std::num::NonZeroU64;

use gophership_otlp::AnyValueView;
use gophership_otlp::Level;
use gophership_otlp::RecordView;
use gophership_otlp::Reviser;
use gophership_otlp::Revision;
use gophership_units::ByteSize;
use gophership_units::HumanDuration;
use prometheus::IntCounter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::AttributeLevel;
use crate::component::BuildError;
use crate::component::ComponentId;
use crate::component::ComponentInfo;
use crate::component::Context;
use crate::component::OptionProblem;
use crate::component::Transform;
use crate::component::TransformConfig;
use crate::event::Batch;
use crate::event::Origin;
use crate::event::settle;
use crate::recent::Recent;

use bucket::RefillRate;
use bucket::TokenBucket;

/// Each is a series in the metrics.
const LIMITS_MAX: usize = 256;
const KEYS_MAX_LEAST: u32 = 2;
const KEYS_MAX_MOST: u32 = 10_000_000;

/// Drops records above a rate. It never delays records.
///
/// The rate is measured by the time of receipt, so replayed records count at their original times.
/// Live and replayed records are limited separately.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ThrottleConfig {
    /// The maximum number of records per second for each value of `key`; by default unlimited.
    /// Records above it are dropped, never delayed. The rate is measured by the time of receipt, so
    /// replayed records count at their original times. Live and replayed records are limited
    /// separately.
    records: Option<NonZeroU64>,
    /// The maximum bytes per second for each value of `key`; by default unlimited. Bytes are those
    /// of the records on the wire, without their resource.
    bytes: Option<ByteSize>,
    /// The burst that may pass at once after a pause: the amount that the rate allows in this time.
    /// A record larger than that passes if the burst is unused; records after it are dropped until
    /// the rate has caught up.
    burst: HumanDuration,
    /// The attribute whose values are limited separately; by default all records share one limit.
    /// Records without the attribute share one limit.
    key: Option<String>,
    /// The level of the attribute in `key`.
    on: AttributeLevel,
    /// Limits for single values of `key`, at most 256. Numbers and booleans are compared as text.
    limits: BTreeMap<String, Limit>,
    /// The maximum number of values of `key` to track, at about 100 bytes each. Beyond the limit
    /// the least recently seen value is evicted; it starts again with a full burst.
    keys_max: NonZeroU32,
}

/// The limit of one value.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Limit {
    /// The maximum number of records per second; by default unlimited.
    records: Option<NonZeroU64>,
    /// The maximum bytes per second; by default unlimited.
    bytes: Option<ByteSize>,
}

impl Default for ThrottleConfig {
    fn default() -> Self {
        Self {
            records: None,
            bytes: None,
            burst: HumanDuration::seconds(1),
            key: None,
            on: AttributeLevel::default(),
            limits: BTreeMap::new(),
            keys_max: NonZeroU32::new(10_000).unwrap_or(NonZeroU32::MIN),
        }
    }
}

inventory::submit! {
    ComponentInfo::transform::<ThrottleConfig>(
        "throttle",
        "Drops records above a rate, for each key.",
    )
}

fn rate(records: Option<NonZeroU64>, bytes: Option<ByteSize>) -> RefillRate {
    RefillRate { records, bytes: bytes.and_then(|size| NonZeroU64::new(size.bytes())) }
}

impl TransformConfig for ThrottleConfig {
    fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        let mut add = |path: &str, message: String| {
            problems.push(OptionProblem::new(path, message));
        };
        if self.records.is_none() && self.bytes.is_none() && self.limits.is_empty() {
            add("", "needs `records`, `bytes` or `limits`; otherwise everything passes".to_owned());
        }
        if self.burst.get().is_zero() {
            add("burst", "must be more than 0; otherwise nothing passes".to_owned());
        }
        if self.bytes.is_some_and(|bytes| bytes.bytes() == 0) {
            add("bytes", "must be more than 0; otherwise nothing passes".to_owned());
        }
        for (value, _) in self
            .limits
            .iter()
            .filter(|(_, limit)| limit.bytes.is_some_and(|bytes| bytes.bytes() == 0))
        {
            add(
                &format!("limits.{value}.bytes"),
                "must be more than 0; otherwise nothing passes".to_owned(),
            );
        }
        if self.limits.len() > LIMITS_MAX {
            add("limits", format!("at most {LIMITS_MAX} values"));
        }
        if self.key.is_none() && !self.limits.is_empty() {
            add("limits", "needs a `key`: the attribute whose values it lists".to_owned());
        }
        if !(KEYS_MAX_LEAST..=KEYS_MAX_MOST).contains(&self.keys_max.get()) {
            add("keys_max", format!("must be from {KEYS_MAX_LEAST} to {KEYS_MAX_MOST}"));
        }
        problems
    }

    fn build(&self, context: &Context) -> Result<Box<dyn Transform>, BuildError> {
        let class = |rate: RefillRate, name: &str| Class {
            rate,
            dropped: context.metrics.taken_out(context.id.as_str(), name),
        };
        let limits = self
            .limits
            .iter()
            .map(|(value, limit)| (value.clone(), class(rate(limit.records, limit.bytes), value)));
        let burst_ns = i64::try_from(self.burst.get().as_nanos()).unwrap_or(i64::MAX);
        let keys_max = usize::try_from(self.keys_max.get()).unwrap_or(usize::MAX);
        Ok(Box::new(Throttle {
            id: context.id.clone(),
            reviser: Reviser::default(),
            throttler: Throttler {
                level: self.on.level(),
                key: self.key.clone(),
                limits: limits.collect(),
                other: class(rate(self.records, self.bytes), "other"),
                burst_ns,
                hasher: RandomState::new(),
                buckets: Recent::new(keys_max),
            },
        }))
    }
}

struct Throttle {
    id: ComponentId,
    reviser: Reviser,
    throttler: Throttler,
}

/// Keys that have the same rate, each for itself.
struct Class {
    rate: RefillRate,
    dropped: IntCounter,
}

struct Throttler {
    level: Level,
    key: Option<String>,
    limits: BTreeMap<String, Class>,
    other: Class,
    burst_ns: i64,
    hasher: RandomState,
    /// By the hash of the key, so that long values cost no more than short ones. Its keys are
    /// secret, so nobody can make two values meet.
    buckets: Recent<u64, TokenBucket>,
}

impl Throttler {
    /// Whether a record passes that was received at this time.
    fn passes(&mut self, record: &RecordView<'_>, is_replayed: bool, unix_ns: u64) -> bool {
        let value = self.key.as_ref().and_then(|key| record.attribute_of(self.level, key));
        let value = value.and_then(AnyValueView::to_text);
        let class = value.as_deref().and_then(|value| self.limits.get(value));
        let class = class.unwrap_or(&self.other);
        if class.rate == RefillRate::default() {
            return true;
        }
        let key = self.hasher.hash_one((value, is_replayed));
        let bucket = self.buckets.use_or_make(key, || TokenBucket::full(self.burst_ns, unix_ns));
        let bytes = record.wire().len() as u64;
        let passes = bucket.take(class.rate, self.burst_ns, unix_ns, bytes);
        if !passes {
            class.dropped.inc();
        }
        passes
    }
}

impl Transform for Throttle {
    fn apply(&mut self, batch: Batch) -> Option<Batch> {
        let Self { id, reviser, throttler } = self;
        let (is_replayed, at) = (batch.origin() == Origin::Vault, batch.received_unix_ns());
        let decide = |record: &RecordView<'_>| {
            if throttler.passes(record, is_replayed, at) { Revision::Keep } else { Revision::Drop }
        };
        let left = reviser.apply(batch.signal(), batch.wire(), decide);
        settle(id, "throttled", batch, left)
    }
}

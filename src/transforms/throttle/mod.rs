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
use prometheus::IntCounter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::AttributeLevel;
use crate::config::ByteSize;
use crate::config::ComponentId;
use crate::config::ComponentInfo;
use crate::config::HumanDuration;
use crate::config::OptionProblem;
use crate::config::Section;
use crate::config::TransformConfig;
use crate::config::running::BuildError;
use crate::config::running::Context;
use crate::config::running::Transform;
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

/// Takes out what comes faster than it may. It never makes anybody wait.
///
/// Time is that at which requests were received, so what a vault replays has the pace it had when
/// it came; replayed and live records have their rates apart.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ThrottleConfig {
    /// Records per second that pass, for each value of `key`; without it, any number. Time is that at
    /// which requests were received, so what a vault replays has the pace it had when it came, and
    /// live and replayed records have their rates apart. Nobody ever waits: what is too much is
    /// taken out.
    records: Option<NonZeroU64>,
    /// Bytes per second that pass, for each value of `key`, counted as the records have them on the
    /// wire, without their resource; without it, any number.
    bytes: Option<ByteSize>,
    /// What passes at once after a pause: so much time's worth of the rate. A record that is larger
    /// than that passes after such a pause, and the next one when its time has gone by.
    burst: HumanDuration,
    /// The attribute whose values are throttled apart; without it all records are throttled
    /// together. Records that do not have it share one rate.
    key: Option<String>,
    /// Where that attribute is looked for.
    on: AttributeLevel,
    /// Other rates for single values of `key`, at most 256; numbers and booleans are compared as
    /// text.
    limits: BTreeMap<String, Limit>,
    /// Values of `key` that are known at the same time, about 100 bytes each; of those above, the
    /// ones not seen for longest are forgotten and may have their burst again.
    keys_max: NonZeroU32,
}

/// What passes of one value.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Limit {
    /// Records per second; without it, any number.
    records: Option<NonZeroU64>,
    /// Bytes per second; without it, any number.
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
    ComponentInfo {
        section: Section::Transform,
        name: "throttle",
        summary: "Takes out what comes faster than it may, key by key.",
        schema: |generator| generator.subschema_for::<ThrottleConfig>(),
    }
}

fn rate(records: Option<NonZeroU64>, bytes: Option<ByteSize>) -> RefillRate {
    RefillRate { records, bytes: bytes.and_then(|size| NonZeroU64::new(size.bytes())) }
}

#[typetag::serde(name = "throttle")]
impl TransformConfig for ThrottleConfig {
    fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        let mut add = |path: &str, message: String| {
            problems.push(OptionProblem::new(path, message));
        };
        if self.records.is_none() && self.bytes.is_none() && self.limits.is_empty() {
            add("", "needs `records`, `bytes` or `limits`: everything passes".to_owned());
        }
        if self.burst.get().is_zero() {
            add("burst", "a burst of no time lets nothing pass".to_owned());
        }
        if self.bytes.is_some_and(|bytes| bytes.bytes() == 0) {
            add("bytes", "no bytes let nothing pass".to_owned());
        }
        for (value, _) in self
            .limits
            .iter()
            .filter(|(_, limit)| limit.bytes.is_some_and(|bytes| bytes.bytes() == 0))
        {
            add(&format!("limits.{value}.bytes"), "no bytes let nothing pass".to_owned());
        }
        if self.limits.len() > LIMITS_MAX {
            add("limits", format!("at most {LIMITS_MAX} values"));
        }
        if self.key.is_none() && !self.limits.is_empty() {
            add("limits", "need the `key` whose values they name".to_owned());
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

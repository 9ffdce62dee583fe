//! The `sample` transform: keeps a part of the traces, with the log records that belong to them.

mod decide;
#[cfg(test)]
mod tests;
mod tracestate;

use std::collections::BTreeMap;

use gophership_otlp::AnyValueView;
use gophership_otlp::Level;
use gophership_otlp::RecordView;
use gophership_otlp::Reviser;
use gophership_otlp::Revision;
use prometheus::IntCounter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::AttributeLevel;
use crate::component::BuildError;
use crate::component::ComponentId;
use crate::component::ComponentInfo;
use crate::component::Condition;
use crate::component::Context;
use crate::component::NOTED_BYTES;
use crate::component::OptionProblem;
use crate::component::Transform;
use crate::component::TransformConfig;
use crate::event::Batch;
use crate::event::Signal;
use crate::event::settle;

use decide::Decision;
use decide::decide;
use decide::randomness;
use tracestate::Sampling;

/// Each is a series in the metrics.
const RATES_MAX: usize = 256;

/// Keeps a fraction of the spans and log records, whole traces at a time. Data points pass.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct SampleConfig {
    /// The fraction to keep: 0, or from 2^-56 (1.4e-17) to 1. Spans are sampled by the randomness of their trace (`rv`
    /// in the trace state, else the last 7 bytes of the trace id), as the OpenTelemetry
    /// specification defines, and carry the threshold (`th`). A span that an earlier stage sampled
    /// at a lower rate is kept. Log records with a trace id are sampled like the spans of that
    /// trace, error logs too unless `always_keep` says otherwise.
    rate: f64,
    /// Records that match any of these conditions are kept whatever the rate, and stay as they are: their
    /// trace may be incomplete. `severity_at_least: error` keeps all error logs, `status: error` all
    /// failed spans.
    always_keep: Vec<Condition>,
    /// The attribute whose value selects a rate from `rates`.
    key: Option<String>,
    /// The level of the attributes in `key` and `without_trace`.
    on: AttributeLevel,
    /// Rates for single values of `key`, at most 256. Numbers and booleans are compared as text.
    rates: BTreeMap<String, f64>,
    /// Records without a trace id are sampled by the value of this attribute: records with equal
    /// values are kept or dropped together. If the option or the attribute is missing, a record is
    /// sampled by a hash of its own bytes, so a retried record has the same result.
    without_trace: Option<String>,
    /// The seed for records without a trace id. The same seed keeps the same records.
    seed: u64,
}

impl Default for SampleConfig {
    fn default() -> Self {
        Self {
            rate: 1.0,
            always_keep: Vec::new(),
            key: None,
            on: AttributeLevel::default(),
            rates: BTreeMap::new(),
            without_trace: None,
            seed: 0,
        }
    }
}

inventory::submit! {
    ComponentInfo::transform::<SampleConfig>(
        "sample",
        "Keeps a fraction of the traces, with their log records.",
    )
}

/// What is wrong with a rate.
fn rate_problem(rate: f64) -> Option<&'static str> {
    if !(0.0..=1.0).contains(&rate) {
        Some("must be from 0 to 1")
    } else if 0.0 < rate && rate < tracestate::RATIO_MIN {
        Some("is below 2^-56 (1.4e-17), the smallest rate above 0 that a trace state can express")
    } else {
        None
    }
}

impl TransformConfig for SampleConfig {
    fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        let rates = self.rates.iter().map(|(value, rate)| (format!("rates.{value}"), *rate));
        for (path, rate) in std::iter::once(("rate".to_owned(), self.rate)).chain(rates) {
            if let Some(reason) = rate_problem(rate) {
                problems.push(OptionProblem::new(path, reason));
            }
        }
        for (idx, condition) in self.always_keep.iter().enumerate() {
            if let Some(reason) = condition.problem() {
                problems.push(OptionProblem::new(format!("always_keep.{idx}"), reason));
            }
        }
        if self.rates.len() > RATES_MAX {
            problems.push(OptionProblem::new("rates", format!("at most {RATES_MAX} values")));
        }
        match (&self.key, self.rates.is_empty()) {
            (None, false) => {
                problems.push(OptionProblem::new(
                    "rates",
                    "needs a `key`: the attribute whose values it lists",
                ));
            }
            (Some(_), true) => {
                problems.push(OptionProblem::new("key", "has no effect without `rates`"));
            }
            (None, true) if self.rate >= 1.0 && rate_problem(self.rate).is_none() => {
                problems.push(OptionProblem::new(
                    "",
                    "needs a `rate` below 1; otherwise it keeps everything",
                ));
            }
            _ => {}
        }
        problems
    }

    fn build(&self, context: &Context) -> Result<Box<dyn Transform>, BuildError> {
        let class = |rate: f64, name: &str| Class {
            threshold: tracestate::threshold(rate),
            dropped: context.metrics.taken_out(context.id.as_str(), name),
        };
        let rates = self.rates.iter().map(|(value, rate)| (value.clone(), class(*rate, value)));
        Ok(Box::new(Sample {
            id: context.id.clone(),
            reviser: Reviser::default(),
            sampler: Sampler {
                always_keep: self.always_keep.clone(),
                level: self.on.level(),
                key: self.key.clone(),
                rates: rates.collect(),
                other: class(self.rate, "other"),
                without_trace: self.without_trace.clone(),
                seed: blake3::derive_key(
                    "gophership sample: seed, version 1",
                    &self.seed.to_le_bytes(),
                ),
            },
        }))
    }
}

struct Sample {
    id: ComponentId,
    reviser: Reviser,
    sampler: Sampler,
}

/// Records that are kept at the same rate.
struct Class {
    /// `None` keeps nothing.
    threshold: Option<u64>,
    dropped: IntCounter,
}

struct Sampler {
    always_keep: Vec<Condition>,
    level: Level,
    key: Option<String>,
    rates: BTreeMap<String, Class>,
    other: Class,
    without_trace: Option<String>,
    seed: [u8; 32],
}

impl Sampler {
    fn decide(&self, record: &RecordView<'_>) -> Revision {
        let signal = record.signal();
        if self.always_keep.iter().any(|condition| condition.matches(signal, record)) {
            return Revision::Keep;
        }
        let value = self.key.as_ref().and_then(|key| record.attribute_of(self.level, key));
        let value = value.and_then(AnyValueView::to_text);
        let class = value.and_then(|value| self.rates.get(&*value)).unwrap_or(&self.other);
        let state = record.trace_state();
        let before = tracestate::read(state);
        let decision = match before.random.or_else(|| randomness(record.trace_id())) {
            Some(random) => decide(class.threshold, random, before),
            // No later stage can know this randomness, so no threshold may speak of it.
            None => match decide(class.threshold, self.hash(record), Sampling::default()) {
                Decision::KeepWith(_) if before.threshold.is_some() => Decision::KeepWith(None),
                Decision::KeepWith(_) => Decision::Keep,
                decision => decision,
            },
        };
        match decision {
            Decision::Drop => {
                class.dropped.inc();
                Revision::Drop
            }
            Decision::KeepWith(threshold) if signal == Signal::Traces => {
                Revision::TraceState(tracestate::with_threshold(state, threshold))
            }
            Decision::Keep | Decision::KeepWith(_) => Revision::Keep,
        }
    }

    /// The randomness of a record that belongs to no trace.
    fn hash(&self, record: &RecordView<'_>) -> u64 {
        let key = self.without_trace.as_ref();
        let value = key.and_then(|key| record.attribute_of(self.level, key));
        let hash = match value.and_then(AnyValueView::to_text) {
            Some(text) => blake3::keyed_hash(&self.seed, text.as_bytes()),
            None => blake3::keyed_hash(&self.seed, record.wire()),
        };
        let [one, two, three, four, five, six, seven, ..] = *hash.as_bytes();
        u64::from_le_bytes([one, two, three, four, five, six, seven, 0])
    }
}

impl Transform for Sample {
    /// Each span may get a trace state that is longer than the one it has.
    fn need_bytes(&self, bytes: u64, records: u64) -> u64 {
        bytes.saturating_mul(4).saturating_add(records.saturating_mul(NOTED_BYTES))
    }

    fn apply(&mut self, batch: Batch) -> Option<Batch> {
        if batch.signal() == Signal::Metrics {
            return Some(batch);
        }
        let sampler = &self.sampler;
        let left =
            self.reviser.apply(batch.signal(), batch.wire(), |record| sampler.decide(record));
        settle(&self.id, "sampled", batch, left)
    }
}

//! The `dedupe` transform: of log records that say the same only the first of a time passes.

mod content;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;

use gophership_otlp::RecordView;
use gophership_otlp::Reviser;
use gophership_otlp::Revision;
use gophership_units::HumanDuration;
use gophership_units::ns_of;
use prometheus::IntCounter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::BuildError;
use crate::component::ComponentId;
use crate::component::ComponentInfo;
use crate::component::Context;
use crate::component::OptionProblem;
use crate::component::Transform;
use crate::component::TransformConfig;
use crate::event::Batch;
use crate::event::Origin;
use crate::event::Signal;
use crate::event::settle;
use crate::recent::Recent;

use content::Comparison;
use content::ContentHash;
use content::RecordPart;
use content::identity;
use content::is_timeless;

const KEEP_LEAST: u32 = 2;
const KEEP_MOST: u32 = 10_000_000;

/// Drops log records that repeat a recent one. Spans and data points pass.
///
/// A record that a sender retries or a vault replays has the same timestamps. It is not a repeat
/// and passes, so that no record is lost if the first delivery fails. A record without timestamps is a
/// repeat, unless its whole request comes again byte for byte.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct DedupeConfig {
    /// How long after the first record its repeats are dropped, measured by the time of receipt. A
    /// record that a sender retries or a vault replays has the same timestamps. It is not a repeat
    /// and passes, because its first delivery may have failed. A record without timestamps counts as
    /// retried only if its whole request is the same as before, byte for byte, or was merged with others by
    /// `batch`. Spans and data points always pass.
    window: HumanDuration,
    /// The fields that must be equal. Timestamps are never compared.
    compare: Vec<RecordPart>,
    /// Record attributes that are not compared, such as a request id.
    ignore_attributes: Vec<String>,
    /// The maximum number of records to remember, at about 170 bytes each. Beyond the limit the
    /// least recently seen record is forgotten.
    keep: NonZeroU32,
}

impl Default for DedupeConfig {
    fn default() -> Self {
        use RecordPart::{Attributes, Body, EventName, Origin, Severity};
        Self {
            window: HumanDuration::seconds(60),
            compare: vec![Body, Severity, Attributes, EventName, Origin],
            ignore_attributes: Vec::new(),
            keep: NonZeroU32::new(10_000).unwrap_or(NonZeroU32::MIN),
        }
    }
}

inventory::submit! {
    ComponentInfo::transform::<DedupeConfig>(
        "dedupe",
        "Drops log records that repeat a recent one.",
    )
}

impl TransformConfig for DedupeConfig {
    fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        let mut add = |path: &str, message: &str| problems.push(OptionProblem::new(path, message));
        if self.window.get().is_zero() {
            add("window", "must be more than 0; otherwise nothing is a repeat");
        }
        if self.compare.is_empty() {
            add("compare", "needs at least one field; otherwise all records are equal");
        }
        if !self.ignore_attributes.is_empty() && !self.compare.contains(&RecordPart::Attributes) {
            add("ignore_attributes", "has no effect: `compare` does not contain `attributes`");
        }
        if self.ignore_attributes.iter().any(|name| name.len() > 127) {
            add("ignore_attributes", "a name has at most 127 bytes");
        }
        if !(KEEP_LEAST..=KEEP_MOST).contains(&self.keep.get()) {
            add("keep", &format!("must be from {KEEP_LEAST} to {KEEP_MOST}"));
        }
        problems
    }

    fn build(&self, context: &Context) -> Result<Box<dyn Transform>, BuildError> {
        let keep = usize::try_from(self.keep.get()).unwrap_or(usize::MAX);
        Ok(Box::new(Dedupe {
            id: context.id.clone(),
            reviser: Reviser::default(),
            memory: Memory {
                comparison: Comparison {
                    parts: self.compare.clone(),
                    ignored: self.ignore_attributes.clone(),
                },
                window_ns: ns_of(self.window.get()),
                seen: Recent::new(keep),
                batches: 0,
                request: None,
            },
            repeats: context.metrics.taken_out(context.id.as_str(), "repeat"),
        }))
    }
}

struct Dedupe {
    id: ComponentId,
    reviser: Reviser,
    memory: Memory,
    repeats: IntCounter,
}

/// The first of its kind.
#[derive(Clone, Copy)]
struct First {
    identity: ContentHash,
    received_unix_ns: u64,
    /// The number of the batch it was in last.
    batch: u64,
    /// The request it came in, if it has no times: what is not known of a merged one.
    request: Option<ContentHash>,
}

/// What was said lately.
struct Memory {
    comparison: Comparison,
    window_ns: u64,
    seen: Recent<ContentHash, First>,
    /// Batches so far.
    batches: u64,
    /// The current one, once it was looked at.
    request: Option<ContentHash>,
}

/// What the records of a batch have in common.
struct Current<'b> {
    received_unix_ns: u64,
    wire: &'b [u8],
    /// It is what a sender sent, not merged from several requests, and not from a vault.
    is_as_sent: bool,
}

impl Memory {
    /// Forgets the batch before.
    const fn begin(&mut self) {
        self.batches += 1;
        self.request = None;
    }

    /// Whether a record of the current batch says something new, or is the first of its kind sent
    /// again. Within one batch, which fails or is delivered as a whole, a second one of the same
    /// times is a repeat too.
    fn is_first(&mut self, record: &RecordView<'_>, current: &Current<'_>) -> bool {
        let (batch, identity) = (self.batches, identity(record));
        let request = (current.is_as_sent && is_timeless(record))
            .then(|| *self.request.get_or_insert_with(|| content::request(current.wire)));
        let received_unix_ns = current.received_unix_ns;
        let fresh = First { identity, received_unix_ns, batch, request };
        let mut is_new = false;
        let first = self.seen.use_or_make(self.comparison.content(record), || {
            is_new = true;
            fresh
        });
        if is_new || first.received_unix_ns.abs_diff(received_unix_ns) > self.window_ns {
            *first = fresh;
            return true;
        }
        // Without times any repeat is the same record. It is sent again if all of its request is, which may
        // not be known of either.
        let is_other_request = match (first.request, request) {
            (Some(first), Some(request)) => first != request,
            _ => false,
        };
        let is_sent_again = first.identity == identity && first.batch != batch && !is_other_request;
        if is_sent_again {
            first.batch = batch;
        }
        is_sent_again
    }
}

impl Transform for Dedupe {
    fn apply(&mut self, batch: Batch) -> Option<Batch> {
        if batch.signal() != Signal::Logs {
            return Some(batch);
        }
        let Self { id, reviser, memory, repeats } = self;
        memory.begin();
        let current = Current {
            received_unix_ns: batch.received_unix_ns(),
            wire: batch.wire(),
            is_as_sent: batch.origin() == Origin::Source && !batch.is_merged(),
        };
        let decide = |record: &RecordView<'_>| {
            if memory.is_first(record, &current) { Revision::Keep } else { Revision::Drop }
        };
        let left = reviser.apply(batch.signal(), batch.wire(), decide);
        repeats.inc_by(left.as_ref().map_or(0, |left| left.dropped));
        settle(id, "deduplicated", batch, left)
    }
}

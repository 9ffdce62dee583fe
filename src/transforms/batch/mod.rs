//! The `batch` transform: joins small requests, and divides large ones.

mod held;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::hash::RandomState;
use std::num::NonZeroU32;
use std::num::NonZeroU64;
use std::time::Duration;
use std::time::Instant;

use gophership_otlp::AnyValueView;
use gophership_otlp::Grouped;
use gophership_otlp::MergeLimits;
use gophership_otlp::Parts;
use gophership_otlp::ResourceView;
use gophership_otlp::WireError;
use gophership_units::ByteSize;
use gophership_units::HumanDuration;
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
use crate::event::Division;
use crate::event::Origin;
use crate::event::Unreadable;

use held::FlushCause;
use held::HeldLimits;
use held::HeldRequests;
use held::Joint;

const KEYS_MAX_MOST: u32 = 100_000;

/// Merges small requests into larger ones, and splits those that are too large.
///
/// A sender gets its answer when the merged request is delivered. If the merged request fails or is
/// refused, each original request is handled separately, as if it had never been merged.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct BatchConfig {
    /// Resource attributes, such as `service.name`, to group by. Only records with equal values in
    /// all of them are merged; a request with different values is split. Requests are merged only
    /// if their signal, source and kept headers are equal.
    by: Vec<String>,
    /// The largest output request. Only a single record may exceed it, or a request whose resource,
    /// scope and metric alone take half of it.
    bytes_max: ByteSize,
    /// The maximum number of log records, spans or data points in an output request.
    records_max: NonZeroU64,
    /// The longest time a request waits to be merged with others. Its sender waits too. Keep it far
    /// below the `patience` of the sources: after `patience` the vault takes a copy of the request,
    /// and the waiting one is withdrawn, or delivered twice if it was already merged. Replayed
    /// requests are neither delayed nor merged.
    timeout: HumanDuration,
    /// The maximum number of groups that wait at the same time, up to 100000. A group is one
    /// combination of signal, source, kept headers and values of `by`. Beyond the limit the group
    /// that has waited longest is sent.
    keys_max: NonZeroU32,
    /// The maximum bytes that wait in all groups. Beyond the limit the group that has waited
    /// longest is sent.
    held_max: ByteSize,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            by: Vec::new(),
            bytes_max: ByteSize(1 << 20),
            records_max: NonZeroU64::new(8192).unwrap_or(NonZeroU64::MIN),
            timeout: HumanDuration(Duration::from_millis(200)),
            keys_max: NonZeroU32::new(1000).unwrap_or(NonZeroU32::MIN),
            held_max: ByteSize(32 << 20),
        }
    }
}

inventory::submit! {
    ComponentInfo::transform::<BatchConfig>(
        "batch",
        "Merges small requests and splits large ones.",
    )
}

impl TransformConfig for BatchConfig {
    fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        let mut add = |path: &str, message: &str| problems.push(OptionProblem::new(path, message));
        for (idx, name) in self.by.iter().enumerate() {
            let path = format!("by.{idx}");
            if name.is_empty() {
                add(&path, "an attribute needs a name");
            } else if self.by[..idx].contains(name) {
                add(&path, "is named twice");
            }
        }
        if self.bytes_max.bytes() == 0 {
            add("bytes_max", "must be more than 0");
        }
        if self.timeout.get().is_zero() {
            add("timeout", "must be more than 0; otherwise nothing is merged");
        }
        if self.held_max < self.bytes_max {
            add("held_max", "must be at least `bytes_max`");
        }
        if self.keys_max.get() > KEYS_MAX_MOST {
            add("keys_max", &format!("at most {KEYS_MAX_MOST}"));
        }
        problems
    }

    fn build(&self, context: &Context) -> Result<Box<dyn Transform>, BuildError> {
        let id = context.id.as_str();
        let request =
            MergeLimits { bytes: self.bytes_max.bytes(), records: self.records_max.get() };
        let keys = usize::try_from(self.keys_max.get()).unwrap_or(usize::MAX);
        let (wait, bytes) = (self.timeout.get(), self.held_max.bytes());
        Ok(Box::new(Batcher {
            id: context.id.clone(),
            keys: Keys { by: self.by.clone(), hasher: RandomState::new() },
            limits: request,
            groups_max: keys,
            held: HeldRequests::new(HeldLimits { request, wait, keys, bytes }),
            queue: VecDeque::new(),
            joined: context.metrics.joined_requests(id),
            sent: FlushCause::ALL.map(|cause| context.metrics.joined(id, cause.name())),
            divided: context.metrics.divided_requests(id),
        }))
    }
}

/// Tells what may be joined. A hash stands for the key, so that long values cost no more than short
/// ones. The keys of the hash are secret, so nobody can make two values meet.
struct Keys {
    by: Vec<String>,
    hasher: RandomState,
}

impl Keys {
    fn key(&self, batch: &Batch, resource: Option<&ResourceView<'_>>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        (batch.signal(), batch.provenance(), batch.sink_set()).hash(&mut hasher);
        for name in self.by.iter().filter(|_| resource.is_some()) {
            let value = resource.and_then(|resource| resource.attribute(name));
            value.and_then(AnyValueView::to_text).hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// What is to go on next.
enum Work {
    /// A batch as it is.
    Pass(Batch),
    /// Several, as one.
    Join(Joint),
    /// One, in parts.
    Divide(Division),
}

struct Batcher {
    id: ComponentId,
    keys: Keys,
    limits: MergeLimits,
    groups_max: usize,
    held: HeldRequests,
    queue: VecDeque<Work>,
    joined: IntCounter,
    /// By cause.
    sent: [IntCounter; FlushCause::ALL.len()],
    divided: IntCounter,
}

impl Batcher {
    /// Takes a batch; what has to go on because of it is in the queue then.
    fn take(&mut self, mut batch: Batch, now: Instant) {
        if batch.origin() == Origin::Vault {
            let work = self.bounded(batch);
            return self.queue.push_back(work);
        }
        if self.keys.by.is_empty() {
            let key = self.keys.key(&batch, None);
            return self.hold(key, batch, now);
        }
        let key = |resource: &ResourceView<'_>| self.keys.key(&batch, Some(resource));
        match gophership_otlp::group(batch.signal(), batch.wire(), self.groups_max, key) {
            Ok(Grouped::Whole(key)) => self.hold(key, batch, now),
            Ok(Grouped::Apart(mut groups)) => {
                self.divided.inc();
                let last = groups.pop();
                for group in groups {
                    let part = batch.split_off(group.bytes, group.records);
                    self.hold(group.key, part, now);
                }
                if let Some(last) = last {
                    batch.replace(last.bytes, last.records);
                    self.hold(last.key, batch, now);
                }
            }
            Err(error) => self.reject(batch, &error),
        }
    }

    fn hold(&mut self, key: u64, batch: Batch, now: Instant) {
        let Self { held, queue, .. } = self;
        let mut out = |joint| queue.push_back(Work::Join(joint));
        if self.limits.allow(batch.cost_bytes(), batch.records()) || batch.records() <= 1 {
            return held.put(key, batch, now, &mut out);
        }
        // What came before it goes on before it.
        held.close(key, FlushCause::Size, &mut out);
        let work = self.bounded(batch);
        self.queue.push_back(work);
    }

    /// Passes a batch on, divided if it is too large.
    fn bounded(&self, batch: Batch) -> Work {
        let records = batch.records();
        if self.limits.allow(batch.cost_bytes(), records) || records <= 1 {
            return Work::Pass(batch);
        }
        self.divided.inc();
        let parts = Parts::new(batch.signal(), batch.wire(), records, self.limits);
        Work::Divide(Division::new(batch, parts))
    }

    /// The next batch that goes on.
    fn next(&mut self) -> Option<Batch> {
        loop {
            let next = match self.queue.pop_front()? {
                Work::Pass(batch) => Some(batch),
                Work::Join(joint) => self.join(joint),
                Work::Divide(division) => self.divide(division),
            };
            if next.is_some() {
                return next;
            }
        }
    }

    /// Joins what the vault has not taken over meanwhile.
    fn join(&self, joint: Joint) -> Option<Batch> {
        let (claimed, batches): (Vec<_>, Vec<_>) =
            joint.batches.into_iter().partition(Batch::is_claimed);
        claimed.into_iter().for_each(Batch::superseded);
        let len = batches.len() as u64;
        let batch = Batch::merge(batches)?;
        self.sent[joint.cause as usize].inc();
        self.joined.inc_by(len);
        Some(batch)
    }

    /// Takes the next part off a batch, and puts the rest back to the front of the queue.
    fn divide(&mut self, division: Division) -> Option<Batch> {
        match division.next() {
            Ok((part, rest)) => {
                if let Some(rest) = rest {
                    self.queue.push_front(Work::Divide(rest));
                }
                part
            }
            Err(unreadable) => {
                let Unreadable { batch, error } = *unreadable;
                self.reject(batch, &error);
                None
            }
        }
    }

    fn reject(&self, batch: Batch, error: &WireError) {
        tracing::warn!(
            component = %self.id, %error,
            "Cannot merge or split a request: it is invalid. The request is rejected."
        );
        batch.rejected();
    }
}

impl Transform for Batcher {
    /// The groups of a request that is taken apart are copies, all at once; its parts are made one by one.
    /// What is held has a limit of its own.
    fn need_bytes(&self, bytes: u64, _records: u64) -> u64 {
        if self.keys.by.is_empty() { self.limits.bytes.min(bytes) } else { bytes }
    }

    fn apply(&mut self, batch: Batch) -> Option<Batch> {
        self.take(batch, Instant::now());
        self.next()
    }

    fn ready(&mut self, now: Instant) -> Option<Batch> {
        if let Some(batch) = self.next() {
            return Some(batch);
        }
        let Self { held, queue, .. } = self;
        held.close_due(now, &mut |joint| queue.push_back(Work::Join(joint)));
        self.next()
    }

    fn due(&self) -> Option<Instant> {
        self.held.due()
    }

    fn finish(&mut self) {
        let Self { held, queue, .. } = self;
        held.close_all(&mut |joint| queue.push_back(Work::Join(joint)));
    }
}

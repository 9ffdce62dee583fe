//! Sharing a request out among outputs: what each of them gets, and what becomes of the rest.

use bytes::Bytes;
use gophership_otlp::RecordView;
use gophership_otlp::Reviser;
use gophership_otlp::Revision;
use gophership_otlp::WireError;
use gophership_otlp::scratch;

use crate::event::Batch;
use crate::event::Signal;
use crate::event::SinkSet;

/// As many as a set of them has bits.
const OUTPUTS_MAX: usize = 64;

/// A set of outputs, by their place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outputs(u64);

impl Outputs {
    pub(super) const NONE: Self = Self(0);

    pub(super) const fn with(self, idx: usize) -> Self {
        Self(self.0 | 1 << (idx % OUTPUTS_MAX))
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn has(self, idx: usize) -> bool {
        self.0 >> (idx % OUTPUTS_MAX) & 1 == 1
    }

    fn places(self) -> impl Iterator<Item = usize> {
        (0..OUTPUTS_MAX).filter(move |idx| self.has(*idx))
    }

    /// Those whose reach is as wanted.
    fn of(reach: &[SinkSet], is_wanted: impl Fn(SinkSet) -> bool) -> Self {
        let wanted = reach.iter().enumerate().filter(|(_, sink_set)| is_wanted(**sink_set));
        wanted.fold(Self::NONE, |found, (idx, _)| found.with(idx))
    }
}

/// Where the records of one request go. Kept between requests for its memory.
#[derive(Default)]
pub(super) struct Sorter {
    reviser: Reviser,
    /// All of them, so many.
    all: Option<(Outputs, u64)>,
    /// Or else each, in the order of the request.
    each: Vec<Outputs>,
}

impl Sorter {
    /// All records go to the same outputs.
    pub(super) fn all(&mut self, outputs: Outputs, records: u64) {
        self.all = Some((outputs, records));
    }

    /// Each record goes to outputs of its own.
    pub(super) fn each(
        &mut self,
        signal: Signal,
        wire: &Bytes,
        mut outputs: impl FnMut(&RecordView<'_>) -> Outputs,
    ) -> Result<(), WireError> {
        let Self { reviser, all, each } = self;
        *all = None;
        each.clear();
        let note = |record: &RecordView<'_>| {
            each.push(outputs(record));
            Revision::Keep
        };
        reviser.apply(signal, wire, note).map(drop)
    }

    /// Forgets the request, and keeps a little of the memory.
    pub(super) fn reset(&mut self) {
        scratch::reset(&mut self.each);
    }

    /// Records with the same outputs, and how many.
    fn runs(&self) -> impl Iterator<Item = (Outputs, u64)> {
        let each = if self.all.is_some() { &[] } else { self.each.as_slice() };
        self.all.into_iter().chain(each.iter().map(|outputs| (*outputs, 1)))
    }

    /// How many records go to each output, whether it is read or not.
    pub(super) fn matched(&self) -> [u64; OUTPUTS_MAX] {
        let mut counts = [0; OUTPUTS_MAX];
        for (outputs, records) in self.runs() {
            outputs.places().for_each(|idx| counts[idx] += records);
        }
        counts
    }

    /// Shares the request of a batch out among outputs that lead to these lanes. Each can get a copy of its
    /// own: all of them together take at most `room` bytes.
    pub(super) fn share(
        &mut self,
        batch: &Batch,
        reach: &[SinkSet],
        room: usize,
    ) -> Result<RouteShares, WireError> {
        let sink_set = batch.sink_set();
        let read = Outputs::of(reach, |sink_set| !sink_set.is_empty());
        let live = Outputs::of(reach, |reach| reach.meets(sink_set));
        let (mut counts, mut total, mut unread) = ([0; OUTPUTS_MAX], 0, 0);
        let mut wanted = Outputs::NONE;
        for (outputs, records) in self.runs() {
            total += records;
            let to = outputs.and(live);
            wanted = wanted.or(to);
            to.places().for_each(|idx| counts[idx] += records);
            if outputs.and(read).is_empty() {
                unread += records;
            }
        }
        let mut parts = Vec::new();
        let mut left = room;
        for (output, sink_set) in reach.iter().enumerate().filter(|(idx, _)| wanted.has(*idx)) {
            let (wire, records) = if counts[output] == total {
                (batch.wire().clone(), batch.records())
            } else {
                let taken = self.take(batch, output)?;
                let no_room = WireError::NoRoom { room_bytes: room };
                left = left.checked_sub(taken.0.len()).ok_or(no_room)?;
                taken
            };
            parts.push(Part { output, wire, records, sink_set: *sink_set });
        }
        let behind = reach.iter().fold(SinkSet::NONE, |all, sink_set| all.or(*sink_set));
        let is_for_nobody = live.is_empty() && (!read.is_empty() || sink_set != SinkSet::ALL);
        Ok(RouteShares { parts, unread, behind, is_for_nobody })
    }

    /// What an output gets of a request: some of its records, with what is around them.
    fn take(&mut self, batch: &Batch, output: usize) -> Result<(Bytes, u64), WireError> {
        let Self { reviser, each, .. } = self;
        let mut outputs = each.iter();
        let decide = |_: &RecordView<'_>| {
            let is_its = outputs.next().is_some_and(|outputs| outputs.has(output));
            if is_its { Revision::Keep } else { Revision::Drop }
        };
        let taken = reviser.apply(batch.signal(), batch.wire(), decide)?;
        Ok((taken.bytes, taken.kept))
    }
}

/// What one output gets.
struct Part {
    output: usize,
    wire: Bytes,
    records: u64,
    sink_set: SinkSet,
}

/// What all of them get.
pub(super) struct RouteShares {
    parts: Vec<Part>,
    /// Records that no output has that anybody reads.
    pub(super) unread: u64,
    /// All sinks behind all outputs.
    behind: SinkSet,
    /// None of the sinks that it is for is behind any output.
    is_for_nobody: bool,
}

impl RouteShares {
    /// Makes a batch for each output that gets something. What its sinks do not get at all they are
    /// spared: it need not be kept for them either.
    pub(super) fn hand_out(mut self, mut batch: Batch, parts: &mut Vec<(usize, Batch)>) {
        if self.is_for_nobody {
            // They went while it was on its way; its source finds another way.
            return batch.failed();
        }
        batch.leave_out(self.behind);
        let sink_set = batch.sink_set();
        let Some(last) = self.parts.pop() else {
            // Others get it, as a copy of their own, or nobody.
            batch.trim(Bytes::new(), 0, self.unread, sink_set);
            return batch.filtered();
        };
        let served =
            self.parts.iter().fold(last.sink_set, |sink_set, part| sink_set.or(part.sink_set));
        batch.spare(self.behind.and(sink_set).without(served));
        for Part { output, wire, records, sink_set } in self.parts {
            let mut copy = batch.fork(sink_set);
            copy.trim(wire, records, 0, sink_set);
            parts.push((output, copy));
        }
        batch.trim(last.wire, last.records, self.unread, last.sink_set);
        parts.push((last.output, batch));
    }
}

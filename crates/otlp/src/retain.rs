//! Dropping records from the wire form, and changing the trace state of those that stay.

use std::ops::Range;

use bytes::Bytes;

use super::editor::point_attributes;
use super::error::{LocatedFault, WireError};
use super::patch::Patches;
use super::signal::Signal;
use super::view::RecordView;
use super::wire::{Field, Fields, put_bytes};
use crate::scratch;

/// A request after records were dropped.
#[derive(Debug, Clone)]
pub struct Retained {
    /// The request; the very same bytes when nothing was dropped.
    pub bytes: Bytes,
    /// Records that are still in it.
    pub kept: u64,
    /// Records that are not.
    pub dropped: u64,
}

/// Keeps the log records, spans or data points that `keep` says yes to.
///
/// A metric, scope or resource that loses its last record this way is dropped with it. What stays
/// is copied as it is, unknown fields included. `keep` is asked once for each record, in the order
/// of the request.
///
/// # Errors
///
/// [`WireError::Malformed`] when the envelope cannot be read. Records are not checked.
pub fn retain(
    signal: Signal,
    bytes: &Bytes,
    mut keep: impl FnMut(&RecordView<'_>) -> bool,
) -> Result<Retained, WireError> {
    let decide =
        |record: &RecordView<'_>| if keep(record) { Revision::Keep } else { Revision::Drop };
    Reviser::default().apply(signal, bytes, decide)
}

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revision {
    /// It stays as it is.
    Keep,
    /// It is dropped.
    Drop,
    /// It stays, with this trace state if it is a span.
    TraceState(String),
}

/// Drops and changes records. Kept between requests for its memory, of which it keeps a bounded part.
#[derive(Debug, Default)]
pub struct Reviser {
    patches: Patches,
    resource: Vec<Field>,
    scope: Vec<Field>,
}

impl Reviser {
    /// Does with each record what `decide` says; all that [`retain`] promises holds here too.
    /// Takes no memory when nothing changes.
    ///
    /// # Errors
    ///
    /// [`WireError::Malformed`] when the envelope, or a record that is changed, cannot be read.
    pub fn apply(
        &mut self,
        signal: Signal,
        bytes: &Bytes,
        decide: impl FnMut(&RecordView<'_>) -> Revision,
    ) -> Result<Retained, WireError> {
        let Self { patches, resource, scope } = self;
        // What it takes follows from the number of records: whoever calls has looked at that.
        patches.begin(usize::MAX);
        let mut pass = Pass { signal, bytes, decide, patches, resource, scope };
        let result = pass.request();
        let Count { kept, dropped, .. } = result.unwrap_or_default();
        let bytes = pass.patches.finish(signal, bytes, result.map(drop));
        scratch::reset(&mut self.resource);
        scratch::reset(&mut self.scope);
        Ok(Retained { bytes: bytes?, kept, dropped })
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    kept: u64,
    dropped: u64,
    /// By how many bytes it grows; negative when it loses something.
    delta: isize,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.kept += other.kept;
        self.dropped += other.dropped;
        self.delta += other.delta;
    }

    fn is_emptied(&self) -> bool {
        self.kept == 0 && self.dropped > 0
    }
}

struct Pass<'a, K> {
    signal: Signal,
    bytes: &'a [u8],
    decide: K,
    patches: &'a mut Patches,
    /// The pieces of the resource around the current record.
    resource: &'a mut Vec<Field>,
    /// The pieces of the scope around the current record.
    scope: &'a mut Vec<Field>,
}

impl<K: FnMut(&RecordView<'_>) -> Revision> Pass<'_, K> {
    fn request(&mut self) -> Result<Count, LocatedFault> {
        let span = 0..self.bytes.len();
        self.children(span, 1, |pass, field| {
            pass.resource.clear();
            pieces(pass.bytes, field.span(), pass.resource)?;
            pass.container(field, Self::resource_container)
        })
    }

    fn resource_container(&mut self, span: Range<usize>) -> Result<Count, LocatedFault> {
        self.children(span, 2, |pass, field| {
            pass.scope.clear();
            pieces(pass.bytes, field.span(), pass.scope)?;
            pass.container(field, Self::scope_container)
        })
    }

    fn scope_container(&mut self, span: Range<usize>) -> Result<Count, LocatedFault> {
        match self.signal {
            Signal::Logs => self.children(span, 2, |pass, field| pass.record(field, field, 6)),
            Signal::Traces => self.children(span, 2, |pass, field| pass.record(field, field, 9)),
            Signal::Metrics => self.children(span, 2, |pass, metric| {
                pass.container(metric, |pass, span| pass.metric(metric, span))
            }),
        }
    }

    /// Drops data points of a metric. Where the wire has several kinds of data, the last counts;
    /// the others are no records to any parser and stay as they are.
    fn metric(&mut self, metric: &Field, span: Range<usize>) -> Result<Count, LocatedFault> {
        let mut fields = Fields::new(self.bytes, span.clone());
        let (mut kind, mut since) = (0, span.start);
        while let Some(field) = fields.next()? {
            if point_attributes(field.number).is_some() && field.number != kind {
                kind = field.number;
                since = field.start;
            }
        }
        let Some(attributes) = point_attributes(kind) else { return Ok(Count::default()) };
        self.children(since..span.end, kind, |pass, data| {
            let slot = pass.patches.open(data);
            let mut count = pass
                .children(data.span(), 1, |pass, point| pass.record(metric, point, attributes))?;
            count.delta = pass.patches.close(&slot, data, count.delta);
            Ok(count)
        })
    }

    /// Asks about one record.
    fn record(
        &mut self,
        named: &Field,
        record: &Field,
        attributes: u32,
    ) -> Result<Count, LocatedFault> {
        let view = RecordView {
            signal: self.signal,
            bytes: self.bytes,
            resource: self.resource,
            scope: self.scope,
            named: *named,
            record: *record,
            attributes,
        };
        let mut count = Count { kept: 1, ..Count::default() };
        match (self.decide)(&view) {
            Revision::Drop => {
                let delta = self.patches.replace(record.start..record.end, |_| ());
                count = Count { dropped: 1, delta, kept: 0 };
            }
            Revision::TraceState(state) if self.signal == Signal::Traces => {
                let slot = self.patches.open(record);
                let delta = self.trace_state(record.span(), &state)?;
                count.delta = self.patches.close(&slot, record, delta);
            }
            Revision::Keep | Revision::TraceState(_) => {}
        }
        Ok(count)
    }

    /// Gives the span at `span` another trace state; the one that counts is the last.
    fn trace_state(&mut self, span: Range<usize>, state: &str) -> Result<isize, LocatedFault> {
        let mut place = span.end..span.end;
        let mut fields = Fields::new(self.bytes, span);
        while let Some(field) = fields.next_message(3)? {
            place = field.start..field.end;
        }
        Ok(self.patches.replace(place, |out| put_bytes(out, 3, state.as_bytes())))
    }

    /// Goes into a container; drops it whole when nothing is left of it.
    fn container(
        &mut self,
        field: &Field,
        inside: impl FnOnce(&mut Self, Range<usize>) -> Result<Count, LocatedFault>,
    ) -> Result<Count, LocatedFault> {
        let slot = self.patches.open(field);
        let mut count = inside(self, field.span())?;
        count.delta = if count.is_emptied() {
            self.patches.remove_instead(&slot, field)
        } else {
            self.patches.close(&slot, field, count.delta)
        };
        Ok(count)
    }

    /// Visits the fields `number` of the message at `span`.
    fn children(
        &mut self,
        span: Range<usize>,
        number: u32,
        mut visit: impl FnMut(&mut Self, &Field) -> Result<Count, LocatedFault>,
    ) -> Result<Count, LocatedFault> {
        let mut count = Count::default();
        let mut fields = Fields::new(self.bytes, span);
        while let Some(field) = fields.next_message(number)? {
            count.add(visit(self, &field)?);
        }
        Ok(count)
    }
}

/// Collects the places of the resource or scope, field 1 of the container at `span`.
pub(super) fn pieces(
    bytes: &[u8],
    span: Range<usize>,
    pieces: &mut Vec<Field>,
) -> Result<(), LocatedFault> {
    let mut fields = Fields::new(bytes, span);
    while let Some(field) = fields.next_message(1)? {
        pieces.push(field);
    }
    Ok(())
}

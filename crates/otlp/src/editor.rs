//! Applies edits of attributes to the wire form.
//!
//! An edit touches the attributes of resources, scopes or records and nothing else: all other
//! bytes are copied in ranges as they are, and records that are not edited are stepped over by
//! their length. The result decodes to what the same edit of the decoded request would be.
//!
//! Attributes keep their order; new ones come last. Where a request has a key twice, an edit
//! leaves it once.

use std::ops::Range;

use bytes::Bytes;

use super::attributes::Attributes;
use super::edit::Edit;
use super::edit::Level;
use super::error::{LocatedFault, WireError};
use super::patch::Patches;
use super::signal::Signal;
use super::wire::{Field, Fields, WireType, put_message};

/// Applies edits, in their order, to requests.
#[derive(Debug, Clone)]
pub struct Editor {
    resource: Vec<Edit>,
    scope: Vec<Edit>,
    record: Vec<Edit>,
}

impl Editor {
    /// An editor for these edits.
    #[must_use]
    pub fn new(edits: Vec<Edit>) -> Self {
        let mut editor = Self { resource: Vec::new(), scope: Vec::new(), record: Vec::new() };
        for edit in edits {
            match edit.level {
                Level::Resource => editor.resource.push(edit),
                Level::Scope => editor.scope.push(edit),
                Level::Record => editor.record.push(edit),
            }
        }
        editor
    }

    /// Applies the edits to a request; returns the very same bytes when they change nothing.
    ///
    /// `room` is how many bytes of memory it may take: for what is to change, and for the result.
    ///
    /// # Errors
    ///
    /// [`WireError::Malformed`] when the parts that had to be read cannot be. Parts that are only
    /// copied are not checked. [`WireError::NoRoom`].
    pub fn apply(&self, signal: Signal, bytes: &Bytes, room: usize) -> Result<Bytes, WireError> {
        // What comes out is about as large as the request; of the rest the attributes of one message have
        // half.
        let attributes_room = room.saturating_sub(bytes.len()) / 2;
        let mut pass = Pass {
            editor: self,
            signal,
            bytes,
            attributes: Attributes::new(bytes, attributes_room),
            patches: Patches::default(),
            fragments: Vec::new(),
        };
        pass.patches.begin(room - attributes_room);
        let result = pass.request();
        pass.patches.finish(signal, bytes, result)
    }
}

/// One request on its way through an editor. Its functions return by how many bytes the content
/// of the message they were given grows.
struct Pass<'x> {
    editor: &'x Editor,
    signal: Signal,
    bytes: &'x [u8],
    attributes: Attributes<'x>,
    patches: Patches,
    /// The places of a resource or scope; more than one when it was given several times.
    fragments: Vec<Field>,
}

impl<'x> Pass<'x> {
    fn request(&mut self) -> Result<(), LocatedFault> {
        self.each(0..self.bytes.len(), 1, Self::resource_container).map(drop)
    }

    fn resource_container(&mut self, span: Range<usize>) -> Result<isize, LocatedFault> {
        let editor = self.editor;
        let delta = self.header(span.clone(), &editor.resource, 1)?;
        if editor.scope.is_empty() && editor.record.is_empty() {
            return Ok(delta);
        }
        Ok(delta + self.each(span, 2, Self::scope_container)?)
    }

    fn scope_container(&mut self, span: Range<usize>) -> Result<isize, LocatedFault> {
        let editor = self.editor;
        let delta = self.header(span.clone(), &editor.scope, 3)?;
        if editor.record.is_empty() {
            return Ok(delta);
        }
        let records = match self.signal {
            Signal::Logs => self.each(span, 2, |pass, record| pass.record(record, 6)),
            Signal::Traces => self.each(span, 2, |pass, record| pass.record(record, 9)),
            Signal::Metrics => self.each(span, 2, Self::metric),
        };
        Ok(delta + records?)
    }

    fn metric(&mut self, span: Range<usize>) -> Result<isize, LocatedFault> {
        let mut delta = 0;
        let mut fields = Fields::new(self.bytes, span);
        while let Some(data) = fields.next()? {
            let Some(number) = point_attributes(data.number) else { continue };
            data.expect(WireType::Len)?;
            delta += self.inside(&data, |pass, span| {
                pass.each(span, 1, |pass, point| pass.record(point, number))
            })?;
        }
        Ok(delta)
    }

    /// Goes into each message that is field `number` of the one at `span`.
    fn each(
        &mut self,
        span: Range<usize>,
        number: u32,
        mut visit: impl FnMut(&mut Self, Range<usize>) -> Result<isize, LocatedFault>,
    ) -> Result<isize, LocatedFault> {
        let mut delta = 0;
        let mut fields = Fields::new(self.bytes, span);
        while let Some(field) = fields.next_message(number)? {
            delta += self.inside(&field, &mut visit)?;
        }
        Ok(delta)
    }

    /// Goes into a message and keeps its length right.
    fn inside(
        &mut self,
        field: &Field,
        visit: impl FnOnce(&mut Self, Range<usize>) -> Result<isize, LocatedFault>,
    ) -> Result<isize, LocatedFault> {
        let slot = self.patches.open(field);
        let delta = visit(self, field.span())?;
        Ok(self.patches.close(&slot, field, delta))
    }

    /// Edits a log record, span or data point whose attributes are field `number`.
    fn record(&mut self, span: Range<usize>, number: u32) -> Result<isize, LocatedFault> {
        let editor = self.editor;
        self.attributes.clear();
        self.attributes.load(span.clone(), number)?;
        for edit in &editor.record {
            self.attributes.apply(edit)?;
        }
        Ok(self.attributes.store(number, span, true, &mut self.patches))
    }

    /// Edits the resource or scope, field 1 of the container at `span`; `number` is the field of
    /// its attributes. Given several times it is one message in pieces, as for any parser.
    fn header(
        &mut self,
        span: Range<usize>,
        edits: &'x [Edit],
        number: u32,
    ) -> Result<isize, LocatedFault> {
        if edits.is_empty() {
            return Ok(0);
        }
        self.attributes.clear();
        self.fragments.clear();
        let mut fields = Fields::new(self.bytes, span.clone());
        while let Some(field) = fields.next_message(1)? {
            self.attributes.load(field.span(), number)?;
            self.fragments.push(field);
        }
        for edit in edits {
            self.attributes.apply(edit)?;
        }
        let Self { attributes, patches, fragments, .. } = self;
        let Some(last) = fragments.len().checked_sub(1) else {
            return Ok(if attributes.has_new() {
                patches.replace(span.start..span.start, |out| {
                    put_message(out, 1, |out| attributes.put_new(out, number));
                })
            } else {
                0
            });
        };
        let mut delta = 0;
        for (idx, field) in fragments.iter().enumerate() {
            let slot = patches.open(field);
            let inner = attributes.store(number, field.span(), idx == last, patches);
            delta += patches.close(&slot, field, inner);
        }
        Ok(delta)
    }
}

/// The attributes field of the data points of a kind of data; `None` when it is no data.
pub(super) fn point_attributes(data: u32) -> Option<u32> {
    match data {
        // Gauge, sum and summary.
        5 | 7 | 11 => Some(7),
        // Histogram.
        9 => Some(9),
        // Exponential histogram.
        10 => Some(1),
        _ => None,
    }
}

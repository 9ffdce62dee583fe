//! A record as the wire has it, its fields found when they are asked for.

use super::edit::Level;
use super::error::LocatedFault;
use super::signal::Signal;
use super::value::{AnyValueView, entry_key, entry_value};
use super::wire::{Field, Fields, WireType};

/// A log record, span or metric data point, read in place.
///
/// Each question walks the fields of the record, so ask for what is needed only. What the record
/// does not have, or has in a form no parser takes, reads as absent. Of a field given twice the
/// last counts; of an attribute given twice, the first.
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    pub(super) signal: Signal,
    pub(super) bytes: &'a [u8],
    /// The pieces of the resource, usually one.
    pub(super) resource: &'a [Field],
    /// The pieces of the scope, usually one.
    pub(super) scope: &'a [Field],
    /// The record, or for a data point its metric.
    pub(super) named: Field,
    pub(super) record: Field,
    /// The field number of the record's attributes.
    pub(super) attributes: u32,
}

impl<'a> RecordView<'a> {
    /// The signal the record belongs to.
    #[must_use]
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// The severity of a log record, 1 to 24 (9 is info, 17 is error); 0 when it is not given and
    /// for other signals.
    #[must_use]
    pub fn severity_number(&self) -> i32 {
        if self.signal != Signal::Logs {
            return 0;
        }
        let field = self.last(&self.record, 2, WireType::Varint);
        // As parsers do: an enumeration is the low 32 bits of the varint.
        field.map_or(0, |field| low_32_bits(field.varint))
    }

    /// The severity of a log record in the words of its source; empty when it is not given.
    #[must_use]
    pub fn severity_text(&self) -> &'a str {
        if self.signal == Signal::Logs { self.text(&self.record, 3) } else { "" }
    }

    /// The trace id of a log record or span; empty when it is not given and for data points.
    #[must_use]
    pub fn trace_id(&self) -> &'a [u8] {
        let number = match self.signal {
            Signal::Logs => 9,
            Signal::Traces => 1,
            Signal::Metrics => return &[],
        };
        let field = self.last(&self.record, number, WireType::Len);
        field.map_or(&[], |field| &self.bytes[field.span()])
    }

    /// The W3C trace state of a span; empty when it is not given and for other signals.
    #[must_use]
    pub fn trace_state(&self) -> &'a str {
        if self.signal == Signal::Traces { self.text(&self.record, 3) } else { "" }
    }

    /// The record on the wire, without its key and length.
    #[must_use]
    pub fn wire(&self) -> &'a [u8] {
        &self.bytes[self.record.span()]
    }

    /// The fields of the record: their numbers, and their values on the wire; of what cannot be
    /// read on, nothing.
    pub fn fields(&self) -> impl Iterator<Item = (u32, &'a [u8])> + use<'a> {
        let bytes = self.bytes;
        let mut fields = Fields::new(bytes, self.record.span());
        std::iter::from_fn(move || fields.next().ok().flatten())
            .map(move |field| (field.number, &bytes[field.span()]))
    }

    /// The resource and the scope on the wire, in pieces, usually one of each.
    pub fn origin(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        self.resource.iter().chain(self.scope).map(move |piece| &bytes[piece.span()])
    }

    /// The name of the span, of the data point's metric, or of the event a log record is.
    #[must_use]
    pub fn name(&self) -> &'a str {
        let number = match self.signal {
            Signal::Logs => 12,
            Signal::Traces => 5,
            Signal::Metrics => 1,
        };
        self.text(&self.named, number)
    }

    /// The body of a log record, when it is text.
    #[must_use]
    pub fn body(&self) -> Option<&'a str> {
        self.body_value().as_str()
    }

    /// The body of a log record; empty when it is not given and for other signals.
    #[must_use]
    pub fn body_value(&self) -> AnyValueView<'a> {
        let mut body = AnyValueView::Empty;
        if self.signal != Signal::Logs {
            return body;
        }
        let mut fields = Fields::new(self.bytes, self.record.span());
        while let Ok(Some(field)) = fields.next() {
            if field.number == 5 && field.wire_type == WireType::Len {
                let read = body.read(self.bytes, Fields::new(self.bytes, field.span()));
                body = read.unwrap_or(AnyValueView::Empty);
            }
        }
        body
    }

    /// The code of the status of a span, 1 for OK and 2 for an error; 0 when it is not set and for other
    /// signals.
    #[must_use]
    pub fn status_code(&self) -> i32 {
        let mut code = 0;
        if self.signal != Signal::Traces {
            return code;
        }
        let mut fields = Fields::new(self.bytes, self.record.span());
        while let Ok(Some(field)) = fields.next() {
            if field.number == 15
                && field.wire_type == WireType::Len
                && let Some(given) = self.last(&field, 3, WireType::Varint)
            {
                code = low_32_bits(given.varint);
            }
        }
        code
    }

    /// An attribute of the record.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<AnyValueView<'a>> {
        self.find(&[self.record], self.attributes, key)
    }

    /// An attribute of the record's resource.
    #[must_use]
    pub fn resource_attribute(&self, key: &str) -> Option<AnyValueView<'a>> {
        self.find(self.resource, 1, key)
    }

    /// An attribute of one of the levels.
    #[must_use]
    pub fn attribute_of(&self, level: Level, key: &str) -> Option<AnyValueView<'a>> {
        match level {
            Level::Record => self.attribute(key),
            Level::Resource => self.resource_attribute(key),
            Level::Scope => self.scope_attribute(key),
        }
    }

    /// An attribute of the record's instrumentation scope.
    #[must_use]
    pub fn scope_attribute(&self, key: &str) -> Option<AnyValueView<'a>> {
        self.find(self.scope, 3, key)
    }

    /// The name of the record's instrumentation scope; empty when it has none.
    #[must_use]
    pub fn scope_name(&self) -> &'a str {
        let mut pieces = self.scope.iter().rev();
        let name = pieces.find_map(|piece| self.last(piece, 1, WireType::Len));
        name.and_then(|field| std::str::from_utf8(&self.bytes[field.span()]).ok()).unwrap_or("")
    }

    fn text(&self, message: &Field, number: u32) -> &'a str {
        let field = self.last(message, number, WireType::Len);
        field.and_then(|field| std::str::from_utf8(&self.bytes[field.span()]).ok()).unwrap_or("")
    }

    fn last(&self, message: &Field, number: u32, wire_type: WireType) -> Option<Field> {
        let mut fields = Fields::new(self.bytes, message.span());
        let mut last = None;
        while let Ok(Some(field)) = fields.next() {
            if field.number == number && field.wire_type == wire_type {
                last = Some(field);
            }
        }
        last
    }

    fn find(&self, pieces: &[Field], number: u32, key: &str) -> Option<AnyValueView<'a>> {
        find_attribute(self.bytes, pieces, number, key)
    }
}

/// Finds an attribute in the pieces of a message that has attributes as field `number`.
pub(super) fn find_attribute<'a>(
    bytes: &'a [u8],
    pieces: &[Field],
    number: u32,
    key: &str,
) -> Option<AnyValueView<'a>> {
    let mut found = pieces.iter().map(|piece| find_in(bytes, piece, number, key));
    found.find_map(|found| found.unwrap_or(None))
}

fn find_in<'a>(
    bytes: &'a [u8],
    message: &Field,
    number: u32,
    key: &str,
) -> Result<Option<AnyValueView<'a>>, LocatedFault> {
    let mut fields = Fields::new(bytes, message.span());
    while let Some(field) = fields.next()? {
        if field.number == number
            && field.wire_type == WireType::Len
            && entry_key(bytes, &field)? == key.as_bytes()
        {
            return entry_value(bytes, &field).map(Some);
        }
    }
    Ok(None)
}

/// The low 32 bits as a signed number.
pub(super) fn low_32_bits(value: u64) -> i32 {
    let [one, two, three, four, ..] = value.to_le_bytes();
    i32::from_le_bytes([one, two, three, four])
}

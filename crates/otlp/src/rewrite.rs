//! Rewriting what requests say: texts and attribute values, on the wire form.
//!
//! Every text of a request is reached, and every value: in bodies, in the attributes of resources,
//! scopes, records, events, links and exemplars, and inside lists and key-value lists to any depth that
//! a decoder goes to, with their keys. Everything else is copied in ranges as it is, unknown fields
//! included.

use std::fmt::Display;
use std::io::Write as _;
use std::ops::Range;

use bytes::Bytes;

use super::error::{LocatedFault, WireError, WireFaultKind};
use super::patch::Patches;
use super::schema::{Kind, Message};
use super::signal::Signal;
use super::value::{double, entry_key};
use super::wire::{Field, Fields, put_bytes, put_message};
use crate::scratch;

/// Messages may nest this deep; the typed decoder gives up at the same depth.
const DEPTH_MAX: usize = 100;

/// Where a text or value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Position {
    /// The body of a log record, with what is inside it.
    Body,
    /// The attributes of a log record, span, event, link, data point, exemplar or metric.
    Record,
    /// The attributes of a resource, its references to entities and the URL of its schema.
    Resource,
    /// The name, version and attributes of an instrumentation scope, and the URL of its schema.
    Scope,
    /// The texts of records beside body and attributes: names, descriptions, units, severities, the
    /// messages of statuses, trace states.
    Name,
}

/// What becomes of an attribute, or of an entry of a key-value list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its key and the texts of its value are looked at.
    Look,
    /// It stays as it is, whatever is inside.
    Leave,
    /// It is removed, key and value.
    Remove,
    /// Its value gives way to a text.
    Replace,
}

/// Decides what is rewritten.
pub trait Rewrite {
    /// Whether anything at this place is looked at.
    fn enters(&self, place: Position) -> bool;

    /// What becomes of the entry with this key.
    fn entry(&mut self, key: &[u8]) -> Fate;

    /// Appends the text that stands for a whole value: `value` is its text, its number as text,
    /// its bytes, or the wire form of a list.
    fn replace(&mut self, value: &[u8], out: &mut Vec<u8>);

    /// Appends what stands for a text, bytes, or a whole number as text, and says yes; says no
    /// if it stays as it is. What stands for UTF-8 must be UTF-8.
    fn text(&mut self, text: &[u8], out: &mut Vec<u8>) -> bool;
}

/// Rewrites requests. Kept between requests for its memory, of which it keeps a bounded part.
#[derive(Debug, Default)]
pub struct Rewriter {
    patches: Patches,
    /// The text that stands for another, while it is made.
    text: Vec<u8>,
    /// A number, or true or false, as text.
    number: Vec<u8>,
}

impl Rewriter {
    /// Rewrites a request; returns the very same bytes, and takes no memory, when nothing changes.
    ///
    /// `room` is how many bytes of memory it may take: for what is to change, and for the result.
    ///
    /// # Errors
    ///
    /// [`WireError::Malformed`] when the parts that had to be read cannot be, or are nested deeper
    /// than any decoder goes; [`WireError::NoRoom`].
    pub fn apply(
        &mut self,
        signal: Signal,
        bytes: &Bytes,
        rewrite: &mut impl Rewrite,
        room: usize,
    ) -> Result<Bytes, WireError> {
        self.patches.begin(room);
        let mut pass = Pass { bytes, rewriter: self, rewrite };
        let request = Message::request(signal);
        let result = pass.message(request, 0..bytes.len(), Position::Record, 0).map(drop);
        scratch::reset(&mut self.text);
        scratch::reset(&mut self.number);
        self.patches.finish(signal, bytes, result)
    }
}

/// One request on its way. Functions return by how many bytes the content of the message they were
/// given grows.
struct Pass<'x, R> {
    bytes: &'x [u8],
    rewriter: &'x mut Rewriter,
    rewrite: &'x mut R,
}

impl<R: Rewrite> Pass<'_, R> {
    fn message(
        &mut self,
        message: Message,
        span: Range<usize>,
        place: Position,
        depth: usize,
    ) -> Result<isize, LocatedFault> {
        if depth > DEPTH_MAX {
            return Err(LocatedFault { offset: span.start, kind: WireFaultKind::TooDeep });
        }
        let mut delta = 0;
        let mut fields = Fields::new(self.bytes, span);
        while let Some(field) = fields.next()? {
            let Some((_, schema)) = message.field(field.number) else { continue };
            let Some((inner, place)) = step(message, field.number, schema.kind, place) else {
                continue;
            };
            let is_container = !matches!(inner, Some(Message::KeyValue | Message::AnyValue) | None);
            if !is_container && !self.rewrite.enters(place) {
                continue;
            }
            field.expect(schema.kind.wire_type())?;
            delta += match inner {
                None => self.text(&field),
                Some(Message::KeyValue) => self.entry(&field, place, depth + 1)?,
                Some(Message::AnyValue) => {
                    self.inside(&field, |pass, span| pass.value(span, place, depth + 1))?
                }
                Some(inner) => {
                    self.inside(&field, |pass, span| pass.message(inner, span, place, depth + 1))?
                }
            };
        }
        Ok(delta)
    }

    /// Goes into a message and keeps its length right.
    fn inside(
        &mut self,
        field: &Field,
        visit: impl FnOnce(&mut Self, Range<usize>) -> Result<isize, LocatedFault>,
    ) -> Result<isize, LocatedFault> {
        let slot = self.rewriter.patches.open(field);
        let delta = visit(self, field.span())?;
        Ok(self.rewriter.patches.close(&slot, field, delta))
    }

    /// One `KeyValue`.
    fn entry(
        &mut self,
        field: &Field,
        place: Position,
        depth: usize,
    ) -> Result<isize, LocatedFault> {
        match self.rewrite.entry(entry_key(self.bytes, field)?) {
            Fate::Leave => Ok(0),
            Fate::Remove => Ok(self.rewriter.patches.replace(field.start..field.end, |_| ())),
            Fate::Look => {
                self.inside(field, |pass, span| pass.message(Message::KeyValue, span, place, depth))
            }
            Fate::Replace => self.inside(field, Self::replace_value),
        }
    }

    /// Puts a text in the place of the value of the `KeyValue` at `span`. A value given in pieces
    /// is one message to any parser, so all pieces go.
    fn replace_value(&mut self, span: Range<usize>) -> Result<isize, LocatedFault> {
        let mut shown = None;
        let mut pieces = Fields::new(self.bytes, span.clone());
        while let Some(piece) = pieces.next_message(2)? {
            shown = self.shown(piece.span())?.or(shown);
        }
        let Rewriter { patches, text, number } = &mut *self.rewriter;
        text.clear();
        match shown {
            Some(Shown::Bytes(range)) => self.rewrite.replace(&self.bytes[range], text),
            Some(Shown::Written) => self.rewrite.replace(number, text),
            None => return Ok(0),
        }
        let mut delta = 0;
        let mut is_written = false;
        let mut fields = Fields::new(self.bytes, span);
        while let Some(field) = fields.next_message(2)? {
            let is_first = !std::mem::replace(&mut is_written, true);
            delta += patches.replace(field.start..field.end, |out| {
                if is_first {
                    put_message(out, 2, |out| put_bytes(out, 1, text));
                }
            });
        }
        Ok(delta)
    }

    /// What the `AnyValue` at `span` shows of itself.
    fn shown(&mut self, span: Range<usize>) -> Result<Option<Shown>, LocatedFault> {
        let mut shown = None;
        let mut fields = Fields::new(self.bytes, span);
        while let Some(field) = fields.next()? {
            let Some((_, schema)) = Message::AnyValue.field(field.number) else { continue };
            field.expect(schema.kind.wire_type())?;
            let number = field.varint.cast_signed();
            shown = Some(match schema.kind {
                Kind::Bool => self.written(number != 0),
                Kind::Double => self.written(double(self.bytes, &field)),
                Kind::Int32 | Kind::Int64 => self.written(number),
                _ => Shown::Bytes(field.span()),
            });
        }
        Ok(shown)
    }

    /// The texts in the `AnyValue` at `span`.
    fn value(
        &mut self,
        span: Range<usize>,
        place: Position,
        depth: usize,
    ) -> Result<isize, LocatedFault> {
        let mut delta = 0;
        let mut fields = Fields::new(self.bytes, span);
        while let Some(field) = fields.next()? {
            let Some((_, schema)) = Message::AnyValue.field(field.number) else { continue };
            field.expect(schema.kind.wire_type())?;
            delta += match schema.kind {
                Kind::Text | Kind::Bytes => self.text(&field),
                Kind::Int64 => self.integer(&field),
                Kind::Message(inner) => {
                    self.inside(&field, |pass, span| pass.message(inner, span, place, depth + 1))?
                }
                _ => 0,
            };
        }
        Ok(delta)
    }

    fn text(&mut self, field: &Field) -> isize {
        let Rewriter { patches, text, .. } = &mut *self.rewriter;
        text.clear();
        if !self.rewrite.text(&self.bytes[field.span()], text) {
            return 0;
        }
        patches.count_beside(text.len());
        patches.replace(field.start..field.end, |out| put_bytes(out, field.number, text))
    }

    /// A whole number becomes a text if its digits have to be rewritten.
    fn integer(&mut self, field: &Field) -> isize {
        self.written(field.varint.cast_signed());
        let Rewriter { patches, text, number } = &mut *self.rewriter;
        text.clear();
        if !self.rewrite.text(number, text) {
            return 0;
        }
        patches.replace(field.start..field.end, |out| put_bytes(out, 1, text))
    }

    /// Keeps a value as text.
    fn written(&mut self, value: impl Display) -> Shown {
        self.rewriter.number.clear();
        // Writing to memory cannot fail.
        let _written = write!(self.rewriter.number, "{value}");
        Shown::Written
    }
}

/// What a value shows of itself.
enum Shown {
    /// These bytes of the request.
    Bytes(Range<usize>),
    /// The text written last.
    Written,
}

/// Where a field of a message leads to: the message to go into, or none for a text, and the place
/// that is then; `None` where there is nothing to rewrite.
fn step(
    message: Message,
    number: u32,
    kind: Kind,
    place: Position,
) -> Option<(Option<Message>, Position)> {
    match (message, number, kind) {
        (_, _, Kind::Message(Message::Buckets | Message::ValueAtQuantile)) => None,
        (Message::LogRecord, 5, Kind::Message(inner)) => Some((Some(inner), Position::Body)),
        (_, _, Kind::Message(Message::Resource)) => {
            Some((Some(Message::Resource), Position::Resource))
        }
        (_, _, Kind::Message(Message::Scope)) => Some((Some(Message::Scope), Position::Scope)),
        (_, _, Kind::Message(inner)) => Some((Some(inner), place)),
        (_, _, Kind::Text) => Some((None, place_of_text(message, place))),
        _ => None,
    }
}

/// Where the texts of a message stand that are neither values nor inside attributes.
const fn place_of_text(message: Message, place: Position) -> Position {
    match message {
        // The key of an attribute, or inside a body, stands where its value does.
        Message::KeyValue | Message::AnyValue => place,
        Message::ResourceLogs
        | Message::ResourceSpans
        | Message::ResourceMetrics
        | Message::Resource
        | Message::EntityRef => Position::Resource,
        Message::ScopeLogs | Message::ScopeSpans | Message::ScopeMetrics | Message::Scope => {
            Position::Scope
        }
        _ => Position::Name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Visits each field that can be in a request.
    fn visit(message: Message, place: Position, seen: &mut Vec<(Message, Position)>) {
        if seen.contains(&(message, place)) {
            return;
        }
        seen.push((message, place));
        for field in message.fields() {
            let found = step(message, field.number, field.kind, place);
            match (field.kind, found) {
                // A value looks into its texts itself.
                (Kind::Text, _) if message == Message::AnyValue => {}
                (Kind::Text, found) => {
                    assert!(matches!(found, Some((None, _))), "{message:?}.{}", field.name);
                }
                (Kind::Message(inner), Some((_, place))) => visit(inner, place, seen),
                (Kind::Message(Message::Buckets | Message::ValueAtQuantile), None) => {}
                (kind, found) => assert_eq!((kind, found), (field.kind, None), "{message:?}"),
            }
        }
    }

    #[test]
    fn no_text_of_a_request_is_out_of_reach() {
        for signal in Signal::ALL {
            let mut seen = Vec::new();
            visit(Message::request(signal), Position::Record, &mut seen);
            assert!(15 < seen.len(), "{seen:?}");
        }
    }
}

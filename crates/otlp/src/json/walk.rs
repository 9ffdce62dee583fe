//! The way through a request in the order of its JSON form, without a list of what is in it.
//!
//! Fields come in the order of the schema, whatever their order on the wire. What is spread over
//! the wire is gathered: elements of a list, pieces of a message given several times. A message is
//! read once to see which fields it has and where, and once more for each of its lists, so that
//! memory depends on how deep messages nest, never on how many there are.

use std::io;
use std::io::Write;
use std::ops::Range;

use super::super::schema::{FieldSchema, Kind, Message, Presence};
use super::super::wire::{Field, Fields, WireType, varint};
use super::stream::JsonWriter;

/// Where the values of a field are, as positions of their keys.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    first: usize,
    last: usize,
    /// How many times the field is there.
    count: usize,
}

/// Writes a message of a request that was inspected and measured: reading its fields does not fail. It
/// is what these pieces of `bytes` are together.
pub(super) fn walk<W: Write>(
    message: Message,
    bytes: &[u8],
    pieces: Vec<Range<usize>>,
    out: JsonWriter<'_, W>,
) -> io::Result<()> {
    let owners = 0..pieces.len();
    let mut walk = Walk { bytes, out, pieces, seen: Vec::new() };
    walk.message(message, owners)
}

struct Walk<'a, 'o, W> {
    bytes: &'a [u8],
    out: JsonWriter<'o, W>,
    /// The pieces of all messages from the outermost to the current one, one after another; those of
    /// each message in the order of the wire.
    pieces: Vec<Range<usize>>,
    /// Where the fields of these messages are, for each message in the order of its schema.
    seen: Vec<Seen>,
}

impl<'a, W: Write> Walk<'a, '_, W> {
    /// Goes through the message with these pieces.
    fn message(&mut self, message: Message, owners: Range<usize>) -> io::Result<()> {
        let mut is_first = true;
        self.out.put(b"{");
        if let Some((schema, field)) = self.lone(message, &owners) {
            // So are most values of attributes.
            self.out.key(schema.json);
            self.out.scalar(schema.kind, self.bytes, &field)?;
            self.out.put(b"}");
            return Ok(());
        }
        let first = self.seen.len();
        self.survey(message, owners.clone());
        for (idx, schema) in (first..).zip(message.fields()) {
            let seen = self.seen[idx];
            let is_required = is_required(message, schema);
            if seen.count == 0 && !is_required {
                continue;
            }
            let last = self.last(&seen);
            let is_default = schema.presence == Presence::Plain
                && last.is_some_and(|field| is_default(self.bytes, &field));
            if is_default && !is_required {
                continue;
            }
            self.separate(&mut is_first);
            self.out.key(schema.json);
            match (schema.presence, schema.kind, last) {
                (Presence::Repeated, _, _) => self.list(schema, owners.clone(), seen)?,
                (_, Kind::Message(inner), Some(last)) => {
                    self.gathered(inner, owners.clone(), seen, &last)?;
                }
                (_, Kind::Message(inner), None) => self.message(inner, 0..0)?,
                (_, kind, Some(last)) => self.out.scalar(kind, self.bytes, &last)?,
                (_, _, None) => self.out.put(b"\"\""),
            }
        }
        self.seen.truncate(first);
        self.out.put(b"}");
        self.out.rest()
    }

    /// The only field of an attribute value or body, if it is a single value.
    fn lone(
        &self,
        message: Message,
        owners: &Range<usize>,
    ) -> Option<(&'static FieldSchema, Field)> {
        if message != Message::AnyValue || owners.len() != 1 {
            return None;
        }
        let piece = self.pieces[owners.start].clone();
        let end = piece.end;
        let field = Fields::new(self.bytes, piece).next().ok().flatten()?;
        let (_, schema) = message.field(field.number)?;
        let is_lone = field.end == end && !matches!(schema.kind, Kind::Message(_));
        is_lone.then_some((schema, field))
    }

    /// Looks where the fields of a message are. Of alternatives the last one counts, from where it
    /// replaced another on.
    fn survey(&mut self, message: Message, owners: Range<usize>) {
        let start = self.seen.len();
        self.seen.resize(start + message.fields().len(), Seen::default());
        let all = &mut self.seen[start..];
        let mut chosen = None;
        for owner in &self.pieces[owners] {
            let mut fields = Fields::new(self.bytes, owner.clone());
            while let Ok(Some(field)) = fields.next() {
                let Some((idx, schema)) = message.field(field.number) else { continue };
                if schema.presence == Presence::Alternative
                    && let Some(replaced) = chosen.replace(idx)
                    && replaced != idx
                {
                    all[replaced] = Seen::default();
                }
                let seen = &mut all[idx];
                if seen.count == 0 {
                    seen.first = field.start;
                }
                seen.last = field.start;
                seen.count += 1;
            }
        }
    }

    /// Reads the last value of a field again.
    fn last(&self, seen: &Seen) -> Option<Field> {
        if seen.count == 0 {
            return None;
        }
        Fields::new(self.bytes, seen.last..self.bytes.len()).next().ok().flatten()
    }

    /// Goes through a message that may be given in several pieces.
    fn gathered(
        &mut self,
        message: Message,
        owners: Range<usize>,
        seen: Seen,
        last: &Field,
    ) -> io::Result<()> {
        let start = self.pieces.len();
        if seen.count == 1 {
            self.pieces.push(last.span());
        } else {
            for owner in owners {
                let mut fields = self.fields_since(owner, seen.first);
                while let Ok(Some(field)) = fields.next() {
                    if field.number == last.number {
                        self.pieces.push(field.span());
                    }
                }
            }
        }
        let done = self.message(message, start..self.pieces.len());
        self.pieces.truncate(start);
        done
    }

    fn list(&mut self, schema: &FieldSchema, owners: Range<usize>, seen: Seen) -> io::Result<()> {
        self.out.put(b"[");
        let (mut is_first, mut left) = (true, seen.count);
        let start = self.pieces.len();
        for owner in owners {
            let mut fields = self.fields_since(owner, seen.first);
            while left > 0
                && let Ok(Some(field)) = fields.next()
            {
                if field.number != schema.number {
                    continue;
                }
                left -= 1;
                if field.wire_type == WireType::Len && schema.may_be_packed() {
                    self.packed(schema.kind, &field, &mut is_first)?;
                    continue;
                }
                self.separate(&mut is_first);
                match schema.kind {
                    Kind::Message(inner) => {
                        self.pieces.push(field.span());
                        let done = self.message(inner, start..start + 1);
                        self.pieces.truncate(start);
                        done?;
                    }
                    kind => self.out.scalar(kind, self.bytes, &field)?,
                }
            }
        }
        self.out.put(b"]");
        Ok(())
    }

    fn packed(&mut self, kind: Kind, field: &Field, is_first: &mut bool) -> io::Result<()> {
        for one in packed(kind, self.bytes, field) {
            self.separate(is_first);
            self.out.scalar(kind, self.bytes, &one)?;
        }
        Ok(())
    }

    /// The fields of a piece, without those in front of `first`, which is the start of a field.
    fn fields_since(&self, owner: usize, first: usize) -> Fields<'a> {
        let Range { start, end } = self.pieces[owner];
        Fields::new(self.bytes, first.clamp(start, end)..end)
    }

    fn separate(&mut self, is_first: &mut bool) {
        if !*is_first {
            self.out.put(b",");
        }
        *is_first = false;
    }
}

/// The numbers in a packed field, each as a field of its own. What cannot be read ends them.
pub(super) fn packed(kind: Kind, bytes: &[u8], field: &Field) -> impl Iterator<Item = Field> {
    let (field, mut at) = (*field, field.value);
    std::iter::from_fn(move || {
        let (value, end) = match kind.wire_type() {
            _ if field.end <= at => return None,
            WireType::Varint => varint(bytes, at).ok()?,
            _ => (0, at + 8),
        };
        Some(Field { value: std::mem::replace(&mut at, end), end, varint: value, ..field })
    })
}

/// Whether a field is written even if it is not there: readers in the field insist on keys and lists.
pub(super) fn is_required(message: Message, schema: &FieldSchema) -> bool {
    match message {
        Message::KeyValue | Message::ArrayValue | Message::KeyValueList => schema.number == 1,
        Message::EntityRef => true,
        _ => false,
    }
}

/// Whether a value is the one that a plain field has when it is not there.
fn is_default(bytes: &[u8], field: &Field) -> bool {
    match field.wire_type {
        WireType::Fixed32 | WireType::Fixed64 => bytes[field.span()].iter().all(|&byte| byte == 0),
        _ => field.varint == 0,
    }
}

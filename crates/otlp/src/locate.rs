//! Turns the offset of a fault into the path of the message around it.

use super::error::{LocatedFault, WireError};
use super::schema::{Kind, Message};
use super::signal::Signal;
use super::wire::{Fields, WireType};

/// Paths name at most this many messages; whatever lies deeper is inside an attribute value.
const PATH_LEN_MAX: usize = 12;

/// The error for a fault.
#[cold]
pub(super) fn malformed(signal: Signal, bytes: &[u8], fault: LocatedFault) -> WireError {
    let LocatedFault { offset, kind } = fault;
    WireError::Malformed { offset, path: path(signal, bytes, offset), fault: kind }
}

/// The path of the innermost known message around `offset`, `request` for the outermost.
#[cold]
pub(super) fn path(signal: Signal, bytes: &[u8], offset: usize) -> String {
    let mut message = Message::request(signal);
    let mut names = Vec::new();
    let mut span = 0..bytes.len();
    while names.len() < PATH_LEN_MAX {
        let Some((name, inner, inner_span)) = child(message, Fields::new(bytes, span), offset)
        else {
            break;
        };
        names.push(name);
        message = inner;
        span = inner_span;
    }
    if names.is_empty() { "request".to_owned() } else { names.join(".") }
}

/// The known message among `fields` that contains `offset`.
fn child(
    message: Message,
    mut fields: Fields<'_>,
    offset: usize,
) -> Option<(&'static str, Message, std::ops::Range<usize>)> {
    while let Ok(Some(field)) = fields.next() {
        if !field.span().contains(&offset) {
            continue;
        }
        let (_, schema) = message.field(field.number)?;
        return match schema.kind {
            Kind::Message(inner) if field.wire_type == WireType::Len => {
                Some((schema.name, inner, field.span()))
            }
            _ => None,
        };
    }
    None
}

//! What is ignored of a request around its records: what to tell a sender whose request has none.

use std::ops::Range;

use super::locate::path;
use super::schema::{Kind, Message};
use super::signal::Signal;
use super::wire::{Field, Fields, WireType};

/// Of a key no more is shown.
const KEY_CHARS_MAX: usize = 64;

/// What to say of a key that a message does not have in JSON.
pub(super) fn unknown_key(signal: Signal, message: Message, key: &str) -> String {
    let of_request = |other: &Signal| {
        let fields = Message::request(*other).fields();
        fields.iter().any(|field| field.json == key || field.name == key)
    };
    if let Some(field) = message.fields().iter().find(|field| field.name == key) {
        return format!("the key `{key}` is unknown: OTLP/JSON has `{}`", field.json);
    }
    let mut others = Signal::ALL.into_iter().filter(|other| *other != signal);
    if let Some(other) = others.find(of_request) {
        let path = other.http_path();
        return format!("the key `{key}` is unknown here: requests with {other} go to {path}");
    }
    let shown: String = key.chars().take(KEY_CHARS_MAX).collect();
    format!("the key `{shown}` is unknown")
}

/// What to say of the first unknown field around the records of a request that was pre-scanned.
#[must_use]
pub fn unknown_field(signal: Signal, bytes: &[u8]) -> Option<String> {
    let field = first(Message::request(signal), bytes, 0..bytes.len())?;
    let path = path(signal, bytes, field.start);
    Some(format!("field {} of {path} is unknown", field.number))
}

fn first(message: Message, bytes: &[u8], span: Range<usize>) -> Option<Field> {
    let mut fields = Fields::new(bytes, span);
    while let Ok(Some(field)) = fields.next() {
        let Some((_, schema)) = message.field(field.number) else { return Some(field) };
        if let Kind::Message(inner) = schema.kind
            && inner.has_records()
            && field.wire_type == WireType::Len
            && let Some(found) = first(inner, bytes, field.span())
        {
            return Some(found);
        }
    }
    None
}

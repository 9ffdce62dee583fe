//! The head of a request: its fields, checked as the standard demands.
//!
//! Source: RFC 9113, sections 8.2 and 8.3.

use std::sync::Arc;

/// What each field counts beside its name and value.
const FIELD_BYTES: usize = 32;
/// Longer room for the fields of a head is given back after it.
const SCRATCH_BYTES_MAX: usize = 4 << 10;

/// The head of a request. It has a method and a path; its names are in lower case.
///
/// Requests of one connection whose heads came in the same bytes share one: [`Arc::ptr_eq`] tells a caller that
/// it knows what a head means.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestHead {
    text: Box<[u8]>,
    fields: Box<[Field]>,
    content_length: Option<u64>,
    expects_continue: bool,
}

/// Where a field is in the text: its name, and its value behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    start: u32,
    name_len: u32,
    value_len: u32,
}

impl RequestHead {
    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.pseudo(b":method")
    }

    /// The path, with the query if there is one; empty for CONNECT.
    #[must_use]
    pub fn path(&self) -> &str {
        self.pseudo(b":path")
    }

    /// The scheme; empty for CONNECT.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.pseudo(b":scheme")
    }

    /// The authority; empty if there is none.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.pseudo(b":authority")
    }

    /// The value of the first field with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let mut fields = self.fields();
        fields.find(|(field, _)| *field == name.as_bytes()).map(|(_, value)| value)
    }

    /// Names and values of all fields in their order; the names of those that HTTP/2 itself has begin with a
    /// colon.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| {
            let text = &self.text[field.start as usize..];
            let (name, rest) = text.split_at(field.name_len as usize);
            (name, &rest[..field.value_len as usize])
        })
    }

    /// The announced length of the body.
    #[must_use]
    pub const fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// The bytes of all names and values.
    pub(crate) const fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Whether the client waits for leave to send the body.
    pub(crate) const fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    fn pseudo(&self, name: &[u8]) -> &str {
        let mut fields = self.fields();
        let value = fields.find(|(field, _)| *field == name).map(|(_, value)| value);
        value.and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default()
    }
}

/// What a header block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderBlockKind {
    Request,
    Trailers,
}

/// Why a head is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHead {
    Malformed,
    TooLarge,
}

/// Takes the fields of a header block one by one. Its memory is kept for the next one.
#[derive(Debug, Default)]
pub(crate) struct HeadBuilder {
    text: Vec<u8>,
    fields: Vec<Field>,
    list_bytes: usize,
    seen: Seen,
    content_length: Option<u64>,
    expects_continue: bool,
    is_malformed: bool,
}

/// Which fields there are.
#[expect(clippy::struct_excessive_bools, reason = "each is a field that may be there once")]
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    method: bool,
    is_connect: bool,
    is_options: bool,
    scheme: bool,
    path: bool,
    is_asterisk: bool,
    authority: bool,
    regular: bool,
}

/// How much of a head is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    pub(crate) list_bytes: usize,
    pub(crate) fields: usize,
}

impl HeadBuilder {
    pub(crate) fn clear(&mut self) {
        let (mut text, mut fields) =
            (std::mem::take(&mut self.text), std::mem::take(&mut self.fields));
        if SCRATCH_BYTES_MAX < text.capacity() + fields.capacity() * size_of::<Field>() {
            (text, fields) = (Vec::new(), Vec::new());
        }
        text.clear();
        fields.clear();
        *self = Self { text, fields, ..Self::default() };
    }

    /// Takes the next field. What is above the limits is counted, and not kept.
    pub(crate) fn push(
        &mut self,
        name: &[u8],
        value: &[u8],
        role: HeaderBlockKind,
        limits: HeadLimits,
    ) {
        self.list_bytes = self.list_bytes.saturating_add(name.len() + value.len() + FIELD_BYTES);
        if limits.list_bytes < self.list_bytes || self.fields.len() == limits.fields {
            // Not even looked at: a few bytes may refer to one long field thousands of times.
            self.list_bytes = self.list_bytes.max(limits.list_bytes + 1);
            return;
        }
        let is_valid = match name.first() {
            Some(b':') => role == HeaderBlockKind::Request && self.take_pseudo(name, value),
            _ => self.take_regular(name, value),
        };
        self.is_malformed |= !is_valid;
        self.keep(name, value);
    }

    /// Checks what only all fields together show.
    pub(crate) fn finish(
        &mut self,
        role: HeaderBlockKind,
        limits: HeadLimits,
    ) -> Result<Option<Arc<RequestHead>>, BadHead> {
        let is_large = limits.list_bytes < self.list_bytes;
        let is_complete = is_large || role == HeaderBlockKind::Trailers || self.seen.is_complete();
        if self.is_malformed || !is_complete {
            return Err(BadHead::Malformed);
        }
        if is_large {
            return Err(BadHead::TooLarge);
        }
        Ok((role == HeaderBlockKind::Request).then(|| {
            Arc::new(RequestHead {
                text: self.text.as_slice().into(),
                fields: self.fields.as_slice().into(),
                content_length: self.content_length,
                expects_continue: self.expects_continue,
            })
        }))
    }

    fn take_pseudo(&mut self, name: &[u8], value: &[u8]) -> bool {
        let seen = &mut self.seen;
        if seen.regular || !value.iter().all(u8::is_ascii_graphic) {
            return false;
        }
        let known = match name {
            b":method" => {
                seen.is_connect = value == b"CONNECT";
                seen.is_options = value == b"OPTIONS";
                &mut seen.method
            }
            b":scheme" => &mut seen.scheme,
            b":path" => {
                seen.is_asterisk = value == b"*";
                if !seen.is_asterisk && value.first() != Some(&b'/') {
                    return false;
                }
                &mut seen.path
            }
            b":authority" => &mut seen.authority,
            _ => return false,
        };
        let is_first = !*known;
        *known = true;
        let may_be_empty = name == b":authority";
        is_first && (may_be_empty || !value.is_empty())
    }

    fn take_regular(&mut self, name: &[u8], value: &[u8]) -> bool {
        self.seen.regular = true;
        if !is_name(name) || !is_value(value) {
            return false;
        }
        match name {
            b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding"
            | b"upgrade" => false,
            b"te" => value.eq_ignore_ascii_case(b"trailers"),
            b"content-length" => {
                let length = length(value);
                let is_same = self.content_length.is_none() || self.content_length == length;
                self.content_length = length;
                length.is_some() && is_same
            }
            b"expect" => {
                self.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
                true
            }
            _ => true,
        }
    }

    fn keep(&mut self, name: &[u8], value: &[u8]) {
        // The list has at most so many bytes as a u32 can count.
        let len = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let start = len(self.text.len());
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(value);
        let (name_len, value_len) = (len(name.len()), len(value.len()));
        self.fields.push(Field { start, name_len, value_len });
    }
}

impl Seen {
    const fn is_complete(self) -> bool {
        if self.is_connect {
            return self.authority && !self.scheme && !self.path;
        }
        self.method && self.scheme && self.path && (!self.is_asterisk || self.is_options)
    }
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| IS_NAME[usize::from(*byte)])
}

/// Visible characters, spaces and tabs inside, and whatever is not ASCII.
fn is_value(value: &[u8]) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let is_text = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    value.iter().all(is_text) && !is_space(value.first()) && !is_space(value.last())
}

fn length(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| is_number)?.parse().ok()
}

/// The characters of names: those of a token, without upper case.
static IS_NAME: [bool; 256] = {
    let mut is_name = [false; 256];
    let names = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
    let mut idx = 0;
    while idx < names.len() {
        is_name[names[idx] as usize] = true;
        idx += 1;
    }
    is_name
};

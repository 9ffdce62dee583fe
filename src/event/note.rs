//! What the vault keeps beside a request: how many records it has, and where it came from.
//!
//! ```text
//!   8  records u64
//!   then any number of fields: tag u8, length u16, bytes
//!      tag 1  id of the source
//!      tag 2  a header: length of the name u8, name, value
//!      tag 3  id of a sink that still needs the request; without any, all do
//! ```
//!
//! Little endian. A reader skips tags that it does not know, and a note that is cut short ends there.

use bytes::Bytes;

use super::rows::UNKNOWN;

/// Header values longer than this are left out: the note is no second body.
pub const HEADER_VALUE_BYTES_MAX: usize = 1024;
/// Headers beyond this number are left out.
pub const HEADERS_MAX: usize = 16;

/// The header beside a dead letter that says why it is one.
const REASON_HEADER: &str = "gophership-reason";
/// The header beside a dead letter that says when it became one: milliseconds since 1970.
const REFUSED_HEADER: &str = "gophership-refused-unix-ms";

/// The header beside a dead letter out of an archive that names the source which took it first.
const ARCHIVED_SOURCE_HEADER: &str = "gophership-archived-source";

const TAG_SOURCE: u8 = 1;
const TAG_HEADER: u8 = 2;
const TAG_OWED: u8 = 3;
/// Of a field: tag and length.
const FIELD_HEAD_BYTES: usize = 3;
const RECORDS_BYTES: usize = 8;

/// Where a request came from, as bytes that are ready to be kept.
///
/// Cloning one that was made with [`Provenance::forever`] touches no shared counter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Provenance(Bytes);

impl Provenance {
    /// Names the source only. The few bytes live as long as the process, so that batches on many
    /// processors share no counter; made once for each source that is started.
    #[must_use]
    pub fn forever(source: &str) -> Self {
        Self(Bytes::from_static(Box::leak(source_field(source).into_boxed_slice())))
    }

    /// Names the source and some headers.
    #[must_use]
    pub fn with_headers<'a>(
        source: &str,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        let mut bytes = source_field(source);
        for (name, value) in headers.take(HEADERS_MAX) {
            let Ok(name_len) = u8::try_from(name.len()) else { continue };
            if value.len() <= HEADER_VALUE_BYTES_MAX {
                push_field(&mut bytes, TAG_HEADER, &[&[name_len], name.as_bytes(), value]);
            }
        }
        Self(bytes.into())
    }

    /// What stood in a note about where the request came from, ready to be kept again.
    #[must_use]
    pub fn of_note(note: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(note.len());
        for (tag, field) in fields(note.get(RECORDS_BYTES..).unwrap_or_default()) {
            if tag != TAG_OWED {
                push_field(&mut bytes, tag, &[field]);
            }
        }
        Self(bytes.into())
    }

    /// The headers that were kept: name and value, in the order in which they came.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let headers = fields(&self.0).filter(|(tag, _)| *tag == TAG_HEADER);
        headers.filter_map(|(_, field)| {
            let (len, rest) = field.split_first()?;
            let (name, value) = rest.split_at_checked(usize::from(*len))?;
            Some((std::str::from_utf8(name).ok()?, value))
        })
    }

    /// The same with one header more, unless that is too long.
    #[must_use]
    pub fn and_header(self, name: &str, value: &[u8]) -> Self {
        let Ok(name_len) = u8::try_from(name.len()) else { return self };
        let mut bytes = self.0.to_vec();
        if value.len() <= HEADER_VALUE_BYTES_MAX {
            push_field(&mut bytes, TAG_HEADER, &[&[name_len], name.as_bytes(), value]);
        }
        Self(bytes.into())
    }

    /// The same for a dead letter: why it is one, and since when. What stood there of an earlier refusal
    /// is left out.
    #[must_use]
    pub fn of_letter(&self, reason: &str, refused_unix_ms: u64) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len());
        for (tag, field) in fields(&self.0) {
            if !is_of_refusal(tag, field) {
                push_field(&mut bytes, tag, &[field]);
            }
        }
        // The end of a long reason tells least.
        let end = reason.floor_char_boundary(HEADER_VALUE_BYTES_MAX);
        let reason = reason.get(..end).unwrap_or(reason);
        let refused = refused_unix_ms.to_string();
        Self(bytes.into())
            .and_header(REASON_HEADER, reason.as_bytes())
            .and_header(REFUSED_HEADER, refused.as_bytes())
    }

    /// The same as taken by another source. The source that took it before is kept as a header.
    #[must_use]
    pub fn taken_by(&self, source: &str) -> Self {
        let mut bytes = source_field(source);
        let mut before = None;
        for (tag, field) in fields(&self.0) {
            match tag {
                TAG_SOURCE => before = Some(field),
                _ => push_field(&mut bytes, tag, &[field]),
            }
        }
        match before {
            Some(before) => Self(bytes.into()).and_header(ARCHIVED_SOURCE_HEADER, before),
            None => Self(bytes.into()),
        }
    }

    /// Writes the whole note into `space`, if it fits, and returns it; else makes room for it. It names
    /// the sinks that still need the request, unless all do.
    pub fn note<'a, 'b>(
        &self,
        records: u64,
        owed: impl Iterator<Item = &'b str> + Clone,
        space: &'a mut NoteSpace,
    ) -> &'a [u8] {
        let owed_bytes: usize = owed.clone().map(|sink| FIELD_HEAD_BYTES + sink.len()).sum();
        let len = RECORDS_BYTES + self.0.len() + owed_bytes;
        let target = if let Some(target) = space.inline.get_mut(..len) {
            target
        } else {
            space.spilled.resize(len, 0);
            &mut space.spilled
        };
        target[..RECORDS_BYTES].copy_from_slice(&records.to_le_bytes());
        let (provenance, mut rest) = target[RECORDS_BYTES..].split_at_mut(self.0.len());
        provenance.copy_from_slice(&self.0);
        for sink in owed {
            // An id has 64 bytes at most.
            let field = [TAG_OWED, u8::try_from(sink.len()).unwrap_or(u8::MAX), 0];
            let (head, after) = rest.split_at_mut(FIELD_HEAD_BYTES);
            head.copy_from_slice(&field);
            let (name, after) = after.split_at_mut(sink.len());
            name.copy_from_slice(sink.as_bytes());
            rest = after;
        }
        target
    }
}

/// Room for one note on the stack.
#[derive(Debug)]
pub struct NoteSpace {
    inline: [u8; 160],
    spilled: Vec<u8>,
}

impl Default for NoteSpace {
    fn default() -> Self {
        Self { inline: [0; 160], spilled: Vec::new() }
    }
}

/// A note as it is read: of records, source and headers whatever is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// Log records, spans or data points; 0 where nothing was noted.
    pub records: u64,
    /// The id of the source.
    pub source: Option<String>,
    /// The sinks that still need the request; all do if it is empty.
    pub owed: Vec<String>,
    /// The headers that were to be kept, names in lower case; bytes that are no text are replaced.
    pub headers: Vec<(String, String)>,
}

impl Note {
    /// Reads the attributes of a stored request.
    #[must_use]
    pub fn read(attrs: &[u8]) -> Self {
        let Some((records, rest)) = attrs.split_first_chunk::<RECORDS_BYTES>() else {
            return Self::default();
        };
        let mut note = Self { records: u64::from_le_bytes(*records), ..Self::default() };
        for (tag, field) in fields(rest) {
            note.take(tag, field);
        }
        note
    }

    /// The id of the source, or what stands for one that is not known.
    #[must_use]
    pub fn source_name(&self) -> &str {
        self.source.as_deref().unwrap_or(UNKNOWN)
    }

    /// Why it is a dead letter, if it is one: the last reason, should there be several.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.header(REASON_HEADER)
    }

    /// When it became a dead letter, in milliseconds since 1970, if that was noted.
    #[must_use]
    pub fn refused_unix_ms(&self) -> Option<u64> {
        self.header(REFUSED_HEADER).and_then(|text| text.parse().ok())
    }

    /// The last value of a header.
    fn header(&self, wanted: &str) -> Option<&str> {
        let header = self.headers.iter().rfind(|(name, _)| name == wanted);
        header.map(|(_, value)| value.as_str())
    }

    fn take(&mut self, tag: u8, field: &[u8]) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match tag {
            TAG_SOURCE => self.source = Some(text(field)),
            TAG_OWED => self.owed.push(text(field)),
            TAG_HEADER => {
                let Some((len, rest)) = field.split_first() else { return };
                let Some((name, value)) = rest.split_at_checked(usize::from(*len)) else { return };
                self.headers.push((text(name), text(value)));
            }
            _ => {}
        }
    }
}

/// The fields of a note, with their tags, up to the first that is cut short.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let ([tag, low, high], after) = rest.split_first_chunk::<FIELD_HEAD_BYTES>()?;
        let len = usize::from(u16::from_le_bytes([*low, *high]));
        let (field, after) = after.split_at_checked(len)?;
        rest = after;
        Some((*tag, field))
    })
}

/// Whether a field is a header that says why and when a request was refused.
fn is_of_refusal(tag: u8, field: &[u8]) -> bool {
    let is_named = |name: &&str| {
        let rest = field.split_first().filter(|(len, _)| usize::from(**len) == name.len());
        rest.is_some_and(|(_, rest)| rest.starts_with(name.as_bytes()))
    };
    tag == TAG_HEADER && [REASON_HEADER, REFUSED_HEADER].iter().any(is_named)
}

fn source_field(source: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_field(&mut bytes, TAG_SOURCE, &[source.as_bytes()]);
    bytes
}

/// Appends a field; one that is too long for its length is left out.
fn push_field(bytes: &mut Vec<u8>, tag: u8, parts: &[&[u8]]) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let Ok(len) = u16::try_from(len) else { return };
    bytes.push(tag);
    bytes.extend_from_slice(&len.to_le_bytes());
    for part in parts {
        bytes.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;

    #[test]
    fn a_note_comes_back_as_it_was_made() {
        let mut space = NoteSpace::default();
        let plain = Provenance::forever("otlp").note(7, iter::empty(), &mut space).to_vec();
        let source = Some("otlp".to_owned());
        let expected = Note { records: 7, source, ..Note::default() };
        assert_eq!(Note::read(&plain), expected);
        let long = [b'x'; 500];
        let too_long = [b'x'; HEADER_VALUE_BYTES_MAX + 1];
        let headers: [(&str, &[u8]); 3] =
            [("x-tenant", b"shop"), ("x-long", &long), ("x-too-long", &too_long)];
        let rich = Provenance::with_headers("in", headers.into_iter());
        let bytes = rich.note(u64::MAX, ["a", "long-sink"].into_iter(), &mut space).to_vec();
        let note = Note::read(&bytes);
        assert_eq!(note.owed, ["a", "long-sink"]);
        assert_eq!((note.records, note.source.as_deref()), (u64::MAX, Some("in")));
        assert_eq!(note.headers.len(), 2);
        assert_eq!(note.headers[0], ("x-tenant".to_owned(), "shop".to_owned()));
        assert_eq!(Provenance::of_note(&bytes), rich);
        let kept: Vec<(&str, &[u8])> = rich.headers().collect();
        assert_eq!(kept, [("x-tenant", &b"shop"[..]), ("x-long", &long)]);
    }

    #[test]
    fn a_letter_that_is_refused_again_has_the_last_reason_and_time_only() {
        let mut space = NoteSpace::default();
        let headers: [(&str, &[u8]); 1] = [("x-tenant", b"shop")];
        let request = Provenance::with_headers("in", headers.into_iter());
        let letter = request.of_letter("first", 5).of_letter(&"x".repeat(5000), 6);
        let note = Note::read(letter.note(7, ["a"].into_iter(), &mut space));
        assert_eq!(note.headers.len(), 3, "{note:?}");
        assert_eq!((note.reason().unwrap().len(), note.refused_unix_ms()), (1024, Some(6)));
        assert_eq!((note.source_name(), note.headers[0].1.as_str()), ("in", "shop"));
    }

    #[test]
    fn notes_of_other_versions_and_damaged_ones_are_read_as_far_as_they_go() {
        assert_eq!(Note::read(b""), Note::default());
        assert_eq!(Note::read(&5_u64.to_le_bytes()).records, 5);
        let mut bytes = 5_u64.to_le_bytes().to_vec();
        push_field(&mut bytes, 99, &[b"unknown"]);
        push_field(&mut bytes, TAG_HEADER, &[&[200], b"short"]);
        push_field(&mut bytes, TAG_SOURCE, &[b"a"]);
        bytes.extend_from_slice(&[TAG_SOURCE, 255, 255, 1]);
        let note = Note::read(&bytes);
        assert_eq!((note.records, note.source.as_deref(), note.headers.len()), (5, Some("a"), 0));
    }
}

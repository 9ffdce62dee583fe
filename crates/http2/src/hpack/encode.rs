//! Writes header blocks that refer to the static table only, so that they mean the same on every connection
//! and are made once.
//!
//! Source: RFC 7541, section 6.

use super::integer;
use super::static_table;

/// The fields of an answer, encoded: its head or its trailers.
///
/// ```
/// use gophership_http2::HeaderBlock;
///
/// let mut head = HeaderBlock::of_status(200);
/// head.push("content-type", b"application/grpc")?;
/// let mut trailers = HeaderBlock::of_trailers();
/// trailers.push("grpc-status", b"0")?;
/// # Ok::<(), gophership_http2::InvalidField>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderBlock(Vec<u8>);

/// A name or a value that must not be in a header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidField;

impl HeaderBlock {
    /// Begins the head of an answer with this status.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        let mut block = Self(Vec::new());
        let digits = status.to_string();
        block.append(b":status", digits.as_bytes());
        block
    }

    /// Begins trailers.
    #[must_use]
    pub const fn of_trailers() -> Self {
        Self(Vec::new())
    }

    /// Adds a field. The name is in lower case.
    ///
    /// # Errors
    ///
    /// If it is not, or has another character that may not be in a name, or if the value has one of NUL, CR
    /// and LF, or white space around it. Nothing is added then.
    pub fn push(&mut self, name: &str, value: &[u8]) -> Result<(), InvalidField> {
        let is_token =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || is_mark(byte);
        let is_name = !name.is_empty() && name.bytes().all(is_token);
        let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        let is_value = !value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n'))
            && !is_space(value.first())
            && !is_space(value.last());
        if !is_name || !is_value {
            return Err(InvalidField);
        }
        self.append(name.as_bytes(), value);
        Ok(())
    }

    /// The encoded bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn append(&mut self, name: &[u8], value: &[u8]) {
        if let Some(idx) = static_table::index_of(name, value) {
            integer::write(idx, 7, 0x80, &mut self.0);
            return;
        }
        if let Some(idx) = static_table::index_of_name(name) {
            integer::write(idx, 4, 0, &mut self.0);
        } else {
            self.0.push(0);
            self.append_string(name);
        }
        self.append_string(value);
    }

    fn append_string(&mut self, text: &[u8]) {
        integer::write(text.len(), 7, 0, &mut self.0);
        self.0.extend_from_slice(text);
    }
}

/// Source: RFC 9110, section 5.6.2.
const fn is_mark(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#'
            | b'$'
            | b'%'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'-'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hpack::Decoder;

    fn fields(block: &HeaderBlock) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut fields = Vec::new();
        let field = |name: &[u8], value: &[u8]| fields.push((name.to_vec(), value.to_vec()));
        Decoder::new(4096).decode(block.as_bytes(), field).unwrap();
        fields
    }

    #[test]
    fn what_is_written_is_read() {
        let mut block = HeaderBlock::of_status(503);
        let long = vec![b'x'; 500];
        block.push("retry-after", b"1").unwrap();
        block.push("grpc-message", &long).unwrap();
        let read = fields(&block);
        let expected: [(&[u8], &[u8]); 3] =
            [(b":status", b"503"), (b"retry-after", b"1"), (b"grpc-message", &long)];
        assert!(read.iter().map(|(name, value)| (&name[..], &value[..])).eq(expected));
        assert_eq!(HeaderBlock::of_status(200).as_bytes(), [0x88]);
    }

    #[test]
    fn what_would_break_an_answer_is_refused() {
        let mut block = HeaderBlock::of_trailers();
        for (name, value) in [
            ("Upper", &b"v"[..]),
            ("", b"v"),
            (":status", b"200"),
            ("a b", b"v"),
            ("a", b"line\r\nbreak"),
            ("a", b" v"),
            ("a", b"v\t"),
            ("a", b"\0"),
        ] {
            assert_eq!(block.push(name, value), Err(InvalidField), "{name}");
        }
        assert_eq!(block, HeaderBlock::of_trailers());
    }
}

//! From the wire to JSON, piece by piece.

use std::io;
use std::io::Write;
use std::ops::Range;

use super::super::error::WireError;
use super::super::inspect::{DecodeLimits, inspect};
use super::super::locate::path;
use super::super::schema::Message;
use super::super::signal::Signal;
use super::measure::{MeasureError, PIECES_MAX, measure};
use super::stream::JsonWriter;
use super::walk::walk;

/// What is handed on at once.
const PIECE_BYTES: usize = 256 << 10;

/// A request that has a JSON form, which can be written anywhere in bounded memory.
///
/// It is the form of [`wire_to_json`], on one line, with a line end.
#[derive(Debug, Clone, Copy)]
pub struct JsonLine<'a> {
    signal: Signal,
    bytes: &'a [u8],
    bytes_max: u64,
}

impl<'a> JsonLine<'a> {
    /// Checks that a request has a JSON form. In it, U+FFFD stands for what is not UTF-8 in a text.
    ///
    /// # Errors
    ///
    /// Those of [`inspect`] and [`WireError::Scattered`].
    pub fn of(signal: Signal, bytes: &'a [u8], limits: &DecodeLimits) -> Result<Self, WireError> {
        inspect(signal, bytes, limits)?;
        match measure(Message::request(signal), bytes) {
            Ok(bytes_max) => Ok(Self { signal, bytes, bytes_max: bytes_max + 1 }),
            Err(MeasureError::Scattered { offset }) => Err(WireError::Scattered {
                offset,
                path: path(signal, bytes, offset),
                pieces_max: PIECES_MAX,
            }),
        }
    }

    /// The length of the line in bytes, or a little more: it is no longer than this.
    #[must_use]
    pub const fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Writes the line in pieces of some 256 KiB, a shorter one at once.
    ///
    /// A piece is put together in `scratch`, which takes 512 KiB at most and may be used again.
    ///
    /// # Errors
    ///
    /// The first one of `out`; what was written before stands there.
    pub fn write(&self, scratch: &mut Vec<u8>, out: &mut impl Write) -> io::Result<()> {
        scratch.clear();
        let stream = JsonWriter::new(&mut *scratch, PIECE_BYTES, &mut *out);
        walk(Message::request(self.signal), self.bytes, whole(self.bytes), stream)?;
        scratch.push(b'\n');
        out.write_all(scratch)
    }

    /// The request.
    pub(in super::super) const fn request(&self) -> (Signal, &'a [u8]) {
        (self.signal, self.bytes)
    }
}

/// Writes the JSON form of the attribute value or body that is given in these pieces, as
/// [`JsonLine::write`] writes a whole request.
pub(in super::super) fn write_value(
    bytes: &[u8],
    pieces: Vec<Range<usize>>,
    scratch: &mut Vec<u8>,
    out: &mut impl Write,
) -> io::Result<()> {
    scratch.clear();
    let stream = JsonWriter::new(&mut *scratch, PIECE_BYTES, &mut *out);
    walk(Message::AnyValue, bytes, pieces, stream)?;
    out.write_all(scratch)
}

fn whole(bytes: &[u8]) -> Vec<Range<usize>> {
    std::iter::once(0..bytes.len()).collect()
}

/// Appends a request in its JSON form, on one line and without a line end.
///
/// Default values of plain fields are left out, as are unknown fields. When this fails, `out` is
/// as it was. Whoever writes what others sent takes a [`JsonLine`]: a request of 64 MiB may have a
/// form of gigabytes.
///
/// # Errors
///
/// Those of [`JsonLine::of`].
pub fn wire_to_json(
    signal: Signal,
    bytes: &[u8],
    limits: &DecodeLimits,
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    JsonLine::of(signal, bytes, limits)?;
    let mut nowhere = io::sink();
    let stream = JsonWriter::new(out, usize::MAX, &mut nowhere);
    let written = walk(Message::request(signal), bytes, whole(bytes), stream);
    debug_assert!(written.is_ok(), "memory takes every write");
    Ok(())
}

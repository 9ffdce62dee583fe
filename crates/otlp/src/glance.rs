//! A short look at each log record, span or metric, one after the other.

use std::io;
use std::io::Write;
use std::ops::Range;

use super::json::JsonLine;
use super::json::write_value;
use super::signal::Signal;
use super::value::AnyValueView;
use super::value::fixed64;
use super::wire::Field;
use super::wire::Fields;

/// What one line says of a log record, a span or a metric.
#[derive(Debug, Clone, Copy)]
pub enum Glance<'a> {
    /// A log record.
    Log {
        /// Nanoseconds since 1970; the later of when it happened and when it was seen.
        unix_ns: u64,
        /// In the words of its source; empty when it is not given.
        severity_text: &'a str,
        /// What it says.
        body: BodyView<'a>,
    },
    /// A span.
    Span {
        /// Nanoseconds since 1970.
        start_unix_ns: u64,
        /// Nanoseconds since 1970.
        end_unix_ns: u64,
        /// Its trace, as bytes.
        trace_id: &'a [u8],
        /// Its name.
        name: &'a str,
    },
    /// A metric, with all its points.
    Metric {
        /// Its name.
        name: &'a str,
        /// Its unit.
        unit: &'a str,
    },
}

/// The body of a log record.
#[derive(Debug, Clone, Copy)]
pub struct BodyView<'a> {
    record: Message<'a>,
}

impl<'a> BodyView<'a> {
    /// The body, if it is a single value.
    #[must_use]
    pub fn value(&self) -> AnyValueView<'a> {
        let Message { bytes, .. } = self.record;
        let read = |view: AnyValueView<'a>, piece: Field| {
            view.read(bytes, Fields::new(bytes, piece.span())).unwrap_or(view)
        };
        self.record.all(5).fold(AnyValueView::Empty, read)
    }

    /// Writes the body as the JSON form of a request has it, as [`JsonLine::write`] writes that.
    ///
    /// # Errors
    ///
    /// The first one of `out`.
    pub fn write_json(&self, scratch: &mut Vec<u8>, out: &mut impl Write) -> io::Result<()> {
        let pieces = self.record.all(5).map(|piece| piece.span()).collect();
        write_value(self.record.bytes, pieces, scratch, out)
    }
}

/// Shows every log record, span or metric of a request to `visit`, in their order.
///
/// Nothing is decoded and nothing kept. A request that has a JSON form has been checked for all that
/// could be wrong with it.
///
/// # Errors
///
/// The first one of `visit`.
pub fn glance<'a>(
    request: &JsonLine<'a>,
    mut visit: impl FnMut(&Glance<'a>) -> io::Result<()>,
) -> io::Result<()> {
    let (signal, bytes) = request.request();
    for resource in (Message { bytes, start: 0, end: bytes.len() }).messages(1) {
        for scope in resource.messages(2) {
            for record in scope.messages(2) {
                visit(&look(signal, record))?;
            }
        }
    }
    Ok(())
}

fn look(signal: Signal, record: Message<'_>) -> Glance<'_> {
    match signal {
        Signal::Logs => Glance::Log {
            unix_ns: record.number(1).max(record.number(11)),
            severity_text: record.text(3),
            body: BodyView { record },
        },
        Signal::Traces => Glance::Span {
            start_unix_ns: record.number(7),
            end_unix_ns: record.number(8),
            trace_id: record.value(1),
            name: record.text(5),
        },
        Signal::Metrics => Glance::Metric { name: record.text(1), unit: record.text(3) },
    }
}

/// A message of a request that was inspected, as far as it is in one piece.
#[derive(Debug, Clone, Copy)]
struct Message<'a> {
    bytes: &'a [u8],
    start: usize,
    end: usize,
}

impl<'a> Message<'a> {
    /// All fields of this number.
    fn all(&self, number: u32) -> impl Iterator<Item = Field> + use<'a> {
        let mut fields = Fields::new(self.bytes, self.start..self.end);
        std::iter::from_fn(move || fields.next().ok().flatten())
            .filter(move |field| field.number == number)
    }

    fn messages(&self, number: u32) -> impl Iterator<Item = Self> + use<'a> {
        let bytes = self.bytes;
        self.all(number).map(move |field| {
            let Range { start, end } = field.span();
            Self { bytes, start, end }
        })
    }

    /// The bytes of the last field of this number; none when it is not there.
    fn value(&self, number: u32) -> &'a [u8] {
        self.all(number).last().map_or(&[], |field| &self.bytes[field.span()])
    }

    fn text(&self, number: u32) -> &'a str {
        std::str::from_utf8(self.value(number)).unwrap_or_default()
    }

    fn number(&self, number: u32) -> u64 {
        self.all(number).last().map_or(0, |field| fixed64(self.bytes, &field))
    }
}

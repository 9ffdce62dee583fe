//! `gophership vault cat`: stored requests on standard output.

use std::io;
use std::io::IsTerminal;
use std::io::Write;

use gophership_otlp::AnyValueView;
use gophership_otlp::BodyView;
use gophership_otlp::Glance;
use gophership_otlp::JsonLine;
use gophership_vault::StoredRecord;

use super::Failure;
use super::args::CatArgs;
use super::args::RecordFormat;
use super::progress::Progress;
use super::records;
use super::records::Records;
use super::when;

/// What is written comes in pieces, so that its memory does not depend on the request. It goes as deep
/// as decoders do.
const LIMITS: gophership_otlp::DecodeLimits =
    gophership_otlp::DecodeLimits { decoded_bytes_max: u64::MAX, depth_max: 96 };
/// Bytes of a text that are looked at together.
const PART_BYTES: usize = 1 << 12;

pub(super) fn run(args: &CatArgs) -> Result<u8, Failure> {
    if args.format == RecordFormat::Protobuf && args.filter.signal.is_none() {
        return Err(Failure::usage(
            "protobuf output does not contain the signal: give --signal logs, traces or metrics",
        ));
    }
    let target = args.place.find(args.filter.deadletter)?;
    let mut records = Records::open(&target, &args.filter)?;
    let mut progress = Progress::new(args.quiet || io::stdout().is_terminal());
    let mut out = io::BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut scratch = Vec::new();
    while let Some(record) = records.next(&mut progress)? {
        match CatForm::of(&record, args.format) {
            Ok(form) => form.write(&mut scratch, &mut out)?,
            Err(reason) => records.complain_of(&record, &reason),
        }
    }
    out.flush()?;
    Ok(records.code())
}

/// A stored request in the form in which it is written.
pub(super) enum CatForm<'a> {
    Json(JsonLine<'a>),
    Protobuf { len: u32, bytes: &'a [u8] },
    Text { seq: u64, request: JsonLine<'a> },
}

impl<'a> CatForm<'a> {
    /// Makes sure that a request has this form; the error says why it has not.
    pub(super) fn of(record: &'a StoredRecord, format: RecordFormat) -> Result<Self, String> {
        let number = record.signal;
        let signal = records::signal(record)
            .ok_or_else(|| format!("has the unknown signal {number}, skipped"))?;
        let bytes: &[u8] = &record.payload;
        let line = || {
            JsonLine::of(signal, bytes, &LIMITS)
                .map_err(|error| format!("cannot be converted: {error}"))
        };
        Ok(match format {
            RecordFormat::Json => Self::Json(line()?),
            RecordFormat::Protobuf => {
                let len = u32::try_from(bytes.len()).map_err(|_| "is too large".to_owned())?;
                Self::Protobuf { len, bytes }
            }
            RecordFormat::Text => Self::Text { seq: record.seq, request: line()? },
        })
    }

    /// As JSON or protobuf it takes no more bytes than this.
    pub(super) fn bytes_max(&self) -> u64 {
        match self {
            Self::Json(line) | Self::Text { request: line, .. } => line.bytes_max(),
            Self::Protobuf { len, .. } => u64::from(*len) + 4,
        }
    }

    /// Writes it in pieces, which are put together in `scratch`.
    pub(super) fn write(&self, scratch: &mut Vec<u8>, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Json(line) => line.write(scratch, out),
            Self::Protobuf { len, bytes } => {
                out.write_all(&len.to_be_bytes())?;
                out.write_all(bytes)
            }
            Self::Text { seq, request } => gophership_otlp::glance(request, |glance| {
                show(*seq, glance, scratch, &mut OneLine(&mut *out))?;
                out.write_all(b"\n")
            }),
        }
    }
}

/// Writes what there is to say of a record.
fn show(
    seq: u64,
    glance: &Glance<'_>,
    scratch: &mut Vec<u8>,
    out: &mut impl Write,
) -> io::Result<()> {
    match glance {
        Glance::Log { unix_ns, severity_text, body } => {
            let severity = if severity_text.is_empty() { "-" } else { severity_text };
            write!(out, "{seq} {} {severity} ", when::show(*unix_ns))?;
            show_body(body, scratch, out)
        }
        Glance::Span { start_unix_ns, end_unix_ns, trace_id, name } => {
            let took = end_unix_ns.saturating_sub(*start_unix_ns);
            let (time, micros) = (when::show(*start_unix_ns), took / 1000);
            write!(out, "{seq} {time} ")?;
            write_hex(trace_id, out)?;
            write!(out, " {name} {micros}us")
        }
        Glance::Metric { name, unit } => write!(out, "{seq} {name} {unit}"),
    }
}

fn show_body(body: &BodyView<'_>, scratch: &mut Vec<u8>, out: &mut impl Write) -> io::Result<()> {
    match body.value() {
        AnyValueView::Empty => Ok(()),
        AnyValueView::String(text) => out.write_all(text.as_bytes()),
        AnyValueView::Bool(flag) => write!(out, "{flag}"),
        AnyValueView::Int(number) => write!(out, "{number}"),
        AnyValueView::Double(number) => write!(out, "{number}"),
        AnyValueView::Bytes(bytes) => write_hex(bytes, out),
        _ => body.write_json(scratch, out),
    }
}

fn write_hex(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
}

/// Keeps one line one line, whatever a body holds.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut part = [0; PART_BYTES];
        for bytes in bytes.chunks(PART_BYTES) {
            for (shown, byte) in part.iter_mut().zip(bytes) {
                *shown = if *byte < b' ' { b' ' } else { *byte };
            }
            self.0.write_all(&part[..bytes.len()])?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

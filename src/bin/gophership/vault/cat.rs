//! `gophership vault cat`: stored requests on standard output.

use std::io;
use std::io::IsTerminal;
use std::io::Write;

use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

use gophership::otlp;
use gophership::otlp::Decoded;
use gophership::otlp::Signal;
use gophership::vault::StoredRecord;

use super::Failure;
use super::args::CatArgs;
use super::args::Format;
use super::progress::Progress;
use super::records;
use super::records::Records;
use super::when;

/// The conversion streams, so its memory is bounded by the size of the request already. It goes as
/// deep as decoders do.
const LIMITS: otlp::DecodeLimits =
    otlp::DecodeLimits { decoded_bytes_max: u64::MAX, depth_max: 96 };
/// A request is at most 64 MiB, and so is what it decodes to, many times over.
const TEXT_LIMITS: otlp::DecodeLimits =
    otlp::DecodeLimits { decoded_bytes_max: 4 << 30, depth_max: 96 };

pub(super) fn run(args: &CatArgs) -> Result<u8, Failure> {
    if args.format == Format::Protobuf && args.filter.signal.is_none() {
        return Err(Failure::usage(
            "protobuf does not say of which signal a request is: give --signal logs, traces or metrics",
        ));
    }
    let target = args.place.find(args.filter.deadletter)?;
    let mut records = Records::open(&target, &args.filter)?;
    let mut progress = Progress::new(args.quiet || io::stdout().is_terminal());
    let mut out = io::BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut bytes = Vec::new();
    while let Some(record) = records.next(&mut progress)? {
        bytes.clear();
        match write(&record, args.format, &mut bytes) {
            Ok(()) => out.write_all(&bytes)?,
            Err(reason) => records.complain_of(&record, &reason),
        }
    }
    out.flush()?;
    Ok(records.code())
}

/// Writes one request.
pub(super) fn write(
    record: &StoredRecord,
    format: Format,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let number = record.signal;
    let signal = records::signal(record)
        .ok_or_else(|| format!("stored with the unknown signal {number}, left out"))?;
    let unreadable = |error: otlp::WireError| format!("cannot be converted: {error}");
    match format {
        Format::Json => {
            otlp::wire_to_json(signal, &record.payload, &LIMITS, out).map_err(unreadable)?;
            out.push(b'\n');
        }
        Format::Protobuf => {
            let len = u32::try_from(record.payload.len()).map_err(|_| "is too large".to_owned())?;
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(&record.payload);
        }
        Format::Text => {
            let decoded =
                otlp::decode(signal, &record.payload, &TEXT_LIMITS).map_err(unreadable)?;
            for line in lines(record.seq, &decoded) {
                // One line stays one line, whatever a body holds.
                out.extend(line.bytes().map(|byte| if byte < b' ' { b' ' } else { byte }));
                out.push(b'\n');
            }
        }
    }
    Ok(())
}

fn lines(seq: u64, decoded: &Decoded) -> Vec<String> {
    match decoded {
        Decoded::Logs(request) => {
            let scopes = request.resource_logs.iter().flat_map(|one| &one.scope_logs);
            let line = |log: &opentelemetry_proto::tonic::logs::v1::LogRecord| {
                let time = log.time_unix_nano.max(log.observed_time_unix_nano);
                let severity = if log.severity_text.is_empty() { "-" } else { &log.severity_text };
                let body = value(log.body.as_ref());
                format!("{seq} {} {severity} {body}", when::show(time))
            };
            scopes.flat_map(|scope| &scope.log_records).map(line).collect()
        }
        Decoded::Traces(request) => {
            let scopes = request.resource_spans.iter().flat_map(|one| &one.scope_spans);
            let line = |span: &opentelemetry_proto::tonic::trace::v1::Span| {
                let took = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
                let (time, micros) = (when::show(span.start_time_unix_nano), took / 1000);
                format!("{seq} {time} {} {} {micros}us", hex(&span.trace_id), span.name)
            };
            scopes.flat_map(|scope| &scope.spans).map(line).collect()
        }
        Decoded::Metrics(request) => {
            let scopes = request.resource_metrics.iter().flat_map(|one| &one.scope_metrics);
            let line = |metric: &opentelemetry_proto::tonic::metrics::v1::Metric| {
                format!("{seq} {} {}", metric.name, metric.unit)
            };
            scopes.flat_map(|scope| &scope.metrics).map(line).collect()
        }
        _ => vec![format!("{seq} {}", Signal::name(decoded.signal()))],
    }
}

fn value(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        None => String::new(),
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BytesValue(bytes)) => hex(bytes),
        Some(other) => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

//! The parts of a row: a request in one of its forms, what its sender is told, and what arrives.

use gophership_otlp::Signal;
use serde_json::Value;
use serde_json::json;

/// One item of the specification.
pub(super) struct Row {
    /// The section of the OTLP specification 1.11 that says so.
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) signal: Signal,
    pub(super) sent: Sent,
    pub(super) answer: Expected,
    /// What arrives, in the JSON form; `None` if nothing does.
    pub(super) arrives: Option<Value>,
}

/// A request, in the form that the item is about.
pub(super) enum Sent {
    /// Sent over gRPC and HTTP/protobuf; if all of it is accepted, it arrives byte for byte.
    Wire(Vec<u8>),
    /// Sent over HTTP/JSON.
    Json(Vec<u8>),
    /// Sent over all three: the protobuf form is that of the typed library.
    All(Value),
}

/// The answer.
pub(super) enum Expected {
    /// OK, and nothing beside it.
    Full,
    /// OK with a `partial_success`: so many records rejected, and a message that says this.
    Partial(u64, &'static str),
    /// Not to be sent again: `INVALID_ARGUMENT` or 400, with a message that says this.
    Invalid(&'static str),
}

impl Row {
    /// An item of a section, about a request.
    pub(super) fn of(
        section: &'static str,
        name: &'static str,
        signal: Signal,
        sent: Sent,
    ) -> Self {
        Self { section, name, signal, sent, answer: Expected::Full, arrives: None }
    }

    pub(super) fn arrives(mut self, request: Value) -> Self {
        self.arrives = Some(request);
        self
    }

    pub(super) fn partly(mut self, rejected: u64, says: &'static str) -> Self {
        self.answer = Expected::Partial(rejected, says);
        self
    }

    pub(super) fn refused(mut self, says: &'static str) -> Self {
        self.answer = Expected::Invalid(says);
        self
    }
}

/// A request of these log records.
pub(super) fn logs(records: &[Value]) -> Value {
    json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": records }] }] })
}

/// A request of these spans.
pub(super) fn traces(spans: &[Value]) -> Value {
    json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] })
}

/// A request of one metric.
pub(super) fn metric(metric: &Value) -> Value {
    json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [metric] }] }] })
}

/// A log record with this severity text.
pub(super) fn says(text: &str) -> Value {
    json!({ "severityText": text })
}

/// A field of bytes on the wire.
pub(super) fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let len = u8::try_from(content.len()).ok().filter(|len| *len < 128).unwrap();
    [&[number << 3 | 2, len], content].concat()
}

/// The same for more bytes, with a length of two.
pub(super) fn long(number: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).ok().filter(|len| *len < 1 << 14).unwrap();
    let (low, high) = (u8::try_from(len & 0x7f).unwrap(), u8::try_from(len >> 7).unwrap());
    [&[number << 3 | 2, low | 0x80, high], content].concat()
}

/// A request on the wire of these records.
pub(super) fn wire(records: &[Vec<u8>]) -> Vec<u8> {
    let records: Vec<u8> = records.iter().flat_map(|record| field(2, record)).collect();
    field(1, &field(2, &records))
}

/// A log record on the wire with this severity text.
pub(super) fn record(text: &str) -> Vec<u8> {
    field(3, text.as_bytes())
}

/// A log record whose attribute has a value that ends after the end of its message.
pub(super) fn torn() -> Vec<u8> {
    field(6, &[0x0a, 1, b'k', 0x12, 3, 0x0a, 0x7f, b'a'])
}

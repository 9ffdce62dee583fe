//! The table. What is not in a section of OTLP itself is in what it refers to: the encoding and the JSON
//! mapping of protobuf.

use gophership_otlp::Signal;
use serde_json::Value;
use serde_json::json;

use super::build::Row;
use super::build::Sent;
use super::build::field;
use super::build::logs;
use super::build::long;
use super::build::metric;
use super::build::record;
use super::build::says;
use super::build::torn;
use super::build::traces;
use super::build::wire;

const FULL: &str = "Full Success";
const PARTIAL: &str = "Partial Success";
const FAILURES: &str = "Failures, Bad Data";
const BINARY: &str = "Binary Protobuf Encoding";
const JSON: &str = "JSON Protobuf Encoding";
const FUTURE: &str = "Future Versions and Interoperability";

/// The whole table.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = successes();
    rows.extend(malformed_records());
    rows.extend(malformed_requests());
    rows.extend(protobuf_forms());
    rows.extend(json_forms());
    rows.extend(json_records());
    rows.extend(nothing_known());
    rows
}

fn json(section: &'static str, name: &'static str, signal: Signal, body: &Value) -> Row {
    Row::of(section, name, signal, Sent::Json(body.to_string().into_bytes()))
}

/// A log record in JSON that is read as another one.
fn log(name: &'static str, record: &Value, arrives: &Value) -> Row {
    let row = json(JSON, name, Signal::Logs, &logs(std::slice::from_ref(record)));
    row.arrives(logs(std::slice::from_ref(arrives)))
}

fn successes() -> Vec<Row> {
    let log = logs(&[json!({
        "timeUnixNano": "1", "severityNumber": 9, "body": { "stringValue": "a" },
        "attributes": [{ "key": "k", "value": { "intValue": "7" } }],
        "traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708",
    })]);
    let span = traces(&[json!({
        "traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708", "name": "s",
        "kind": 2, "status": { "code": 2 }, "events": [{ "timeUnixNano": "1", "name": "e" }],
    })]);
    let sum = metric(&json!({ "name": "m", "sum": {
        "aggregationTemporality": 2, "isMonotonic": true,
        "dataPoints": [{ "timeUnixNano": "1", "asInt": "7" }],
    } }));
    let all = |signal, request: Value| {
        Row::of(FULL, "each signal", signal, Sent::All(request.clone())).arrives(request)
    };
    vec![
        all(Signal::Logs, log),
        all(Signal::Traces, span),
        all(Signal::Metrics, sum),
        Row::of(FULL, "an empty request", Signal::Logs, Sent::All(json!({}))),
        json(FULL, "a list of nothing", Signal::Traces, &json!({ "resourceSpans": [] })),
        Row::of(FULL, "a resource of nothing", Signal::Logs, Sent::Wire(vec![0x0a, 0])),
    ]
}

/// One record does not cost its neighbours.
fn malformed_records() -> Vec<Row> {
    let left = logs(&[says("A"), says("B")]);
    let row = |name, bad: Vec<u8>, says| {
        let wire = wire(&[record("A"), bad, record("B")]);
        let row = Row::of(PARTIAL, name, Signal::Logs, Sent::Wire(wire));
        row.arrives(left.clone()).partly(1, says)
    };
    let list = |value: &[u8]| long(5, &long(1, value));
    let deep = long(5, &(0..60).fold(field(1, b"x"), |inner, _| list(&inner)));
    let records = [field(2, &record("A")), long(2, &deep), field(2, &record("B"))].concat();
    let deep = long(1, &long(2, &records));
    let points = [field(1, &field(7, &[0x0a, 1, b'k'])), field(1, &field(7, &[0x0a, 9, b'k']))];
    let points = field(1, &field(2, &field(2, &field(5, &points.concat()))));
    let kept = json!({ "gauge": { "dataPoints": [{ "attributes": [{ "key": "k" }] }] } });
    vec![
        row("a torn value in an attribute", torn(), "log_records.attributes.value"),
        row("a torn field", vec![0x1a, 9, b'a'], "a value ends after the end of its message"),
        row("a field of a wrong type", vec![0x18, 5], "a known field has a wrong wire type"),
        row("field 0", vec![0x00, 1], "a field number is out of range"),
        Row::of(PARTIAL, "a value nested too deep", Signal::Logs, Sent::Wire(deep))
            .arrives(left)
            .partly(1, "nested too deep"),
        Row::of(PARTIAL, "a torn point of a metric", Signal::Metrics, Sent::Wire(points))
            .arrives(metric(&kept))
            .partly(1, "rejected 1 malformed record;"),
    ]
}

fn malformed_requests() -> Vec<Row> {
    let reported = [0x0a, 0x0e, 0x12, 0x0c, 0x12, 0x0a, 0x32, 0x08];
    let reported = [&reported[..], &[0x0a, 1, b'k', 0x12, 3, 0x0a, 0x7f, b'a']].concat();
    let of = |name, wire: Vec<u8>| Row::of(FAILURES, name, Signal::Logs, Sent::Wire(wire));
    let logs = |name, body: &str| {
        Row::of(FAILURES, name, Signal::Logs, Sent::Json(body.as_bytes().to_vec()))
    };
    vec![
        of("the only record is torn", reported).refused("at byte 13 in resource_logs"),
        of("a request that is cut", vec![0x0a, 9, 1]).refused("a value ends after the end"),
        of("no protobuf", vec![0xff; 40]).refused("in request"),
        logs("no JSON", "{\"resourceLogs\": [").refused("line 1 column 18"),
        logs("JSON that is no object", "[1]").refused("at line 1 column"),
        logs("a wrong type around all records", "{\"resourceLogs\": 7}")
            .refused("at resourceLogs: "),
    ]
}

fn protobuf_forms() -> Vec<Row> {
    let row = |section, name, wire: Vec<u8>, arrives: Value| {
        Row::of(section, name, Signal::Logs, Sent::Wire(wire)).arrives(arrives)
    };
    let of = |records: Vec<u8>| field(1, &field(2, &records));
    let twice = [record("A"), record("B")].concat();
    let value_first = field(6, &[field(2, &field(1, b"v")), field(1, b"k")].concat());
    let attribute = json!({ "key": "k", "value": { "stringValue": "v" } });
    vec![
        row(
            BINARY,
            "text that is not UTF-8",
            wire(&[field(3, &[b'a', 0xff])]),
            logs(&[says("a\u{fffd}")]),
        ),
        row(
            BINARY,
            "fields in any order",
            wire(&[[value_first, record("A")].concat()]),
            logs(&[json!({ "severityText": "A", "attributes": [attribute] })]),
        ),
        row(BINARY, "the last of a field counts", wire(&[twice]), logs(&[says("B")])),
        row(BINARY, "defaults written out", wire(&[vec![0x10, 0, 0x1a, 0]]), logs(&[json!({})])),
        row(
            FUTURE,
            "unknown fields are ignored and passed on",
            [of([field(2, &record("A")), vec![0x78, 1]].concat()), vec![0xfa, 0x3e, 1, 7]].concat(),
            logs(&[says("A")]),
        ),
    ]
}

fn json_forms() -> Vec<Row> {
    let body = |value: Value| json!({ "body": value });
    let id = "0a0b0c0d0e0f000102030405060708ff";
    vec![
        log(
            "hexadecimal ids in any case",
            &json!({ "traceId": id.to_uppercase() }),
            &json!({ "traceId": id }),
        ),
        log(
            "enumerations as numbers",
            &json!({ "severityNumber": 9 }),
            &json!({ "severityNumber": 9 }),
        ),
        log(
            "enumerations by name",
            &json!({ "severityNumber": "SEVERITY_NUMBER_INFO" }),
            &json!({ "severityNumber": 9 }),
        ),
        log(
            "64-bit numbers as numbers",
            &json!({ "timeUnixNano": 1 }),
            &json!({ "timeUnixNano": "1" }),
        ),
        log(
            "64-bit numbers as texts",
            &json!({ "timeUnixNano": "1" }),
            &json!({ "timeUnixNano": "1" }),
        ),
        log("null is nothing", &json!({ "severityText": "A", "body": null }), &says("A")),
        log("unknown keys are ignored", &json!({ "severityText": "A", "x": [{}] }), &says("A")),
        log(
            "base64 with the letters for URLs",
            &body(json!({ "bytesValue": "-_8" })),
            &body(json!({ "bytesValue": "+/8=" })),
        ),
        log(
            "infinity",
            &body(json!({ "doubleValue": "-Infinity" })),
            &body(json!({ "doubleValue": "-Infinity" })),
        ),
        Row::of(
            JSON,
            "half of a surrogate pair",
            Signal::Logs,
            Sent::Json(logs(&[says("HALF")]).to_string().replace("HALF", "a\\ud83d").into_bytes()),
        )
        .arrives(logs(&[says("a\u{fffd}")])),
        Row::of(JSON, "text that is not UTF-8", Signal::Logs, Sent::Json(latin_1()))
            .arrives(logs(&[says("caf\u{fffd}")])),
        {
            let span = |kind: Value, code: Value| {
                traces(&[json!({ "kind": kind, "status": { "code": code } })])
            };
            let named = span("SPAN_KIND_SERVER".into(), "STATUS_CODE_ERROR".into());
            json(JSON, "enumerations of spans by name", Signal::Traces, &named)
                .arrives(span(2.into(), 2.into()))
        },
    ]
}

/// A log record with a byte of Latin-1 in its text.
fn latin_1() -> Vec<u8> {
    let body = logs(&[says("caf?")]).to_string().into_bytes();
    body.into_iter().map(|byte| if byte == b'?' { 0xe9 } else { byte }).collect()
}

/// A record in JSON that cannot be read does not cost its neighbours, and its sender is told where it is.
fn json_records() -> Vec<Row> {
    let left = logs(&[says("A"), says("B")]);
    let row = |name, bad: Value, told| {
        let row = json(PARTIAL, name, Signal::Logs, &logs(&[says("A"), bad, says("B")]));
        row.arrives(left.clone()).partly(1, told)
    };
    let only = json(FAILURES, "the only record", Signal::Logs, &logs(&[json!({ "traceId": "x" })]));
    let resource = json!({ "resourceLogs": [
        { "resource": { "attributes": 1 }, "scopeLogs": [{ "logRecords": [says("C"), says("D")] }] },
        { "scopeLogs": [{ "logRecords": [says("A"), says("B")] }] },
    ] });
    vec![
        row(
            "an id that is not hexadecimal",
            json!({ "traceId": "xyz" }),
            "at resourceLogs[0].scopeLogs[0].logRecords[1].traceId: ",
        ),
        row(
            "a name of no enumeration",
            json!({ "severityNumber": "LOUD" }),
            "logRecords[1].severityNumber: ",
        ),
        row("a number that is too large", json!({ "flags": 4_294_967_296_u64 }), "].flags: "),
        row("a text for a record", json!("a line"), "logRecords[1]: "),
        only.refused("logRecords[0].traceId: "),
        json(PARTIAL, "a resource that cannot be read", Signal::Logs, &resource)
            .arrives(left.clone())
            .partly(2, "at resourceLogs[0].resource.attributes: "),
    ]
}

/// Nothing in the request is known: legal, and hardly what the sender meant.
fn nothing_known() -> Vec<Row> {
    let row = |name, body: Value, told| json(FUTURE, name, Signal::Logs, &body).partly(0, told);
    let records = json!([{ "severity_text": "A" }]);
    vec![
        row(
            "keys of the protobuf definition",
            json!({ "resource_logs": [{ "scope_logs": [{ "log_records": records }] }] }),
            "OTLP/JSON has `resourceLogs`",
        ),
        row(
            "keys of the protobuf definition, inside",
            json!({ "resourceLogs": [{ "scope_logs": [{ "log_records": records }] }] }),
            "OTLP/JSON has `scopeLogs`",
        ),
        row(
            "keys of another signal",
            json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [{}] }] }] }),
            "requests with traces go to /v1/traces",
        ),
        Row::of(FUTURE, "fields of no version", Signal::Metrics, Sent::Wire(field(7, b"x")))
            .partly(0, "the request has no metrics: field 7 of request is unknown"),
    ]
}

//! The JSON form, against the rules of OTLP and against the typed form's own JSON.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest as Logs;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest as Metrics;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest as Traces;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Typed;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use proptest::prelude::*;

use super::super::decode::{Decoded, decode};
use super::super::error::WireError;
use super::super::inspect::DecodeLimits;
use super::super::json::{JsonLine, json_to_wire, wire_to_json};
use super::super::signal::Signal;
use super::super::wire::{put_bytes, put_message};
use super::{WIDE, around, generate, message, shown};

fn to_json(signal: Signal, bytes: &[u8]) -> String {
    let mut out = Vec::new();
    wire_to_json(signal, bytes, &WIDE, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn from_json(signal: Signal, json: &str) -> Decoded {
    let wire = json_to_wire(signal, json.as_bytes(), &WIDE).unwrap();
    decode(signal, &wire, &WIDE).unwrap()
}

fn refusal(signal: Signal, json: &str) -> String {
    json_to_wire(signal, json.as_bytes(), &WIDE).unwrap_err().to_string()
}

/// Reads one log record from its JSON form.
fn log(record: &str) -> LogRecord {
    let json = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}"#);
    let Decoded::Logs(mut logs) = from_json(Signal::Logs, &json) else { unreachable!() };
    logs.resource_logs.remove(0).scope_logs.remove(0).log_records.remove(0)
}

fn body(value: &str) -> Option<Typed> {
    log(&format!(r#"{{"body":{value}}}"#)).body.unwrap().value
}

fn metric(metric: &str) -> Option<Data> {
    let json = format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{metric}]}}]}}]}}"#);
    let Decoded::Metrics(mut metrics) = from_json(Signal::Metrics, &json) else { unreachable!() };
    metrics.resource_metrics.remove(0).scope_metrics.remove(0).metrics.remove(0).data
}

/// The JSON form as the typed form's own writer has it.
fn typed_json(decoded: &Decoded) -> String {
    match decoded {
        Decoded::Logs(request) => serde_json::to_string(request),
        Decoded::Traces(request) => serde_json::to_string(request),
        Decoded::Metrics(request) => serde_json::to_string(request),
    }
    .unwrap()
}

fn typed_from_json(signal: Signal, json: &str) -> Decoded {
    match signal {
        Signal::Logs => Decoded::Logs(serde_json::from_str::<Logs>(json).unwrap()),
        Signal::Traces => Decoded::Traces(serde_json::from_str::<Traces>(json).unwrap()),
        Signal::Metrics => Decoded::Metrics(serde_json::from_str::<Metrics>(json).unwrap()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn json_and_back_is_the_same_request(idx in 0..3_usize, seed in any::<u64>()) {
        let signal = Signal::ALL[idx];
        let bytes = generate::request(signal, seed);
        let decoded = decode(signal, &bytes, &WIDE).unwrap();
        let json = to_json(signal, &bytes);
        prop_assert!(!json.contains('\n'));
        let line = JsonLine::of(signal, &bytes, &WIDE).unwrap();
        let mut written = Vec::new();
        line.write(&mut Vec::new(), &mut written).unwrap();
        prop_assert!(written.len() as u64 <= line.bytes_max());
        prop_assert_eq!(String::from_utf8(written).unwrap(), format!("{json}\n"));
        prop_assert_eq!(shown(&from_json(signal, &json)), shown(&decoded));
        // The other writer and reader know neither infinity nor NaN nor indices in attribute values.
        if !["Infinity", "NaN", "Strindex"].iter().any(|unknown| json.contains(unknown)) {
            prop_assert_eq!(shown(&from_json(signal, &typed_json(&decoded))), shown(&decoded));
            prop_assert_eq!(shown(&typed_from_json(signal, &json)), shown(&decoded));
        }
    }
}

/// Scenario: what the Node.js SDK's HTTP exporter posts for one log record.
/// Guarantees: it reads as what was meant.
#[test]
fn a_request_of_the_node_sdk_is_read() {
    let record =
        log(r#"{"timeUnixNano":"1680253513123241635","observedTimeUnixNano":"1680253513123241635",
        "severityNumber":9,"severityText":"INFO","body":{"stringValue":"cart emptied"},
        "attributes":[{"key":"user","value":{"intValue":42}},
          {"key":"tags","value":{"arrayValue":{"values":[{"stringValue":"a"},{"boolValue":true}]}}},
          {"key":"load","value":{"doubleValue":0.5}},
          {"key":"context","value":{"kvlistValue":{"values":[{"key":"k","value":{}}]}}}],
        "droppedAttributesCount":0,"flags":1,
        "traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174"}"#);
    assert_eq!(record.time_unix_nano, 1_680_253_513_123_241_635);
    assert_eq!(record.trace_id[..3], [0x5b, 0x8e, 0xff]);
    assert_eq!(record.span_id.len(), 8);
    assert_eq!((record.severity_number, record.flags), (9, 1));
    let values: Vec<Typed> =
        record.attributes.into_iter().map(|entry| entry.value.unwrap().value.unwrap()).collect();
    assert_eq!(values[0], Typed::IntValue(42));
    assert_eq!(values[2], Typed::DoubleValue(0.5));
    assert!(matches!(&values[1], Typed::ArrayValue(list) if list.values.len() == 2));
    assert!(matches!(&values[3], Typed::KvlistValue(list) if list.values[0].key == "k"));
}

#[test]
fn whole_numbers_may_be_numbers_or_text() {
    for (json, expected) in [
        (r#"{"intValue":-7}"#, Typed::IntValue(-7)),
        (r#"{"intValue":"9223372036854775807"}"#, Typed::IntValue(i64::MAX)),
        (r#"{"intValue":1e3}"#, Typed::IntValue(1_000)),
        (r#"{"doubleValue":3}"#, Typed::DoubleValue(3.0)),
        (r#"{"doubleValue":"2.5"}"#, Typed::DoubleValue(2.5)),
        (r#"{"doubleValue":"-Infinity"}"#, Typed::DoubleValue(f64::NEG_INFINITY)),
        (r#"{"bytesValue":"+/8="}"#, Typed::BytesValue(vec![0xfb, 0xff])),
        (r#"{"stringValue":""}"#, Typed::StringValue(String::new())),
        (r#"{"boolValue":false}"#, Typed::BoolValue(false)),
    ] {
        assert_eq!(body(json), Some(expected), "{json}");
    }
    assert!(
        matches!(body(r#"{"doubleValue":"NaN"}"#), Some(Typed::DoubleValue(nan)) if nan.is_nan())
    );
    assert_eq!(log(r#"{"timeUnixNano":1680253513123241635,"flags":"1"}"#).flags, 1);
    assert_eq!(log(r#"{"timeUnixNano":"18446744073709551615"}"#).time_unix_nano, u64::MAX);
}

#[test]
fn unknown_keys_nulls_and_missing_fields_are_no_fault() {
    let record =
        log(r#"{"new":{"deep":[1,{"a":null}]},"time_unix_nano":"5","attributes":null,"traceId":"",
        "spanId":null,"body":{"newValue":[1],"stringValue":"x"},"severityNumber":null}"#);
    let body = record.body.clone().unwrap().value;
    assert_eq!(body, Some(Typed::StringValue("x".to_owned())));
    assert_eq!(LogRecord { body: None, ..record }, LogRecord::default());
    assert_eq!(log(r#"{"attributes":[{},{"value":{}}]}"#).attributes.len(), 2);
    assert_eq!(from_json(Signal::Traces, "{}").records(), 0);
    assert_eq!(from_json(Signal::Traces, r#"{"resourceSpans":[]}"#).records(), 0);
    assert_eq!(body_of_lists(), (0, 0));
}

/// The lengths of lists that come without their values.
fn body_of_lists() -> (usize, usize) {
    let array = match body(r#"{"arrayValue":{}}"#) {
        Some(Typed::ArrayValue(list)) => list.values.len(),
        _ => usize::MAX,
    };
    let entries = match body(r#"{"kvlistValue":{"values":null}}"#) {
        Some(Typed::KvlistValue(list)) => list.values.len(),
        _ => usize::MAX,
    };
    (array, entries)
}

/// Scenario: numbers of data points in all their spellings.
/// Guarantees: nothing is lost in silence; what cannot be read is refused.
#[test]
fn data_points_keep_numbers_of_every_spelling() {
    let data = metric(
        r#"{"name":"m","unit":"s","gauge":{"dataPoints":[{"asDouble":"NaN"},{"asInt":"-3"},
        {"asInt":4},{"asDouble":1},{"timeUnixNano":"7"}]}}"#,
    );
    let Some(Data::Gauge(gauge)) = data else { panic!("{data:?}") };
    let values: Vec<Option<Number>> = gauge.data_points.iter().map(|point| point.value).collect();
    assert!(matches!(values[0], Some(Number::AsDouble(nan)) if nan.is_nan()));
    let others = [Some(Number::AsInt(-3)), Some(Number::AsInt(4)), Some(Number::AsDouble(1.0))];
    assert_eq!((&values[1..4], values[4]), (&others[..], None));
    let data = metric(
        r#"{"histogram":{"aggregationTemporality":2,"dataPoints":[{"count":"3","sum":null,
        "bucketCounts":["1",2],"explicitBounds":[0.5,"Infinity"],"min":0}]}}"#,
    );
    let Some(Data::Histogram(histogram)) = data else { panic!("{data:?}") };
    let point = &histogram.data_points[0];
    assert_eq!((point.count, point.sum, point.min, point.max), (3, None, Some(0.0), None));
    assert_eq!(point.bucket_counts, [1, 2]);
    assert_eq!(point.explicit_bounds, [0.5, f64::INFINITY]);
    let data = metric(
        r#"{"exponentialHistogram":{"dataPoints":[{"scale":-2,"zeroCount":"1",
        "positive":{"offset":-5,"bucketCounts":["7"]}}]}}"#,
    );
    let Some(Data::ExponentialHistogram(histogram)) = data else { panic!("{data:?}") };
    let buckets = histogram.data_points[0].positive.clone().unwrap();
    assert_eq!((histogram.data_points[0].scale, buckets.offset), (-2, -5));
    assert_eq!(buckets.bucket_counts, [7]);
}

#[test]
fn what_is_not_otlp_is_refused_with_its_place() {
    for (json, expected) in [
        ("", "EOF"),
        ("[]", "invalid type: sequence"),
        ("{} {}", "trailing characters"),
        (r#"{"resourceLogs":{}}"#, "resourceLogs must be a list at line 1 column"),
        (r#"{"resourceLogs":[1]}"#, "1 is not an object"),
        (r#"{"resourceLogs":[{"schemaUrl":5}]}"#, "at resourceLogs[0].schemaUrl: 5 is not a text"),
        (r#"{"resourceLogs":[{"schemaUrl":["a"]}]}"#, "a list is not a text"),
        (
            r#"{"resourceLogs":[{"resource":{"droppedAttributesCount":-1}}]}"#,
            "-1 is not a whole number from 0 to 4294967295",
        ),
        (
            r#"{"resourceLogs":[{"resource":{"droppedAttributesCount":0.5}}]}"#,
            "0.5 is not a whole number from 0 to 4294967295",
        ),
    ] {
        let message = refusal(Signal::Logs, json);
        assert!(message.contains(expected), "{json}: {message}");
    }
    let span = |fields: &str| {
        let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{fields}]}}]}}]}}"#);
        refusal(Signal::Traces, &json)
    };
    assert!(span(r#"{"traceId":"xyz"}"#).contains("\"xyz\" is not a text of hexadecimal digits"));
    assert!(span(r#"{"kind":"SPAN_KIND_OF"}"#).contains("\"SPAN_KIND_OF\" is not a name of kind"));
    assert!(
        span(r#"{"attributes":[{"key":"a","value":{"bytesValue":"*"}}]}"#)
            .contains("\"*\" is not a text in base64")
    );
    let long = span(&format!(r#"{{"traceId":"{}"}}"#, "x".repeat(1 << 20)));
    assert!(long.len() < 300 && long.contains("xx\"... is not"), "{long}");
}

#[test]
fn depth_is_limited_in_both_directions() {
    let nested = |levels: usize| {
        let open = r#"{"arrayValue":{"values":["#.repeat(levels);
        let value = format!("{open}{}", "]}}".repeat(levels));
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{value}}}]}}]}}]}}"#)
    };
    let limits = DecodeLimits { depth_max: 32, ..WIDE };
    let at_limit = json_to_wire(Signal::Logs, nested(14).as_bytes(), &limits).unwrap();
    wire_to_json(Signal::Logs, &at_limit, &limits, &mut Vec::new()).unwrap();
    json_to_wire(Signal::Logs, nested(15).as_bytes(), &limits).unwrap_err();
    json_to_wire(Signal::Logs, nested(100_000).as_bytes(), &WIDE).unwrap_err();
    let beyond = json_to_wire(Signal::Logs, nested(15).as_bytes(), &WIDE).unwrap();
    wire_to_json(Signal::Logs, &beyond, &limits, &mut Vec::new()).unwrap_err();
}

#[test]
fn the_json_form_looks_as_the_specification_has_it() {
    let json = concat!(
        r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","#,
        r#""value":{"stringValue":"shop \"1\"\n"}}]},"scopeSpans":[{"scope":{"name":"lib"},"#,
        r#""spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","#,
        r#""flags":256,"name":"GET","kind":2,"startTimeUnixNano":"1544712660000000000","#,
        r#""attributes":[{"key":"","value":{"intValue":"0"}},"#,
        r#"{"key":"b","value":{"bytesValue":"+/8="}}],"status":{"code":2}}]}]}]}"#,
    );
    let wire = json_to_wire(Signal::Traces, json.as_bytes(), &WIDE).unwrap();
    assert_eq!(to_json(Signal::Traces, &wire), json);
}

#[test]
fn the_result_is_limited_whatever_it_is_made_of() {
    for (signal, json) in [
        (
            Signal::Metrics,
            r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[
                {"explicitBounds":[0,0,0,0,0,0,0,0],"bucketCounts":["1",0,0]}]}}]}]}]}"#,
        ),
        (
            Signal::Logs,
            r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[null,{},
                {"body":{"stringValue":"a text"}}]}]}]}"#,
        ),
        (Signal::Traces, r#"{"resourceSpans":[{},{},null]}"#),
    ] {
        let len = json_to_wire(signal, json.as_bytes(), &WIDE).unwrap().len() as u64;
        for decoded_bytes_max in 0..len + 2 {
            let limits = DecodeLimits { decoded_bytes_max, ..WIDE };
            match json_to_wire(signal, json.as_bytes(), &limits) {
                Ok(wire) => assert_eq!((wire.len() as u64, len <= decoded_bytes_max), (len, true)),
                Err(WireError::TooLarge { decoded_bytes, limit_bytes }) => {
                    assert!(limit_bytes < decoded_bytes && limit_bytes < len);
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

/// Scenario: the body of a log record in as many pieces as are put together, and in one more.
/// Guarantees: the last one counts, or the request is refused with the place.
#[test]
fn a_message_in_too_many_pieces_is_refused() {
    let request = |pieces: usize| {
        let record = message(|out| {
            for piece in 0..pieces {
                put_message(out, 5, |out| put_bytes(out, 1, piece.to_string().as_bytes()));
            }
        });
        around(&message(|out| put_bytes(out, 2, &record)))
    };
    let json = to_json(Signal::Logs, &request(1_000));
    assert!(json.contains(r#""logRecords":[{"body":{"stringValue":"999"}}]"#), "{json}");
    let many = request(1_001);
    let error = JsonLine::of(Signal::Logs, &many, &WIDE).unwrap_err().to_string();
    let place = "in resource_logs.scope_logs.log_records";
    assert!(error.starts_with("message has more than 1000 pieces at byte "), "{error}");
    assert!(error.contains(place), "{error}");
}

#[test]
fn what_is_not_utf8_is_replaced_and_the_rest_of_the_batch_is_kept() {
    let record = message(|out| put_message(out, 5, |out| put_bytes(out, 1, b"a\xffb")));
    let wire = around(&message(|out| put_bytes(out, 2, &record)));
    assert!(to_json(Signal::Logs, &wire).contains("\"a\u{fffd}b\""));
    let long = [&b"\xff".repeat(100_000)[..], "\u{1f600}".as_bytes(), b"\xe2\x82"].concat();
    let record = message(|out| put_message(out, 5, |out| put_bytes(out, 1, &long)));
    let wire = around(&message(|out| put_bytes(out, 2, &record)));
    let line = JsonLine::of(Signal::Logs, &wire, &WIDE).unwrap();
    let mut out = Vec::new();
    line.write(&mut Vec::new(), &mut out).unwrap();
    assert!(out.len() as u64 <= line.bytes_max());
    let text = String::from_utf8(out).unwrap();
    let replaced = format!("{}\u{1f600}\u{fffd}\"", "\u{fffd}".repeat(100_000));
    assert!(text.contains(&replaced), "{}", text.len());
}

#[test]
fn half_a_character_is_replaced_and_the_rest_of_the_batch_is_kept() {
    let json = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[
        {"body":{"stringValue":"cut \ud83d"}}, {"body":{"stringValue":"whole \ud83d\ude00"}}]}]}]}"#;
    let wire = json_to_wire(Signal::Logs, json.as_bytes(), &WIDE).unwrap();
    let text = to_json(Signal::Logs, &wire);
    assert!(text.contains("\"cut \u{fffd}\"") && text.contains("\"whole \u{1f600}\""), "{text}");
}

#[test]
fn enumerations_may_be_names() {
    for (signal, named, numbered) in [
        (
            Signal::Logs,
            r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":"SEVERITY_NUMBER_WARN2"}]}]}]}"#,
            r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":14}]}]}]}"#,
        ),
        (
            Signal::Traces,
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[
                {"kind":"SPAN_KIND_SERVER","status":{"code":"STATUS_CODE_ERROR"}}]}]}]}"#,
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":2,"status":{"code":2}}]}]}]}"#,
        ),
        (
            Signal::Metrics,
            r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[
                {"sum":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE"}}]}]}]}"#,
            r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"sum":{"aggregationTemporality":2}}]}]}]}"#,
        ),
    ] {
        let wire = |json: &str| json_to_wire(signal, json.as_bytes(), &WIDE).unwrap();
        assert_eq!(wire(named), wire(numbered));
    }
    let wrong = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":"WARN"}]}]}]}"#;
    assert!(json_to_wire(Signal::Logs, wrong.as_bytes(), &WIDE).is_err());
}

#[test]
fn a_mistake_is_named_with_its_path_its_place_and_its_reason() {
    for (json, parts) in [
        (
            r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}, {"traceId":"xyz"}]}]}]}"#,
            [
                "at resourceLogs[0].scopeLogs[0].logRecords[1].traceId",
                "\"xyz\" is not a text of hexadecimal digits",
                "column 66",
            ],
        ),
        (
            r#"{"resourceLogs":[{"scopeLogs":{}}]}"#,
            ["at resourceLogs[0].scopeLogs", "scopeLogs must be a list", "line 1"],
        ),
        (r#"{"resourceLogs":[}"#, ["at resourceLogs[0]", "expected value", "column 18"]),
        ("nonsense", ["the JSON request: ", "expected ident", "column 2"]),
    ] {
        let error = json_to_wire(Signal::Logs, json.as_bytes(), &WIDE).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{error}: {part}");
        }
    }
}

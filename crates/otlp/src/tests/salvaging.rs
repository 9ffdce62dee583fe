//! One record that cannot be read does not cost the others.

use super::super::json::{salvage_json, wire_to_json};
use super::super::prescan::prescan;
use super::super::salvage::salvage;
use super::super::signal::Signal;
use super::super::unknown::unknown_field;
use super::super::wire::{put_bytes, put_key, put_message, put_varint};
use super::{WIDE, around, message};
use serde_json::{Value, json};

/// The JSON form of a request.
fn shown(signal: Signal, wire: &[u8]) -> Value {
    let mut out = Vec::new();
    wire_to_json(signal, wire, &WIDE, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

/// A log record with this severity text.
fn record(text: &str) -> Vec<u8> {
    message(|out| put_bytes(out, 3, text.as_bytes()))
}

/// A log record with an attribute whose value ends after the end of its message.
fn torn() -> Vec<u8> {
    message(|out| put_bytes(out, 6, &[0x0a, 1, b'k', 0x12, 3, 0x0a, 0x7f, b'a']))
}

fn logs(records: &[Vec<u8>]) -> Vec<u8> {
    around(&message(|out| records.iter().for_each(|record| put_bytes(out, 2, record))))
}

/// How many records are taken out, and the severity texts of the others.
fn left(wire: &[u8]) -> Option<(u64, Vec<String>)> {
    let salvaged = salvage(Signal::Logs, wire)?;
    let json = shown(Signal::Logs, &salvaged.bytes);
    let lists = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let resources = lists(&json, "resourceLogs").into_iter();
    let scopes = resources.flat_map(|part| lists(&part, "scopeLogs"));
    let records = scopes.flat_map(|part| lists(&part, "logRecords"));
    let texts: Vec<String> =
        records.map(|record| record["severityText"].as_str().unwrap().to_owned()).collect();
    assert_eq!(salvaged.summary.records, texts.len() as u64);
    Some((salvaged.rejected, texts))
}

#[test]
fn torn_values_inside_attributes_are_found_however_deep_they_are() {
    let deep = |value: &[u8], levels: usize| {
        let list =
            |inner: Vec<u8>| message(|out| put_message(out, 5, |out| put_bytes(out, 1, &inner)));
        let value = (0..levels).fold(value.to_vec(), |inner, _| list(inner));
        logs(&[message(|out| put_bytes(out, 5, &value))])
    };
    for levels in [0, 1, 2, 40, 46] {
        assert!(prescan(Signal::Logs, &deep(&[0x0a, 1, b'a'], levels)).is_ok(), "{levels}");
        let refused = prescan(Signal::Logs, &deep(&[0x0a, 9, b'a'], levels)).unwrap_err();
        assert!(refused.to_string().contains("a value ends after the end"), "{refused}");
    }
    let refused = prescan(Signal::Logs, &deep(&[0x0a, 1, b'a'], 47)).unwrap_err();
    assert!(refused.to_string().contains("nested too deep"), "{refused}");

    let reported = [
        0x0a, 0x0e, 0x12, 0x0c, 0x12, 0x0a, 0x32, 0x08, 0x0a, 0x01, 0x6b, 0x12, 0x03, 0x0a, 0x7f,
        0x61,
    ];
    let refused = prescan(Signal::Logs, &reported).unwrap_err().to_string();
    let expected = "malformed request: a value ends after the end of its message at byte 13 in \
                    resource_logs.scope_logs.log_records.attributes.value";
    assert_eq!(refused, expected);
}

#[test]
fn a_malformed_record_goes_and_the_others_stay() {
    let wrong_type = message(|out| {
        put_key(out, 3, 0);
        put_varint(out, 5);
    });
    for bad in [torn(), wrong_type, vec![0x1a, 9, b'a'], vec![0x07]] {
        let wire = logs(&[record("A"), bad.clone(), record("B"), bad.clone()]);
        assert!(prescan(Signal::Logs, &wire).is_err());
        assert_eq!(left(&wire), Some((2, vec!["A".to_owned(), "B".to_owned()])), "{bad:?}");
        assert_eq!(left(&logs(&[bad.clone(), bad])), None);
    }
    let good = logs(&[record("A")]);
    let emptied = [logs(&[torn()]), good.clone()].concat();
    let salvaged = salvage(Signal::Logs, &emptied).unwrap();
    assert_eq!((salvaged.rejected, &salvaged.bytes[..]), (1, &good[..]), "its resource goes too");
    let cut = [good, vec![0x0a, 9, 1]].concat();
    assert_eq!(left(&cut), None, "where a resource ends is not known");
}

#[test]
fn what_is_wrong_around_records_costs_all_of_them_and_no_more() {
    let scope = |scope: &[u8], records: &[Vec<u8>]| {
        message(|out| {
            put_bytes(out, 1, scope);
            for record in records {
                put_bytes(out, 2, record);
            }
        })
    };
    let torn_scope = scope(&torn()[..3], &[record("A"), record("B")]);
    let whole_scope = scope(&[], &[record("C")]);
    let request = |scopes: &[&Vec<u8>]| {
        message(|out| {
            put_message(out, 1, |out| scopes.iter().for_each(|scope| put_bytes(out, 2, scope)));
        })
    };
    let wire = request(&[&torn_scope, &whole_scope]);
    assert_eq!(left(&wire), Some((2, vec!["C".to_owned()])));
    let torn_resource = message(|out| {
        put_message(out, 1, |out| {
            put_bytes(out, 1, &[0x0a, 7, 1]);
            put_bytes(out, 2, &scope(&[], &[record("A"), record("B"), record("C")]));
        });
    });
    let wire = [torn_resource, request(&[&whole_scope])].concat();
    assert_eq!(left(&wire), Some((3, vec!["C".to_owned()])));
}

#[test]
fn a_metric_loses_its_malformed_points_and_goes_with_the_last() {
    let point = |value: &[u8]| message(|out| put_bytes(out, 7, value));
    let metric = |name: &str, points: &[Vec<u8>]| {
        message(|out| {
            put_bytes(out, 1, name.as_bytes());
            put_message(out, 5, |out| points.iter().for_each(|point| put_bytes(out, 1, point)));
        })
    };
    let (good, bad) = (point(&[0x0a, 1, b'k']), point(&[0x0a, 9, b'k']));
    let metrics =
        [metric("some", &[good.clone(), bad.clone(), good]), metric("none", &[bad.clone(), bad])];
    let wire = around(&message(|out| metrics.iter().for_each(|it| put_bytes(out, 2, it))));
    let salvaged = salvage(Signal::Metrics, &wire).unwrap();
    assert_eq!((salvaged.rejected, salvaged.summary.records), (3, 2));
    let json = shown(Signal::Metrics, &salvaged.bytes);
    let left = &json["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
    assert_eq!(left.as_array().map(Vec::len), Some(1), "{json}");
    assert_eq!(left[0]["name"], "some");
}

#[test]
fn a_json_record_that_cannot_be_read_goes_and_the_others_stay() {
    let of = |records: &Value| json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]});
    let good = json!({"severityText": "A"});
    let deep = (0..200)
        .fold(json!({"stringValue": "x"}), |inner, _| json!({"arrayValue": {"values": [inner]}}));
    for bad in [
        json!({"traceId": "xyz"}),
        json!({"severityNumber": "SEVERITY_NUMBER_NOSUCH"}),
        json!({"timeUnixNano": -1}),
        json!({"body": {"intValue": "1.5"}}),
        json!({"attributes": {"a": 1}}),
        json!("a line"),
        json!(17),
        json!({"body": deep}),
    ] {
        let body = of(&json!([bad, good, bad, good])).to_string();
        let read = salvage_json(Signal::Logs, body.as_bytes(), &WIDE).unwrap().unwrap();
        assert_eq!(read.rejected, 2, "{bad}");
        assert_eq!(shown(Signal::Logs, &read.wire), of(&json!([good, good])), "{bad}");
        let body = of(&json!([bad])).to_string();
        assert!(salvage_json(Signal::Logs, body.as_bytes(), &WIDE).unwrap().is_none(), "{bad}");
    }
    let around = json!({"resourceLogs": [
        {"resource": {"attributes": 1}, "scopeLogs": [{"logRecords": [good, good]}]},
        {"scopeLogs": [{"scope": {"name": 1}, "logRecords": [good]}, {"logRecords": [good]}]},
        {"scopeLogs": [{"logRecords": good}]},
    ]});
    let body = around.to_string();
    let read = salvage_json(Signal::Logs, body.as_bytes(), &WIDE).unwrap().unwrap();
    assert_eq!(read.rejected, 4);
    assert_eq!(shown(Signal::Logs, &read.wire), of(&json!([good])));
    for broken in ["{\"resourceLogs\": [", "[]", "{\"resourceLogs\": 1}", "nothing"] {
        assert!(
            salvage_json(Signal::Logs, broken.as_bytes(), &WIDE).unwrap().is_none(),
            "{broken}"
        );
    }
}

#[test]
fn what_is_ignored_around_records_is_told() {
    let told = |signal, body: Value| {
        super::super::json::read_json(signal, body.to_string().as_bytes(), &WIDE).unwrap().unknown
    };
    for (body, expected) in [
        (json!({}), None),
        (json!({"resourceLogs": []}), None),
        (
            json!({"resource_logs": []}),
            Some("the key `resource_logs` is unknown: OTLP/JSON has `resourceLogs`"),
        ),
        (
            json!({"resourceSpans": []}),
            Some("the key `resourceSpans` is unknown here: requests with traces go to /v1/traces"),
        ),
        (
            json!({"resourceLogs": [{"scopeLogs": [{"log_records": [{}]}]}]}),
            Some("the key `log_records` is unknown: OTLP/JSON has `logRecords`"),
        ),
        (json!({"message": "a"}), Some("the key `message` is unknown")),
        (json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"x": 1}]}]}]}), None),
    ] {
        assert_eq!(told(Signal::Logs, body.clone()).as_deref(), expected, "{body}");
    }
    let wire = message(|out| put_bytes(out, 7, b"x"));
    assert_eq!(unknown_field(Signal::Logs, &wire).unwrap(), "field 7 of request is unknown");
    assert_eq!(unknown_field(Signal::Logs, &logs(&[record("A")])), None);
}

//! Records in short and in the JSON form of OTLP, and how they differ.

use std::collections::BTreeMap;

use gophership::component::SignalName;
use gophership::config::TestRecord;
use gophership_otlp::Signal;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

/// The times of records: 2026-01-01.
pub(super) const START_UNIX_NS: u64 = 1_767_225_600_000_000_000;

/// A request of one record; `number` makes its ids and times its own.
pub(super) fn request(record: &TestRecord, number: u64, unix_ns: u64) -> Value {
    let time = (unix_ns + number).to_string();
    let span_id = format!("{:016x}", number + 1);
    let attributes = attributes(&record.attributes);
    let mut it = match record.signal {
        SignalName::Logs => {
            json!({ "timeUnixNano": time, "observedTimeUnixNano": time, "attributes": attributes })
        }
        SignalName::Traces => json!({
            "startTimeUnixNano": time, "endTimeUnixNano": time, "spanId": span_id,
            "attributes": attributes,
        }),
        SignalName::Metrics => {
            json!({ "timeUnixNano": time, "asDouble": 1.0, "attributes": attributes })
        }
    };
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            it[key] = value;
        }
    };
    if record.signal != SignalName::Metrics {
        set("traceId", record.trace_id.clone().map(Value::String));
        let key = if record.signal == SignalName::Logs { "eventName" } else { "name" };
        set(key, record.name.clone().map(Value::String));
    }
    set("traceState", record.trace_state.clone().map(Value::String));
    set("body", record.body.as_ref().map(any_value));
    set("status", record.status.map(|status| json!({ "code": status.code() })));
    set("severityNumber", record.severity.map(|severity| severity.number().into()));
    let (resource, scope) = (self::attributes(&record.resource), self::attributes(&record.scope));
    let (resource, scope) = (json!({ "attributes": resource }), json!({ "attributes": scope }));
    match record.signal {
        SignalName::Logs => json!({ "resourceLogs": [{ "resource": resource,
            "scopeLogs": [{ "scope": scope, "logRecords": [it] }] }] }),
        SignalName::Traces => json!({ "resourceSpans": [{ "resource": resource,
            "scopeSpans": [{ "scope": scope, "spans": [it] }] }] }),
        SignalName::Metrics => {
            let name = record.name.as_deref().unwrap_or("test");
            let metric = json!({ "name": name, "gauge": { "dataPoints": [it] } });
            json!({ "resourceMetrics": [{ "resource": resource,
                "scopeMetrics": [{ "scope": scope, "metrics": [metric] }] }] })
        }
    }
}

fn attributes(values: &BTreeMap<String, Value>) -> Value {
    let pair = |(key, value): (&String, &Value)| json!({ "key": key, "value": any_value(value) });
    Value::Array(values.iter().map(pair).collect())
}

fn any_value(value: &Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(value) => json!({ "boolValue": value }),
        Value::Number(number) if number.is_f64() => json!({ "doubleValue": number }),
        Value::Number(number) => json!({ "intValue": number.to_string() }),
        Value::String(text) => json!({ "stringValue": text }),
        Value::Array(items) => {
            let items: Vec<Value> = items.iter().map(any_value).collect();
            json!({ "arrayValue": { "values": items } })
        }
        Value::Object(entries) => {
            let pair = |(key, value)| json!({ "key": key, "value": any_value(value) });
            let values: Vec<Value> = entries.iter().map(pair).collect();
            json!({ "kvlistValue": { "values": values } })
        }
    }
}

/// The way back from [`any_value`]; bytes stay in base64.
fn plain(value: &Value) -> Value {
    let Some((kind, inner)) = value.as_object().and_then(|object| object.iter().next()) else {
        return Value::Null;
    };
    let items = || inner.get("values").and_then(Value::as_array).into_iter().flatten();
    match kind.as_str() {
        "intValue" => {
            let number = inner.as_str().and_then(|text| text.parse::<i64>().ok());
            number.map_or_else(|| inner.clone(), Value::from)
        }
        "arrayValue" => Value::Array(items().map(plain).collect()),
        "kvlistValue" => plain_attributes(items()),
        _ => inner.clone(),
    }
}

fn plain_attributes<'v>(pairs: impl Iterator<Item = &'v Value>) -> Value {
    let pair = |pair: &Value| {
        let key = pair.get("key").and_then(Value::as_str).unwrap_or_default();
        (key.to_owned(), plain(pair.get("value").unwrap_or(&Value::Null)))
    };
    Value::Object(pairs.map(pair).collect())
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// The records of a request in the JSON form, in short.
pub(super) fn shorts(signal: Signal, request: &Value) -> Vec<Value> {
    let (resources, scopes, records) = match signal {
        Signal::Logs => ("resourceLogs", "scopeLogs", "logRecords"),
        Signal::Traces => ("resourceSpans", "scopeSpans", "spans"),
        Signal::Metrics => ("resourceMetrics", "scopeMetrics", "metrics"),
    };
    let mut found = Vec::new();
    for part in list(request, resources) {
        let resource = plain_attributes(
            part.get("resource").into_iter().flat_map(|it| list(it, "attributes")),
        );
        for part in list(part, scopes) {
            let scope = plain_attributes(
                part.get("scope").into_iter().flat_map(|it| list(it, "attributes")),
            );
            for record in list(part, records) {
                let name = record.get("name").or_else(|| record.get("eventName"));
                let points: Vec<&Value> = match record.get("gauge") {
                    Some(gauge) => list(gauge, "dataPoints").collect(),
                    None => vec![record],
                };
                for record in points {
                    found.push(short(signal, record, name, &resource, &scope));
                }
            }
        }
    }
    found
}

fn short(
    signal: Signal,
    record: &Value,
    name: Option<&Value>,
    resource: &Value,
    scope: &Value,
) -> Value {
    let mut it = Map::new();
    it.insert("signal".to_owned(), signal.name().into());
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            it.insert(key.to_owned(), value);
        }
    };
    set("name", name.cloned());
    set("body", record.get("body").map(plain));
    set("trace_id", record.get("traceId").cloned());
    set("trace_state", record.get("traceState").cloned());
    set("severity", record.get("severityNumber").cloned());
    if signal == Signal::Traces {
        let code = record.get("status").and_then(|status| status.get("code"));
        set("status", Some(code.cloned().unwrap_or_else(|| 0.into())));
    }
    set("attributes", Some(plain_attributes(list(record, "attributes"))));
    set("resource", Some(resource.clone()));
    set("scope", Some(scope.clone()));
    Value::Object(it)
}

/// How a record differs from what is expected of it: a line for each value.
pub(super) fn differences(expected: &TestRecord, found: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let mut compare = |path: &str, expected: &Value, found: Option<&Value>| {
        let found = found.unwrap_or(&Value::Null);
        if expected != found {
            lines.push(format!("- {path}: {expected}"));
            lines.push(format!("+ {path}: {found}"));
        }
    };
    compare("signal", &expected.signal.signal().name().into(), found.get("signal"));
    let texts = [
        ("name", &expected.name),
        ("trace_id", &expected.trace_id.as_ref().map(|id| id.to_ascii_lowercase())),
        ("trace_state", &expected.trace_state),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            compare(key, &text.as_str().into(), found.get(key));
        }
    }
    if let Some(body) = &expected.body {
        compare("body", body, found.get("body"));
    }
    if let Some(severity) = expected.severity {
        compare("severity", &severity.number().into(), found.get("severity"));
    }
    if let Some(status) = expected.status {
        compare("status", &status.code().into(), found.get("status"));
    }
    let levels = [
        ("attributes", &expected.attributes),
        ("resource", &expected.resource),
        ("scope", &expected.scope),
    ];
    for (level, values) in levels {
        for (key, value) in values {
            let found = found.get(level).and_then(|level| level.get(key));
            compare(&format!("{level}.{key}"), value, found);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use gophership::component::SpanStatus;
    use gophership_otlp::DecodeLimits;
    use gophership_otlp::json_to_wire;
    use gophership_otlp::wire_to_json;

    use super::*;

    const WIDE: DecodeLimits = DecodeLimits { decoded_bytes_max: u64::MAX, depth_max: 96 };

    fn record(signal: SignalName) -> TestRecord {
        let value = json!({ "a": [1, -2, 1.5, true, "x", {}], "b": {} });
        let values = BTreeMap::from([("k".to_owned(), value.clone())]);
        TestRecord {
            signal,
            body: (signal == SignalName::Logs).then_some(value),
            name: Some("n".to_owned()),
            trace_id: (signal != SignalName::Metrics).then(|| "0A".repeat(16)),
            trace_state: (signal == SignalName::Traces).then(|| "a=b".to_owned()),
            status: (signal == SignalName::Traces).then_some(SpanStatus::Error),
            attributes: values.clone(),
            resource: values.clone(),
            scope: values,
            ..TestRecord::default()
        }
    }

    /// The short form of what is on the wire.
    fn there_and_back(record: &TestRecord) -> Value {
        let json = request(record, 7, START_UNIX_NS).to_string();
        let wire = json_to_wire(record.signal.signal(), json.as_bytes(), &WIDE).unwrap();
        let mut back = Vec::new();
        wire_to_json(record.signal.signal(), &wire, &WIDE, &mut back).unwrap();
        let shorts = shorts(record.signal.signal(), &serde_json::from_slice(&back).unwrap());
        assert_eq!(shorts.len(), 1);
        shorts.into_iter().next().unwrap()
    }

    #[test]
    fn records_of_every_signal_survive_the_wire() {
        for signal in [SignalName::Logs, SignalName::Traces, SignalName::Metrics] {
            let record = record(signal);
            assert_eq!(differences(&record, &there_and_back(&record)), [""; 0]);
        }
    }

    #[test]
    fn each_difference_is_shown_with_both_values() {
        let found = there_and_back(&record(SignalName::Logs));
        let expected = TestRecord {
            body: Some("other".into()),
            attributes: BTreeMap::from([
                ("k".to_owned(), Value::Null),
                ("n".to_owned(), Value::Null),
            ]),
            ..TestRecord::default()
        };
        let lines = differences(&expected, &found);
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert_eq!(lines[0], "- body: \"other\"");
        assert!(lines[1].starts_with("+ body: {\"a\":[1,"));
        assert_eq!(lines[2], "- attributes.k: null");
    }
}

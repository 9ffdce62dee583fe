//! Records of a request, one line each.

use std::fmt::Write;

use gophership_units::utc_text;
use serde_json::Value;

/// A line has no more characters than this, however wide the terminal is.
const LINE_LEN_MAX: usize = 4096;
/// As many attributes are shown.
const ATTRIBUTES_MAX: usize = 12;
/// The names of the parts of a request, by signal: resources, scopes, records.
const PARTS: [[&str; 3]; 3] = [
    ["resourceLogs", "scopeLogs", "logRecords"],
    ["resourceSpans", "scopeSpans", "spans"],
    ["resourceMetrics", "scopeMetrics", "metrics"],
];

/// Renders the records of a request in its OTLP JSON form, a line for each, cut to `width` characters. `place` is
/// written in front of each, if it is not empty.
pub(crate) fn lines(request: &Value, place: &str, width: Option<usize>) -> String {
    let mut out = String::new();
    for [resources, scopes, records] in PARTS {
        for resource in list(request, resources) {
            let service = attribute(&resource["resource"], "service.name");
            for record in list(resource, scopes).iter().flat_map(|scope| list(scope, records)) {
                for line in of_record(record, records) {
                    let line = [place, line.0.as_str(), &service, &line.1].join(" ");
                    push(&line, width, &mut out);
                }
            }
        }
    }
    out
}

/// Adds a line that is one line, whatever senders wrote, and not too wide.
fn push(line: &str, width: Option<usize>, out: &mut String) {
    let width = width.unwrap_or(LINE_LEN_MAX).min(LINE_LEN_MAX);
    let words = line.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let shown = words.chars().map(|c| if c.is_control() { ' ' } else { c });
    out.extend(shown.take(width));
    out.push('\n');
}

/// The time and kind of a record, and what it says; of a metric one for each data point.
fn of_record(record: &Value, kind: &str) -> Vec<(String, String)> {
    match kind {
        "logRecords" => vec![of_log(record)],
        "spans" => vec![of_span(record)],
        _ => of_metric(record),
    }
}

fn of_log(record: &Value) -> (String, String) {
    let time = time(&record["timeUnixNano"]).or_else(|| time(&record["observedTimeUnixNano"]));
    let severity = match record["severityText"].as_str() {
        Some(text) if !text.is_empty() => text.to_owned(),
        _ => severity(record["severityNumber"].as_u64().unwrap_or(0)).to_owned(),
    };
    let head = format!("{} {severity}", time.unwrap_or_else(|| "-".to_owned()));
    let name = record["eventName"].as_str().unwrap_or_default();
    (head, format!("{name} {}{}", value(&record["body"]), attributes(record)))
}

const fn severity(number: u64) -> &'static str {
    match number {
        0 => "-",
        1..=4 => "TRACE",
        5..=8 => "DEBUG",
        9..=12 => "INFO",
        13..=16 => "WARN",
        17..=20 => "ERROR",
        _ => "FATAL",
    }
}

fn of_span(span: &Value) -> (String, String) {
    let ns = |field: &str| span[field].as_str().and_then(|ns| ns.parse::<u64>().ok());
    let took = ns("endTimeUnixNano").zip(ns("startTimeUnixNano"));
    let took = took.map_or(0, |(end, start)| end.saturating_sub(start));
    let head = time(&span["startTimeUnixNano"]).unwrap_or_else(|| "-".to_owned());
    let status = if span["status"]["code"].as_u64() == Some(2) { " ERROR" } else { "" };
    let name = span["name"].as_str().unwrap_or_default();
    let (ms, fraction) = (took / 1_000_000, took / 1000 % 1000);
    (format!("{head} span"), format!("{name} {ms}.{fraction:03}ms{status}{}", attributes(span)))
}

fn of_metric(metric: &Value) -> Vec<(String, String)> {
    let name = metric["name"].as_str().unwrap_or_default();
    let unit = metric["unit"].as_str().unwrap_or_default();
    let kinds = ["gauge", "sum", "histogram", "exponentialHistogram", "summary"];
    let points = kinds.iter().flat_map(|kind| list(&metric[*kind], "dataPoints"));
    let line = |point: &Value| {
        let time = time(&point["timeUnixNano"]).unwrap_or_else(|| "-".to_owned());
        let value = match (&point["asDouble"], &point["asInt"]) {
            (Value::Null, Value::Null) => {
                format!("count={} sum={}", plain(&point["count"]), plain(&point["sum"]))
            }
            (Value::Null, value) | (value, _) => plain(value),
        };
        (format!("{time} metric"), format!("{name} {value} {unit}{}", attributes(point)))
    };
    points.map(line).collect()
}

fn time(ns: &Value) -> Option<String> {
    let ns: u64 = ns.as_str()?.parse().ok()?;
    (ns != 0).then(|| utc_text(ns))
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn attribute(owner: &Value, key: &str) -> String {
    let entries = list(owner, "attributes");
    let found = entries.iter().find(|entry| entry["key"] == key);
    found.map_or_else(|| "-".to_owned(), |entry| value(&entry["value"]))
}

/// The attributes of a record, each with a space in front of it.
fn attributes(record: &Value) -> String {
    let mut out = String::new();
    for entry in list(record, "attributes").iter().take(ATTRIBUTES_MAX) {
        let key = entry["key"].as_str().unwrap_or_default();
        // Writing to a string cannot fail.
        let _written = write!(out, " {key}={}", value(&entry["value"]));
    }
    out
}

/// An attribute value or a body: its text if it is a single value, its JSON otherwise.
fn value(value: &Value) -> String {
    let Some((kind, inner)) = value.as_object().and_then(|object| object.iter().next()) else {
        return String::new();
    };
    match kind.as_str() {
        "arrayValue" | "kvlistValue" => inner.to_string(),
        _ => plain(inner),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(text: &str) -> Value {
        json!({ "stringValue": text })
    }

    #[test]
    fn each_record_is_one_line_with_what_matters_first() {
        let resource = json!({"attributes": [{"key": "service.name", "value": text("cart")}]});
        let status = json!({"key": "http.status", "value": {"intValue": "500"}});
        let logs = json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [
            {"timeUnixNano": "1700000000123000000", "severityNumber": 17, "body": text("no\nroom\u{1b}[31m"),
             "attributes": [status]},
            {"severityText": "Notice", "body": {"kvlistValue": {"values": []}}},
        ]}]}]});
        assert_eq!(
            lines(&logs, "", None),
            "2023-11-14T22:13:20.123Z ERROR cart no room [31m http.status=500\n\
             - Notice cart {\"values\":[]}\n"
        );
        assert_eq!(lines(&logs, "otlp", Some(20)), "otlp 2023-11-14T22:1\notlp - Notice cart {\n");
        let spans = json!({"resourceSpans": [{"scopeSpans": [{"spans": [
            {"name": "GET /a", "startTimeUnixNano": "1700000000000000000",
             "endTimeUnixNano": "1700000000012345678", "status": {"code": 2}},
        ]}]}]});
        assert_eq!(
            lines(&spans, "", None),
            "2023-11-14T22:13:20.000Z span - GET /a 12.345ms ERROR\n"
        );
        let metrics = json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [
            {"name": "cpu", "unit": "1", "gauge": {"dataPoints": [
                {"timeUnixNano": "1700000000000000000", "asDouble": 0.5},
                {"timeUnixNano": "1700000000000000000", "asInt": "3"},
            ]}},
            {"name": "took", "histogram": {"dataPoints": [{"count": "2", "sum": 7.5}]}},
        ]}]}]});
        assert_eq!(
            lines(&metrics, "", None),
            "2023-11-14T22:13:20.000Z metric cart cpu 0.5 1\n\
             2023-11-14T22:13:20.000Z metric cart cpu 3 1\n\
             - metric cart took count=2 sum=7.5\n"
        );
    }
}

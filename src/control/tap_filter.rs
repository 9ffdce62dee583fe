//! Which records a filter wants.

use gophership_control::filter::FieldCondition;
use gophership_control::filter::Filter;
use gophership_control::filter::FilterField;
use gophership_control::filter::Operator;
use gophership_otlp::AnyValueView;
use gophership_otlp::Level;
use gophership_otlp::RecordView;
use gophership_otlp::Signal;

use crate::component::Severity;

/// Whether a record meets all conditions.
pub(super) fn is_wanted(filter: &Filter, record: &RecordView<'_>) -> bool {
    filter.conditions.iter().all(|condition| meets(condition, record))
}

fn meets(condition: &FieldCondition, record: &RecordView<'_>) -> bool {
    let FieldCondition { field, operator, value } = condition;
    let fits = |text: &str| match operator {
        Operator::Equals => text == value,
        Operator::Contains => text.contains(value.as_str()),
        Operator::AtLeast => false,
    };
    match field {
        FilterField::Severity => {
            let wanted = Severity::named(value).map_or(i32::MAX, Severity::number);
            record.signal() == Signal::Logs && wanted <= severity(record)
        }
        FilterField::Signal => fits(record.signal().name()),
        FilterField::Name => fits(record.name()),
        FilterField::Body => record.body().is_some_and(fits),
        FilterField::Attribute(key) => {
            let levels = [Level::Record, Level::Resource, Level::Scope];
            let found = levels.into_iter().find_map(|level| record.attribute_of(level, key));
            found.and_then(AnyValueView::to_text).is_some_and(|text| fits(&text))
        }
    }
}

/// The number of a severity; that of its text where there is none.
fn severity(record: &RecordView<'_>) -> i32 {
    match record.severity_number() {
        0 => Severity::named(record.severity_text()).map_or(0, Severity::number),
        number => number,
    }
}

#[cfg(test)]
mod tests {
    use gophership_otlp::DecodeLimits;
    use gophership_otlp::json_to_wire;
    use gophership_otlp::retain;
    use serde_json::Value;
    use serde_json::json;

    use super::*;

    /// How many of the records, given as JSON, a filter wants.
    fn wanted(filter: &str, signal: Signal, records: &Value) -> u64 {
        let filter: Filter = filter.parse().unwrap();
        let resource =
            json!({"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]});
        let body = match signal {
            Signal::Logs => {
                json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]})
            }
            _ => {
                json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": records}]}]})
            }
        };
        let wire = json_to_wire(signal, body.to_string().as_bytes(), &DecodeLimits::default());
        retain(signal, &wire.unwrap(), |record| is_wanted(&filter, record)).unwrap().kept
    }

    #[test]
    fn each_field_is_compared_as_it_says() {
        let logs = json!([
            {"severityNumber": 9, "body": {"stringValue": "paid by card"}},
            {"severityText": "ERROR", "body": {"stringValue": "card refused"},
             "attributes": [{"key": "http.status", "value": {"intValue": "500"}}]},
            {"severityNumber": 13, "body": {"intValue": "7"}},
        ]);
        for (filter, expected) in [
            ("", 3),
            ("severity>=warn", 2),
            ("body~card", 2),
            ("body=\"paid by card\"", 1),
            ("body~card and severity>=error", 1),
            ("http.status=500", 1),
            ("http.status~5", 1),
            ("service.name=cart", 3),
            ("service.name=shop", 0),
            ("signal=traces", 0),
            ("name=a", 0),
        ] {
            assert_eq!(wanted(filter, Signal::Logs, &logs), expected, "{filter}");
        }
        let spans = json!([{"name": "GET /a"}, {"name": "GET /b"}]);
        for (filter, expected) in [("name=\"GET /a\"", 1), ("name~GET", 2), ("severity>=trace", 0)]
        {
            assert_eq!(wanted(filter, Signal::Traces, &spans), expected, "{filter}");
        }
    }
}

//! What edits and filters mean, said with the typed form.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Typed;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::super::decode::Decoded;
use super::super::edit::{Edit, EditOperation, Level};
use super::super::value::{AnyValueView, Value};
use super::super::view::RecordView;

/// Applies edits to a decoded request.
pub(super) fn edit(decoded: &mut Decoded, edits: &[Edit]) {
    let resource = |resource: &mut Option<Resource>| {
        let mut list = resource.clone().unwrap_or_default().attributes;
        edit_list(&mut list, edits, Level::Resource);
        if resource.is_some() || !list.is_empty() {
            resource.get_or_insert_default().attributes = list;
        }
    };
    let scope = |scope: &mut Option<InstrumentationScope>| {
        let mut list = scope.clone().unwrap_or_default().attributes;
        edit_list(&mut list, edits, Level::Scope);
        if scope.is_some() || !list.is_empty() {
            scope.get_or_insert_default().attributes = list;
        }
    };
    let record = |list: &mut Vec<KeyValue>| edit_list(list, edits, Level::Record);
    match decoded {
        Decoded::Logs(request) => {
            for logs in &mut request.resource_logs {
                resource(&mut logs.resource);
                for logs in &mut logs.scope_logs {
                    scope(&mut logs.scope);
                    logs.log_records.iter_mut().for_each(|log| record(&mut log.attributes));
                }
            }
        }
        Decoded::Traces(request) => {
            for spans in &mut request.resource_spans {
                resource(&mut spans.resource);
                for spans in &mut spans.scope_spans {
                    scope(&mut spans.scope);
                    spans.spans.iter_mut().for_each(|span| record(&mut span.attributes));
                }
            }
        }
        Decoded::Metrics(request) => {
            for metrics in &mut request.resource_metrics {
                resource(&mut metrics.resource);
                for metrics in &mut metrics.scope_metrics {
                    scope(&mut metrics.scope);
                    for data in metrics.metrics.iter_mut().filter_map(|metric| metric.data.as_mut())
                    {
                        points(data).into_iter().for_each(record);
                    }
                }
            }
        }
    }
}

/// How many containers of resources and of scopes a request has.
pub(super) fn containers(decoded: &Decoded) -> (u64, u64) {
    let scopes: Vec<usize> = match decoded {
        Decoded::Logs(request) => {
            request.resource_logs.iter().map(|r| r.scope_logs.len()).collect()
        }
        Decoded::Traces(request) => {
            request.resource_spans.iter().map(|r| r.scope_spans.len()).collect()
        }
        Decoded::Metrics(request) => {
            request.resource_metrics.iter().map(|r| r.scope_metrics.len()).collect()
        }
    };
    (scopes.len() as u64, scopes.iter().sum::<usize>() as u64)
}

fn points(data: &mut Data) -> Vec<&mut Vec<KeyValue>> {
    match data {
        Data::Gauge(data) => data.data_points.iter_mut().map(|p| &mut p.attributes).collect(),
        Data::Sum(data) => data.data_points.iter_mut().map(|p| &mut p.attributes).collect(),
        Data::Histogram(data) => data.data_points.iter_mut().map(|p| &mut p.attributes).collect(),
        Data::ExponentialHistogram(data) => {
            data.data_points.iter_mut().map(|p| &mut p.attributes).collect()
        }
        Data::Summary(data) => data.data_points.iter_mut().map(|p| &mut p.attributes).collect(),
    }
}

fn edit_list(list: &mut Vec<KeyValue>, edits: &[Edit], level: Level) {
    for Edit { key, operation, .. } in edits.iter().filter(|edit| edit.level == level) {
        match operation {
            EditOperation::Set(value) => set(list, key, value),
            EditOperation::SetIfAbsent(value) => {
                if !list.iter().any(|entry| entry.key == *key) {
                    set(list, key, value);
                }
            }
            EditOperation::Delete => list.retain(|entry| entry.key != *key),
            EditOperation::Rename { to } if to == key => {}
            EditOperation::Rename { to } => {
                if list.iter().any(|entry| entry.key == *key) {
                    list.retain(|entry| entry.key != *to);
                    let idx = list.iter().position(|entry| entry.key == *key).unwrap();
                    list[idx].key.clone_from(to);
                    list.retain(|entry| entry.key != *key);
                }
            }
            EditOperation::Lookup { from, table, if_absent, default } => {
                let entry = list.iter().find(|entry| entry.key == *from);
                let text = match entry.and_then(|entry| entry.value.clone()?.value) {
                    Some(Typed::StringValue(text)) => Some(text),
                    Some(Typed::IntValue(value)) => Some(value.to_string()),
                    Some(Typed::DoubleValue(value)) => Some(value.to_string()),
                    Some(Typed::BoolValue(value)) => Some(value.to_string()),
                    _ => None,
                };
                let value = text.and_then(|text| table.get(&text)).or(default.as_ref()).cloned();
                let is_there = list.iter().any(|entry| entry.key == *key);
                if let Some(value) = value.filter(|_| !(*if_absent && is_there)) {
                    set(list, key, &value);
                }
            }
        }
    }
}

fn set(list: &mut Vec<KeyValue>, key: &str, value: &Value) {
    let value = match value.clone() {
        Value::String(value) => Typed::StringValue(value),
        Value::Bool(value) => Typed::BoolValue(value),
        Value::Int(value) => Typed::IntValue(value),
        Value::Double(value) => Typed::DoubleValue(value),
    };
    let value = Some(AnyValue { value: Some(value) });
    let fresh = KeyValue { key: key.to_owned(), value, ..KeyValue::default() };
    let Some(idx) = list.iter().position(|entry| entry.key == key) else {
        list.push(fresh);
        return;
    };
    if list[idx].value != fresh.value {
        list[idx] = fresh;
    }
    let mut position = 0;
    list.retain(|entry| {
        position += 1;
        position - 1 <= idx || entry.key != key
    });
}

/// Everything a view can say about a record.
pub(super) fn describe(view: &RecordView<'_>) -> String {
    let any = |value: Option<AnyValueView<'_>>| value.map(|value| format!("{value:?}"));
    format!(
        "{} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        view.severity_number(),
        view.severity_text(),
        view.name(),
        view.body(),
        any(view.attribute("a")),
        any(view.resource_attribute("b")),
        any(view.scope_attribute("service.name")),
        view.scope_name(),
    )
}

/// The same of a typed record.
struct Record<'a> {
    severity: (i32, &'a str),
    name: &'a str,
    body: Option<&'a AnyValue>,
    attributes: &'a [KeyValue],
}

impl Record<'_> {
    fn describe(
        &self,
        resource: Option<&Resource>,
        scope: Option<&InstrumentationScope>,
    ) -> String {
        let body = match self.body.and_then(|body| body.value.as_ref()) {
            Some(Typed::StringValue(text)) => Some(text.as_str()),
            _ => None,
        };
        let resource = resource.map_or(&[][..], |resource| &resource.attributes);
        let scope_attributes = scope.map_or(&[][..], |scope| &scope.attributes);
        format!(
            "{} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            self.severity.0,
            self.severity.1,
            self.name,
            body,
            find(self.attributes, "a"),
            find(resource, "b"),
            find(scope_attributes, "service.name"),
            scope.map_or("", |scope| &scope.name),
        )
    }
}

fn find(list: &[KeyValue], key: &str) -> Option<String> {
    let entry = list.iter().find(|entry| entry.key == key)?;
    let view = match entry.value.as_ref().and_then(|value| value.value.as_ref()) {
        None | Some(Typed::StringValueStrindex(_)) => AnyValueView::Empty,
        Some(Typed::StringValue(value)) => AnyValueView::String(value),
        Some(Typed::BoolValue(value)) => AnyValueView::Bool(*value),
        Some(Typed::IntValue(value)) => AnyValueView::Int(*value),
        Some(Typed::DoubleValue(value)) => AnyValueView::Double(*value),
        Some(Typed::BytesValue(value)) => AnyValueView::Bytes(value),
        Some(Typed::ArrayValue(_)) => AnyValueView::Array,
        Some(Typed::KvlistValue(_)) => AnyValueView::KeyValueList,
    };
    Some(format!("{view:?}"))
}

/// Drops the records that `keep` says no to, and what is emptied by that.
pub(super) fn retain(decoded: &mut Decoded, mut keep: impl FnMut(String) -> bool) {
    match decoded {
        Decoded::Logs(request) => retain_in(&mut request.resource_logs, |logs| {
            let resource = logs.resource.as_ref();
            retain_in(&mut logs.scope_logs, |logs| {
                let scope = logs.scope.as_ref();
                retain_in(&mut logs.log_records, |log| {
                    let record = Record {
                        severity: (log.severity_number, &log.severity_text),
                        name: &log.event_name,
                        body: log.body.as_ref(),
                        attributes: &log.attributes,
                    };
                    one(keep(record.describe(resource, scope)))
                })
            })
        }),
        Decoded::Traces(request) => retain_in(&mut request.resource_spans, |spans| {
            let resource = spans.resource.as_ref();
            retain_in(&mut spans.scope_spans, |spans| {
                let scope = spans.scope.as_ref();
                retain_in(&mut spans.spans, |span| {
                    one(keep(named(&span.name, &span.attributes).describe(resource, scope)))
                })
            })
        }),
        Decoded::Metrics(request) => retain_in(&mut request.resource_metrics, |metrics| {
            let resource = metrics.resource.as_ref();
            retain_in(&mut metrics.scope_metrics, |metrics| {
                let scope = metrics.scope.as_ref();
                retain_in(&mut metrics.metrics, |metric| {
                    let name = &metric.name;
                    let mut point = |attributes: &[KeyValue]| {
                        one(keep(named(name, attributes).describe(resource, scope)))
                    };
                    match &mut metric.data {
                        None => (0, 0),
                        Some(Data::Gauge(d)) => {
                            retain_in(&mut d.data_points, |p| point(&p.attributes))
                        }
                        Some(Data::Sum(d)) => {
                            retain_in(&mut d.data_points, |p| point(&p.attributes))
                        }
                        Some(Data::Histogram(d)) => {
                            retain_in(&mut d.data_points, |p| point(&p.attributes))
                        }
                        Some(Data::ExponentialHistogram(d)) => {
                            retain_in(&mut d.data_points, |p| point(&p.attributes))
                        }
                        Some(Data::Summary(d)) => {
                            retain_in(&mut d.data_points, |p| point(&p.attributes))
                        }
                    }
                })
            })
        }),
    };
}

fn named<'a>(name: &'a str, attributes: &'a [KeyValue]) -> Record<'a> {
    Record { severity: (0, ""), name, body: None, attributes }
}

/// A record's kept and dropped counts.
fn one(keep: bool) -> (u64, u64) {
    (u64::from(keep), u64::from(!keep))
}

/// Drops the elements that lost their last record; returns what was kept and dropped.
fn retain_in<T>(list: &mut Vec<T>, mut visit: impl FnMut(&mut T) -> (u64, u64)) -> (u64, u64) {
    let mut total = (0, 0);
    list.retain_mut(|element| {
        let (kept, dropped) = visit(element);
        total = (total.0 + kept, total.1 + dropped);
        kept > 0 || dropped == 0
    });
    total
}

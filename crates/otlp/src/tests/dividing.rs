//! What is merged, divided or grouped holds the same records, each in the same surroundings.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Typed;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::prelude::*;
use prost::Message as _;

use super::super::decode::{Decoded, decode};
use super::super::demo::{Random, demo_logs, demo_metrics, demo_traces};
use super::super::group::{Grouped, ResourceView, group};
use super::super::inspect::inspect;
use super::super::merge::{MergeLimits, merge};
use super::super::part::{Part, Parts};
use super::super::prescan::prescan;
use super::super::signal::Signal;
use super::super::value::AnyValueView;
use super::{WIDE, generate};

const CASES: u64 = 3_000;

/// Every record with its resource, its scope, their schema urls, and its metric, in some order.
fn records(decoded: &Decoded) -> Vec<String> {
    let mut found = Vec::new();
    match decoded {
        Decoded::Logs(request) => {
            for outer in &request.resource_logs {
                for inner in &outer.scope_logs {
                    let around =
                        (&outer.resource, &outer.schema_url, &inner.scope, &inner.schema_url);
                    found.extend(inner.log_records.iter().map(|log| format!("{around:?} {log:?}")));
                }
            }
        }
        Decoded::Traces(request) => {
            for outer in &request.resource_spans {
                for inner in &outer.scope_spans {
                    let around =
                        (&outer.resource, &outer.schema_url, &inner.scope, &inner.schema_url);
                    found.extend(inner.spans.iter().map(|span| format!("{around:?} {span:?}")));
                }
            }
        }
        Decoded::Metrics(request) => {
            for outer in &request.resource_metrics {
                for inner in &outer.scope_metrics {
                    let around =
                        (&outer.resource, &outer.schema_url, &inner.scope, &inner.schema_url);
                    for metric in &inner.metrics {
                        let mut shell = metric.clone();
                        let points = shell.data.as_mut().map(points).unwrap_or_default();
                        if points.is_empty() {
                            found.push(format!("{around:?} {shell:?}"));
                        }
                        found.extend(points.iter().map(|it| format!("{around:?} {shell:?} {it}")));
                    }
                }
            }
        }
    }
    found.sort();
    found
}

/// Takes the points out of a metric.
fn points(data: &mut Data) -> Vec<String> {
    fn taken<T: std::fmt::Debug>(points: &mut Vec<T>) -> Vec<String> {
        points.drain(..).map(|point| format!("{point:?}")).collect()
    }
    match data {
        Data::Gauge(data) => taken(&mut data.data_points),
        Data::Sum(data) => taken(&mut data.data_points),
        Data::Histogram(data) => taken(&mut data.data_points),
        Data::ExponentialHistogram(data) => taken(&mut data.data_points),
        Data::Summary(data) => taken(&mut data.data_points),
    }
}

/// The records of several requests, which pass all checks and hold what they are said to hold.
fn records_of<'a>(
    signal: Signal,
    requests: impl Iterator<Item = (&'a Bytes, Option<u64>)>,
) -> Vec<String> {
    let mut found = Vec::new();
    for (bytes, said) in requests {
        let counted = prescan(signal, bytes).unwrap().records;
        assert_eq!(counted, inspect(signal, bytes, &WIDE).unwrap().records);
        assert_eq!(said.unwrap_or(counted), counted);
        found.extend(records(&decode(signal, bytes, &WIDE).unwrap()));
    }
    found.sort();
    found
}

fn parts(signal: Signal, bytes: &Bytes, limits: MergeLimits) -> Vec<Part> {
    let records = prescan(signal, bytes).unwrap().records;
    let parts: Vec<Part> = Parts::new(signal, bytes, records, limits).map(Result::unwrap).collect();
    let last = parts.iter().position(|part| part.is_last);
    assert_eq!(last, Some(parts.len() - 1));
    parts
}

/// A request in every form that the wire allows, often of many resources.
fn request(signal: Signal, seed: u64) -> Bytes {
    let pieces = (0..seed % 5).map(|idx| Bytes::from(generate::request(signal, seed * 5 + idx)));
    merge(&pieces.collect::<Vec<_>>())
}

/// Scenario: random requests are divided by limits from the smallest to none.
/// Guarantees: the same records in the same surroundings come out, and no part has too many unless
/// what is around its records alone takes half of the limit.
#[test]
fn parts_hold_what_the_request_held() {
    let mut random = Random::new(11);
    let (mut divided, mut strict) = (0, 0);
    for seed in 0..CASES {
        let signal = Signal::ALL[random.index(3)];
        let bytes = request(signal, seed);
        let limits = MergeLimits { bytes: 1 << random.below(12), records: 1 + random.below(6) };
        let parts = parts(signal, &bytes, limits);
        let whole = records_of(signal, [(&bytes, None)].into_iter());
        let found = records_of(signal, parts.iter().map(|part| (&part.bytes, Some(part.records))));
        assert!(whole == found, "{signal} {seed} {limits:?}");
        divided += u64::from(parts.len() > 1);
        for part in parts.iter().filter(|part| part.records > 1) {
            let is_within = limits.allow(part.bytes.len() as u64, part.records);
            assert!(is_within || limits.bytes <= 2 * bytes.len() as u64, "{seed}");
            strict += u64::from(is_within);
        }
    }
    assert!(divided > CASES / 5 && strict > CASES / 5, "{divided} {strict}");
}

/// Scenario: requests as SDKs send them are divided by limits that are large beside one resource.
/// Guarantees: every part is within the limits, and the parts are few: two neighbours never fit into
/// one.
#[test]
fn parts_are_within_the_limits_and_no_smaller_than_need_be() {
    for seed in 0..200 {
        for (signal, bytes) in [
            (Signal::Logs, demo_logs(300, seed, 1)),
            (Signal::Traces, demo_traces(300, seed, 1)),
            (Signal::Metrics, demo_metrics(300, seed, 1)),
        ] {
            let limits = MergeLimits { bytes: 4_000 + seed * 100, records: 10 + seed };
            let parts = parts(signal, &bytes, limits);
            assert!(parts.len() > 1);
            for pair in parts.windows(2) {
                let sizes = [&pair[0], &pair[1]].map(|part| part.bytes.len() as u64);
                assert!(limits.allow(sizes[0].max(sizes[1]), pair[0].records.max(pair[1].records)));
                let is_full = sizes[0] + sizes[1] > limits.bytes;
                assert!(is_full || pair[0].records + pair[1].records > limits.records);
            }
            let whole = records_of(signal, [(&bytes, None)].into_iter());
            assert!(whole == records_of(signal, parts.iter().map(|part| (&part.bytes, None))));
        }
    }
}

/// A request of one resource with an attribute of so many bytes, and so many records.
fn with_large_resource(attribute_bytes: usize, records: usize) -> Bytes {
    let value = Some(AnyValue { value: Some(Typed::StringValue("x".repeat(attribute_bytes))) });
    let large = KeyValue { key: "large".to_owned(), value, ..KeyValue::default() };
    let resource = Some(Resource { attributes: vec![large], ..Resource::default() });
    let scope =
        ScopeLogs { log_records: vec![LogRecord::default(); records], ..ScopeLogs::default() };
    let logs = ResourceLogs { resource, scope_logs: vec![scope], ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![logs] }.encode_to_vec().into()
}

#[test]
fn a_request_does_not_grow_beyond_measure() {
    let limits = MergeLimits { bytes: 1_000, records: 5_000 };
    let bytes = with_large_resource(600, 2_000);
    assert_eq!(parts(Signal::Logs, &bytes, limits).len(), 1, "its resource alone is too large");
    let bytes = with_large_resource(400, 2_000);
    let parts = parts(Signal::Logs, &bytes, limits);
    let sum: usize = parts.iter().map(|part| part.bytes.len()).sum();
    assert!(parts.len() > 5 && sum < 4 * bytes.len(), "{sum} of {}", bytes.len());
    assert!(parts.iter().all(|part| part.bytes.len() <= 1_000));
}

#[test]
fn a_request_within_the_limits_is_its_only_part_and_is_not_copied() {
    let bytes = demo_logs(10, 1, 1);
    let limits = MergeLimits { bytes: bytes.len() as u64, records: 10 };
    let parts = parts(Signal::Logs, &bytes, limits);
    assert_eq!((parts.len(), parts[0].bytes.as_ptr()), (1, bytes.as_ptr()));
}

fn service(view: &ResourceView<'_>) -> Option<String> {
    let value = view.attribute("a");
    value.and_then(AnyValueView::to_text).map(std::borrow::Cow::into_owned)
}

fn key(view: &ResourceView<'_>) -> u64 {
    service(view).map_or(0, |text| 1 + text.bytes().map(u64::from).sum::<u64>())
}

/// Scenario: random requests are taken apart by an attribute of their resources, into any number of
/// groups or at most two.
/// Guarantees: the same records in the same surroundings come out, and a group has one key only.
#[test]
fn groups_hold_what_the_request_held() {
    let mut apart = 0;
    for seed in 0..CASES {
        let signal = Signal::ALL[usize::try_from(seed % 3).unwrap()];
        let bytes = request(signal, seed);
        for groups_max in [2, 1_000] {
            let Grouped::Apart(groups) = group(signal, &bytes, groups_max, key).unwrap() else {
                continue;
            };
            apart += 1;
            assert!((2..=groups_max).contains(&groups.len()));
            let whole = records_of(signal, [(&bytes, None)].into_iter());
            let each = groups.iter().map(|group| (&group.bytes, Some(group.records)));
            assert!(whole == records_of(signal, each), "{signal} {seed}");
            for one in groups.iter().filter(|_| groups_max > 2) {
                let again = group(signal, &one.bytes, 9, key).unwrap();
                assert!(matches!(again, Grouped::Whole(key) if key == one.key));
            }
        }
    }
    assert!(apart > CASES / 20, "{apart}");
}

/// Scenario: requests with bits flipped are divided and taken apart, whether they passed the
/// pre-scan or not.
/// Guarantees: nothing panics, and it comes to an end.
#[test]
fn bytes_of_any_kind_are_divided_or_refused() {
    let mut random = Random::new(5);
    for seed in 0..20_000 {
        let signal = Signal::ALL[random.index(3)];
        let mut bytes = request(signal, seed % 500).to_vec();
        for _ in 0..=random.below(4) {
            let at = random.index(bytes.len().max(1));
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        let bytes = Bytes::from(bytes);
        let limits = MergeLimits { bytes: 1 << random.below(10), records: random.below(4) };
        let parts = Parts::new(signal, &bytes, 2 + random.below(9), limits);
        assert!(parts.count() <= bytes.len() + 1);
        let _any = group(signal, &bytes, 3, key);
    }
}

proptest! {
    /// Guarantees: of requests that are merged every record is left, in its surroundings.
    #[test]
    fn merged_requests_hold_what_each_held(idx in 0..3_usize, seeds in prop::collection::vec(0..10_000_u64, 0..5)) {
        let signal = Signal::ALL[idx];
        let requests: Vec<Bytes> =
            seeds.iter().map(|seed| Bytes::from(generate::request(signal, *seed))).collect();
        let merged = merge(&requests);
        let apart = records_of(signal, requests.iter().map(|bytes| (bytes, None)));
        prop_assert_eq!(records_of(signal, [(&merged, None)].into_iter()), apart);
    }
}

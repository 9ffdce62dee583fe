//! What repeats what.

use gophership_otlp::retain;
use gophership_otlp::samples::logs_by;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use proptest::prelude::*;

use super::*;

const SECOND_NS: u64 = 1_000_000_000;

fn memory(config: &DedupeConfig) -> Memory {
    Memory {
        comparison: Comparison {
            parts: config.compare.clone(),
            ignored: config.ignore_attributes.clone(),
        },
        window_ns: 60 * SECOND_NS,
        seen: Recent::new(1_000),
        batches: 0,
        request: None,
    }
}

fn text(text: &str) -> AnyValue {
    AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) }
}

fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(text(value)), ..KeyValue::default() }
}

fn says(body: &str, time_unix_nano: u64) -> LogRecord {
    LogRecord { body: Some(text(body)), time_unix_nano, ..LogRecord::default() }
}

/// The numbers of the records of a batch that pass.
fn passed(memory: &mut Memory, service: &str, records: Vec<LogRecord>, at: u64) -> Vec<usize> {
    passed_of(memory, service, records, at, true)
}

/// The same for a batch as it was sent, or for one that was replayed or merged.
fn passed_of(
    memory: &mut Memory,
    service: &str,
    records: Vec<LogRecord>,
    at: u64,
    is_as_sent: bool,
) -> Vec<usize> {
    let bytes = logs_by("service.name", [(service.to_owned(), records)]);
    let current = Current { received_unix_ns: at, wire: &bytes, is_as_sent };
    memory.begin();
    let (mut idx, mut passed) = (0, Vec::new());
    let keep = |record: &RecordView<'_>| {
        let is_first = memory.is_first(record, &current);
        if is_first {
            passed.push(idx);
        }
        idx += 1;
        is_first
    };
    retain(Signal::Logs, &bytes, keep).unwrap();
    passed
}

#[test]
fn only_the_first_of_a_window_passes() {
    let mut memory = memory(&DedupeConfig::default());
    let batch = |time| vec![says("a", time), says("b", time), says("a", time + 1)];
    assert_eq!(passed(&mut memory, "shop", batch(1), SECOND_NS), [0, 1]);
    assert!(passed(&mut memory, "shop", batch(3), 30 * SECOND_NS).is_empty());
    assert!(passed(&mut memory, "shop", batch(5), 61 * SECOND_NS).is_empty());
    assert_eq!(passed(&mut memory, "shop", batch(7), 62 * SECOND_NS), [0, 1]);
    assert_eq!(passed(&mut memory, "bank", batch(9), 62 * SECOND_NS), [0, 1], "another resource");
}

#[test]
fn the_first_sent_again_passes_and_its_repeats_do_not() {
    let mut memory = memory(&DedupeConfig::default());
    assert_eq!(passed(&mut memory, "shop", vec![says("a", 1)], SECOND_NS), [0]);
    assert!(passed(&mut memory, "shop", vec![says("a", 2)], SECOND_NS).is_empty());
    for _ in 0..3 {
        let again = vec![says("a", 1), says("a", 2), says("a", 1)];
        assert_eq!(passed(&mut memory, "shop", again, SECOND_NS), [0]);
    }
}

#[test]
fn without_times_only_a_whole_request_is_sent_again() {
    let mut memory = memory(&DedupeConfig::default());
    let mut passed = |records: &[(&str, u64)], is_as_sent| {
        let records = records.iter().map(|(body, time)| says(body, *time)).collect();
        passed_of(&mut memory, "shop", records, SECOND_NS, is_as_sent)
    };
    assert_eq!(passed(&[("a", 0), ("b", 0), ("a", 0)], true), [0, 1]);
    assert!(passed(&[("a", 0)], true).is_empty(), "another request");
    assert!(passed(&[("b", 0), ("a", 0)], true).is_empty());
    assert_eq!(passed(&[("a", 0), ("b", 0), ("a", 0)], true), [0, 1], "the same request again");
    assert_eq!(passed(&[("c", 0), ("a", 0)], false), [0, 1], "it may be the same, merged");
    assert!(passed(&[("a", 5)], true).is_empty(), "a time is not compared");
}

#[test]
fn severity_attributes_and_event_name_count_and_the_order_of_attributes_does_not() {
    let mut memory = memory(&DedupeConfig::default());
    let attributes = vec![attribute("a", "1"), attribute("b", "2")];
    let reversed = attributes.iter().rev().cloned().collect();
    let base = LogRecord { attributes, ..says("a", 1) };
    let records = vec![
        base.clone(),
        LogRecord { severity_number: 9, ..base.clone() },
        LogRecord { event_name: "e".to_owned(), ..base.clone() },
        LogRecord { attributes: vec![attribute("a", "2"), attribute("b", "1")], ..base.clone() },
        LogRecord { attributes: Vec::new(), ..base.clone() },
        LogRecord { attributes: reversed, time_unix_nano: 2, ..base.clone() },
        LogRecord { trace_id: vec![1; 16], ..base },
    ];
    assert_eq!(passed(&mut memory, "shop", records, SECOND_NS), [0, 1, 2, 3, 4]);
}

#[test]
fn only_what_is_compared_counts() {
    let config = DedupeConfig {
        compare: vec![RecordPart::Body, RecordPart::Attributes],
        ignore_attributes: vec!["request.id".to_owned()],
        ..DedupeConfig::default()
    };
    let mut memory = memory(&config);
    let record = |id: &str, user: &str| LogRecord {
        attributes: vec![attribute("request.id", id), attribute("user", user)],
        severity_number: i32::try_from(id.len()).unwrap(),
        ..says("a", 1)
    };
    let records = vec![record("1", "jo"), record("22", "jo"), record("1", "al")];
    assert_eq!(passed(&mut memory, "shop", records, SECOND_NS), [0, 2]);
    assert!(passed(&mut memory, "bank", vec![record("333", "jo")], SECOND_NS).is_empty());
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let problems = |config: DedupeConfig| -> Vec<String> {
        let line = |problem: OptionProblem| format!("{}: {}", problem.path, problem.message);
        config.problems().into_iter().map(line).collect()
    };
    let base = DedupeConfig::default();
    assert!(problems(base.clone()).is_empty());
    let window = HumanDuration::seconds(0);
    assert!(problems(DedupeConfig { window, ..base.clone() })[0].starts_with("window: "));
    let compare = Vec::new();
    assert!(problems(DedupeConfig { compare, ..base.clone() })[0].starts_with("compare: "));
    let ignored = DedupeConfig {
        compare: vec![RecordPart::Body],
        ignore_attributes: vec!["a".to_owned()],
        ..base.clone()
    };
    assert!(problems(ignored)[0].contains("has no effect"));
    assert!(problems(DedupeConfig { keep: NonZeroU32::MIN, ..base })[0].starts_with("keep: "));
}

proptest! {
    /// Whatever comes in whatever batches: each body passes once, and no body is lost.
    #[test]
    fn each_body_passes_exactly_once(bodies in prop::collection::vec(0..20_u8, 1..200), cut in 1..50_usize) {
        let mut memory = memory(&DedupeConfig::default());
        let mut seen = std::collections::BTreeSet::new();
        let mut time = 0;
        for chunk in bodies.chunks(cut) {
            let record = |body: &u8| {
                time += 1;
                says(&body.to_string(), time)
            };
            let records = chunk.iter().map(record).collect();
            let expected: Vec<usize> =
                (0..chunk.len()).filter(|idx| seen.insert(chunk[*idx])).collect();
            prop_assert_eq!(passed(&mut memory, "shop", records, SECOND_NS), expected);
        }
    }
}

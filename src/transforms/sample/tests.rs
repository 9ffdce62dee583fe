//! Whole requests: what is kept, and what the typed form says of it.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::prelude::*;
use prost::Message;

use super::*;

fn sampler(rate: f64, rates: &[(&str, f64)]) -> Sampler {
    let class = |rate: f64| Class {
        threshold: tracestate::threshold(rate),
        dropped: IntCounter::new("test", "test").unwrap(),
    };
    Sampler {
        always_keep: Vec::new(),
        level: Level::Record,
        key: Some("key".to_owned()),
        rates: rates.iter().map(|(value, rate)| ((*value).to_owned(), class(*rate))).collect(),
        other: class(rate),
        without_trace: Some("user".to_owned()),
        seed: [7; 32],
    }
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(any_value::Value::StringValue(value.to_owned()));
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value }), ..KeyValue::default() }
}

fn trace_id(number: u64) -> Vec<u8> {
    let number = blake3::hash(&number.to_le_bytes());
    number.as_bytes()[..16].to_vec()
}

fn spans(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }],
    }
}

fn logs(log_records: Vec<LogRecord>) -> Bytes {
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec().into()
}

/// The spans that are left of a request.
fn sampled_spans(sampler: &Sampler, request: &ExportTraceServiceRequest) -> Vec<Span> {
    let bytes = Bytes::from(request.encode_to_vec());
    let decide = |record: &RecordView<'_>| sampler.decide(record);
    let left = Reviser::default().apply(Signal::Traces, &bytes, decide).unwrap();
    let request = ExportTraceServiceRequest::decode(left.bytes).unwrap();
    let scopes = request.resource_spans.into_iter().flat_map(|part| part.scope_spans);
    scopes.flat_map(|part| part.spans).collect()
}

fn sampled_logs(sampler: &Sampler, bytes: &Bytes) -> Vec<LogRecord> {
    let decide = |record: &RecordView<'_>| sampler.decide(record);
    let left = Reviser::default().apply(Signal::Logs, bytes, decide).unwrap();
    let request = ExportLogsServiceRequest::decode(left.bytes).unwrap();
    let scopes = request.resource_logs.into_iter().flat_map(|part| part.scope_logs);
    scopes.flat_map(|part| part.log_records).collect()
}

#[test]
fn logs_and_spans_of_a_trace_stay_or_go_together_at_the_rate() {
    let traces = 20_000;
    let span = |number| Span { trace_id: trace_id(number), ..Span::default() };
    let log = |number| LogRecord { trace_id: trace_id(number), ..LogRecord::default() };
    let sampler = sampler(0.25, &[]);
    let spans = sampled_spans(&sampler, &spans((0..traces).map(span).collect()));
    let logs = sampled_logs(&sampler, &logs((0..traces).map(log).collect()));
    assert_eq!(
        spans.iter().map(|span| &span.trace_id).collect::<Vec<_>>(),
        logs.iter().map(|log| &log.trace_id).collect::<Vec<_>>()
    );
    // Six deviations of a binomial distribution are 370.
    assert!((4_630..5_370).contains(&spans.len()), "{}", spans.len());
    assert!(spans.iter().all(|span| span.trace_state == "ot=th:c"));
}

#[test]
fn an_explicit_random_value_wins_over_the_trace_id_and_is_carried_on() {
    let span = |state: &str| Span {
        trace_id: vec![0xff; 16],
        trace_state: state.to_owned(),
        name: "x".to_owned(),
        ..Span::default()
    };
    let request = spans(vec![
        span("ot=rv:7fffffffffffff"),
        span("a=1,ot=rv:80000000000000"),
        span("ot=th:e"),
        span(""),
    ]);
    let kept = sampled_spans(&sampler(0.5, &[]), &request);
    let states: Vec<&str> = kept.iter().map(|span| span.trace_state.as_str()).collect();
    assert_eq!(states, ["ot=th:8;rv:80000000000000,a=1", "ot=th:e", "ot=th:8"]);
    assert!(kept.iter().all(|span| span.name == "x"));
}

#[test]
fn single_values_have_rates_of_their_own() {
    let span = |number, value: &str| Span {
        trace_id: trace_id(number),
        attributes: vec![attribute("key", value)],
        ..Span::default()
    };
    let sampler = sampler(0.5, &[("all", 1.0), ("none", 0.0)]);
    let request = |value: &str| spans((0..1_000).map(|number| span(number, value)).collect());
    let all = sampled_spans(&sampler, &request("all"));
    assert_eq!((all.len(), all[0].trace_state.as_str()), (1_000, ""));
    assert!(sampled_spans(&sampler, &request("none")).is_empty());
    assert!((400..600).contains(&sampled_spans(&sampler, &request("any")).len()));
    assert_eq!(sampler.rates["none"].dropped.get(), 1_000);
}

#[test]
fn records_without_a_trace_follow_an_attribute_or_themselves() {
    let log = |number: u64, user: Option<&str>| LogRecord {
        time_unix_nano: number,
        attributes: user.map(|user| attribute("user", user)).into_iter().collect(),
        ..LogRecord::default()
    };
    let sampler = sampler(0.5, &[]);
    for user in ["a", "b", "c", "d"] {
        let request = logs((0..100).map(|number| log(number, Some(user))).collect());
        assert!([0, 100].contains(&sampled_logs(&sampler, &request).len()), "{user}");
    }
    let request = logs((0..1_000).map(|number| log(number, None)).collect());
    let kept = sampled_logs(&sampler, &request);
    assert!((400..600).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept, sampled_logs(&sampler, &request), "sent twice, decided alike");
    // A threshold would speak of a randomness that nobody else can know.
    let span = |state: &str| Span { trace_state: state.to_owned(), ..Span::default() };
    let kept = sampled_spans(&sampler, &spans(vec![span("ot=th:8;x:y"); 1]));
    assert!(kept.iter().all(|span| span.trace_state == "ot=x:y"));
}

#[test]
fn what_is_always_kept_is_not_sampled() {
    let mut sampler = sampler(0.0, &[]);
    let conditions = serde_json::json!([{ "severity_at_least": "error" }, { "status": "error" }]);
    sampler.always_keep = serde_json::from_value(conditions).unwrap();
    let log = |severity_number| LogRecord {
        trace_id: trace_id(1),
        severity_number,
        ..LogRecord::default()
    };
    let kept = sampled_logs(&sampler, &logs(vec![log(9), log(17), log(21), log(0)]));
    assert_eq!(kept.iter().map(|log| log.severity_number).collect::<Vec<_>>(), [17, 21]);
    let span = |code| Span {
        trace_id: trace_id(1),
        status: Some(Status { code, ..Status::default() }),
        ..Span::default()
    };
    let kept = sampled_spans(&sampler, &spans(vec![span(1), span(2)]));
    assert_eq!(kept, [span(2)], "as it was, without a threshold");
}

#[test]
fn rates_that_make_no_sense_are_refused() {
    let problems = |config: SampleConfig| -> Vec<String> {
        let line = |problem: OptionProblem| format!("{}: {}", problem.path, problem.message);
        config.problems().into_iter().map(line).collect()
    };
    let base = SampleConfig { rate: 0.1, ..SampleConfig::default() };
    let rates = BTreeMap::from([("a".to_owned(), 2.0)]);
    assert!(problems(base.clone()).is_empty());
    assert!(problems(SampleConfig::default())[0].contains("it keeps everything"));
    for rate in [-0.1, 1.1, 10.0, f64::NAN] {
        let problems = problems(SampleConfig { rate, ..base.clone() });
        assert_eq!(problems, ["rate: must be from 0 to 1"], "{rate}");
    }
    let tiny = problems(SampleConfig { rate: 1e-17, ..base.clone() });
    assert!(tiny[0].starts_with("rate: is below 2^-56"), "{tiny:?}");
    let keyless = problems(SampleConfig { rates: rates.clone(), ..base.clone() });
    assert_eq!(keyless[0], "rates.a: must be from 0 to 1");
    assert!(keyless[1].contains("needs a `key`"));
    let useless = problems(SampleConfig { key: Some("k".to_owned()), ..base });
    assert_eq!(useless, ["key: has no effect without `rates`"]);
}

proptest! {
    /// What is kept is what was sent, but for the trace state.
    #[test]
    fn nothing_but_the_trace_state_changes(
        states in prop::collection::vec("(a=1,)?(ot=(rv:[0-9a-f]{14})?;?(th:[0-9a-f]{1,14})?)?", 1..20),
        rate in 0.0_f64..1.0,
        seed in any::<u64>(),
    ) {
        let span = |(idx, state): (usize, &String)| Span {
            trace_id: trace_id(seed ^ idx as u64),
            span_id: (idx as u64).to_be_bytes().to_vec(),
            trace_state: state.clone(),
            attributes: vec![attribute("a", "b")],
            ..Span::default()
        };
        let all: Vec<Span> = states.iter().enumerate().map(span).collect();
        for kept in sampled_spans(&sampler(rate, &[]), &spans(all.clone())) {
            let mut sent = all.iter().find(|span| span.span_id == kept.span_id).unwrap().clone();
            let random = |span: &Span| {
                let read = tracestate::read(&span.trace_state);
                read.random.or_else(|| randomness(&span.trace_id)).unwrap()
            };
            prop_assert_eq!(random(&sent), random(&kept));
            if let Some(threshold) = tracestate::read(&kept.trace_state).threshold {
                prop_assert!(threshold <= random(&kept));
                prop_assert!(tracestate::read(&sent.trace_state).threshold.is_none_or(|it| it <= threshold));
            }
            sent.trace_state.clone_from(&kept.trace_state);
            prop_assert_eq!(sent, kept);
        }
    }
}

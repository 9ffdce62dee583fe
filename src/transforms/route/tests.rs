//! Whole batches through the transform: who gets what, who is told, and what the books say.

use bytes::Bytes;
use gophership_otlp::demo::demo_metrics;
use gophership_otlp::samples::logs_by;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;
use serde_json::Value;
use serde_json::json;

use super::*;
use crate::event::Bucket;
use crate::event::Ledger;
use crate::event::Outcome;
use crate::event::Provenance;
use crate::event::Request;
use crate::event::SinkTable;
use crate::event::ack;
use crate::event::ack::AckWaiter;
use crate::metrics::Metrics;

/// A transform with errors, a shop's records and the rest, each with a sink of its own.
struct Scene {
    ledger: &'static Ledger,
    route: Route,
    /// Of errors, shop and unmatched.
    reach: [SinkSet; 3],
    metrics: Arc<Metrics>,
}

fn config(first_match: bool, routes: &Value) -> RouteConfig {
    serde_json::from_value(json!({ "first_match": first_match, "routes": routes })).unwrap()
}

fn routes() -> Value {
    let shop = json!({ "on": "resource", "attribute": "service.name", "equals": "shop" });
    json!([
        { "name": "errors", "when": { "severity_at_least": "error" } },
        { "name": "shop", "when": shop },
    ])
}

impl Scene {
    fn new(first_match: bool) -> Self {
        Self::of(&config(first_match, &routes()))
    }

    fn of(config: &RouteConfig) -> Self {
        assert_eq!(config.problems(), []);
        let metrics = Metrics::new();
        let sink_set = SinkTable::default();
        let route = Route {
            id: "route".parse().unwrap(),
            rules: Rules {
                conditions: config.routes.iter().map(|route| route.when.clone()).collect(),
                first_match: config.first_match,
            },
            sorter: Sorter::default(),
            routed: config.ports().iter().map(|port| metrics.routed("route", port)).collect(),
            unread: metrics.taken_out("route", "unread"),
        };
        let reach = ["a", "b", "c"].map(|sink| sink_set.lane(sink));
        Self { ledger: Ledger::leak(), route, reach, metrics }
    }

    fn request(&self, signal: Signal, wire: Bytes, records: u64) -> (Batch, AckWaiter) {
        let provenance = Provenance::default();
        let request = Request { signal, wire, records, received_unix_ns: 0, provenance };
        let (ticket, waiter) = ack::channel();
        (Batch::received(&request, Some(ticket), self.ledger), waiter)
    }

    /// A request of services with the severities of their records.
    fn logs(&self, services: &[(&str, &[i32])]) -> (Batch, AckWaiter) {
        let records = services.iter().map(|(_, records)| records.len() as u64).sum();
        self.request(Signal::Logs, logs(services), records)
    }

    fn share(&mut self, batch: Batch) -> Vec<(usize, Batch)> {
        let mut parts = Vec::new();
        assert!(self.route.share_out(batch, &self.reach, &mut parts, usize::MAX).is_ok());
        parts
    }

    /// Copies, in flight, delivered and filtered.
    fn books(&self) -> [i64; 4] {
        use Bucket::{Copies, Delivered, Filtered, InFlight};
        for signal in Signal::ALL {
            assert_eq!(self.ledger.imbalance(signal), 0);
        }
        [Copies, InFlight, Delivered, Filtered].map(|bucket| self.ledger.total(bucket))
    }

    fn routed(&self, output: &str) -> u64 {
        self.metrics.routed("route", output).get()
    }
}

fn logs(services: &[(&str, &[i32])]) -> Bytes {
    let record = |severity: &i32| LogRecord { severity_number: *severity, ..LogRecord::default() };
    let records = |severities: &[i32]| severities.iter().map(record).collect();
    let resource =
        |(service, severities): &(&str, &[i32])| ((*service).to_owned(), records(severities));
    logs_by("service.name", services.iter().map(resource))
}

/// What each output got: its place, severities and number of records.
fn shown(parts: &[(usize, Batch)]) -> Vec<String> {
    let severities = |batch: &Batch| -> Vec<String> {
        let request = ExportLogsServiceRequest::decode(batch.wire().clone()).unwrap();
        let scopes = request.resource_logs.into_iter().flat_map(|logs| logs.scope_logs);
        let records = scopes.flat_map(|scope| scope.log_records);
        records.map(|record| record.severity_number.to_string()).collect()
    };
    let show = |(output, batch): &(usize, Batch)| {
        format!("{output}: {} of {}", severities(batch).join(" "), batch.records())
    };
    parts.iter().map(show).collect()
}

#[test]
fn a_record_goes_to_every_output_that_it_matches() {
    let mut scene = Scene::new(false);
    let (batch, waiter) = scene.logs(&[("shop", &[17, 9]), ("other", &[18, 10, 11])]);
    let parts = scene.share(batch);
    assert_eq!(shown(&parts), ["0: 17 18 of 2", "1: 17 9 of 2", "2: 10 11 of 2"]);
    assert_eq!(scene.books(), [1, 6, 0, 0]);
    assert_eq!(["errors", "shop", "unmatched"].map(|it| scene.routed(it)), [2, 2, 2]);
    for (idx, batch) in parts {
        assert_eq!((waiter.outcome(), batch.sink_set()), (None, scene.reach[idx]));
        batch.delivered();
    }
    assert_eq!(waiter.outcome(), Some(Outcome::Delivered));
    assert_eq!(scene.books(), [1, 0, 6, 0]);
}

#[test]
fn with_first_match_it_goes_to_the_first_of_the_list_only() {
    let mut scene = Scene::new(true);
    let (batch, _waiter) = scene.logs(&[("shop", &[17, 9]), ("other", &[18, 10, 11])]);
    let parts = scene.share(batch);
    assert_eq!(shown(&parts), ["0: 17 18 of 2", "1: 9 of 1", "2: 10 11 of 2"]);
    assert_eq!(scene.books(), [0, 5, 0, 0]);
}

#[test]
fn a_request_that_goes_to_one_output_as_a_whole_is_not_copied() {
    let mut scene = Scene::new(false);
    for (services, output) in [
        (&[("other", [17, 18].as_slice())], 0),
        (&[("shop", [1, 2].as_slice())], 1),
        (&[("other", [1].as_slice())], 2),
    ] {
        let (batch, waiter) = scene.logs(services);
        let wire = batch.wire().as_ptr();
        let mut parts = scene.share(batch);
        let (idx, batch) = parts.pop().unwrap();
        assert_eq!((idx, batch.wire().as_ptr(), parts.len()), (output, wire, 0));
        let others = scene.reach.iter().enumerate().filter(|(idx, _)| *idx != output);
        let others = others.fold(SinkSet::NONE, |all, (_, sink_set)| all.or(*sink_set));
        assert_eq!(waiter.served(), others, "the others get nothing of it");
        batch.delivered();
        assert_eq!(waiter.outcome(), Some(Outcome::Delivered));
    }
    let (batch, _waiter) = scene.logs(&[("shop", &[17, 18])]);
    let wire = batch.wire().as_ptr();
    let parts = scene.share(batch);
    assert_eq!(parts.len(), 2, "two outputs share the bytes");
    assert!(parts.iter().all(|(_, batch)| batch.wire().as_ptr() == wire));
}

#[test]
fn what_has_arrived_is_not_owed_when_another_output_fails() {
    let mut scene = Scene::new(true);
    let (batch, waiter) = scene.logs(&[("shop", &[17, 9])]);
    let [a, b, c] = scene.reach;
    let mut parts = scene.share(batch);
    parts.pop().unwrap().1.failed();
    assert_eq!((waiter.outcome(), waiter.served()), (None, c));
    parts.pop().unwrap().1.delivered();
    assert_eq!((waiter.outcome(), waiter.served()), (Some(Outcome::Failed), a.or(c)));
    assert!(!waiter.served().meets(b));
    assert_eq!(scene.books(), [-1, 0, 1, 0]);
}

#[test]
fn what_comes_to_an_output_that_nobody_reads_is_filtered() {
    let mut scene = Scene::new(false);
    scene.reach[2] = SinkSet::NONE;
    let (batch, _waiter) = scene.logs(&[("shop", &[17]), ("other", &[18, 10, 11])]);
    let parts = scene.share(batch);
    assert_eq!(shown(&parts), ["0: 17 18 of 2", "1: 17 of 1"]);
    assert_eq!(scene.books(), [1, 3, 0, 2]);
    assert_eq!(scene.routed("unmatched"), 2);
    assert_eq!(scene.metrics.taken_out("route", "unread").get(), 2);
    for (_, batch) in parts {
        batch.delivered();
    }
    assert_eq!(scene.books(), [1, 0, 3, 2]);

    let (batch, waiter) = scene.logs(&[("other", &[1, 2])]);
    assert!(scene.share(batch).is_empty());
    assert_eq!(waiter.outcome(), Some(Outcome::Delivered), "that was all there was to do");
    assert_eq!(scene.books(), [1, 0, 3, 4]);
}

#[test]
fn a_copy_for_one_sink_has_only_what_is_routed_there() {
    let mut scene = Scene::new(true);
    let (mut batch, _waiter) = scene.logs(&[("shop", &[17, 9, 9]), ("other", &[1])]);
    scene.reach[2] = SinkSet::NONE;
    batch.narrow(scene.reach[1]);
    let parts = scene.share(batch);
    assert_eq!(shown(&parts), ["1: 9 9 of 2"]);
    assert_eq!(scene.books(), [-1, 2, 0, 1], "the error is in the copy of another sink");
    drop(parts);

    let (mut batch, waiter) = scene.logs(&[("other", &[17, 18])]);
    batch.narrow(scene.reach[1]);
    assert!(scene.share(batch).is_empty());
    assert_eq!(waiter.outcome(), Some(Outcome::Delivered), "or it would come again for ever");
    assert_eq!(waiter.served(), scene.reach[1]);
}

#[test]
fn what_is_for_sinks_that_are_gone_is_given_back() {
    let mut scene = Scene::new(false);
    let (mut batch, waiter) = scene.logs(&[("shop", &[17])]);
    batch.narrow(SinkSet::SHARED);
    assert!(scene.share(batch).is_empty());
    assert_eq!(waiter.outcome(), Some(Outcome::Failed));
}

#[test]
fn conditions_of_every_kind_decide() {
    let attribute = |rest: Value| {
        let mut condition = json!({ "on": "resource", "attribute": "service.name" });
        condition.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        condition
    };
    for (condition, expected) in [
        (json!({ "signal": "logs" }), "0: 17 9 0 5 of 4"),
        (json!({ "severity_below": "info" }), "0: 5 of 1"),
        (json!({ "severity_at_least": "info" }), "0: 17 9 of 2"),
        (attribute(json!({ "equals": "shop" })), "0: 17 9 of 2"),
        (attribute(json!({ "one_of": ["x", "bar"] })), "0: 0 5 of 2"),
        (attribute(json!({ "prefix": "sh" })), "0: 17 9 of 2"),
        (attribute(json!({ "exists": true })), "0: 17 9 0 5 of 4"),
        (json!({ "attribute": "none", "exists": false, "signal": "logs" }), "0: 17 9 0 5 of 4"),
    ] {
        let mut scene = Scene::of(&config(false, &json!([{ "name": "x", "when": condition }])));
        let (batch, _waiter) = scene.logs(&[("shop", &[17, 9]), ("bar", &[0, 5])]);
        assert_eq!(shown(&scene.share(batch))[0], expected, "{condition}");
    }
}

#[test]
fn signals_go_their_ways_without_a_look_at_records() {
    let by_signal = json!([
        { "name": "points", "when": { "signal": "metrics" } },
        { "name": "errors", "when": { "severity_at_least": "error" } },
    ]);
    let mut scene = Scene::of(&config(false, &by_signal));
    let (batch, _waiter) = scene.request(Signal::Metrics, demo_metrics(4, 1, 0), 4);
    let parts = scene.share(batch);
    assert_eq!((parts[0].0, parts[0].1.records(), parts.len()), (0, 4, 1));
    // No envelope: it was not read.
    let (batch, _waiter) = scene.request(Signal::Traces, Bytes::from_static(&[0xff; 9]), 3);
    let parts = scene.share(batch);
    assert_eq!((parts[0].0, parts[0].1.records(), parts.len()), (2, 3, 1));
    let (batch, _waiter) = scene.logs(&[("x", &[17, 1])]);
    assert_eq!(shown(&scene.share(batch)), ["1: 17 of 1", "2: 1 of 1"]);
}

#[test]
fn a_request_without_records_matches_nothing() {
    let mut scene = Scene::new(false);
    let (batch, waiter) = scene.request(Signal::Logs, Bytes::new(), 0);
    let mut parts = scene.share(batch);
    assert_eq!((parts.len(), parts[0].0), (1, 2));
    parts.pop().unwrap().1.delivered();
    assert_eq!(waiter.outcome(), Some(Outcome::Delivered));
    scene.reach[2] = SinkSet::NONE;
    let (batch, waiter) = scene.request(Signal::Logs, Bytes::new(), 0);
    assert!(scene.share(batch).is_empty());
    assert_eq!(waiter.outcome(), Some(Outcome::Delivered));
}

#[test]
fn no_bytes_make_it_panic_and_what_cannot_be_read_is_refused() {
    let mut scene = Scene::new(false);
    let (batch, waiter) = scene.request(Signal::Logs, Bytes::from_static(&[0xff; 9]), 3);
    assert!(scene.share(batch).is_empty());
    assert_eq!(waiter.outcome(), Some(Outcome::Rejected));
    let whole = logs(&[("shop", &[17, 9]), ("other", &[18, 10, 11])]);
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..20_000 {
        let mut bytes = whole.to_vec();
        for _ in 0..=random.usize(..3) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        bytes.truncate(random.usize(..=bytes.len()));
        let (batch, waiter) = scene.request(Signal::Logs, bytes.into(), random.u64(..8));
        let parts = scene.share(batch);
        for (_, batch) in parts {
            batch.delivered();
        }
        assert!(waiter.outcome().is_some());
    }
    assert_eq!(scene.books()[1], 0);
}

#[test]
fn options_that_cannot_be_are_told_with_their_places() {
    let problems = |routes: Value| -> Vec<String> {
        let problems = config(false, &routes).problems().into_iter();
        problems.map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
    };
    assert_eq!(problems(json!([])), ["routes: needs at least one output"]);
    let when = json!({ "signal": "logs" });
    for (name, words) in [
        ("", "needs a name"),
        ("a.b", "only a-z"),
        ("Errors", "only a-z"),
        ("unmatched", "is reserved"),
        ("twice", "has this name too"),
    ] {
        let found = problems(json!([
            { "name": "twice", "when": when }, { "name": name, "when": when },
        ]));
        assert!(found.len() == 1 && found[0].starts_with("routes.1.name: "), "{found:?}");
        assert!(found[0].contains(words), "{found:?}");
    }
    let found = problems(json!([{ "name": "x", "when": {} }]));
    assert!(found[0].starts_with("routes.0.when: matches everything"), "{found:?}");
    let many: Vec<Value> =
        (0..64).map(|idx| json!({ "name": format!("r{idx}"), "when": when })).collect();
    assert_eq!(problems(Value::Array(many)), ["routes: at most 63 outputs"]);
}

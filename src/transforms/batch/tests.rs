//! Whole batches through the transform: what comes out, who is told, and what the books say.

use bytes::Bytes;
use gophership_otlp::samples::logs_by;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs};
use prost::Message;

use super::*;
use crate::event::Bucket;
use crate::event::Ledger;
use crate::event::Outcome;
use crate::event::Provenance;
use crate::event::Request;
use crate::event::Signal;
use crate::event::SinkSet;
use crate::event::SinkTable;
use crate::event::ack;
use crate::event::ack::AckWaiter;
use crate::metrics::Metrics;

struct Scene {
    ledger: &'static Ledger,
    batcher: Batcher,
    start: Instant,
}

impl Scene {
    fn new(by: &[&str], records_max: u64) -> Self {
        let metrics = Metrics::new();
        let limits = MergeLimits { bytes: 10_000, records: records_max };
        let held =
            HeldLimits { request: limits, wait: Duration::from_hours(1), keys: 8, bytes: 100_000 };
        let by = by.iter().map(|name| (*name).to_owned()).collect();
        let batcher = Batcher {
            id: "batch".parse().unwrap(),
            keys: Keys { by, hasher: RandomState::new() },
            limits,
            groups_max: 8,
            held: HeldRequests::new(held),
            queue: VecDeque::new(),
            joined: metrics.joined_requests("batch"),
            sent: FlushCause::ALL.map(|cause| metrics.joined("batch", cause.name())),
            divided: metrics.divided_requests("batch"),
        };
        Self { ledger: Ledger::leak(), batcher, start: Instant::now() }
    }

    /// A request of log records of these services, so many each.
    fn batch(&self, services: &[(&str, usize)], origin: Origin) -> (Batch, AckWaiter) {
        let wire = logs(services);
        let records = services.iter().map(|(_, records)| *records as u64).sum();
        let provenance = Provenance::default();
        let signal = Signal::Logs;
        let request = Request { signal, wire, records, received_unix_ns: 0, provenance };
        let (ticket, waiter) = ack::channel();
        let batch = match origin {
            Origin::Source => Batch::received(&request, Some(ticket), self.ledger),
            Origin::Vault => Batch::replayed(&request, SinkSet::ALL, ticket, self.ledger),
        };
        (batch, waiter)
    }

    /// Sends a request of these services; returns what comes out at once.
    fn send(&mut self, services: &[(&str, usize)]) -> (Vec<Batch>, AckWaiter) {
        let (batch, waiter) = self.batch(services, Origin::Source);
        let mut out: Vec<Batch> = self.batcher.apply(batch).into_iter().collect();
        out.extend(self.ready());
        (out, waiter)
    }

    fn ready(&mut self) -> Vec<Batch> {
        std::iter::from_fn(|| self.batcher.ready(self.start)).collect()
    }

    fn finish(&mut self) -> Vec<Batch> {
        self.batcher.finish();
        self.ready()
    }

    fn count(&self, bucket: Bucket) -> i64 {
        assert_eq!(self.ledger.imbalance(Signal::Logs), 0);
        self.ledger.total(bucket)
    }
}

fn logs(services: &[(&str, usize)]) -> Bytes {
    let resource = |(service, records): &(&str, usize)| {
        ((*service).to_owned(), vec![LogRecord::default(); *records])
    };
    logs_by("service", services.iter().map(resource))
}

/// The services of a request with their records, and its count.
fn shown(batch: &Batch) -> String {
    let request = ExportLogsServiceRequest::decode(batch.wire().clone()).unwrap();
    let of = |logs: &ResourceLogs| {
        let attributes = &logs.resource.as_ref().unwrap().attributes;
        let Some(any_value::Value::StringValue(service)) =
            attributes[0].value.as_ref().unwrap().value.as_ref()
        else {
            panic!("a service is text")
        };
        let records: usize = logs.scope_logs.iter().map(|scope| scope.log_records.len()).sum();
        format!("{service}{records}")
    };
    let services: Vec<String> = request.resource_logs.iter().map(of).collect();
    format!("{} of {}", services.join(" "), batch.records())
}

fn all(batches: &[Batch]) -> Vec<String> {
    batches.iter().map(shown).collect()
}

#[test]
fn requests_are_joined_and_their_senders_told_together() {
    let mut scene = Scene::new(&[], 6);
    let (out, first) = scene.send(&[("a", 2)]);
    assert!(out.is_empty() && scene.batcher.due().is_some());
    let (mut out, second) = scene.send(&[("b", 4)]);
    assert_eq!(all(&out), ["a2 b4 of 6"]);
    assert_eq!((first.outcome(), second.outcome()), (None, None));
    out.remove(0).delivered();
    assert_eq!(first.outcome(), Some(Outcome::Delivered));
    assert_eq!(second.outcome(), Some(Outcome::Delivered));
    assert_eq!((scene.count(Bucket::Delivered), scene.count(Bucket::Copies)), (6, 0));
    assert_eq!((scene.batcher.joined.get(), scene.batcher.sent[0].get()), (2, 1));
    assert_eq!(scene.batcher.due(), None);
}

#[test]
fn only_requests_of_the_same_key_are_joined_and_one_of_several_is_divided() {
    let mut scene = Scene::new(&["service"], 100);
    let (out, mixed) = scene.send(&[("a", 1), ("b", 2), ("a", 3)]);
    assert!(out.is_empty());
    let (out, plain) = scene.send(&[("b", 4)]);
    assert!(out.is_empty());
    let mut out = scene.finish();
    assert_eq!(all(&out), ["a1 a3 of 4", "b2 b4 of 6"]);
    out.remove(0).delivered();
    assert_eq!((mixed.outcome(), plain.outcome()), (None, None));
    out.remove(0).delivered();
    assert_eq!(mixed.outcome(), Some(Outcome::Delivered));
    assert_eq!(plain.outcome(), Some(Outcome::Delivered));
    assert_eq!((scene.count(Bucket::Delivered), scene.count(Bucket::Copies)), (10, 0));
    assert_eq!(scene.batcher.divided.get(), 1);
}

#[test]
fn a_large_request_is_divided_behind_what_came_before_it() {
    let mut scene = Scene::new(&[], 4);
    let (out, _small) = scene.send(&[("a", 1)]);
    assert!(out.is_empty());
    let (out, waiter) = scene.send(&[("a", 6), ("b", 3)]);
    assert_eq!(all(&out), ["a1 of 1", "a4 of 4", "a2 b2 of 4", "b1 of 1"]);
    let mut out = out.into_iter();
    out.by_ref().take(3).for_each(Batch::delivered);
    assert_eq!(waiter.outcome(), None);
    out.for_each(Batch::failed);
    assert_eq!(waiter.outcome(), Some(Outcome::Failed), "one part is missing");
    assert_eq!((scene.count(Bucket::Delivered), scene.count(Bucket::Copies)), (9, -1));
    scene.ledger.conclude(Signal::Logs, Bucket::RejectedFailed, 9);
    assert_eq!(scene.count(Bucket::Copies), 8, "delivered, and answered for");
}

#[test]
fn when_one_part_has_failed_the_rest_is_not_sent() {
    let mut scene = Scene::new(&[], 4);
    let (batch, waiter) = scene.batch(&[("a", 10)], Origin::Vault);
    scene.batcher.apply(batch).unwrap().failed();
    assert!(scene.ready().is_empty());
    assert_eq!(waiter.outcome(), Some(Outcome::Failed));
    assert_eq!((scene.count(Bucket::InFlight), scene.count(Bucket::Copies)), (0, 0));
}

#[test]
fn a_copy_that_failed_for_another_sink_does_not_end_the_parts_for_this_one() {
    let (mut scene, sink_set) = (Scene::new(&[], 4), SinkTable::default());
    let (there, here) = (sink_set.lane("there"), sink_set.lane("here"));
    let (mut batch, waiter) = scene.batch(&[("a", 14)], Origin::Source);
    batch.fork(there).failed();
    batch.narrow(here);
    let mut out = vec![scene.batcher.apply(batch).unwrap()];
    out.extend(scene.batcher.ready(scene.start));
    assert_eq!(all(&out), ["a4 of 4", "a4 of 4"]);
    let mut out = out.into_iter();
    out.next().unwrap().delivered();
    out.next().unwrap().failed();
    assert!(scene.ready().is_empty(), "this one has failed too");
    assert_eq!(waiter.outcome(), Some(Outcome::Failed));
}

#[test]
fn what_a_vault_replays_goes_on_alone_and_at_once() {
    let mut scene = Scene::new(&["service"], 4);
    let (small, _one) = scene.batch(&[("a", 2), ("b", 1)], Origin::Vault);
    let (large, _two) = scene.batch(&[("a", 6)], Origin::Vault);
    let out: Vec<Batch> =
        [small, large].into_iter().filter_map(|batch| scene.batcher.apply(batch)).collect();
    assert_eq!(all(&out), ["a2 b1 of 3", "a4 of 4"]);
    assert_eq!(all(&scene.ready()), ["a2 of 2"]);
    assert_eq!(scene.batcher.due(), None);
}

#[test]
fn what_the_vault_took_over_meanwhile_is_withdrawn() {
    let mut scene = Scene::new(&[], 100);
    let (_, first) = scene.send(&[("a", 2)]);
    let (_, second) = scene.send(&[("b", 3)]);
    first.claim();
    let out = scene.finish();
    assert_eq!(all(&out), ["b3 of 3"]);
    assert_eq!((first.outcome(), second.outcome()), (Some(Outcome::Vaulted), None));
    assert_eq!((scene.count(Bucket::Copies), scene.count(Bucket::InFlight)), (-2, 3));
    let (_, third) = scene.send(&[("c", 4)]);
    third.claim();
    assert!(scene.finish().is_empty(), "nothing is left to be sent");
}

#[test]
fn what_is_held_when_the_transform_is_dropped_goes_back_to_its_sources() {
    let mut scene = Scene::new(&[], 100);
    let (_, first) = scene.send(&[("a", 2)]);
    let (_, second) = scene.send(&[("b", 3)]);
    let Scene { ledger, batcher, .. } = scene;
    drop(batcher);
    assert_eq!((first.outcome(), second.outcome()), (Some(Outcome::Failed), Some(Outcome::Failed)));
    assert_eq!((ledger.total(Bucket::Copies), ledger.total(Bucket::InFlight)), (-5, 0));
}

#[test]
fn signals_and_sources_are_not_joined() {
    let mut scene = Scene::new(&[], 100);
    let ledger = scene.ledger;
    for (signal, source) in [(Signal::Logs, "x"), (Signal::Traces, "x"), (Signal::Logs, "y")] {
        let provenance = Provenance::with_headers(source, std::iter::empty());
        let wire = logs(&[("a", 1)]);
        let request = Request { signal, wire, records: 1, received_unix_ns: 0, provenance };
        assert!(scene.batcher.apply(Batch::received(&request, None, ledger)).is_none());
    }
    assert_eq!(scene.finish().len(), 3);
}

#[test]
fn options_that_cannot_be_meant_are_found() {
    let problems = |config: BatchConfig| {
        let found = config.problems();
        found.into_iter().map(|problem| problem.path).collect::<Vec<_>>().join(" ")
    };
    let with = |change: fn(&mut BatchConfig)| {
        let mut config = BatchConfig::default();
        change(&mut config);
        problems(config)
    };
    assert_eq!(problems(BatchConfig::default()), "");
    assert_eq!(with(|it| it.by = vec!["a".into(), String::new(), "a".into()]), "by.1 by.2");
    assert_eq!(with(|it| it.bytes_max = ByteSize(0)), "bytes_max");
    assert_eq!(with(|it| it.timeout = HumanDuration::seconds(0)), "timeout");
    assert_eq!(with(|it| it.held_max = ByteSize(1)), "held_max");
    assert_eq!(with(|it| it.keys_max = NonZeroU32::MAX), "keys_max");
}

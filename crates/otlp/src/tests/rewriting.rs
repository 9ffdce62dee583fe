//! Rewriting on the wire equals rewriting the typed form.

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Typed;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::Exemplar;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::prelude::*;

use super::super::decode::{Decoded, decode};
use super::super::error::{WireError, WireFaultKind};
use super::super::rewrite::{Fate, Position, Rewrite, Rewriter};
use super::super::signal::Signal;
use super::super::wire::{put_bytes, put_message};
use super::{WIDE, generate, message, shown};

/// Everything that a rewrite may do, at the places in `places`, which are bits.
#[derive(Clone, Copy)]
struct Every {
    places: u64,
    grown_to: usize,
}

const PLACES: [Position; 5] =
    [Position::Body, Position::Record, Position::Resource, Position::Scope, Position::Name];

impl Rewrite for Every {
    fn enters(&self, place: Position) -> bool {
        let idx = PLACES.iter().position(|other| *other == place).unwrap();
        self.places >> idx & 1 == 1
    }

    fn entry(&mut self, key: &[u8]) -> Fate {
        match key {
            b"a" => Fate::Replace,
            b"b" => Fate::Remove,
            b"c" => Fate::Leave,
            _ => Fate::Look,
        }
    }

    fn replace(&mut self, value: &[u8], out: &mut Vec<u8>) {
        assert!(value.len() < 1 << 20);
        out.resize(out.len() + self.grown_to, b'R');
    }

    fn text(&mut self, text: &[u8], out: &mut Vec<u8>) -> bool {
        if !text.iter().any(|byte| b"a1".contains(byte)) {
            return false;
        }
        out.resize(out.len() + self.grown_to, b'T');
        out.extend(text.iter().filter(|byte| !b"a1".contains(byte)));
        true
    }
}

impl Every {
    fn string(&mut self, text: &mut String, place: Position) {
        if self.enters(place) {
            self.words(text);
        }
    }

    fn words(&mut self, text: &mut String) {
        let mut out = Vec::new();
        if self.text(text.as_bytes(), &mut out) {
            *text = String::from_utf8(out).unwrap();
        }
    }

    fn value(&mut self, value: &mut AnyValue) {
        let mut out = Vec::new();
        match &mut value.value {
            Some(Typed::StringValue(text)) if self.text(text.as_bytes(), &mut out) => {
                *text = String::from_utf8(out).unwrap();
            }
            Some(Typed::BytesValue(bytes)) if self.text(bytes, &mut out) => *bytes = out,
            Some(Typed::IntValue(number)) if self.text(number.to_string().as_bytes(), &mut out) => {
                value.value = Some(Typed::StringValue(String::from_utf8(out).unwrap()));
            }
            Some(Typed::ArrayValue(list)) => {
                list.values.iter_mut().for_each(|value| self.value(value));
            }
            Some(Typed::KvlistValue(list)) => self.entries(&mut list.values),
            _ => {}
        }
    }

    fn entries(&mut self, entries: &mut Vec<KeyValue>) {
        entries.retain(|entry| self.entry(entry.key.as_bytes()) != Fate::Remove);
        for entry in entries {
            match (self.entry(entry.key.as_bytes()), &mut entry.value) {
                (Fate::Look, value) => {
                    self.words(&mut entry.key);
                    for value in value.iter_mut() {
                        self.value(value);
                    }
                }
                (Fate::Replace, Some(value)) if value.value.is_some() => {
                    value.value = Some(Typed::StringValue("R".repeat(self.grown_to)));
                }
                _ => {}
            }
        }
    }

    fn list(&mut self, entries: &mut Vec<KeyValue>, place: Position) {
        if self.enters(place) {
            self.entries(entries);
        }
    }

    fn exemplars(&mut self, exemplars: &mut [Exemplar]) {
        for exemplar in exemplars {
            self.list(&mut exemplar.filtered_attributes, Position::Record);
        }
    }

    fn data(&mut self, data: &mut Data) {
        macro_rules! points {
            ($data:ident) => {
                for point in &mut $data.data_points {
                    self.list(&mut point.attributes, Position::Record);
                    self.exemplars(&mut point.exemplars);
                }
            };
        }
        match data {
            Data::Gauge(data) => points!(data),
            Data::Sum(data) => points!(data),
            Data::Histogram(data) => points!(data),
            Data::ExponentialHistogram(data) => points!(data),
            Data::Summary(data) => {
                for point in &mut data.data_points {
                    self.list(&mut point.attributes, Position::Record);
                }
            }
        }
    }

    fn resource(&mut self, schema_url: &mut String, resource: &mut Option<Resource>) {
        self.string(schema_url, Position::Resource);
        let Some(resource) = resource else { return };
        self.list(&mut resource.attributes, Position::Resource);
        for entity in &mut resource.entity_refs {
            self.string(&mut entity.schema_url, Position::Resource);
            self.string(&mut entity.r#type, Position::Resource);
            for key in entity.id_keys.iter_mut().chain(&mut entity.description_keys) {
                self.string(key, Position::Resource);
            }
        }
    }

    fn scope(&mut self, schema_url: &mut String, scope: &mut Option<InstrumentationScope>) {
        self.string(schema_url, Position::Scope);
        let Some(scope) = scope else { return };
        self.string(&mut scope.name, Position::Scope);
        self.string(&mut scope.version, Position::Scope);
        self.list(&mut scope.attributes, Position::Scope);
    }

    fn span(&mut self, span: &mut Span) {
        self.string(&mut span.name, Position::Name);
        self.string(&mut span.trace_state, Position::Name);
        self.list(&mut span.attributes, Position::Record);
        for event in &mut span.events {
            self.string(&mut event.name, Position::Name);
            self.list(&mut event.attributes, Position::Record);
        }
        for link in &mut span.links {
            self.string(&mut link.trace_state, Position::Name);
            self.list(&mut link.attributes, Position::Record);
        }
        if let Some(status) = &mut span.status {
            self.string(&mut status.message, Position::Name);
        }
    }

    fn typed(&mut self, decoded: &mut Decoded) {
        match decoded {
            Decoded::Logs(request) => {
                for part in &mut request.resource_logs {
                    self.resource(&mut part.schema_url, &mut part.resource);
                    for part in &mut part.scope_logs {
                        self.scope(&mut part.schema_url, &mut part.scope);
                        for record in &mut part.log_records {
                            if let (true, Some(body)) =
                                (self.enters(Position::Body), &mut record.body)
                            {
                                self.value(body);
                            }
                            self.list(&mut record.attributes, Position::Record);
                            self.string(&mut record.event_name, Position::Name);
                            self.string(&mut record.severity_text, Position::Name);
                        }
                    }
                }
            }
            Decoded::Traces(request) => {
                for part in &mut request.resource_spans {
                    self.resource(&mut part.schema_url, &mut part.resource);
                    for part in &mut part.scope_spans {
                        self.scope(&mut part.schema_url, &mut part.scope);
                        part.spans.iter_mut().for_each(|span| self.span(span));
                    }
                }
            }
            Decoded::Metrics(request) => {
                for part in &mut request.resource_metrics {
                    self.resource(&mut part.schema_url, &mut part.resource);
                    for part in &mut part.scope_metrics {
                        self.scope(&mut part.schema_url, &mut part.scope);
                        for metric in &mut part.metrics {
                            self.string(&mut metric.name, Position::Name);
                            self.string(&mut metric.description, Position::Name);
                            self.string(&mut metric.unit, Position::Name);
                            self.list(&mut metric.metadata, Position::Record);
                            metric.data.iter_mut().for_each(|data| self.data(data));
                        }
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn rewrites_of_the_wire_equal_rewrites_of_the_typed_form(
        signal in 0..3_usize,
        seed in any::<u64>(),
        places in 0..32_u64,
        grown_to in prop_oneof![Just(0_usize), Just(1), Just(5), Just(200), Just(20_000)],
    ) {
        let signal = Signal::ALL[signal];
        let bytes = Bytes::from(generate::request(signal, seed));
        let mut rewrite = Every { places, grown_to };
        let mut expected = decode(signal, &bytes, &WIDE).unwrap();
        rewrite.typed(&mut expected);
        let mut rewriter = Rewriter::default();
        // What is left in memory of a request has no influence on the next.
        for _ in 0..2 {
            let rewritten = rewriter.apply(signal, &bytes, &mut rewrite, usize::MAX).unwrap();
            let now = decode(signal, &rewritten, &WIDE).unwrap();
            prop_assert_eq!(shown(&now), shown(&expected));
            let before = decode(signal, &bytes, &WIDE).unwrap();
            if shown(&expected) == shown(&before) && places == 0 {
                prop_assert_eq!(rewritten.as_ptr(), bytes.as_ptr());
            }
        }
    }
}

/// A value in so many lists.
fn nested(lists: usize) -> Vec<u8> {
    let mut value = message(|out| put_bytes(out, 1, b"a"));
    for _ in 0..lists {
        value = message(|out| {
            put_message(out, 5, |out| put_bytes(out, 1, &value));
        });
    }
    value
}

#[test]
fn values_are_reached_as_deep_as_decoders_go_and_deeper_ones_are_refused() {
    let request = |lists: usize| {
        let record = message(|out| put_bytes(out, 5, &nested(lists)));
        Bytes::from(super::around(&message(|out| put_bytes(out, 2, &record))))
    };
    let mut rewrite = Every { places: 31, grown_to: 1 };
    let deep = request(40);
    let rewritten =
        Rewriter::default().apply(Signal::Logs, &deep, &mut rewrite, usize::MAX).unwrap();
    assert_eq!(rewritten.split(|byte| *byte == b'T').count(), 2);
    let refused = Rewriter::default().apply(Signal::Logs, &request(60), &mut rewrite, usize::MAX);
    assert!(matches!(refused, Err(WireError::Malformed { fault: WireFaultKind::TooDeep, .. })));
}

#[test]
fn unknown_fields_beside_a_rewritten_value_stay() {
    let entry = message(|out| {
        put_bytes(out, 1, b"a");
        put_bytes(out, 77, b"kept");
        put_message(out, 2, |out| put_bytes(out, 1, b"gone"));
        put_message(out, 2, |out| put_bytes(out, 1, b"gone too"));
    });
    let record = message(|out| put_bytes(out, 6, &entry));
    let request = Bytes::from(super::around(&message(|out| put_bytes(out, 2, &record))));
    let mut rewrite = Every { places: 31, grown_to: 3 };
    let rewritten =
        Rewriter::default().apply(Signal::Logs, &request, &mut rewrite, usize::MAX).unwrap();
    let text = String::from_utf8_lossy(&rewritten);
    assert!(text.contains("kept") && text.contains("RRR") && !text.contains("gone"), "{text}");
}

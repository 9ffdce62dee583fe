//! Broken requests: nothing panics, and the checks agree with the typed decoder.

use bytes::Bytes;

use super::super::decode::decode;
use super::super::demo::{Random, demo_logs, demo_metrics, demo_traces};
use super::super::edit::{Edit, EditOperation, Level};
use super::super::editor::Editor;
use super::super::error::WireError;
use super::super::inspect::inspect;
use super::super::json::{json_to_wire, salvage_json, wire_to_json};
use super::super::prescan::{prescan, prescan_envelope};
use super::super::retain::retain;
use super::super::salvage::salvage;
use super::super::signal::Signal;
use super::super::value::Value;
use super::{WIDE, generate};

const MUTATIONS: u64 = 200_000;

fn corpus() -> Vec<(Signal, Vec<u8>)> {
    let mut corpus = Vec::new();
    corpus.push((Signal::Logs, demo_logs(2, 1, 1).to_vec()));
    corpus.push((Signal::Traces, demo_traces(2, 1, 1).to_vec()));
    corpus.push((Signal::Metrics, demo_metrics(3, 1, 1).to_vec()));
    for signal in Signal::ALL {
        let requests = (0..400).map(|seed| generate::request(signal, seed));
        corpus.extend(requests.filter(|bytes| bytes.len() < 700).map(|bytes| (signal, bytes)));
    }
    corpus
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=random.below(2) {
        let at = random.index(bytes.len() + 1);
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next().to_le_bytes()[0]),
            2 => {
                let from = random.index(other.len() + 1);
                let to = (from + random.index(24)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            3 => {
                let to = (at + random.index(8)).min(bytes.len());
                bytes.drain(at..to);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
}

fn editor() -> Editor {
    let edit = |level, key: &str, operation| Edit { level, key: key.to_owned(), operation };
    let set = || EditOperation::Set(Value::String("edited".repeat(30)));
    Editor::new(vec![
        edit(Level::Resource, "a", set()),
        edit(Level::Scope, "b", EditOperation::Rename { to: "a".to_owned() }),
        edit(Level::Record, "http.route", EditOperation::Delete),
        edit(Level::Record, "a", set()),
    ])
}

/// Scenario: valid requests with bits flipped, bytes cut out, put in and spliced.
/// Guarantees: no panic; what the decoder takes passes every check, with the right count, and can
/// be edited, filtered and converted; the pre-scan takes what full inspection takes, and the decoder takes
/// that unless text is not UTF-8; what is left of a request without its malformed records is well formed.
#[test]
fn mutated_requests_never_panic_and_the_checks_agree_with_the_decoder() {
    let (corpus, editor) = (corpus(), editor());
    let mut random = Random::new(7);
    let (mut accepted, mut refused, mut not_text, mut salvaged) = (0, 0, 0, 0);
    for _ in 0..MUTATIONS {
        let idx = random.index(corpus.len());
        let other = random.index(corpus.len());
        let (signal, mut bytes) = corpus[idx].clone();
        mutate(&mut random, &mut bytes, &corpus[other].1);
        let bytes = Bytes::from(bytes);
        let scanned = prescan(signal, &bytes);
        let envelope = prescan_envelope(signal, &bytes);
        let inspected = inspect(signal, &bytes, &WIDE);
        assert_eq!(scanned.is_ok(), inspected.is_ok(), "{scanned:?} {inspected:?} {bytes:?}");
        match (&scanned, salvage(signal, &bytes)) {
            (Ok(summary), Some(left)) => {
                assert_eq!((left.rejected, left.summary), (0, *summary));
            }
            (Ok(summary), None) => assert_eq!(summary.records, 0),
            (Err(_), Some(left)) => {
                salvaged += 1;
                assert!(left.rejected > 0, "{bytes:?}");
                assert_eq!(inspect(signal, &left.bytes, &WIDE).unwrap(), left.summary);
            }
            (Err(_), None) => {}
        }
        let edited = editor.apply(signal, &bytes, usize::MAX);
        let retained = retain(signal, &bytes, |view| {
            view.attribute("a").is_none() && view.body().is_none() && view.scope_name() != "a"
        });
        match decode(signal, &bytes, &WIDE) {
            Ok(decoded) => {
                accepted += 1;
                let records = decoded.records();
                assert_eq!(scanned.unwrap().records, records);
                assert_eq!(envelope.unwrap().records, records);
                assert_eq!(inspected.unwrap().records, records);
                assert_eq!(decode(signal, &edited.unwrap(), &WIDE).unwrap().records(), records);
                let retained = retained.unwrap();
                let left = decode(signal, &retained.bytes, &WIDE).unwrap();
                assert_eq!(
                    (retained.kept, retained.dropped),
                    (left.records(), records - retained.kept)
                );
            }
            Err(WireError::Decode { source }) => {
                not_text += 1;
                inspected.unwrap();
                assert!(source.to_string().contains("UTF-8"), "{source}: {bytes:?}");
            }
            Err(_) => {
                refused += 1;
                inspected.unwrap_err();
                assert!(!typed_decoder_takes(signal, &bytes), "{bytes:?}");
            }
        }
    }
    assert!(
        accepted > 20_000 && refused > 20_000 && not_text > 50 && salvaged > 1_000,
        "{accepted} {refused} {not_text} {salvaged}"
    );
}

pub(super) fn typed_decoder_takes(signal: Signal, bytes: &[u8]) -> bool {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest as Logs;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest as Metrics;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest as Traces;
    use prost::Message as _;
    match signal {
        Signal::Logs => Logs::decode(bytes).is_ok(),
        Signal::Traces => Traces::decode(bytes).is_ok(),
        Signal::Metrics => Metrics::decode(bytes).is_ok(),
    }
}

#[test]
fn mutated_requests_and_json_convert_or_are_refused() {
    let corpus = corpus();
    let mut random = Random::new(11);
    let (mut converted, mut salvaged) = (0, 0);
    for _ in 0..MUTATIONS / 10 {
        let idx = random.index(corpus.len());
        let (signal, mut bytes) = corpus[idx].clone();
        let mut json = Vec::new();
        wire_to_json(signal, &bytes, &WIDE, &mut json).unwrap();
        mutate(&mut random, &mut bytes, &corpus[0].1);
        let mut out = b"before".to_vec();
        if wire_to_json(signal, &bytes, &WIDE, &mut out).is_err() {
            assert_eq!(out, b"before");
        }
        let other = json.clone();
        mutate(&mut random, &mut json, &other);
        match json_to_wire(signal, &json, &WIDE) {
            Ok(wire) => {
                converted += 1;
                decode(signal, &wire, &WIDE).unwrap();
            }
            Err(_) => {
                if let Some(read) = salvage_json(signal, &json, &WIDE).unwrap() {
                    salvaged += 1;
                    decode(signal, &read.wire, &WIDE).unwrap();
                }
            }
        }
    }
    assert!(converted > 500 && salvaged > 50, "{converted} {salvaged}");
}

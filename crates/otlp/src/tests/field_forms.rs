//! Wire forms met in the field; each is legal protobuf.

use bytes::Bytes;

use super::super::decode::{Decoded, decode};
use super::super::demo::{demo_logs, demo_metrics, demo_traces};
use super::super::edit::{Edit, EditOperation, Level};
use super::super::editor::Editor;
use super::super::error::{WireError, WireFaultKind};
use super::super::inspect::{DecodeLimits, inspect};
use super::super::prescan::{prescan, prescan_envelope};
use super::super::retain::retain;
use super::super::signal::Signal;
use super::super::value::{AnyValueView, Value};
use super::{WIDE, around, message, put_bytes, put_key, put_message};

/// Checks that every reader counts `records` in a logs request and that the decoder takes it.
fn check(bytes: &[u8], records: u64) -> Decoded {
    check_signal(Signal::Logs, bytes, records)
}

fn check_signal(signal: Signal, bytes: &[u8], records: u64) -> Decoded {
    assert_eq!(prescan(signal, bytes).unwrap().records, records);
    assert_eq!(prescan_envelope(signal, bytes).unwrap().records, records);
    assert_eq!(inspect(signal, bytes, &WIDE).unwrap().records, records);
    let decoded = decode(signal, bytes, &WIDE).unwrap();
    assert_eq!(decoded.records(), records);
    decoded
}

/// An attribute, value before key as the Collector has it.
fn attribute(out: &mut Vec<u8>, number: u32, key: &str, value: &str) {
    put_message(out, number, |out| {
        put_message(out, 2, |out| put_bytes(out, 1, value.as_bytes()));
        put_bytes(out, 1, key.as_bytes());
    });
}

fn set(level: Level, key: &str) -> Editor {
    let operation = EditOperation::Set(Value::String("set".to_owned()));
    Editor::new(vec![Edit { level, key: key.to_owned(), operation }])
}

fn resource_values(bytes: &Bytes, key: &str) -> Vec<Option<String>> {
    let mut values = Vec::new();
    retain(Signal::Logs, bytes, |view| {
        let value = view.resource_attribute(key);
        values.push(value.and_then(AnyValueView::as_str).map(ToOwned::to_owned));
        true
    })
    .unwrap();
    values
}

#[test]
fn fields_in_reverse_order_with_defaults_written_out() {
    let bytes = Bytes::from(message(|out| {
        put_message(out, 1, |out| {
            put_bytes(out, 3, b"");
            put_message(out, 2, |out| {
                put_message(out, 2, |out| {
                    put_bytes(out, 10, b"");
                    put_bytes(out, 9, b"");
                    put_key(out, 8, 5);
                    out.extend([0; 4]);
                    attribute(out, 6, "http.route", "/cart");
                    put_message(out, 5, |out| put_bytes(out, 1, b"body"));
                    put_bytes(out, 3, b"INFO");
                    put_key(out, 2, 0);
                    out.push(9);
                });
                put_bytes(out, 1, b"");
            });
            put_message(out, 1, |out| attribute(out, 1, "service.name", "shop"));
        });
    }));
    check(&bytes, 1);
    retain(Signal::Logs, &bytes, |view| {
        assert_eq!((view.severity_number(), view.severity_text()), (9, "INFO"));
        assert_eq!((view.body(), view.scope_name()), (Some("body"), ""));
        assert_eq!(view.attribute("http.route"), Some(AnyValueView::String("/cart")));
        assert_eq!(view.resource_attribute("service.name"), Some(AnyValueView::String("shop")));
        true
    })
    .unwrap();
    let edited =
        set(Level::Resource, "service.name").apply(Signal::Logs, &bytes, usize::MAX).unwrap();
    assert_eq!(resource_values(&edited, "service.name"), [Some("set".to_owned())]);
    check(&edited, 1);
}

#[test]
fn a_resource_given_twice_is_one_resource() {
    let bytes = Bytes::from(message(|out| {
        put_message(out, 1, |out| {
            put_message(out, 1, |out| attribute(out, 1, "a", "first"));
            put_message(out, 2, |out| put_bytes(out, 2, b""));
            put_message(out, 1, |out| {
                attribute(out, 1, "a", "second");
                attribute(out, 1, "b", "third");
            });
        });
    }));
    check(&bytes, 1);
    assert_eq!(resource_values(&bytes, "b"), [Some("third".to_owned())]);
    let edited = set(Level::Resource, "a").apply(Signal::Logs, &bytes, usize::MAX).unwrap();
    let Decoded::Logs(logs) = check(&edited, 1) else { unreachable!() };
    let resource = logs.resource_logs[0].resource.clone().unwrap();
    let keys: Vec<String> = resource.attributes.into_iter().map(|entry| entry.key).collect();
    assert_eq!(keys, ["a", "b"]);
}

#[test]
fn several_containers_and_no_resource() {
    let bytes = Bytes::from(message(|out| {
        for has_resource in [true, false, true] {
            put_message(out, 1, |out| {
                put_message(out, 2, |out| {
                    put_bytes(out, 2, b"");
                    put_bytes(out, 2, b"");
                });
                if has_resource {
                    put_message(out, 1, |out| attribute(out, 1, "service.name", "shop"));
                }
            });
        }
    }));
    check(&bytes, 6);
    let edited = set(Level::Resource, "region").apply(Signal::Logs, &bytes, usize::MAX).unwrap();
    check(&edited, 6);
    assert_eq!(resource_values(&edited, "region"), vec![Some("set".to_owned()); 6]);
    let edited = set(Level::Scope, "region").apply(Signal::Logs, &bytes, usize::MAX).unwrap();
    let Decoded::Logs(logs) = check(&edited, 6) else { unreachable!() };
    let scope = logs.resource_logs[1].scope_logs[0].scope.clone().unwrap();
    assert_eq!(scope.attributes[0].key, "region");
}

#[test]
fn unknown_fields_pass_and_survive_edits_and_filters() {
    let unknown = message(|out| {
        put_key(out, 77, 0);
        out.extend([0xff, 0x01]);
        put_key(out, 78, 1);
        out.extend([1; 8]);
        put_bytes(out, 79, b"later");
        put_key(out, 80, 3);
        put_key(out, 81, 3);
        put_bytes(out, 1, b"inside");
        put_key(out, 81, 4);
        put_key(out, 80, 4);
        put_key(out, 82, 5);
        out.extend([2; 4]);
    });
    let bytes = Bytes::from(message(|out| {
        out.extend(&unknown);
        put_message(out, 1, |out| {
            out.extend(&unknown);
            put_message(out, 1, |out| out.extend(&unknown));
            put_message(out, 2, |out| {
                out.extend(&unknown);
                put_message(out, 2, |out| out.extend(&unknown));
                put_bytes(out, 2, b"");
            });
        });
    }));
    check(&bytes, 2);
    let occurrences =
        |bytes: &[u8]| bytes.windows(unknown.len()).filter(|window| *window == unknown).count();
    for level in [Level::Resource, Level::Scope, Level::Record] {
        let edited = set(level, "a").apply(Signal::Logs, &bytes, usize::MAX).unwrap();
        check(&edited, 2);
        assert_eq!(occurrences(&edited), 5);
    }
    let mut position = 0;
    let retained = retain(Signal::Logs, &bytes, |_| {
        position += 1;
        position == 1
    });
    let retained = retained.unwrap();
    check(&retained.bytes, 1);
    assert_eq!((retained.kept, retained.dropped, occurrences(&retained.bytes)), (1, 1, 5));
}

#[test]
fn groups_pass_as_deep_as_messages_do() {
    let grouped = |depth: usize| {
        let (open, close) = ([0xbb, 0x01].repeat(depth), [0xbc, 0x01].repeat(depth));
        around(&message(|out| put_bytes(out, 2, &[open, close].concat())))
    };
    let narrow = DecodeLimits { depth_max: 20, ..WIDE };
    for depth in 1..120 {
        let bytes = grouped(depth);
        let is_decodable = super::robustness::typed_decoder_takes(Signal::Logs, &bytes);
        assert_eq!(prescan(Signal::Logs, &bytes).is_ok(), depth <= 93, "{depth}");
        assert!(is_decodable || inspect(Signal::Logs, &bytes, &WIDE).is_err(), "{depth}");
        assert_eq!(inspect(Signal::Logs, &bytes, &narrow).is_ok(), depth <= 17, "{depth}");
    }
}

#[test]
fn numbers_may_be_packed_or_not() {
    let point = message(|out| {
        put_key(out, 6, 1);
        out.extend(1_u64.to_le_bytes());
        put_bytes(out, 6, &[2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    });
    let bytes = around(&message(|out| {
        put_message(out, 2, |out| {
            put_message(out, 9, |out| put_bytes(out, 1, &point));
        });
    }));
    check_signal(Signal::Metrics, &bytes, 1);
}

#[test]
fn only_the_last_kind_of_data_of_a_metric_counts() {
    let metric = |kinds: &[u32]| {
        around(&message(|out| {
            put_message(out, 2, |out| {
                for &kind in kinds {
                    put_message(out, kind, |out| put_bytes(out, 1, b""));
                }
            });
        }))
    };
    check_signal(Signal::Metrics, &metric(&[]), 0);
    for kind in [5, 7, 9, 10, 11] {
        check_signal(Signal::Metrics, &metric(&[kind]), 1);
        check_signal(Signal::Metrics, &metric(&[kind, kind]), 2);
    }
    check_signal(Signal::Metrics, &metric(&[5, 5, 7]), 1);
    check_signal(Signal::Metrics, &metric(&[5, 7, 5, 5]), 2);
}

#[test]
fn faults_come_with_their_place() {
    let fault = |signal, bytes: &[u8]| match prescan(signal, bytes) {
        Err(WireError::Malformed { offset, path, fault }) => (offset, path, fault),
        other => panic!("{other:?}"),
    };
    let log = |record: &[u8]| around(&message(|out| put_bytes(out, 2, record)));
    let in_record = "resource_logs.scope_logs.log_records".to_owned();
    assert_eq!(
        fault(Signal::Logs, &log(&[0x10, 9, 0x1a, 5, b'a'])),
        (8, in_record.clone(), WireFaultKind::Truncated)
    );
    assert_eq!(
        fault(Signal::Logs, &log(&[0x12, 0])),
        (6, in_record.clone(), WireFaultKind::UnexpectedWireType)
    );
    assert_eq!(fault(Signal::Logs, &log(&[0x00, 0])), (6, in_record, WireFaultKind::InvalidKey));
    assert_eq!(
        fault(Signal::Traces, &around(&[0x0c])),
        (4, "resource_spans.scope_spans".to_owned(), WireFaultKind::UnbalancedGroup)
    );
    assert_eq!(
        fault(Signal::Logs, &[0x0a, 5]),
        (0, "request".to_owned(), WireFaultKind::Truncated)
    );
    let deep = log(&[0x32, 6, 0x12, 4, 0x2a, 2, 0x0a, 9]);
    let error = inspect(Signal::Logs, &deep, &WIDE).unwrap_err().to_string();
    let path = "resource_logs.scope_logs.log_records.attributes.value.array_value";
    assert!(error.ends_with(&format!("at byte 12 in {path}")), "{error}");
    assert_eq!(prescan(Signal::Logs, &deep).unwrap_err().to_string(), error);
}

/// Scenario: a resource, and a scope, in 1,000 pieces and in 1,001.
/// Guarantees: 1,000 pieces pass, one more is malformed, and the fault names its place.
#[test]
fn a_message_in_too_many_pieces_is_malformed() {
    let pieces = |count: usize| [0x0a, 0].repeat(count);
    for signal in Signal::ALL {
        for is_resource in [true, false] {
            let request = |count| {
                if is_resource {
                    message(|out| put_bytes(out, 1, &pieces(count)))
                } else {
                    around(&pieces(count))
                }
            };
            prescan(signal, &request(1_000)).unwrap();
            prescan_envelope(signal, &request(1_000)).unwrap();
            let error = prescan(signal, &request(1_001)).unwrap_err();
            let WireError::Malformed { offset, fault, .. } = error else { panic!("{error}") };
            assert_eq!((offset, fault), (request(1_000).len(), WireFaultKind::TooManyPieces));
        }
    }
}

#[test]
fn an_empty_request_is_a_request() {
    for signal in Signal::ALL {
        check_signal(signal, &[], 0);
        let edited = set(Level::Record, "a").apply(signal, &Bytes::new(), usize::MAX).unwrap();
        assert!(edited.is_empty());
    }
}

/// Scenario: a million empty log records in 2 MiB, and values nested beyond the limit.
/// Guarantees: both are refused before anything is decoded.
#[test]
fn bombs_are_refused_before_they_are_decoded() {
    let limits = DecodeLimits::default();
    let bomb = around(&[0x12, 0].repeat(1 << 20));
    assert!(matches!(
        decode(Signal::Logs, &bomb, &limits),
        Err(WireError::TooLarge { decoded_bytes, .. }) if decoded_bytes > 180 << 20
    ));
    let mut value = Vec::new();
    for _ in 0..200 {
        value = message(|out| put_message(out, 5, |out| put_bytes(out, 1, &value)));
    }
    let deep = around(&message(|out| put_message(out, 2, |out| put_bytes(out, 5, &value))));
    for limits in [limits, WIDE] {
        let error = inspect(Signal::Logs, &deep, &limits).unwrap_err();
        assert!(matches!(error, WireError::TooDeep { .. }), "{error}");
    }
}

#[test]
fn demo_requests_are_deterministic_and_of_the_promised_size() {
    for (signal, make) in [
        (Signal::Logs, demo_logs as fn(usize, u64, u64) -> Bytes),
        (Signal::Traces, demo_traces),
        (Signal::Metrics, demo_metrics),
    ] {
        assert_eq!(make(50, 3, 1_700_000_000_000_000_000), make(50, 3, 1_700_000_000_000_000_000));
        assert_ne!(make(50, 3, 1_700_000_000_000_000_000), make(50, 4, 1_700_000_000_000_000_000));
        check_signal(signal, &make(50, 3, 1_700_000_000_000_000_000), 50);
    }
    let bytes_per_record = demo_logs(1_000, 1, 1_700_000_000_000_000_000).len() / 1_000;
    assert!((230..270).contains(&bytes_per_record), "{bytes_per_record}");
}

//! Whatever the form of a request, the wire view agrees with the typed decoder.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::decode::{Decoded, decode};
use super::super::demo::Random;
use super::super::edit::{Edit, EditOperation, Level, Table};
use super::super::editor::Editor;
use super::super::inspect::inspect;
use super::super::prescan::{Summary, prescan, prescan_envelope};
use super::super::retain::retain;
use super::super::schema::{Kind, Message};
use super::super::signal::Signal;
use super::super::value::Value;
use super::super::wire::{Fields, put_bytes};
use super::{WIDE, generate, reference, shown};

const KEYS: [&str; 5] = ["a", "b", "c", "service.name", "new"];
const CASES: u64 = 1_500;

fn decoded(signal: Signal, bytes: &[u8]) -> Decoded {
    decode(signal, bytes, &WIDE).unwrap()
}

fn edits(seed: u64) -> Vec<Edit> {
    let mut random = Random::new(seed);
    (0..=random.below(3)).map(|_| edit(&mut random)).collect()
}

fn edit(random: &mut Random) -> Edit {
    let level = [Level::Resource, Level::Scope, Level::Record][random.index(3)];
    let key = random.choose(&KEYS).to_owned();
    let other = random.choose(&KEYS).to_owned();
    let operation = match random.below(6) {
        0 | 1 => EditOperation::Set(value(random)),
        2 => EditOperation::SetIfAbsent(value(random)),
        3 => EditOperation::Rename { to: other },
        4 => EditOperation::Delete,
        _ => EditOperation::Lookup {
            from: other,
            table: Arc::new(Table::from([("a".to_owned(), value(random))])),
            if_absent: random.below(2) == 0,
            default: (random.below(2) == 0).then(|| value(random)),
        },
    };
    Edit { level, key, operation }
}

fn value(random: &mut Random) -> Value {
    match random.below(4) {
        0 => Value::String(random.choose(&KEYS).repeat(1 + random.index(80))),
        1 => Value::String("a".to_owned()),
        2 => Value::Bool(random.below(2) == 0),
        _ if random.below(2) == 0 => Value::Int(-1),
        _ => Value::Double(1.5),
    }
}

/// The request with the fields of each message in descending order of their numbers, as the
/// Collector writes them.
fn reversed(message: Message, bytes: &[u8]) -> Vec<u8> {
    let mut fields = Fields::new(bytes, 0..bytes.len());
    let mut pieces = Vec::new();
    while let Some(field) = fields.next().unwrap() {
        let kind = message.field(field.number).map(|(_, schema)| schema.kind);
        let mut piece = bytes[field.start..field.end].to_vec();
        if let Some(Kind::Message(inner)) = kind {
            piece.clear();
            put_bytes(&mut piece, field.number, &reversed(inner, &bytes[field.span()]));
        }
        pieces.push((field.number, piece));
    }
    pieces.sort_by_key(|(number, _)| u32::MAX - number);
    pieces.into_iter().flat_map(|(_, piece)| piece).collect()
}

fn signals() -> impl Strategy<Value = Signal> {
    (0..3_usize).prop_map(|idx| Signal::ALL[idx])
}

/// A request in a random form; one in four in the Collector's order.
fn requests() -> impl Strategy<Value = (Signal, Bytes)> {
    (signals(), any::<u64>()).prop_map(|(signal, seed)| {
        let bytes = generate::request(signal, seed);
        let bytes = if seed % 4 == 0 { reversed(Message::request(signal), &bytes) } else { bytes };
        (signal, Bytes::from(bytes))
    })
}

fn config() -> ProptestConfig {
    let cases = u32::try_from(CASES).unwrap();
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn counts_equal_those_of_the_typed_form((signal, bytes) in requests()) {
        let decoded = decoded(signal, &bytes);
        let (resources, scopes) = reference::containers(&decoded);
        let expected = Summary { records: decoded.records(), resources, scopes };
        prop_assert_eq!(prescan(signal, &bytes).unwrap(), expected);
        prop_assert_eq!(prescan_envelope(signal, &bytes).unwrap(), expected);
        prop_assert_eq!(inspect(signal, &bytes, &WIDE).unwrap(), expected);
    }

    #[test]
    fn edits_of_the_wire_equal_edits_of_the_typed_form(
        (signal, bytes) in requests(),
        seed in any::<u64>(),
    ) {
        let edits = edits(seed);
        let mut expected = decoded(signal, &bytes);
        reference::edit(&mut expected, &edits);
        let edited = Editor::new(edits).apply(signal, &bytes, usize::MAX).unwrap();
        prop_assert_eq!(shown(&decoded(signal, &edited)), shown(&expected));
    }

    #[test]
    fn edits_that_change_nothing_return_the_same_bytes(
        seed in any::<u64>(),
        edits_seed in any::<u64>(),
    ) {
        for signal in [Signal::Logs, Signal::Traces] {
            let bytes = Bytes::from(generate::request(signal, seed));
            let edit = edit(&mut Random::new(edits_seed));
            let edited = Editor::new(vec![edit]).apply(signal, &bytes, usize::MAX).unwrap();
            if shown(&decoded(signal, &edited)) == shown(&decoded(signal, &bytes)) {
                prop_assert_eq!(edited.as_ptr(), bytes.as_ptr());
            }
        }
    }

    #[test]
    fn filters_of_the_wire_equal_filters_of_the_typed_form(
        (signal, bytes) in requests(),
        pattern in any::<u64>(),
    ) {
        let keep = |position: usize| pattern >> (position % 64) & 1 == 1;
        let mut expected = decoded(signal, &bytes);
        let records = expected.records();
        let (mut typed, mut seen) = (Vec::new(), Vec::new());
        reference::retain(&mut expected, |description| {
            typed.push(description);
            keep(typed.len())
        });
        let retained = retain(signal, &bytes, |view| {
            seen.push(reference::describe(view));
            keep(seen.len())
        });
        let retained = retained.unwrap();
        prop_assert_eq!(seen, typed);
        prop_assert_eq!(retained.kept + retained.dropped, records);
        prop_assert_eq!(retained.kept, expected.records());
        prop_assert_eq!(shown(&decoded(signal, &retained.bytes)), shown(&expected));
        if retained.dropped == 0 {
            prop_assert_eq!(retained.bytes.as_ptr(), bytes.as_ptr());
        }
    }
}

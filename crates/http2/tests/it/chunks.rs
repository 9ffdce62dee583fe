//! Any input in any pieces: the same comes out, and nothing panics.

use std::time::Instant;

use gophership_http2::Connection;
use gophership_http2::Event;
use gophership_http2::Limits;
use gophership_http2::RequestBody;
use gophership_http2::Timeouts;
use gophership_http2::Windows;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::client::*;

/// Something that a client does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// A whole request, with so many bytes in frames of so many.
    Request {
        bytes: usize,
        piece: usize,
    },
    /// The head of a request, in so many frames, with padding or a priority.
    Head {
        pieces: usize,
        flags: u8,
    },
    /// DATA on an open stream.
    Data {
        on: Index,
        bytes: usize,
        padding: u8,
        is_end: bool,
    },
    Trailers {
        on: Index,
    },
    Reset {
        on: Index,
    },
    Window {
        on: Index,
        bytes: u32,
    },
    Setting {
        number: u16,
        value: u32,
    },
    Other {
        kind: u8,
        flags: u8,
        stream: u32,
        bytes: usize,
    },
    Raw(Vec<u8>),
}

pub(crate) fn acts() -> impl Strategy<Value = Vec<Act>> {
    let index = any::<Index>;
    let act = prop_oneof![
        6 => (0..40_000_usize, 1..20_000_usize).prop_map(|(bytes, piece)| Act::Request { bytes, piece }),
        6 => (1..4_usize, any::<u8>()).prop_map(|(pieces, flags)| Act::Head { pieces, flags }),
        8 => (index(), 0..5000_usize, prop_oneof![Just(0_u8), any::<u8>()], any::<bool>())
            .prop_map(|(on, bytes, padding, is_end)| Act::Data { on, bytes, padding, is_end }),
        2 => index().prop_map(|on| Act::Trailers { on }),
        2 => index().prop_map(|on| Act::Reset { on }),
        2 => (index(), 0..100_000_u32).prop_map(|(on, bytes)| Act::Window { on, bytes }),
        2 => (1..8_u16, prop_oneof![0..2_u32, 16_384..70_000_u32, any::<u32>()])
            .prop_map(|(number, value)| Act::Setting { number, value }),
        1 => (0..12_u8, any::<u8>(), 0..9_u32, 0..20_usize)
            .prop_map(|(kind, flags, stream, bytes)| Act::Other { kind, flags, stream, bytes }),
        1 => vec(any::<u8>(), 0..30).prop_map(Act::Raw),
    ];
    vec(act, 0..40)
}

/// The bytes of a client that does all this.
pub(crate) fn encode(acts: &[Act]) -> Vec<u8> {
    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat();
    let (mut next, mut open) = (1, vec![1]);
    for act in acts {
        match act {
            Act::Request { bytes: len, piece } => {
                bytes.extend(head(next));
                for _ in 0..len / piece {
                    bytes.extend(frame(DATA, 0, next, &vec![7; *piece]));
                }
                bytes.extend(frame(DATA, END_STREAM, next, &vec![8; len % piece]));
                next += 2;
            }
            Act::Head { pieces, flags } => {
                bytes.extend(head_in_pieces(next, *pieces, *flags));
                open.push(next);
                next += 2;
            }
            Act::Data { on, bytes: len, padding, is_end } => {
                let (stream, end) = (*on.get(&open), u8::from(*is_end));
                let payload = vec![7; *len];
                bytes.extend(if *padding == 0 {
                    frame(DATA, end, stream, &payload)
                } else {
                    let padded = [&[*padding][..], &payload, &vec![0; usize::from(*padding)]];
                    frame(DATA, end | PADDED, stream, &padded.concat())
                });
            }
            Act::Trailers { on } => {
                let flags = END_HEADERS | END_STREAM;
                bytes.extend(frame(HEADERS, flags, *on.get(&open), b"\x40\x01a\x01b"));
            }
            Act::Reset { on } => bytes.extend(reset(*on.get(&open))),
            Act::Window { on, bytes: by } => bytes.extend(window_update(*on.get(&open), *by)),
            Act::Setting { number, value } => bytes.extend(setting(*number, *value)),
            Act::Other { kind, flags, stream, bytes: len } => {
                bytes.extend(frame(*kind, *flags, *stream, &vec![1; *len]));
            }
            Act::Raw(raw) => bytes.extend(raw),
        }
    }
    bytes
}

/// A head in HEADERS and CONTINUATION, some with an entry for the dynamic table.
fn head_in_pieces(stream: u32, pieces: usize, flags: u8) -> Vec<u8> {
    let mut block = POST.to_vec();
    if flags & 0x40 != 0 {
        block.extend_from_slice(b"\x40\x01x\x03abc");
    }
    let mut payload = Vec::new();
    let padding = usize::from(flags & 7);
    if flags & PADDED != 0 {
        payload.push(flags & 7);
    }
    if flags & PRIORITISED != 0 {
        payload.extend_from_slice(&[0, 0, 0, 0, 9]);
    }
    let at = block.len() / pieces;
    payload.extend_from_slice(&block[..at]);
    if flags & PADDED != 0 {
        payload.extend(vec![0; padding]);
    }
    let is_whole = at == block.len();
    let end = if is_whole { END_HEADERS } else { 0 };
    let mut bytes =
        frame(HEADERS, end | flags & (PADDED | PRIORITISED | END_STREAM), stream, &payload);
    let rest: Vec<&[u8]> = block[at..].chunks(at.max(1)).collect();
    for (idx, piece) in rest.iter().enumerate() {
        let end = if idx + 1 == rest.len() { END_HEADERS } else { 0 };
        bytes.extend(frame(CONTINUATION, end, stream, piece));
    }
    bytes
}

/// What comes out of bytes that come in pieces of these lengths, again and again: what the caller is told, and
/// what is written.
fn outcome(bytes: &[u8], pieces: &[usize], body_bytes_max: usize) -> (Vec<String>, Vec<u8>) {
    let now = Instant::now();
    let windows = Windows { connection_bytes: 100_000, stream_bytes: 70_000 };
    let mut connection = Connection::new(Limits::default(), Timeouts::default(), windows, now);
    let mut memory = Memory { free_bytes: 1, body_bytes_max, is_refusing: false };
    let (mut told, mut rest) = (Vec::new(), bytes);
    for len in pieces.iter().cycle() {
        let (piece, behind) = rest.split_at((*len).min(rest.len()));
        let received = connection.receive(piece, &mut memory, now);
        assert_eq!((received.bytes, received.waits), (piece.len(), None));
        while let Some(event) = connection.next_event() {
            told.push(match event {
                // How much was stored of a refused body depends on the pieces.
                Event::Request(request) => match request.body {
                    RequestBody::Refused(_) => format!("{} is refused", request.stream),
                    body => format!("{} {:?} {body:?}", request.stream, request.head),
                },
                event => format!("{event:?}"),
            });
        }
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
    if connection.error().is_none() {
        let counters = connection.counters();
        told.push(format!("{counters:?}, {} are open", connection.open_streams()));
    }
    (told, std::mem::take(connection.output()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    /// Guarantees: the division of the input into reads changes nothing.
    #[test]
    fn pieces_do_not_matter(
        acts in acts(),
        pieces in vec(prop_oneof![1..30_usize, 1..20_000_usize], 1..8),
        bytes_max in prop_oneof![Just(1_usize << 20), 0..10_000_usize],
    ) {
        let bytes = encode(&acts);
        prop_assert_eq!(outcome(&bytes, &[usize::MAX], bytes_max), outcome(&bytes, &pieces, bytes_max));
    }

    /// Guarantees: the same, when bytes are changed.
    #[test]
    fn pieces_of_broken_input_do_not_matter(
        acts in acts(),
        changes in vec((any::<Index>(), any::<u8>()), 1..6),
        pieces in vec(1..50_usize, 1..8),
    ) {
        let mut bytes = encode(&acts);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        prop_assert_eq!(outcome(&bytes, &[usize::MAX], 9000), outcome(&bytes, &pieces, 9000));
    }

    /// Guarantees: no bytes let it panic.
    #[test]
    fn any_bytes_are_taken(bytes in vec(any::<u8>(), 0..600), pieces in vec(1..50_usize, 1..8)) {
        let bytes = [PREFACE, &frame(SETTINGS, 0, 0, b""), &bytes].concat();
        prop_assert_eq!(outcome(&bytes, &[usize::MAX], 9000), outcome(&bytes, &pieces, 9000));
    }
}

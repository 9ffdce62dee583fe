//! What is kept between requests is bounded.

use bytes::Bytes;
use gophership_otlp::Fate;
use gophership_otlp::Reviser;
use gophership_otlp::Revision;
use gophership_otlp::Rewrite;
use gophership_otlp::Rewriter;
use gophership_otlp::Signal;
use gophership_otlp::demo::demo_logs;

use crate::heap::arm;
use crate::heap::disarm;
use crate::heap::held_bytes;

/// A request of so many empty log records.
fn empty_records(count: usize) -> Bytes {
    let scope = [0x12, 0].repeat(count);
    let framed = |inner: &[u8], key: u8| {
        let mut out = vec![key];
        let mut len = inner.len();
        while 0x80 <= len {
            out.push(u8::try_from(len & 0x7f).unwrap() | 0x80);
            len >>= 7;
        }
        out.push(u8::try_from(len).unwrap());
        out.extend_from_slice(inner);
        out
    };
    framed(&framed(&scope, 0x12), 0x0a).into()
}

/// Replaces every name of a record's event.
struct Renaming;

impl Rewrite for Renaming {
    fn enters(&self, _place: gophership_otlp::Position) -> bool {
        true
    }

    fn entry(&mut self, _key: &[u8]) -> Fate {
        Fate::Replace
    }

    fn replace(&mut self, _value: &[u8], out: &mut Vec<u8>) {
        out.push(b'x');
    }

    fn text(&mut self, _text: &[u8], out: &mut Vec<u8>) -> bool {
        out.push(b'x');
        true
    }
}

/// Scenario: a request of a million empty records of which every other one is dropped, and one of 20,000
/// records whose every text is rewritten, by what is kept between requests.
/// Guarantees: what they keep afterwards is below 1 MiB; it would be tens of megabytes.
#[test]
fn what_is_kept_between_requests_is_bounded() {
    let (wire, mut reviser, mut is_kept) = (empty_records(1_000_000), Reviser::default(), false);
    arm();
    let retained = reviser.apply(Signal::Logs, &wire, |_| {
        is_kept = !is_kept;
        if is_kept { Revision::Keep } else { Revision::Drop }
    });
    assert_eq!(retained.unwrap().dropped, 500_000);
    disarm();
    assert!(held_bytes() < 1 << 20, "{} bytes", held_bytes());
    let (wire, mut rewriter) = (demo_logs(20_000, 1, 1), Rewriter::default());
    arm();
    let rewritten = rewriter.apply(Signal::Logs, &wire, &mut Renaming, usize::MAX).unwrap();
    assert!(rewritten.len() < wire.len());
    drop(rewritten);
    disarm();
    assert!(held_bytes() < 1 << 20, "{} bytes", held_bytes());
}

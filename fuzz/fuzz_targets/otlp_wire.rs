//! Any bytes as a request on the wire: the checks agree with each other, and what passes them can be edited,
//! filtered, divided and written as JSON, which reads as a request that is the same JSON.
#![no_main]

use bytes::Bytes;
use gophership_otlp::DecodeLimits;
use gophership_otlp::Edit;
use gophership_otlp::EditOperation;
use gophership_otlp::Editor;
use gophership_otlp::JsonLine;
use gophership_otlp::Level;
use gophership_otlp::MergeLimits;
use gophership_otlp::Parts;
use gophership_otlp::Signal;
use gophership_otlp::Value;

/// Those of the sinks that write JSON: what they write has passed the limits of the source.
const WRITTEN: DecodeLimits = DecodeLimits { decoded_bytes_max: u64::MAX, depth_max: 96 };
/// Those of the source that reads it.
const READ: DecodeLimits = DecodeLimits { decoded_bytes_max: 64 << 20, depth_max: 96 };
/// So few that a request of the corpus has parts.
const PART: MergeLimits = MergeLimits { bytes: 200, records: 2 };

fn editor() -> Editor {
    let set = |level| Edit {
        level,
        key: "a".to_owned(),
        operation: EditOperation::Set(Value::String("edited".to_owned())),
    };
    Editor::new(vec![set(Level::Resource), set(Level::Scope), set(Level::Record)])
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let signal = Signal::ALL[usize::from(*first) % Signal::ALL.len()];
    let bytes = Bytes::copy_from_slice(rest);
    let scanned = gophership_otlp::prescan(signal, &bytes);
    let envelope = gophership_otlp::prescan_envelope(signal, &bytes);
    let mut idx = 0;
    let retained = gophership_otlp::retain(signal, &bytes, |_| {
        idx += 1;
        idx % 2 == 0
    });
    let edited = editor().apply(signal, &bytes, usize::MAX);
    let line = JsonLine::of(signal, &bytes, &WRITTEN);
    let salvaged = gophership_otlp::salvage(signal, &bytes);
    if let Some(left) = &salvaged {
        let seen = gophership_otlp::prescan(signal, &left.bytes);
        assert_eq!(seen.ok(), Some(left.summary), "salvage");
        assert!(scanned.is_err() || left.rejected == 0, "salvage takes sound records out");
    }
    let Ok(inspected) = gophership_otlp::inspect(signal, &bytes, &READ) else { return };

    let records = inspected.records;
    let count =
        |bytes: &Bytes| gophership_otlp::prescan(signal, bytes).map(|seen| seen.records).ok();
    assert_eq!(scanned.map(|seen| seen.records).ok(), Some(records), "prescan");
    assert_eq!(envelope.map(|seen| seen.records).ok(), Some(records), "prescan_envelope");
    let retained = retained.expect("what passes the checks can be filtered");
    assert_eq!(retained.kept + retained.dropped, records);
    assert_eq!(count(&retained.bytes), Some(retained.kept), "retain");
    assert_eq!(edited.ok().and_then(|bytes| count(&bytes)), Some(records), "edit");
    let parts: Vec<_> = Parts::new(signal, &bytes, records, PART).collect();
    let parted = parts.iter().map(|part| count(&part.as_ref().expect("it can be divided").bytes));
    assert_eq!(parted.map(|records| records.expect("a part is sound")).sum::<u64>(), records);
    // A message in more than a thousand pieces is not written.
    let Ok(line) = line else { return };
    let (mut scratch, mut json) = (Vec::new(), Vec::new());
    line.write(&mut scratch, &mut json).expect("memory takes every line");
    assert!(json.len() as u64 <= line.bytes_max(), "{} of {} bytes", json.len(), line.bytes_max());
    let read = gophership_otlp::json_to_wire(signal, &json, &READ).expect("our JSON can be read");
    assert_eq!(count(&read), Some(records), "read back");
    // Not as JSON: a zero that stands on the wire is written, and one that is read is not put there. The typed reader
    // knows nothing of texts that are not UTF-8 where nobody looks at them, which JSON replaces.
    let Ok(meant) = gophership_otlp::decode(signal, &bytes, &READ) else { return };
    let read = gophership_otlp::decode(signal, &read, &READ);
    let read = read.expect("what is read from JSON can be read");
    assert_eq!(format!("{read:?}"), format!("{meant:?}"), "what was written means something else");
});

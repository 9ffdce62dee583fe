//! Any bytes as a request in JSON: what is taken is a request on the wire, and its own JSON reads as a request that is
//! the same JSON; what is salvaged is a request, too.
#![no_main]

use gophership_otlp::DecodeLimits;
use gophership_otlp::Signal;

/// Those of the source.
const LIMITS: DecodeLimits = DecodeLimits { decoded_bytes_max: 64 << 20, depth_max: 96 };

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let signal = Signal::ALL[usize::from(*first) % Signal::ALL.len()];
    if let Ok(Some(read)) = gophership_otlp::salvage_json(signal, rest, &LIMITS) {
        gophership_otlp::prescan(signal, &read.wire).expect("what is salvaged is OTLP");
    }
    let Ok(wire) = gophership_otlp::json_to_wire(signal, rest, &LIMITS) else { return };
    assert!(wire.len() as u64 <= LIMITS.decoded_bytes_max);
    let records = gophership_otlp::prescan(signal, &wire).expect("what was made is OTLP").records;
    let mut json = Vec::new();
    gophership_otlp::wire_to_json(signal, &wire, &LIMITS, &mut json).expect("it can be written");
    let read = gophership_otlp::json_to_wire(signal, &json, &LIMITS).expect("our JSON can be read");
    let seen = gophership_otlp::prescan(signal, &read).expect("what was made is OTLP").records;
    assert_eq!(seen, records);
    let mut again = Vec::new();
    gophership_otlp::wire_to_json(signal, &read, &LIMITS, &mut again).expect("it can be written");
    assert_eq!(again, json);
});

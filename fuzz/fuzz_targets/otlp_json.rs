//! Any bytes as a request in JSON: what is taken is a request on the wire, and comes back from its own JSON.
#![no_main]

use gophership_otlp::DecodeLimits;
use gophership_otlp::Signal;

/// Those of the source.
const LIMITS: DecodeLimits = DecodeLimits { decoded_bytes_max: 4 << 20, depth_max: 96 };

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let signal = Signal::ALL[usize::from(*first) % Signal::ALL.len()];
    let Ok(wire) = gophership_otlp::json_to_wire(signal, rest, &LIMITS) else { return };
    assert!(wire.len() as u64 <= LIMITS.decoded_bytes_max);
    let records = gophership_otlp::prescan(signal, &wire).expect("what was made is OTLP").records;
    let mut json = Vec::new();
    gophership_otlp::wire_to_json(signal, &wire, &LIMITS, &mut json).expect("it can be written");
    let again =
        gophership_otlp::json_to_wire(signal, &json, &LIMITS).expect("our JSON can be read");
    let again = gophership_otlp::prescan(signal, &again).expect("what was made is OTLP").records;
    assert_eq!(again, records);
});

//! See `gophership::vault::fuzzing::record_header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gophership::vault::fuzzing::record_header(bytes));

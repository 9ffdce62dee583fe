//! See `gophership::vault::fuzzing::footer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gophership::vault::fuzzing::footer(bytes));

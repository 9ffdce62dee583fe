//! See `gophership::vault::fuzzing::lz4_record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gophership::vault::fuzzing::lz4_record(bytes));

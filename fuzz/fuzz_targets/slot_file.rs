//! See `gophership::vault::fuzzing::slot_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gophership::vault::fuzzing::slot_file(bytes));

//! See `gophership_vault_sim::fuzzing::lz4_record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gophership_vault_sim::fuzzing::lz4_record(bytes));

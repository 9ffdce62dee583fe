//! See `gophership_vault_sim::fuzzing::record_header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gophership_vault_sim::fuzzing::record_header(bytes));

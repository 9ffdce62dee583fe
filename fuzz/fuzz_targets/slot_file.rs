//! See `gophership_vault_sim::fuzzing::slot_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gophership_vault_sim::fuzzing::slot_file(bytes));

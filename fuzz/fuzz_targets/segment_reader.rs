//! See `gophership_vault_sim::fuzzing::Specimen::segment_reader`.
#![no_main]

use std::sync::LazyLock;

use gophership_vault_sim::fuzzing::Specimen;

static SPECIMEN: LazyLock<Specimen> = LazyLock::new(Specimen::new);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| SPECIMEN.segment_reader(bytes));

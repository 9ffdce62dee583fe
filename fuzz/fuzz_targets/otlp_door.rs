//! See `gophership::Door`: any bytes through HTTP/2 or HTTP/1, gRPC frame, decompression and checks.
#![no_main]

use std::cell::LazyCell;

use gophership::Door;

thread_local! {
    static DOOR: LazyCell<Door> = LazyCell::new(Door::default);
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| DOOR.with(|door| door.enter(bytes)));

//! `cargo bench --bench reflex`: what the way of a request to its place costs, in one run.
//!
//! * `pool`: acquire and release beside the heap;
//! * `green`, `red`: the reflex, with one worker and with two; whether workers share a cache line;
//! * `look`: one evaluation of the controller with all sensors, and what sensing costs the reflex.
//!
//! Where nothing may be allocated, and where a limit was promised, it is asserted.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark prints figures, or stops"
)]

mod green;
mod look;
mod measure;
mod pool;
mod red;

fn main() {
    let parts: [(&str, fn()); 4] =
        [("pool", pool::run), ("green", green::run), ("red", red::run), ("look", look::run)];
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for (name, run) in parts {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            run();
        }
    }
}

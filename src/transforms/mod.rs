//! Transforms: what happens to batches on their way. Strangers to each other; each exports nothing.

mod batch;
mod dedupe;
mod enrich;
mod filter;
mod redact;
mod route;
mod sample;
mod throttle;

//! Transforms: what happens to batches on their way. Strangers to each other; each exports nothing.

mod enrich;
mod filter;

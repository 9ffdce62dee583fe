//! Sources: where requests come from. Strangers to each other; each exports nothing but to fuzzing.

mod demo;
mod otlp;
mod s3_replay;
mod vault_replay;

#[cfg(any(test, fuzzing))]
pub use otlp::fuzzing::Door;

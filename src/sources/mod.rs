//! Sources: where requests come from. Strangers to each other; each exports nothing.

mod demo;
mod otlp;
mod s3_replay;
mod vault_replay;

//! Sources: where requests come from. Strangers to each other; each exports nothing.

mod demo;
mod otlp;
mod vault_replay;

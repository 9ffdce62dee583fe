//! Sinks: where batches end. Strangers to each other; each exports nothing.

mod blackhole;
mod console;
mod file;
mod otlp;
mod raw_vault;
mod s3;

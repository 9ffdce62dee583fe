//! What users write and read: examples, mistakes, pages.
//!
//! `stage` makes a configuration fit to run in a test, `mutate` makes it hostile.

mod alerts;
mod driven;
mod driven_s3;
mod driven_tls;
mod examples;
mod files;
mod habits;
mod mutate;
mod mutated;
mod pages;
mod snippets;
mod stage;

//! What users write and read: examples, mistakes, pages.
//!
//! `stage` makes a configuration fit to run in a test, `mutate` makes it hostile.

mod alerts;
mod examples;
mod mutate;
mod mutated;
mod pages;
mod snippets;
mod stage;

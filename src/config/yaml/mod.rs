//! From the bytes of a file to a tree of values with their places, variables filled in.
//!
//! `file.rs` reads the bytes, `parse.rs` builds the tree with the help of `scalar.rs` (what a scalar means)
//! and `merge.rs` (`<<`), `syntax.rs` has words for what the parser refuses, and `interpolate.rs` fills in
//! the environment. Nothing else knows that the document is YAML.

mod file;
mod interpolate;
mod merge;
mod parse;
mod scalar;
mod syntax;

pub(super) use file::mark_of_byte;
pub(super) use file::read;
pub(super) use interpolate::interpolate;
pub(super) use parse::Duplicate;
pub(super) use parse::parse;

//! The way out: a reader behind a cursor.

mod enter;
mod newest;
pub(crate) mod reader;
mod span;

//! The JSON Schema of the whole document (draft 2020-12), from which editors complete it.
//!
//! The options' own code describes them. What generates the schema and the reference pages from it is in the
//! tests alone, because it is 0.6 MB of machine code; the program has the generated text, and a test compares the two.

#[cfg(test)]
mod generate;
#[cfg(test)]
mod reference;

use serde_json::Value;

#[cfg(test)]
pub(super) use generate::generate;
#[cfg(test)]
pub(super) use reference::reference;

/// The committed file without what only makes it readable; `build.rs` writes it.
const SCHEMA: &str = include_str!(concat!(env!("OUT_DIR"), "/schema.json"));

/// Returns the JSON Schema of the document, with every component of this program.
///
/// # Errors
///
/// The committed text is not JSON, which a test excludes.
pub fn schema() -> serde_json::Result<Value> {
    serde_json::from_str(SCHEMA)
}

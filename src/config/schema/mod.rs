//! The JSON Schema of the whole document (draft 2020-12), from which editors complete it.
//!
//! The options' own code describes them. What generates the schema and the reference pages from it is in the
//! tests alone, because it is 0.4 MB of machine code; the program has the generated text, and a test compares the two.

#[cfg(test)]
mod generate;
#[cfg(test)]
mod reference;

use std::io;

#[cfg(test)]
pub(super) use generate::generate;
#[cfg(test)]
pub(super) use reference::reference;

/// `website/gophership.schema.json`, compressed to a tenth of its size. `UPDATE_GOLDEN=1 cargo test golden` writes both.
#[cfg(test)]
pub(super) const COMPRESSED_PATH: &str = "src/config/schema/schema.json.zst";
const COMPRESSED: &[u8] = include_bytes!("schema.json.zst");

/// Room for five times what it is.
const SCHEMA_BYTES_MAX: usize = 1 << 20;

/// Returns the JSON Schema of the document, with every component of this program, as text.
///
/// # Errors
///
/// The embedded text is damaged or larger than 1 MiB, which a test excludes.
pub fn schema() -> io::Result<Vec<u8>> {
    zstd::bulk::decompress(COMPRESSED, SCHEMA_BYTES_MAX)
}

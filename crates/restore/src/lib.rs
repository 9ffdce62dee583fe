//! Reads an archive in a bucket: finds segments by their manifests, restores them one at a time, and
//! shares them among hosts.
//!
//! ```text
//!  bucket --list, get--> manifests --Selection--> claims --get, unzstd, check--> file of a segment
//! ```
//!
//! | to find | look into |
//! |---|---|
//! | vaults, manifests, objects | `archive.rs` |
//! | which segments are meant | `selection.rs` |
//! | an object becomes a file again | `restore.rs` |
//! | one host has a segment at a time | `claim.rs` (what a claim says), `claims.rs` (who has it) |

mod archive;
mod attempts;
mod claim;
mod claims;
mod error;
mod restore;
mod selection;

pub use archive::Archive;
pub use archive::SEGMENTS_MAX;
pub use claims::ClaimAnswer;
pub use claims::Claims;
pub use claims::HeldClaim;
pub use error::RestoreError;
pub use selection::Selection;

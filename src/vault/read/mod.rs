//! The way out: records of a segment, and cursors over all of them.

pub(in crate::vault) mod cursor;
mod enter;
pub(in crate::vault) mod fault;
pub(in crate::vault) mod newest;
pub(in crate::vault) mod patience;
pub(in crate::vault) mod pieces;
pub(in crate::vault) mod reader;
pub(in crate::vault) mod scan;
pub(in crate::vault) mod stored;
mod succession;

//! After a restart: what a directory holds, and what becomes of it.

pub(crate) mod directory;
pub(crate) mod identity;
pub(crate) mod judge;
mod known;
pub(crate) mod recovery;
pub(crate) mod report;
pub(crate) mod restore;

//! After a restart: what a directory holds, and what becomes of it.

pub(in crate::vault) mod directory;
pub(in crate::vault) mod examine;
pub(in crate::vault) mod identity;
pub(in crate::vault) mod judge;
pub(in crate::vault) mod quarantine;
pub(in crate::vault) mod recovery;
pub(in crate::vault) mod report;
pub(in crate::vault) mod restore;
pub(in crate::vault) mod torn;

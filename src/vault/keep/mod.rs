//! What stays on disk and what goes: retention, holds, dropping.

pub(in crate::vault) mod dropping;
pub(in crate::vault) mod holds;
pub(in crate::vault) mod retention;

//! For whoever looks from outside: survey, verification, repair, reading without a writer.

pub(in crate::vault) mod chain;
pub(in crate::vault) mod clear;
pub(in crate::vault) mod finding;
pub(in crate::vault) mod offline;
pub(in crate::vault) mod passed;
pub(in crate::vault) mod repair;
pub(in crate::vault) mod survey;
pub(in crate::vault) mod verify;
pub(in crate::vault) mod walk;

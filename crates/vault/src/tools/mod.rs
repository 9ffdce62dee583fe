//! For whoever looks from outside: survey, verification, repair, reading without a writer.

pub(crate) mod chain;
pub(crate) mod clear;
pub(crate) mod finding;
pub(crate) mod missing;
pub(crate) mod offline;
pub(crate) mod passed;
pub(crate) mod path;
pub(crate) mod repair;
pub(crate) mod sealed;
pub(crate) mod survey;
pub(crate) mod verify;
pub(crate) mod walk;

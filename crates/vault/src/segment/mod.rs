//! One segment and its file: number, name, spare, records, footer, and what is found when it is examined.

pub(crate) mod examine;
pub(crate) mod fault;
pub(crate) mod id;
pub(crate) mod pieces;
pub(crate) mod quarantine;
pub(crate) mod scan;
pub(crate) mod seal;
pub(crate) mod spare;
pub(crate) mod stored;
pub(crate) mod sums;
pub(crate) mod torn;

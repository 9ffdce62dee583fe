//! The way in: from a caller's thread to the disk, and what keeps it free.

mod admit;
pub(in crate::vault) mod ahead;
pub(in crate::vault) mod commit;
pub(in crate::vault) mod digest;
pub(in crate::vault) mod effort;
pub(in crate::vault) mod failure;
pub(in crate::vault) mod group;
pub(in crate::vault) mod helper;
pub(in crate::vault) mod idle;
pub(in crate::vault) mod rotate;
pub(in crate::vault) mod scrub;
pub(in crate::vault) mod seal;
pub(in crate::vault) mod segment;
pub(in crate::vault) mod servant;
pub(in crate::vault) mod slabs;
pub(in crate::vault) mod spare;
pub(in crate::vault) mod staging;
pub(in crate::vault) mod writer;

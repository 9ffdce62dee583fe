//! The suites with real processes, real disks and the real server.

mod at_call;
mod child;
mod disk;
mod disk_errors;
mod parent;
mod power;
mod shutdown;
mod strace;

pub(crate) use child::run as run_child;

use crate::suite::Suite;

/// Every suite of this folder.
pub(crate) fn suites() -> Vec<Suite> {
    vec![at_call::SUITE, power::SUITE, disk_errors::SUITE]
}

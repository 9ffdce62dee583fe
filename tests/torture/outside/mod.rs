//! The suites with real processes, real disks and the real server.

mod at_call;
mod child;
mod disk;
mod disk_errors;
mod killed;
mod parent;
mod power;
mod server;
mod shutdown;
mod strace;

pub(crate) use child::run as run_child;

use crate::suite::Suite;

/// Every suite of this folder.
pub(crate) fn suites() -> Vec<Suite> {
    vec![killed::KILLED, at_call::SUITE, power::SUITE, killed::STOPPED, disk_errors::SUITE]
}

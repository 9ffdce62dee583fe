//! The suites with real processes, real disks and the real server.

mod at_call;
mod cgroup;
mod child;
mod descriptors;
mod disk;
mod disk_errors;
mod full_disk;
mod killed;
mod memory;
mod parent;
mod power;
mod server;
mod shutdown;
mod slow_disk;
mod start;
mod strace;

pub(crate) use child::run as run_child;

use std::time::Duration;

use crate::suite::Suite;

/// Every suite of this folder.
pub(crate) fn suites() -> Vec<Suite> {
    vec![
        killed::KILLED,
        slow_disk::SUITE,
        at_call::SUITE,
        power::SUITE,
        killed::STOPPED,
        full_disk::SUITE,
        start::SUITE,
        disk_errors::SUITE,
        descriptors::SUITE,
        memory::SUITE,
    ]
}

/// Lets time pass: between two looks at something that cannot be waited for, or for a child to get
/// somewhere before it is killed.
#[expect(clippy::disallowed_methods, reason = "called on threads of the torture only")]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

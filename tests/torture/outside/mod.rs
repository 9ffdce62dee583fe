//! The suites with real processes, real disks and the real server.
//!
//! | file | what is done | needs |
//! |---|---|---|
//! | `killed` | the server is killed, or asked to end, under load | |
//! | `bucket` | requests and segments go to a bucket that fails, and come back | |
//! | `spill` | the server is asked to end with its memory full | |
//! | `at_call` | a process is killed at a chosen system call | strace |
//! | `power` | the power of ext4 and XFS is cut | root, loop devices, `mkfs.ext4`, `mkfs.xfs` |
//! | `file_sink` | the power under a file sink is cut, it is killed, or its disk is full or fails | root, loop devices, strace |
//! | `full_disk` | a small disk fills up and has space again | root, loop devices |
//! | `full_spool` | the disk under a spool fills up while the bucket is out | root |
//! | `start` | the server starts on a full disk, and on 5,000 segments | root, loop devices |
//! | `disk_errors` | writes and syncs fail, injected and real | the same, strace, zram |
//! | `slow_disk` | syncs and writes take long | strace, a cgroup that slows a disk down |
//! | `buffered` | the vault lies where there is no direct I/O | root |
//! | `descriptors` | the server has 64 descriptors | prlimit |
//! | `memory` | the server has little memory | root, a cgroup that bounds memory |
//! | `hard`, `overrun` | the drill on a disk that fills up, with a kill and a flipped bit; the same without the drill | root, loop devices |
//! | `bombs` | the same, and requests come that are small on the wire and large in memory | the same |
//! | `burst` | the same, and requests come faster than the backend takes them | the same |
//!
//! `child` and `parent` are the process under torture and its oracle where no server is needed;
//! `server`, `squeezed`, `disk`, `strace` and `shutdown` are the tools. The crate `untested`
//! has the list of what they need; a suite that lacks it says what, and counts as left out, never as passed.

mod at_call;
mod bombs;
mod bucket;
mod buffered;
mod burst;
mod child;
mod descriptors;
mod disk;
mod disk_errors;
mod file_sink;
mod full_disk;
mod full_spool;
mod hard;
mod killed;
mod memory;
mod overrun;
mod parent;
mod power;
mod server;
mod shutdown;
mod slow_disk;
mod spill;
mod squeezed;
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
        file_sink::SUITE,
        killed::STOPPED,
        bucket::KILLED,
        bucket::OUTAGE,
        bucket::ROUND_TRIP,
        full_spool::SUITE,
        spill::SUITE,
        full_disk::SUITE,
        start::SUITE,
        buffered::SUITE,
        disk_errors::SUITE,
        descriptors::SUITE,
        memory::SUITE,
        bombs::SUITE,
        burst::SUITE,
        hard::SUITE,
    ]
}

/// Lets time pass: between two looks at something that cannot be waited for, or for a child to get
/// somewhere before it is killed.
#[expect(clippy::disallowed_methods, reason = "called on threads of the torture only")]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

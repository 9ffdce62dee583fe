//! The power cut of a mounted file system: everything that was not synced is gone.

use std::io;
use std::path::Path;

/// What happens to the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// It is written out first: names survive, data that was not synced does not.
    AfterJournal = 1,
    /// It is lost as well: as when the power goes.
    Hard = 2,
}

/// `FS_IOC_SHUTDOWN`, of ext4, XFS, f2fs and btrfs.
const SHUTDOWN: rustix::ioctl::Opcode = 0x8004_587D;

/// Cuts the power of the file system mounted at `mount`; from now on every write fails.
///
/// # Errors
///
/// The system's answer: `EPERM` without root, `ENOTTY` on other file systems.
#[expect(unsafe_code, reason = "this is the only way to tell a file system")]
pub(super) fn cut(mount: &Path, cut: Cut) -> io::Result<()> {
    let dir = std::fs::File::open(mount)?;
    let flags = cut as u32;
    // SAFETY: the operation reads one `u32` from the given address, and writes nothing.
    let done = unsafe {
        let setter = rustix::ioctl::Setter::<SHUTDOWN, u32>::new(flags);
        rustix::ioctl::ioctl(&dir, setter)
    };
    Ok(done?)
}

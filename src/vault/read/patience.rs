//! Reads that fail: tried for a while before what they were for counts as gone.
//!
//! A disk behind a network answers with errors while a path to it is changed, and a record that was
//! acknowledged must not be passed because of that. Damage, which was read, is passed at once.

use std::io;
use std::time::Duration;
use std::time::Instant;

use rustix::io::Errno;

use crate::vault::append::spare::SegmentId;
use crate::vault::log::Log;
use crate::vault::state::lock;

/// Since when a segment cannot be read.
#[derive(Debug, Clone, Copy)]
pub(in crate::vault) struct Trouble {
    since: Instant,
    last: Instant,
}

impl Trouble {
    /// Goes on from trouble that is not long over.
    fn next(before: Option<Self>, now: Instant, patience: Duration) -> Self {
        let before = before.filter(|before| now.duration_since(before.last) <= patience);
        Self { since: before.map_or(now, |before| before.since), last: now }
    }
}

impl Log {
    /// Sets how long reads of a segment are tried that the disk does not answer; at first they are not.
    pub(in crate::vault) fn with_read_patience(mut self, patience: Duration) -> Self {
        self.read_patience = patience;
        self
    }

    /// Notes that the disk did not give something of a segment; returns whether to go on without it.
    pub(in crate::vault) fn gives_up_on(&self, id: SegmentId) -> bool {
        let patience = self.read_patience;
        let mut state = lock(&self.state);
        let Some(listed) = state.segments.get_mut(&id) else { return true };
        let trouble = Trouble::next(listed.trouble, Instant::now(), patience);
        listed.trouble = Some(trouble);
        patience <= trouble.last.duration_since(trouble.since)
    }
}

/// Whether an error says that the process is short of something, and nothing of the file.
pub(in crate::vault) fn is_shortage(error: &io::Error) -> bool {
    let errors = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    let code = error.raw_os_error();
    code.is_some_and(|code| errors.iter().any(|errno| errno.raw_os_error() == code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_that_is_over_for_long_does_not_count() {
        let (start, patience) = (Instant::now(), Duration::from_secs(30));
        let at = |secs| start + Duration::from_secs(secs);
        let first = Trouble::next(None, at(0), patience);
        let second = Trouble::next(Some(first), at(20), patience);
        let third = Trouble::next(Some(second), at(45), patience);
        assert_eq!(third.since, at(0));
        assert_eq!(Trouble::next(Some(third), at(80), patience).since, at(80));
    }
}

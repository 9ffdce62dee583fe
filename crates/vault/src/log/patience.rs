//! Reads that fail: tried for a while before what they were for counts as gone.
//!
//! A disk behind a network answers with errors while a path to it is changed, and a record that was
//! acknowledged must not be passed because of that. Damage, which was read, is passed at once.

use std::time::Duration;
use std::time::Instant;

use crate::log::trouble::ReadTrouble;
use crate::log::view::Log;
use crate::segment::id::SegmentId;
use crate::state::lock;

impl Log {
    /// Sets how long reads of a segment are tried that the disk does not answer; at first they are not.
    pub(crate) fn with_read_patience(mut self, patience: Duration) -> Self {
        self.read_patience = patience;
        self
    }

    /// Notes that the disk did not give something of a segment; returns whether to go on without it.
    pub(crate) fn gives_up_on(&self, id: SegmentId) -> bool {
        let patience = self.read_patience;
        let mut state = lock(&self.state);
        let Some(listed) = state.segments.get_mut(&id) else { return true };
        let trouble = ReadTrouble::next(listed.trouble, Instant::now(), patience);
        listed.trouble = Some(trouble);
        patience <= trouble.lasted()
    }
}

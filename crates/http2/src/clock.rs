//! What is due on a connection, and when. Nothing is set or cancelled for a request: the next time to look is at
//! most moved forward.

use std::time::Duration;
use std::time::Instant;

use crate::limits::Timeouts;

/// What is due when.
#[derive(Debug)]
pub(crate) struct Clock {
    /// When there is something to look at, if not before.
    pub(crate) look_at: Option<Instant>,
    pub(crate) preface: Option<Instant>,
    pub(crate) settings_ack: Option<Instant>,
    pub(crate) block: Option<Instant>,
    /// When the peer was last heard.
    pub(crate) heard: Instant,
    pub(crate) pinged: Option<Instant>,
    pub(crate) idle_since: Option<Instant>,
    pub(crate) is_idle_told: bool,
}

/// A part of the parser's state that shows whether the same block is still incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockMark {
    pub(crate) frames: u64,
    pub(crate) block: Option<u32>,
}

impl Clock {
    pub(crate) fn new(timeouts: &Timeouts, now: Instant) -> Self {
        let after = |wait: Option<Duration>| wait.map(|wait| now + wait);
        let mut clock = Self {
            look_at: None,
            preface: after(timeouts.preface),
            settings_ack: after(timeouts.settings_ack),
            block: None,
            heard: now,
            pinged: None,
            idle_since: Some(now),
            is_idle_told: false,
        };
        let first = [timeouts.keepalive_every, timeouts.idle].map(after);
        for at in first.into_iter().chain([clock.preface, clock.settings_ack]).flatten() {
            clock.look(at);
        }
        clock
    }

    /// The peer has sent something.
    pub(crate) const fn hear(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = None;
    }

    /// The peer has said all that it must before its first request.
    pub(crate) const fn greeted(&mut self) {
        self.preface = None;
    }

    pub(crate) const fn settings_acknowledged(&mut self) {
        self.settings_ack = None;
    }

    /// Settings were sent.
    pub(crate) fn await_settings_ack(&mut self, timeouts: &Timeouts, now: Instant) {
        if let Some(wait) = timeouts.settings_ack {
            self.settings_ack = Some(now + wait);
            self.look(now + wait);
        }
    }

    /// A request has begun; one that is not whole is watched.
    pub(crate) fn begin_request(&mut self, timeouts: &Timeouts, is_whole: bool, now: Instant) {
        self.idle_since = None;
        if self.is_idle_told {
            self.is_idle_told = false;
            if let Some(idle) = timeouts.idle {
                self.look(now + idle);
            }
        }
        if is_whole {
            return;
        }
        let waits = [timeouts.request_progress, timeouts.request_age];
        if let Some(wait) = waits.into_iter().flatten().min() {
            self.look(now + wait);
        }
    }

    pub(crate) fn look(&mut self, at: Instant) {
        self.look_at = Some(self.look_at.map_or(at, |earlier| earlier.min(at)));
    }
}

//! Deadlines. The caller asks for the next one, and says when it is over.
//!
//! Nothing is set or cancelled for a request: the next time to look is at most moved forward, and a look finds out
//! what is due.

use std::time::Instant;

use super::Connection;
use crate::clock::BlockMark;
use crate::error::ConnectionError;
use crate::error::ErrorCode;
use crate::error::Limit;
use crate::exchange::Event;
use crate::exchange::StreamId;
use crate::frame;
use crate::limits::Timeouts;
use crate::streams::RequestState;

/// What a PING says that only wants an answer.
const KEEPALIVE_PING: [u8; 8] = *b"are.you?";

impl<B> Connection<B> {
    /// When [`Connection::on_time`] is to be called, if not before. It may turn out that nothing is due then.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<Instant> {
        if self.error.is_some() { None } else { self.clock.look_at }
    }

    /// Does what is due at `now`.
    pub fn on_time(&mut self, now: Instant) {
        if self.error.is_some() || self.clock.look_at.is_none_or(|at| now < at) {
            return;
        }
        self.clock.look_at = None;
        if let Some(error) = self.overdue(now) {
            self.fail(error);
            return;
        }
        let clock = &mut self.clock;
        for at in [clock.preface, clock.settings_ack, clock.block].into_iter().flatten() {
            clock.look(at);
        }
        self.keep_alive(now);
        self.look_at_requests(now);
        self.look_at_idleness(now);
    }

    /// What the connection is closed for, if it is.
    fn overdue(&self, now: Instant) -> Option<ConnectionError> {
        let clock = &self.clock;
        let is_over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let keepalive = clock.pinged.map(|pinged| pinged + self.timeouts.keepalive_within);
        let (code, reason) = if is_over(clock.preface) {
            (ErrorCode::ProtocolError, "the preface did not come in time")
        } else if is_over(clock.settings_ack) {
            (ErrorCode::SettingsTimeout, "the settings were not acknowledged in time")
        } else if is_over(clock.block) {
            (ErrorCode::EnhanceYourCalm, "a header block was not complete in time")
        } else if is_over(keepalive) {
            (ErrorCode::NoError, "a ping was not answered in time")
        } else {
            return None;
        };
        Some(ConnectionError { code, reason, limit: Some(Limit::Time) })
    }

    fn keep_alive(&mut self, now: Instant) {
        let Some(every) = self.timeouts.keepalive_every else { return };
        let clock = &mut self.clock;
        if clock.pinged.is_none() && clock.heard + every <= now {
            frame::write_ping(&mut self.output, 0, KEEPALIVE_PING);
            clock.pinged = Some(now);
        }
        let within = self.timeouts.keepalive_within;
        clock.look(clock.pinged.map_or(clock.heard + every, |pinged| pinged + within));
    }

    fn look_at_requests(&mut self, now: Instant) {
        let Timeouts { request_progress, request_age, request_progress_bytes, .. } = self.timeouts;
        let clock = &mut self.clock;
        let events = &mut self.events;
        for stream in self.streams.iter_mut().filter(|stream| stream.phase == RequestState::Reading)
        {
            if let Some(wait) = request_progress {
                let (since, before) = stream.progress;
                if since + wait <= now {
                    let usual = request_progress_bytes;
                    let wanted = stream.wants.map_or(usual, |wants| wants.progress_bytes);
                    if stream.received - before < wanted {
                        events.push_back(Event::Stalled(StreamId(stream.id)));
                    }
                    stream.progress = (now, stream.received);
                }
                clock.look(stream.progress.0 + wait);
            }
            if let Some(age) = request_age.filter(|_| !stream.is_late) {
                if stream.opened + age <= now {
                    stream.is_late = true;
                    events.push_back(Event::Late(StreamId(stream.id)));
                } else {
                    clock.look(stream.opened + age);
                }
            }
        }
    }

    fn look_at_idleness(&mut self, now: Instant) {
        let Some(idle) = self.timeouts.idle else { return };
        let clock = &mut self.clock;
        let is_idle = self.streams.is_empty();
        let since = if is_idle { *clock.idle_since.get_or_insert(now) } else { now };
        if since + idle <= now {
            if !clock.is_idle_told {
                self.events.push_back(Event::Idle);
            }
            clock.is_idle_told = true;
        } else {
            clock.look(since + idle);
        }
    }

    /// Notes whether the same header block is incomplete that was before a read.
    pub(super) fn block_mark(&self) -> BlockMark {
        let block = self.parser.block.as_ref().map(|block| block.stream);
        BlockMark { frames: self.counters.frames, block }
    }

    /// Gives a header block its time, from the read that began it.
    pub(super) fn watch_block(&mut self, before: BlockMark, now: Instant) {
        let after = self.block_mark();
        let is_same = before.frames == after.frames
            || (before.block.is_some() && before.block == after.block);
        if !self.parser.is_inside_block() {
            self.clock.block = None;
        } else if self.clock.block.is_none() || !is_same {
            self.clock.block = self.timeouts.header_block.map(|wait| now + wait);
            if let Some(at) = self.clock.block {
                self.clock.look(at);
            }
        }
    }
}

//! Frames about the connection and its windows: SETTINGS, PING, GOAWAY, `WINDOW_UPDATE` and `RST_STREAM`.
//!
//! Source: RFC 9113, sections 6.4 to 6.9.

use std::time::Instant;

use super::CLOSING_PING;
use super::Closing;
use super::Connection;
use crate::error::ErrorCode;
use crate::error::FrameError;
use crate::error::Limit;
use crate::frame;
use crate::frame::setting;
use crate::streams::Closed;

impl<B> Connection<B> {
    pub(super) fn on_settings(
        &mut self,
        is_ack: bool,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), FrameError> {
        if is_ack {
            return self.on_settings_ack(now);
        }
        self.counters.settings += 1;
        if !self.meters.settings.take(self.limits.settings, now) {
            return Err(FrameError::limit(Limit::Settings, "too many SETTINGS frames"));
        }
        let (settings, _) = payload.as_chunks::<6>();
        for [a, b, value @ ..] in settings {
            let (number, value) = (u16::from_be_bytes([*a, *b]), u32::from_be_bytes(*value));
            self.on_setting(number, value)?;
        }
        self.clock.greeted();
        frame::write_settings_ack(&mut self.output);
        Ok(())
    }

    fn on_setting(&mut self, number: u16, value: u32) -> Result<(), FrameError> {
        match number {
            setting::ENABLE_PUSH if 1 < value => {
                Err(FrameError::protocol("SETTINGS_ENABLE_PUSH is neither 0 nor 1"))
            }
            setting::INITIAL_WINDOW_SIZE => self.on_stream_window(value),
            setting::MAX_FRAME_SIZE => {
                if !(frame::FRAME_BYTES_DEFAULT..=frame::FRAME_BYTES_MAX).contains(&value) {
                    return Err(FrameError::protocol("SETTINGS_MAX_FRAME_SIZE is not allowed"));
                }
                self.sending.frame_bytes = value as usize;
                Ok(())
            }
            // Answers use no dynamic table, and nothing is pushed.
            _ => Ok(()),
        }
    }

    /// The peer changes what we may send on each stream.
    fn on_stream_window(&mut self, value: u32) -> Result<(), FrameError> {
        let too_large =
            FrameError::connection(ErrorCode::FlowControlError, "a window is too large");
        if frame::WINDOW_BYTES_MAX < value {
            return Err(too_large);
        }
        let growth = i64::from(value) - self.sending.stream_window;
        self.sending.stream_window = i64::from(value);
        for stream in self.streams.iter_mut() {
            stream.send_window += growth;
            if i64::from(frame::WINDOW_BYTES_MAX) < stream.send_window {
                return Err(too_large);
            }
        }
        self.send_waiting();
        Ok(())
    }

    fn on_settings_ack(&mut self, now: Instant) -> Result<(), FrameError> {
        let Some(shrinkage) = self.receiving.acknowledged() else {
            return self.ignore_frame(now);
        };
        self.clock.settings_acknowledged();
        self.heads.allow(self.limits.header_table_bytes as usize);
        self.shift_receive_windows(-shrinkage);
        // The caller may have changed its mind in the meantime.
        self.announce_stream_window(now);
        Ok(())
    }

    pub(super) fn on_ping(
        &mut self,
        is_ack: bool,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), FrameError> {
        let Some(payload) = payload.first_chunk::<8>() else { return Ok(()) };
        if is_ack {
            if *payload == CLOSING_PING && self.closing == Closing::Announced {
                self.drain();
            }
            return Ok(());
        }
        self.counters.pings += 1;
        if !self.meters.pings.take(self.limits.pings, now) {
            return Err(FrameError::limit(Limit::Pings, "too many PING frames"));
        }
        frame::write_ping(&mut self.output, frame::flag::ACK, *payload);
        Ok(())
    }

    pub(super) fn on_goaway(&mut self) {
        if self.closing == Closing::Open {
            self.closing = Closing::ByPeer;
        }
    }

    pub(super) fn on_window_update(
        &mut self,
        id: u32,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), FrameError> {
        self.counters.window_updates += 1;
        if !self.meters.window_updates.take(self.limits.window_updates, now) {
            return Err(FrameError::limit(Limit::WindowUpdates, "too many WINDOW_UPDATE frames"));
        }
        if id != 0 {
            self.check_opened(id)?;
        }
        let bytes = payload.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let bytes = i64::from(bytes & frame::WINDOW_BYTES_MAX);
        let max = i64::from(frame::WINDOW_BYTES_MAX);
        if id == 0 {
            if bytes == 0 {
                return Err(FrameError::protocol("a window is opened by 0 bytes"));
            }
            self.sending.window += bytes;
            if max < self.sending.window {
                let reason = "the window of the connection is too large";
                return Err(FrameError::connection(ErrorCode::FlowControlError, reason));
            }
            self.send_waiting();
            return Ok(());
        }
        // An update may come for a stream that has just been answered.
        let Some(stream) = self.streams.get_mut(id) else { return Ok(()) };
        if bytes == 0 {
            return Err(FrameError::Stream(id, ErrorCode::ProtocolError));
        }
        stream.send_window += bytes;
        if max < stream.send_window {
            return Err(FrameError::Stream(id, ErrorCode::FlowControlError));
        }
        if stream.answer.is_some() {
            self.send_waiting_stream(id);
        }
        Ok(())
    }

    pub(super) fn on_reset(&mut self, id: u32, now: Instant) -> Result<(), FrameError> {
        self.check_opened(id)?;
        self.counters.resets_received += 1;
        let Some(stream) = self.streams.remove(id, Closed::ByPeer) else {
            return self.ignore_frame(now);
        };
        self.forget(&stream);
        if self.meters.resets.take(self.limits.resets, now) {
            return Ok(());
        }
        Err(FrameError::limit(Limit::Resets, "too many streams were reset"))
    }

    /// Checks that a stream is not idle.
    fn check_opened(&self, id: u32) -> Result<(), FrameError> {
        if self.last_stream < id || id.is_multiple_of(2) {
            return Err(FrameError::protocol("a frame is on a stream that was never opened"));
        }
        Ok(())
    }
}

//! What the peer may send: the windows that we open, and how large the caller wants them.
//!
//! A window for all streams that begin changes with SETTINGS, which the peer applies when it reads them. So a
//! larger one counts at once, and a smaller one when the peer has acknowledged it; meanwhile no other change is
//! sent.
//!
//! Source: RFC 9113, sections 5.2 and 6.9.

use std::time::Instant;

use super::Connection;
use crate::exchange::Body;
use crate::exchange::StreamId;
use crate::frame;
use crate::frame::setting;
use crate::limits::Windows;
use crate::streams::RequestState;

impl<B: Body> Connection<B> {
    /// Opens the window of a stream whose body has memory again.
    pub fn open_window(&mut self, stream: StreamId) {
        self.ask_body(stream.0);
        self.open_stream_window(stream.0);
    }
}

impl<B> Connection<B> {
    /// Changes how much the peer may send before it is read, for example with the memory that is free. Larger
    /// windows are opened at once; smaller ones begin when the peer has used what it was given.
    ///
    /// # Panics
    ///
    /// If a window is 0 or larger than 2^31 - 1.
    pub fn set_windows(&mut self, windows: Windows, now: Instant) {
        if windows != self.receiving.wanted() && self.error.is_none() {
            self.receiving.want(windows);
            self.open_connection_window_by(1);
            self.announce_stream_window(now);
        }
    }

    /// Opens the window of the connection again, if it is time.
    pub(super) fn open_connection_window(&mut self) {
        self.open_connection_window_by(self.limits.window_update_bytes);
    }

    /// Opens the window of the connection again, if so many bytes of it are used.
    pub(super) fn open_connection_window_by(&mut self, update_bytes: u32) {
        if let Some(bytes) = self.receiving.due(update_bytes) {
            frame::write_window_update(&mut self.output, 0, bytes);
            self.receiving.connection += i64::from(bytes);
        }
    }

    /// Opens the window of a stream again, if half of it is used and the peer has more to send.
    pub(super) fn open_stream_window(&mut self, id: u32) {
        let usual = self.receiving.wanted().stream_bytes;
        let Some(stream) = self.streams.get_mut(id) else { return };
        let wanted = stream.wants.map_or(usual, |wants| wants.window_bytes);
        let wanted = i64::from(wanted.min(frame::WINDOW_BYTES_MAX));
        let missing = wanted - stream.receive_window;
        if stream.is_remote_closed || missing < (wanted / 2).max(1) {
            return;
        }
        if let Some(length) = stream.head.content_length() {
            let left = i64::try_from(length.saturating_sub(stream.received)).unwrap_or(i64::MAX);
            if left <= stream.receive_window {
                return;
            }
        }
        if let Ok(bytes) = u32::try_from(missing) {
            frame::write_window_update(&mut self.output, id, bytes);
            stream.receive_window += missing;
        }
    }

    /// Tells the peer the window of streams, if it is not what the caller wants and the peer has acknowledged the
    /// last change.
    pub(super) fn announce_stream_window(&mut self, now: Instant) {
        let wanted = self.receiving.wanted().stream_bytes;
        if !self.receiving.is_acknowledged() || self.receiving.stream == i64::from(wanted) {
            return;
        }
        frame::write_settings(&mut self.output, &[(setting::INITIAL_WINDOW_SIZE, wanted)]);
        self.clock.await_settings_ack(&self.timeouts, now);
        let growth = self.receiving.announce(wanted);
        self.shift_receive_windows(growth);
    }

    /// Changes the windows of all streams that are being read.
    pub(super) fn shift_receive_windows(&mut self, by: i64) {
        if by != 0 {
            let reading =
                self.streams.iter_mut().filter(|stream| stream.phase != RequestState::Taken);
            reading.for_each(|stream| stream.receive_window += by);
        }
    }
}

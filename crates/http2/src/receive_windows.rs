//! What the peer may send: what it was given, and what it is to have.

use crate::frame;
use crate::limits::Windows;

/// The windows for what the peer sends.
#[derive(Debug)]
pub(crate) struct ReceiveWindows {
    wanted: Windows,
    /// What the peer may send on all streams together.
    pub(crate) connection: i64,
    /// What the peer may send on a stream that begins, as far as we know.
    pub(crate) stream: i64,
    /// What it may send on one when it has acknowledged our settings.
    announced: Option<u32>,
}

impl ReceiveWindows {
    pub(crate) fn new(wanted: Windows) -> Self {
        let mut windows = Self {
            wanted,
            connection: i64::from(frame::WINDOW_BYTES_DEFAULT),
            stream: i64::from(frame::WINDOW_BYTES_DEFAULT),
            announced: None,
        };
        windows.want(wanted);
        windows
    }

    pub(crate) const fn wanted(&self) -> Windows {
        self.wanted
    }

    /// Notes what the caller wants.
    pub(crate) fn want(&mut self, wanted: Windows) {
        let max = frame::WINDOW_BYTES_MAX;
        assert!(0 < wanted.connection_bytes && wanted.connection_bytes <= max, "1 byte to 2 GiB");
        assert!(0 < wanted.stream_bytes && wanted.stream_bytes <= max, "1 byte to 2 GiB");
        self.wanted = wanted;
    }

    /// Settings with this window for streams are on their way. Returns by how much the windows of all streams
    /// grow.
    pub(crate) fn announce(&mut self, stream_bytes: u32) -> i64 {
        self.announced = Some(stream_bytes);
        let growth = (i64::from(stream_bytes) - self.stream).max(0);
        self.stream += growth;
        growth
    }

    /// The peer has acknowledged our settings. Returns by how much the windows of all streams shrink, or `None` if
    /// there was nothing to acknowledge.
    pub(crate) fn acknowledged(&mut self) -> Option<i64> {
        let announced = i64::from(self.announced.take()?);
        let shrinkage = self.stream - announced;
        self.stream = announced;
        Some(shrinkage)
    }

    pub(crate) const fn is_acknowledged(&self) -> bool {
        self.announced.is_none()
    }

    /// By how much the window of the connection is to be opened, if it is time.
    pub(crate) fn due(&self, update_bytes: u32) -> Option<u32> {
        let wanted = i64::from(self.wanted.connection_bytes);
        let missing = wanted - self.connection;
        let is_due = 0 < missing && i64::from(update_bytes).min(wanted / 2) <= missing;
        u32::try_from(missing).ok().filter(|_| is_due)
    }
}

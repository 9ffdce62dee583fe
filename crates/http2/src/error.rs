//! Why a stream or a connection ends.
//!
//! Source: RFC 9113, section 7.

use std::fmt;

/// The error codes of HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[expect(missing_docs, reason = "the names of the standard")]
pub enum ErrorCode {
    NoError = 0,
    ProtocolError = 1,
    InternalError = 2,
    FlowControlError = 3,
    SettingsTimeout = 4,
    StreamClosed = 5,
    FrameSizeError = 6,
    RefusedStream = 7,
    Cancel = 8,
    CompressionError = 9,
    ConnectError = 10,
    EnhanceYourCalm = 11,
    InadequateSecurity = 12,
    Http11Required = 13,
}

/// What a peer may do only so often, or have only so much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Streams that end before they are answered.
    Resets,
    /// Streams beyond those that may be open at the same time.
    RefusedStreams,
    /// CONTINUATION frames of one header block.
    Continuations,
    /// Bytes of one encoded header block.
    HeaderBlock,
    /// SETTINGS frames, and entries of one.
    Settings,
    /// PING frames.
    Pings,
    /// PRIORITY frames.
    Priorities,
    /// `WINDOW_UPDATE` frames.
    WindowUpdates,
    /// DATA frames without data.
    EmptyFrames,
    /// Frames of unknown types and of closed streams.
    IgnoredFrames,
    /// Bytes of answers that wait for a window.
    QueuedAnswers,
    /// Bytes that are written and not sent.
    Output,
    /// The time for the preface, the acknowledgement of settings, a header block or the answer to a ping.
    Time,
}

impl Limit {
    /// Its name, for metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resets => "resets",
            Self::RefusedStreams => "refused_streams",
            Self::Continuations => "continuations",
            Self::HeaderBlock => "header_block",
            Self::Settings => "settings",
            Self::Pings => "pings",
            Self::Priorities => "priorities",
            Self::WindowUpdates => "window_updates",
            Self::EmptyFrames => "empty_frames",
            Self::IgnoredFrames => "ignored_frames",
            Self::QueuedAnswers => "queued_answers",
            Self::Output => "output",
            Self::Time => "http2_timeout",
        }
    }
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionError {
    /// What the peer is told.
    pub code: ErrorCode,
    /// What it did, for logs.
    pub reason: &'static str,
    /// The limit that it exceeded, if it broke no rule of the protocol.
    pub limit: Option<Limit>,
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({:?})", self.reason, self.code)
    }
}

impl std::error::Error for ConnectionError {}

/// What a frame leads to that is against the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameError {
    Connection(ConnectionError),
    Stream(u32, ErrorCode),
}

impl FrameError {
    pub(crate) const fn connection(code: ErrorCode, reason: &'static str) -> Self {
        Self::Connection(ConnectionError { code, reason, limit: None })
    }

    pub(crate) const fn protocol(reason: &'static str) -> Self {
        Self::connection(ErrorCode::ProtocolError, reason)
    }

    pub(crate) const fn frame_size(reason: &'static str) -> Self {
        Self::connection(ErrorCode::FrameSizeError, reason)
    }

    pub(crate) const fn limit(limit: Limit, reason: &'static str) -> Self {
        let code = ErrorCode::EnhanceYourCalm;
        Self::Connection(ConnectionError { code, reason, limit: Some(limit) })
    }
}

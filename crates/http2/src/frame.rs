//! Frames: their heads, and those that a server writes.
//!
//! ```text
//!  0            3       4        5              9
//!  +------------+-------+--------+--------------+---------
//!  | length u24 | type  | flags  | stream u31be | payload
//!  +------------+-------+--------+--------------+---------
//! ```
//!
//! Source: RFC 9113, sections 4 and 6.

use crate::error::ErrorCode;

pub(crate) const HEAD_BYTES: usize = 9;
/// What every client says first.
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest payload of a frame if a peer has not allowed more.
pub(crate) const FRAME_BYTES_DEFAULT: u32 = 16 << 10;
pub(crate) const FRAME_BYTES_MAX: u32 = (1 << 24) - 1;
pub(crate) const WINDOW_BYTES_DEFAULT: u32 = 65_535;
pub(crate) const WINDOW_BYTES_MAX: u32 = (1 << 31) - 1;
pub(crate) const STREAM_ID_MAX: u32 = (1 << 31) - 1;

pub(crate) mod kind {
    //! The types of frames.
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

pub(crate) mod flag {
    //! Bits of the flags.
    pub(crate) const ACK: u8 = 0x1;
    pub(crate) const END_STREAM: u8 = 0x1;
    pub(crate) const END_HEADERS: u8 = 0x4;
    pub(crate) const PADDED: u8 = 0x8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

pub(crate) mod setting {
    //! The numbers of settings.
    pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
    pub(crate) const ENABLE_PUSH: u16 = 2;
    pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(crate) const MAX_FRAME_SIZE: u16 = 5;
    pub(crate) const MAX_HEADER_LIST_SIZE: u16 = 6;
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) len: u32,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl FrameHead {
    pub(crate) const fn read(bytes: &[u8; HEAD_BYTES]) -> Self {
        let [len @ .., kind, flags, a, b, c, d] = bytes;
        let [high, middle, low] = *len;
        Self {
            len: u32::from_be_bytes([0, high, middle, low]),
            kind: *kind,
            flags: *flags,
            stream: u32::from_be_bytes([*a, *b, *c, *d]) & STREAM_ID_MAX,
        }
    }

    pub(crate) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Appends the head of a frame.
pub(crate) fn write_head(output: &mut Vec<u8>, len: u32, kind: u8, flags: u8, stream: u32) {
    debug_assert!(len <= FRAME_BYTES_MAX);
    let [_, high, middle, low] = len.to_be_bytes();
    let [a, b, c, d] = stream.to_be_bytes();
    output.extend_from_slice(&[high, middle, low, kind, flags, a, b, c, d]);
}

/// Appends SETTINGS.
pub(crate) fn write_settings(output: &mut Vec<u8>, settings: &[(u16, u32)]) {
    let len = u32::try_from(settings.len() * 6).expect("there are six settings");
    write_head(output, len, kind::SETTINGS, 0, 0);
    for (number, value) in settings {
        output.extend_from_slice(&number.to_be_bytes());
        output.extend_from_slice(&value.to_be_bytes());
    }
}

pub(crate) fn write_settings_ack(output: &mut Vec<u8>) {
    write_head(output, 0, kind::SETTINGS, flag::ACK, 0);
}

pub(crate) fn write_ping(output: &mut Vec<u8>, flags: u8, payload: [u8; 8]) {
    write_head(output, 8, kind::PING, flags, 0);
    output.extend_from_slice(&payload);
}

pub(crate) fn write_window_update(output: &mut Vec<u8>, stream: u32, bytes: u32) {
    debug_assert!((1..=WINDOW_BYTES_MAX).contains(&bytes));
    write_head(output, 4, kind::WINDOW_UPDATE, 0, stream);
    output.extend_from_slice(&bytes.to_be_bytes());
}

pub(crate) fn write_reset(output: &mut Vec<u8>, stream: u32, code: ErrorCode) {
    write_head(output, 4, kind::RST_STREAM, 0, stream);
    output.extend_from_slice(&(code as u32).to_be_bytes());
}

pub(crate) fn write_goaway(output: &mut Vec<u8>, last_stream: u32, code: ErrorCode, reason: &str) {
    let reason = reason.as_bytes();
    let len = u32::try_from(8 + reason.len()).expect("reasons are short");
    write_head(output, len, kind::GOAWAY, 0, 0);
    output.extend_from_slice(&last_stream.to_be_bytes());
    output.extend_from_slice(&(code as u32).to_be_bytes());
    output.extend_from_slice(reason);
}

/// Appends a header block: HEADERS, and CONTINUATION as long as it does not fit.
pub(crate) fn write_headers(
    output: &mut Vec<u8>,
    stream: u32,
    block: &[u8],
    is_end: bool,
    frame_bytes: usize,
) {
    let mut kind = kind::HEADERS;
    let mut flags = if is_end { flag::END_STREAM } else { 0 };
    let mut rest = block;
    loop {
        let (fragment, behind) = rest.split_at(rest.len().min(frame_bytes));
        if behind.is_empty() {
            flags |= flag::END_HEADERS;
        }
        write_head(output, frame_len(fragment), kind, flags, stream);
        output.extend_from_slice(fragment);
        if behind.is_empty() {
            return;
        }
        (kind, flags, rest) = (kind::CONTINUATION, 0, behind);
    }
}

/// Appends DATA in frames of at most `frame_bytes`; `is_end` is about the last of them.
pub(crate) fn write_data(
    output: &mut Vec<u8>,
    stream: u32,
    data: &[u8],
    is_end: bool,
    frame_bytes: usize,
) {
    let mut rest = data;
    loop {
        let (piece, behind) = rest.split_at(rest.len().min(frame_bytes));
        let flags = if is_end && behind.is_empty() { flag::END_STREAM } else { 0 };
        write_head(output, frame_len(piece), kind::DATA, flags, stream);
        output.extend_from_slice(piece);
        if behind.is_empty() {
            return;
        }
        rest = behind;
    }
}

fn frame_len(payload: &[u8]) -> u32 {
    u32::try_from(payload.len()).expect("frames have at most 16 MiB")
}

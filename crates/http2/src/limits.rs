//! What a peer may do, how long it may take, and what it has done.

use std::time::Duration;
use std::time::Instant;

use crate::hpack::TABLE_BYTES_DEFAULT;

/// So many at once, and so many a second on average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// Each second, when the burst is used up.
    pub per_second: u32,
}

/// What one connection may do. Exceeding a limit closes the connection with `ENHANCE_YOUR_CALM` where nothing
/// else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams at the same time; further ones are refused with `REFUSED_STREAM`. Default: 256.
    pub concurrent_streams: u32,
    /// The largest frame in bytes, 16 KiB to 16 MiB. DATA is not buffered, so this costs no memory.
    /// Default: 1 MiB.
    pub frame_bytes: u32,
    /// The bytes of one header block as it is encoded, in all its frames. Default: 32 KiB.
    pub header_block_bytes: u32,
    /// CONTINUATION frames of one header block. Default: 16.
    pub continuations: u32,
    /// The bytes of the decoded headers of a request, as RFC 9113 counts them: 32 more for each field. A request
    /// with more is answered with 431. Default: 16 KiB.
    pub header_list_bytes: u32,
    /// The fields of a request; one with more is answered with 431. Default: 128.
    pub header_fields: u32,
    /// The bytes of the dynamic table of HPACK. Default: 4 KiB.
    pub header_table_bytes: u32,
    /// Streams that end before they are answered: the peer resets them or makes us reset them. Default: 1,000
    /// at once, 33 a second.
    pub resets: Rate,
    /// Streams beyond `concurrent_streams`. Default: 1,000 at once, 100 a second.
    pub refused_streams: Rate,
    /// SETTINGS frames. Default: 32 at once, 4 a second.
    pub settings: Rate,
    /// Entries of one SETTINGS frame. Default: 64.
    pub settings_entries: u32,
    /// PING frames beside 4 for each request. gRPC clients measure the round trip with each answer.
    /// Default: 128 at once, 16 a second.
    pub pings: Rate,
    /// PRIORITY frames beside 4 for each request. Default: 512 at once, 64 a second.
    pub priorities: Rate,
    /// `WINDOW_UPDATE` frames beside 4 for each request. Default: 4,096 at once, 512 a second.
    pub window_updates: Rate,
    /// DATA frames without data, beside 4 for each request. Default: 128 at once, 16 a second.
    pub empty_frames: Rate,
    /// Frames of unknown types and of closed streams. Default: 4,096 at once, 256 a second.
    pub ignored_frames: Rate,
    /// The bytes of answers that wait until the peer opens a window. Default: 1 MiB.
    pub queued_answer_bytes: usize,
    /// The bytes of output that the caller has not taken. Default: 2 MiB.
    pub output_bytes: usize,
    /// The window of the connection is opened again after so many bytes, or when half of it is used.
    /// Default: 1 MiB.
    pub window_update_bytes: u32,
}

/// How long one connection may take. `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the start to the end of the preface with its SETTINGS. Default: 10 s.
    pub preface: Option<Duration>,
    /// For the peer to acknowledge our SETTINGS. Default: 30 s.
    pub settings_ack: Option<Duration>,
    /// From the first byte of a header block, or of another frame that is not DATA, to its last. Default: 10 s.
    pub header_block: Option<Duration>,
    /// For the next `request_progress_bytes` of a request. Default: 30 s.
    pub request_progress: Option<Duration>,
    /// What must come of an incomplete request in that time. Default: 64 KiB.
    pub request_progress_bytes: u64,
    /// From the head of a request to its last byte. Default: none.
    pub request_age: Option<Duration>,
    /// Without a stream; after this long, or up to twice as long, [`Event::Idle`](crate::Event::Idle) is given.
    /// Default: none.
    pub idle: Option<Duration>,
    /// Without a byte from the peer; then it is sent a PING. Default: 10 s.
    pub keepalive_every: Option<Duration>,
    /// For the peer to send something after that PING. Default: 10 s.
    pub keepalive_within: Duration,
}

/// What the peer may send before it is read, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// On all streams together. Default: 16 MiB.
    pub connection_bytes: u32,
    /// On each stream. Default: 4 MiB.
    pub stream_bytes: u32,
}

/// What a connection has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests whose head is valid.
    pub requests: u64,
    /// Requests whose head was known from an earlier one, byte by byte.
    pub known_heads: u64,
    /// Answers that are written to their end.
    pub answers: u64,
    /// Bytes of DATA, without padding.
    pub data_bytes: u64,
    /// Frames that came.
    pub frames: u64,
    /// Streams that the peer has reset.
    pub resets_received: u64,
    /// Streams that we have reset because of an error of the peer.
    pub resets_sent: u64,
    /// Streams beyond [`Limits::concurrent_streams`].
    pub refused_streams: u64,
    /// Requests and trailers that are malformed.
    pub malformed: u64,
    /// Requests that are answered with 431.
    pub large_heads: u64,
    /// CONTINUATION frames.
    pub continuations: u64,
    /// SETTINGS frames.
    pub settings: u64,
    /// PING frames that asked for an answer.
    pub pings: u64,
    /// PRIORITY frames.
    pub priorities: u64,
    /// `WINDOW_UPDATE` frames.
    pub window_updates: u64,
    /// DATA frames without data, and not at the end of a stream.
    pub empty_frames: u64,
    /// Frames of unknown types and of closed streams.
    pub ignored_frames: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let rate = |burst, per_second| Rate { burst, per_second };
        Self {
            concurrent_streams: 256,
            frame_bytes: 1 << 20,
            header_block_bytes: 32 << 10,
            continuations: 16,
            header_list_bytes: 16 << 10,
            header_fields: 128,
            header_table_bytes: TABLE_BYTES_DEFAULT,
            resets: rate(1000, 33),
            refused_streams: rate(1000, 100),
            settings: rate(32, 4),
            settings_entries: 64,
            pings: rate(128, 16),
            priorities: rate(512, 64),
            window_updates: rate(4096, 512),
            empty_frames: rate(128, 16),
            ignored_frames: rate(4096, 256),
            queued_answer_bytes: 1 << 20,
            output_bytes: 2 << 20,
            window_update_bytes: 1 << 20,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        Self {
            preface: seconds(10),
            settings_ack: seconds(30),
            header_block: seconds(10),
            request_progress: seconds(30),
            request_progress_bytes: 64 << 10,
            request_age: None,
            idle: None,
            keepalive_every: seconds(10),
            keepalive_within: Duration::from_secs(10),
        }
    }
}

impl Default for Windows {
    fn default() -> Self {
        Self { connection_bytes: 16 << 20, stream_bytes: 4 << 20 }
    }
}

/// How much of a [`Rate`] is left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    left: u32,
    filled: Instant,
}

impl Meter {
    pub(crate) const fn new(rate: Rate, now: Instant) -> Self {
        Self { left: rate.burst, filled: now }
    }

    /// Takes one; `false` if none is left.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        if self.left == 0 {
            let millis = now.saturating_duration_since(self.filled).as_millis();
            let gained = (millis * u128::from(rate.per_second) / 1000).min(u128::from(rate.burst));
            if gained == 0 {
                return false;
            }
            self.left = u32::try_from(gained).unwrap_or(rate.burst);
            self.filled = now;
        }
        self.left -= 1;
        true
    }

    /// Gives some back.
    pub(crate) const fn credit(&mut self, rate: Rate, count: u32) {
        let left = self.left.saturating_add(count);
        self.left = if left < rate.burst { left } else { rate.burst };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_a_burst_and_comes_back_with_time_and_with_work() {
        let rate = Rate { burst: 3, per_second: 2 };
        let start = Instant::now();
        let mut meter = Meter::new(rate, start);
        let mut taken = |millis| {
            let now = start + Duration::from_millis(millis);
            (0..10).take_while(|_| meter.take(rate, now)).count()
        };
        assert_eq!(taken(0), 3);
        assert_eq!(taken(499), 0);
        assert_eq!(taken(500), 1);
        assert_eq!(taken(60_000), 3, "no more than the burst");
        meter.credit(rate, 10);
        assert!((0..3).all(|_| meter.take(rate, start)) && !meter.take(rate, start));
    }
}

//! Reads the body of a request as it comes, from a sender that keeps sending.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant as StdInstant;

use bytes::Bytes;
use futures_util::future::poll_immediate;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use hyper::body::Frame;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::admission::AdmittedRequest;
use super::admission::ConnectionAdmission;
use super::answer::RefusedRequest;
use super::filling::Filling;
use super::filling::whole;
use crate::net::Activity;

/// A sender is as good as silent if it sends less than this in the time it may be silent: single
/// bytes would hold their memory for days.
const PROGRESS_BYTES_MIN: usize = 64 << 10;
/// Or less than this part of what room was taken for, which is what it has announced: two that send a
/// little of much would keep everybody else out for hours.
const PROGRESS_SHARE: usize = 16;
/// What is read and thrown away of a request that is refused.
const DISCARD_BYTES_MAX: u64 = 64 << 20;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);
/// A sender that is silent for this long waits for its answer before it sends more.
const DISCARD_IDLE_TIMEOUT: Duration = Duration::from_millis(200);

type FrameResult = hyper::Result<Frame<Bytes>>;

/// A body that is being received.
pub(super) struct IncomingBody {
    incoming: Incoming,
    pace: Pace,
    activity: Arc<Activity>,
    arrived: StdInstant,
    is_ended: bool,
}

/// How fast a sender must send.
struct Pace {
    read_idle_timeout: Duration,
    /// What is left of it, and what came since it was last whole.
    left: Duration,
    fresh_bytes: usize,
    /// What must come in that time.
    progress_bytes: usize,
}

impl IncomingBody {
    pub(super) fn new(
        incoming: Incoming,
        read_idle_timeout: Duration,
        activity: Arc<Activity>,
    ) -> Self {
        let arrived = activity.newest();
        let is_ended = incoming.is_end_stream();
        Self { incoming, pace: Pace::new(read_idle_timeout), activity, arrived, is_ended }
    }

    /// Room was taken for so many bytes, and the sender has to fill it in a time that is short enough.
    pub(super) fn expect(&mut self, bytes: usize) {
        self.pace.expect(bytes);
    }

    /// When the last piece that was returned had come from the socket; a little later if more came
    /// on the same connection before it was returned.
    pub(super) const fn arrived(&self) -> StdInstant {
        self.arrived
    }

    /// Returns the next piece, which is not empty; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, RefusedRequest> {
        loop {
            // What has come already needs no timer: two reads of the clock and a place in the wheel.
            let ready = poll_immediate(self.incoming.frame()).await;
            let frame = match ready {
                Some(frame) => frame,
                None => self.wait_for_frame().await?,
            };
            let Some(frame) = frame else {
                self.is_ended = true;
                return Ok(None);
            };
            let frame = frame.map_err(|error| {
                RefusedRequest::Broken(format!("cannot read the body: {error}"))
            })?;
            // Trailers say nothing here.
            let Ok(piece) = frame.into_data() else { continue };
            self.pace.read(piece.len());
            if !piece.is_empty() {
                self.arrived = self.activity.newest();
                return Ok(Some(piece));
            }
        }
    }

    /// Waits for the next frame, for as long as the sender may be silent.
    async fn wait_for_frame(&mut self) -> Result<Option<FrameResult>, RefusedRequest> {
        let begun = Instant::now();
        let frame = tokio::time::timeout(self.pace.left, self.incoming.frame()).await;
        let frame =
            frame.map_err(|_| RefusedRequest::Stalled { after: self.pace.read_idle_timeout })?;
        self.pace.wait(begun.elapsed());
        Ok(frame)
    }

    /// Whether it is known that nothing more comes.
    pub(super) fn is_at_end(&self) -> bool {
        // One in chunks has ended when that was read, and does not know it before.
        self.is_ended || self.incoming.is_end_stream()
    }

    /// Reads what its sender still sends of a request that is refused, and throws it away, so that the
    /// sender sees its answer and may use the connection again. Returns whether that was all; not for long,
    /// and not if it has to be waited for.
    pub(super) async fn discard(&mut self) -> bool {
        let declared = self.incoming.size_hint().lower();
        if DISCARD_BYTES_MAX < declared {
            return false;
        }
        let deadline = Instant::now() + DISCARD_TIMEOUT;
        let mut bytes = 0;
        while bytes <= DISCARD_BYTES_MAX {
            let until = deadline.min(Instant::now() + DISCARD_IDLE_TIMEOUT);
            match tokio::time::timeout_at(until, self.incoming.frame()).await {
                Ok(Some(Ok(frame))) => bytes += frame.data_ref().map_or(0, Bytes::len) as u64,
                Ok(None) => {
                    self.is_ended = true;
                    return true;
                }
                Ok(Some(Err(_))) | Err(_) => return false,
            }
        }
        false
    }

    /// Returns the whole body, as it was sent.
    pub(super) async fn collect(
        &mut self,
        room: ConnectionAdmission<'_>,
        limit: u64,
    ) -> Result<AdmittedRequest, RefusedRequest> {
        let too_large = Err(RefusedRequest::TooLarge { limit_bytes: limit });
        let declared = self.incoming.size_hint().exact();
        if declared.is_some_and(|declared| limit < declared) {
            return too_large;
        }
        let Some(first) = self.next().await? else { return whole(room, Bytes::new()).await };
        let limit_len = usize::try_from(limit).unwrap_or(usize::MAX);
        if limit_len < first.len() {
            return too_large;
        }
        let declared = declared.and_then(|declared| usize::try_from(declared).ok());
        if declared == Some(first.len()) || self.is_at_end() {
            return whole(room, first).await;
        }
        // Room for all of it at once, if that is known: many who have half of what they need could
        // wait for each other.
        let bytes = declared.unwrap_or(first.len() * 2).min(limit_len);

        let mut filling = Filling::begin(room, bytes, limit_len).await?;
        filling.push(&first).await?;
        drop(first);
        self.expect(bytes);
        while let Some(piece) = self.next().await? {
            filling.push(&piece).await?;
            self.expect(filling.buffer.capacity());
        }
        Ok(filling.finish())
    }
}

/// What must come, in the time that a sender may be silent, of a request that has so many bytes.
pub(super) fn progress_bytes(announced: usize) -> usize {
    PROGRESS_BYTES_MIN.max(announced / PROGRESS_SHARE)
}

impl Pace {
    fn new(read_idle_timeout: Duration) -> Self {
        let progress_bytes = PROGRESS_BYTES_MIN;
        Self { read_idle_timeout, left: read_idle_timeout, fresh_bytes: 0, progress_bytes }
    }

    fn expect(&mut self, bytes: usize) {
        self.progress_bytes = progress_bytes(bytes);
    }

    /// Some time went by.
    fn wait(&mut self, took: Duration) {
        self.left = self.left.saturating_sub(took);
    }

    /// Some bytes came.
    fn read(&mut self, bytes: usize) {
        self.fresh_bytes += bytes;
        if self.progress_bytes <= self.fresh_bytes {
            (self.left, self.fresh_bytes) = (self.read_idle_timeout, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many pieces of 64 KiB, one a second, are waited for.
    fn waited_for(announced: Option<usize>) -> usize {
        let mut pace = Pace::new(Duration::from_secs(10));
        if let Some(bytes) = announced {
            pace.expect(bytes);
        }
        let second = |_: &usize| {
            pace.wait(Duration::from_secs(1));
            pace.read(64 << 10);
            !pace.left.is_zero()
        };
        (0..100).take_while(second).count()
    }

    #[test]
    fn who_announces_much_must_send_much() {
        assert_eq!(waited_for(None), 100);
        assert_eq!(waited_for(Some(1)), 100);
        assert_eq!(waited_for(Some(9 << 20)), 100, "nine pieces");
        assert_eq!(waited_for(Some(64 << 20)), 9, "64 pieces");
    }
}

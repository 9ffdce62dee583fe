//! What one connection does now. Its own task writes it, with relaxed stores on a line of its own; others
//! read it to find the connection that has been idle for longest.

use std::future::Future;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use std::time::Instant;

use atomic_waker::AtomicWaker;
use gophership_units::ns_of;

/// What the times of all connections are counted from.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What every HTTP/2 client says first, before its settings.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// With the head of the settings that follow.
const PREFACE_BYTES: u64 = 24 + 9;

/// The time on the clock of connections, in nanoseconds; never 0, which stands for "not yet".
pub(super) fn now_ns() -> u64 {
    ns_of(EPOCH.elapsed()).max(1)
}

/// When a time on that clock is.
pub(super) fn instant_of(ns: u64) -> Instant {
    *EPOCH + Duration::from_nanos(ns)
}

/// What a connection speaks, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Speaks {
    /// Too few bytes came to tell.
    Unknown,
    /// Not the preface of HTTP/2.
    Http1,
    /// The preface of HTTP/2.
    Http2,
}

/// What one connection does now.
#[derive(Debug)]
pub struct Activity {
    opened_ns: u64,
    speaks: AtomicU8,
    read_ns: AtomicU64,
    read_bytes: AtomicU64,
    /// Requests that are being answered.
    requests: AtomicU32,
    has_served: AtomicBool,
    /// When the last request was answered; at first when the connection was opened.
    idle_ns: AtomicU64,
    /// When the first byte of a request came whose head is not complete.
    head_ns: AtomicU64,
    /// Since when the peer takes none of what is written.
    blocked_ns: AtomicU64,
    /// Since when the connection is closed on our side, and what the peer still sends is thrown away.
    linger_ns: AtomicU64,
    /// The peer still sends what nobody will read.
    is_unread: AtomicBool,
    is_asked_to_close: AtomicBool,
    waker: AtomicWaker,
}

/// A request that is being answered; over when dropped.
#[derive(Debug)]
pub struct ActiveRequest(Arc<Activity>);

impl ActiveRequest {
    /// The connection that it came on.
    #[must_use]
    pub fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.0)
    }
}

impl Activity {
    /// A connection that was opened now.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let opened_ns = now_ns();
        Arc::new(Self {
            opened_ns,
            speaks: AtomicU8::new(Speaks::Unknown as u8),
            read_ns: AtomicU64::new(opened_ns),
            read_bytes: AtomicU64::new(0),
            requests: AtomicU32::new(0),
            has_served: AtomicBool::new(false),
            idle_ns: AtomicU64::new(opened_ns),
            head_ns: AtomicU64::new(0),
            blocked_ns: AtomicU64::new(0),
            linger_ns: AtomicU64::new(0),
            is_unread: AtomicBool::new(false),
            is_asked_to_close: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        })
    }

    /// Begins a request: its head is complete.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> ActiveRequest {
        self.requests.fetch_add(1, Relaxed);
        self.has_served.store(true, Relaxed);
        self.head_ns.store(0, Relaxed);
        ActiveRequest(Arc::clone(self))
    }

    /// When the newest bytes were read.
    #[must_use]
    pub fn newest(&self) -> Instant {
        instant_of(self.read_ns.load(Relaxed))
    }

    /// The peer sends what nobody will read: at its end the connection waits a little for that, or the
    /// peer would be told that the connection is broken before it sees its answer.
    pub fn leave_unread(&self) {
        self.is_unread.store(true, Relaxed);
    }

    /// Waits until the connection is asked to make room for another one.
    pub fn asked_to_close(&self) -> impl Future<Output = ()> + '_ {
        poll_fn(|context| {
            self.wake_when_asked(context);
            if self.is_asked_to_close() { Poll::Ready(()) } else { Poll::Pending }
        })
    }

    pub(super) fn ask_to_close(&self) {
        self.is_asked_to_close.store(true, SeqCst);
        self.waker.wake();
    }

    pub(super) fn is_asked_to_close(&self) -> bool {
        self.is_asked_to_close.load(Relaxed)
    }

    pub(super) fn wake_when_asked(&self, context: &Context<'_>) {
        self.waker.register(context.waker());
    }

    /// Some bytes came.
    pub(super) fn read(&self, bytes: &[u8]) {
        let now = now_ns();
        self.read_ns.store(now, Relaxed);
        let before = self.read_bytes.load(Relaxed);
        self.read_bytes.store(before + bytes.len() as u64, Relaxed);
        if self.speaks() == Speaks::Unknown {
            self.tell(usize::try_from(before).unwrap_or(usize::MAX), bytes);
        }
        let is_between = self.requests() == 0 && self.head_ns.load(Relaxed) == 0;
        if !bytes.is_empty() && is_between && self.speaks() == Speaks::Http1 {
            self.head_ns.store(now, Relaxed);
        }
    }

    /// Compares the first bytes with the preface.
    fn tell(&self, before: usize, bytes: &[u8]) {
        let expected = PREFACE.get(before..).unwrap_or_default();
        let len = expected.len().min(bytes.len());
        let speaks = match () {
            () if bytes[..len] != expected[..len] => Speaks::Http1,
            () if len == expected.len() => Speaks::Http2,
            () => return,
        };
        self.speaks.store(speaks as u8, Relaxed);
    }

    /// A write did not get on, or did.
    pub(super) fn write(&self, is_blocked: bool) {
        let was_blocked = self.blocked_ns.load(Relaxed) != 0;
        if is_blocked != was_blocked {
            self.blocked_ns.store(if is_blocked { now_ns() } else { 0 }, Relaxed);
        }
    }

    /// Begins to linger.
    pub(super) fn linger(&self) {
        self.linger_ns.store(now_ns(), Relaxed);
    }

    /// Whether at its end the peer probably still sends.
    pub(super) fn is_unread(&self) -> bool {
        self.is_unread.load(Relaxed)
    }

    pub(super) const fn opened_ns(&self) -> u64 {
        self.opened_ns
    }

    pub(super) fn speaks(&self) -> Speaks {
        match self.speaks.load(Relaxed) {
            0 => Speaks::Unknown,
            1 => Speaks::Http1,
            _ => Speaks::Http2,
        }
    }

    /// Whether an HTTP/2 client has said all that it must before its first request.
    pub(super) fn has_preface(&self) -> bool {
        self.speaks() == Speaks::Http2 && PREFACE_BYTES <= self.read_bytes.load(Relaxed)
    }

    /// Requests that are being answered.
    pub(super) fn requests(&self) -> u32 {
        self.requests.load(Relaxed)
    }

    /// Whether there was a request.
    pub(super) fn has_served(&self) -> bool {
        self.has_served.load(Relaxed)
    }

    pub(super) fn idle_ns(&self) -> u64 {
        self.idle_ns.load(Relaxed)
    }

    pub(super) fn head_ns(&self) -> Option<u64> {
        Some(self.head_ns.load(Relaxed)).filter(|since| *since != 0)
    }

    pub(super) fn blocked_ns(&self) -> Option<u64> {
        Some(self.blocked_ns.load(Relaxed)).filter(|since| *since != 0)
    }

    pub(super) fn linger_ns(&self) -> Option<u64> {
        Some(self.linger_ns.load(Relaxed)).filter(|since| *since != 0)
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        if self.0.requests.fetch_sub(1, Relaxed) == 1 {
            self.0.idle_ns.store(now_ns(), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a connection is taken for that sends these pieces.
    fn speaks(pieces: &[&[u8]]) -> Speaks {
        let activity = Activity::new();
        for piece in pieces {
            activity.read(piece);
        }
        activity.speaks()
    }

    #[test]
    fn what_a_connection_speaks_is_told_by_its_first_bytes_in_any_pieces() {
        for at in 0..=PREFACE.len() {
            let (head, tail) = PREFACE.split_at(at);
            assert_eq!(speaks(&[head]) == Speaks::Http2, tail.is_empty(), "{at}");
            assert_eq!(speaks(&[head, tail, b"more"]), Speaks::Http2, "{at}");
            let expected = if tail.is_empty() { Speaks::Http2 } else { Speaks::Http1 };
            assert_eq!(speaks(&[head, b"?"]), expected, "{at}");
        }
        assert_eq!(speaks(&[]), Speaks::Unknown);
        assert_eq!(speaks(&[b"P", b"OST / HTTP/1.1"]), Speaks::Http1);
    }

    #[test]
    fn a_head_begins_with_its_first_byte_and_ends_with_the_request() {
        let activity = Activity::new();
        assert!(!activity.has_served());
        activity.read(b"POST");
        let since = activity.head_ns().unwrap();
        activity.read(b" /v1/logs");
        assert_eq!(activity.head_ns(), Some(since), "further bytes do not extend it");
        let request = activity.begin();
        assert_eq!((activity.requests(), activity.head_ns()), (1, None));
        activity.read(b"its body");
        assert_eq!(activity.head_ns(), None);
        drop(request);
        assert!(activity.has_served() && activity.opened_ns() <= activity.idle_ns());
        activity.read(b"P");
        assert!(activity.head_ns().is_some());
    }
}

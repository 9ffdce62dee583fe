//! A [`Tap`]: copies of requests for an operator who looks at them, taken on their way without holding them up.
//!
//! ```text
//!   route table -- taps --> Tap: a ring, bounded in requests and bytes --> whoever looks
//!                            \-- no room: counted as dropped
//! ```
//!
//! The table in force names the taps of its output and of the sinks behind it, so a request that nobody looks at
//! costs a look at a field of the table. A copy shares the bytes of its request. What it holds of the memory is
//! taken from a budget, and only if there is room at once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use crossbeam_queue::ArrayQueue;
use tokio::sync::Notify;

use crate::event::Batch;
use crate::event::Signal;
use crate::pool::Budget;
use crate::pool::Grant;

/// The most requests that wait in a tap.
const SAMPLES_MAX: usize = 64;
/// The most bytes of requests that wait in a tap. A larger request is never taken.
pub const TAP_BYTES_MAX: u64 = 8 << 20;

/// A request that passed a component.
#[derive(Debug)]
pub struct Sample {
    /// The component.
    pub component: Arc<str>,
    /// The signal of the request.
    pub signal: Signal,
    /// The protobuf bytes of the request.
    pub wire: Bytes,
    /// When the request was received, in nanoseconds since 1970.
    pub received_unix_ns: u64,
    /// What it holds of the memory.
    _grant: Grant,
}

/// The requests that wait for one operator.
pub struct Tap {
    samples: ArrayQueue<Sample>,
    used_bytes: AtomicU64,
    dropped: AtomicU64,
    is_closed: AtomicBool,
    filled: Notify,
    memory: Arc<Budget>,
}

impl Tap {
    /// Makes a tap that takes its memory from a budget.
    #[must_use]
    pub fn new(memory: &Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            samples: ArrayQueue::new(SAMPLES_MAX),
            used_bytes: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            filled: Notify::new(),
            memory: Arc::clone(memory),
        })
    }

    /// Returns the next request, or `None` when the tap is closed. May be dropped at any time; nothing is lost
    /// then.
    pub async fn next(&self) -> Option<Sample> {
        loop {
            let filled = self.filled.notified();
            if let Some(sample) = self.samples.pop() {
                self.used_bytes.fetch_sub(sample.wire.len() as u64, Ordering::Relaxed);
                return Some(sample);
            }
            if self.is_closed.load(Ordering::Acquire) {
                return None;
            }
            filled.await;
        }
    }

    /// Requests that passed and did not fit.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Ends it: the component is gone.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.filled.notify_one();
    }

    /// Takes a copy of a request if there is room.
    fn offer(&self, component: &Arc<str>, passed: &Passed<'_>) {
        let bytes = passed.wire.len() as u64;
        let grant = self.reserve(bytes);
        let is_reserved = grant.is_some();
        let is_taken = grant.is_some_and(|grant| {
            let sample = Sample {
                component: Arc::clone(component),
                signal: passed.signal,
                wire: passed.wire.clone(),
                received_unix_ns: passed.received_unix_ns,
                _grant: grant,
            };
            self.samples.push(sample).is_ok()
        });
        if is_taken {
            return self.filled.notify_one();
        }
        if is_reserved {
            self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes room for so many bytes.
    fn reserve(&self, bytes: u64) -> Option<Grant> {
        if self.samples.is_full() {
            return None;
        }
        let used = self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        let grant = if used + bytes <= TAP_BYTES_MAX { self.memory.try_take(bytes) } else { None };
        if grant.is_none() {
            self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        grant
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tap").field("len", &self.samples.len()).finish_non_exhaustive()
    }
}

/// The taps of one component; nearly always none.
#[derive(Clone, Debug, Default)]
pub struct Taps(Option<Arc<TapsOfComponent>>);

#[derive(Debug)]
struct TapsOfComponent {
    component: Arc<str>,
    taps: Vec<Arc<Tap>>,
}

/// A request that is about to pass, for its taps.
pub(super) struct Passed<'t> {
    taps: &'t TapsOfComponent,
    signal: Signal,
    wire: Bytes,
    received_unix_ns: u64,
}

impl Taps {
    /// Puts together the taps of a component.
    #[must_use]
    pub fn new(component: &Arc<str>, taps: Vec<Arc<Tap>>) -> Self {
        let component = Arc::clone(component);
        Self((!taps.is_empty()).then(|| Arc::new(TapsOfComponent { component, taps })))
    }

    /// Whether nobody looks.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// What the taps are given of a batch once it has been placed; nothing if there is no tap.
    pub(super) fn look(&self, batch: &Batch) -> Option<Passed<'_>> {
        let taps = self.0.as_deref()?;
        let (signal, wire) = (batch.signal(), batch.wire().clone());
        Some(Passed { taps, signal, wire, received_unix_ns: batch.received_unix_ns() })
    }
}

impl Passed<'_> {
    /// The batch has been placed. Never waits.
    pub(super) fn offer(&self) {
        for tap in &self.taps.taps {
            tap.offer(&self.taps.component, self);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Ledger;
    use crate::event::Provenance;
    use crate::event::Request;

    fn batch(bytes: usize) -> Batch {
        let request = Request {
            signal: Signal::Logs,
            wire: Bytes::from(vec![0; bytes]),
            records: 1,
            received_unix_ns: 7,
            provenance: Provenance::default(),
        };
        Batch::received(&request, None, Ledger::leak())
    }

    fn pass(taps: &Taps, bytes: usize) {
        taps.look(&batch(bytes)).unwrap().offer();
    }

    #[tokio::test]
    async fn a_tap_is_bounded_in_requests_and_bytes_and_gives_its_memory_back() {
        let memory = Budget::new("ingest", 64 << 20);
        let tap = Tap::new(&memory);
        let taps = Taps::new(&"otlp".into(), vec![Arc::clone(&tap)]);
        assert!(Taps::default().look(&batch(1)).is_none());
        for _ in 0..SAMPLES_MAX + 3 {
            pass(&taps, 10);
        }
        assert_eq!((tap.dropped(), memory.used()), (3, 10 * SAMPLES_MAX as u64));
        for _ in 0..SAMPLES_MAX {
            let sample = tap.next().await.unwrap();
            assert_eq!((&*sample.component, sample.wire.len()), ("otlp", 10));
        }
        assert_eq!((memory.used(), tap.used_bytes.load(Ordering::Relaxed)), (0, 0));
        let third = usize::try_from(TAP_BYTES_MAX / 3).unwrap();
        for bytes in [third, third, third, third, 4 * third] {
            pass(&taps, bytes);
        }
        assert_eq!((tap.dropped(), memory.used()), (5, 3 * third as u64));
    }

    #[tokio::test]
    async fn without_memory_nothing_is_taken_and_a_closed_tap_ends() {
        let memory = Budget::new("ingest", 100);
        let held = memory.try_take(95).unwrap();
        let tap = Tap::new(&memory);
        let taps = Taps::new(&"otlp".into(), vec![Arc::clone(&tap)]);
        pass(&taps, 10);
        assert_eq!((tap.dropped(), memory.used()), (1, 95));
        drop(held);
        pass(&taps, 10);
        tap.close();
        assert!(tap.next().await.is_some(), "what was taken before is there");
        assert!(tap.next().await.is_none());
    }
}

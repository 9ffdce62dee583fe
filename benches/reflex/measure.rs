//! What the parts of the benchmark share: an allocator that counts, clocks, medians.

use std::alloc::GlobalAlloc;
use std::alloc::Layout;
use std::alloc::System;
use std::cell::Cell;
use std::time::Duration;
use std::time::Instant;

use rustix::time::ClockId;

thread_local! {
    /// Allocations and bytes of this thread.
    static COUNT: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// Counts what each thread allocates.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: usize) {
    // A thread that is ending has no counters any more.
    let _ended = COUNT.try_with(|count| {
        let (allocations, sum) = count.get();
        count.set((allocations + 1, sum + bytes as u64));
    });
}

#[expect(unsafe_code, reason = "this is the interface of allocators")]
// SAFETY: everything is handed through to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Allocations and bytes of this thread so far.
pub(crate) fn allocated() -> (u64, u64) {
    COUNT.get()
}

/// The processor time of this thread: what others take from the machine does not count.
pub(crate) struct OwnTime(Duration);

impl OwnTime {
    pub(crate) fn now() -> Self {
        let time = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
        let nanos = u32::try_from(time.tv_nsec).unwrap();
        Self(Duration::new(u64::try_from(time.tv_sec).unwrap(), nanos))
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

/// Leaves the processor to others for so long.
pub(crate) fn rest(time: Duration) {
    let begun = Instant::now();
    while let Some(left) = time.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

pub(crate) fn nanos(total: Duration, operations: u64) -> f64 {
    total.as_secs_f64() * 1e9 / operations as f64
}

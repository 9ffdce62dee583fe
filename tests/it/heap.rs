//! What a thread takes from the heap: how often, and how much at once.

use std::alloc::GlobalAlloc;
use std::alloc::Layout;
use std::alloc::System;
use std::cell::Cell;

thread_local! {
    static IS_ARMED: Cell<bool> = const { Cell::new(false) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
    /// Bytes taken less those given back since it was armed, which may be some from before.
    static TAKEN: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

/// Counts what a thread allocates while it is armed.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Notes that so many bytes come and go.
fn note(count: u64, more: usize, less: usize) {
    // A thread that is ending has no counters any more.
    let _ended = IS_ARMED.try_with(|is_armed| {
        if is_armed.get() {
            COUNT.set(COUNT.get() + count);
            let bytes = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
            TAKEN.set(TAKEN.get() + bytes(more) - bytes(less));
            PEAK.set(PEAK.get().max(TAKEN.get()));
        }
    });
}

#[expect(unsafe_code, reason = "this is the interface of allocators")]
// SAFETY: everything is handed through to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size(), 0);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size(), 0);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(1, size, layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, 0, layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Begins to count what this thread allocates.
pub(crate) fn arm() {
    COUNT.set(0);
    TAKEN.set(0);
    PEAK.set(0);
    IS_ARMED.set(true);
}

/// Ends that, and returns how often it did.
pub(crate) fn disarm() -> u64 {
    IS_ARMED.set(false);
    COUNT.get()
}

/// What this thread took and did not give back while it was armed, in bytes.
pub(crate) fn held_bytes() -> i64 {
    TAKEN.get()
}

/// The most bytes that this thread has taken more than given back while it does some work.
pub(crate) fn peak_bytes(work: impl FnOnce()) -> u64 {
    arm();
    work();
    disarm();
    u64::try_from(PEAK.get()).unwrap()
}

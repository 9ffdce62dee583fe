//! What every thread writes for every request: one stripe for each thread, so that no two threads
//! write the same cache line. Whoever wants to know adds the stripes up.

use std::cell::Cell;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use crossbeam_utils::CachePadded;

/// Threads beyond this number share stripes; nothing but their speed depends on it.
const STRIPES: usize = 128;

/// One `T` for each thread. The threads' own writes must be atomic all the same.
#[derive(Debug)]
pub(crate) struct Stripes<T>(Box<[CachePadded<T>; STRIPES]>);

/// The number of the calling thread: threads are counted in the order in which they first ask.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static MINE: Cell<Option<usize>> = const { Cell::new(None) });
    let mine = MINE.try_with(|mine| {
        mine.get().unwrap_or_else(|| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            mine.set(Some(number));
            number
        })
    });
    // A thread that is ending has no number any more.
    mine.unwrap_or(0)
}

impl<T: Default> Default for Stripes<T> {
    fn default() -> Self {
        // Made on the heap from the start: on the stack all of them together would be too large.
        let stripes: Box<[CachePadded<T>]> = (0..STRIPES).map(|_| CachePadded::default()).collect();
        let Ok(stripes) = stripes.try_into() else { unreachable!("there are so many") };
        Self(stripes)
    }
}

impl<T> Stripes<T> {
    /// The stripe of the calling thread.
    pub(crate) fn mine(&self) -> &T {
        &self.0[thread_number() % STRIPES]
    }

    /// All of them, to be added up.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|stripe| &**stripe)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn threads_write_lines_of_their_own_and_nothing_is_lost() {
        let stripes = Stripes::<AtomicU64>::default();
        let count = || {
            let mine = stripes.mine();
            mine.fetch_add(1, Ordering::Relaxed);
            std::ptr::from_ref(mine).addr()
        };
        let mut lines: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap() / 64).collect()
        });
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), 8);
        assert_eq!(stripes.iter().map(|stripe| stripe.load(Ordering::Relaxed)).sum::<u64>(), 8);
    }
}

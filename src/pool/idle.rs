//! Free memory that the process still holds, given back to the system.
//!
//! The allocator keeps what was freed: after a burst the process has hundreds of megabytes resident that
//! nobody uses. Sensors count them as used, so a zone would stay red, and replay paused, until a
//! restart.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::pool::memory::Memory;

/// How often the system gets back what nobody needed.
const EVERY: Duration = Duration::from_secs(10);
/// How often while memory is short. Each time the allocator walks over all that is free.
const EVERY_IN_NEED: Duration = Duration::from_secs(1);

impl Memory {
    /// Reports that memory is short: what the process holds idle goes back to the system within a second.
    /// Cheap enough for each look of a sensor.
    pub fn report_short(&self) {
        self.short.notify_one();
    }

    /// Gives memory that nobody needs back to the system, until stopped: every 10 seconds the buffers that
    /// nobody used meanwhile and the free heap, and each second all idle buffers and the free heap while
    /// memory is short.
    pub async fn tend(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let is_short = tokio::select! {
                () = stop.cancelled() => return,
                () = self.short.notified() => true,
                () = tokio::time::sleep(EVERY) => false,
            };
            let pool = Arc::clone(&self.pool);
            // The allocator may take milliseconds, and locks out other threads meanwhile: at least no
            // worker waits in it.
            let work = tokio::task::spawn_blocking(move || {
                if is_short {
                    pool.release_idle();
                } else {
                    pool.trim();
                }
                release_free_heap();
            });
            if let Err(error) = work.await {
                tracing::error!(%error, "Cannot release idle memory.");
            }
            let pause = tokio::time::timeout(EVERY_IN_NEED, stop.cancelled());
            if pause.await.is_ok() {
                return;
            }
        }
    }
}

/// Gives the pages of the heap that hold nothing back to the system. Other allocators than that of glibc do
/// so by themselves.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn release_free_heap() {
    #[expect(unsafe_code, reason = "the allocator has no safe interface for this")]
    // SAFETY: it takes no pointer, may be called from any thread, and touches free chunks only.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
const fn release_free_heap() {}

#[cfg(test)]
mod tests {
    use crate::pool::Pool;

    #[test]
    fn a_pool_gives_all_that_is_idle_back_when_memory_is_short() {
        let pool = Pool::new(1 << 20);
        let buffer = |bytes| pool.acquire(bytes, None).unwrap();
        let held = [4 << 10, 64 << 10, 64 << 10, 256 << 10].map(buffer);
        let kept = buffer(64 << 10);
        drop(held);
        assert_eq!(pool.idle_bytes(), 388 << 10);
        pool.release_idle();
        assert_eq!(pool.idle_bytes(), 0);
        drop(kept);
        assert_eq!(pool.idle_bytes(), 64 << 10, "what was in use is kept as ever");
    }
}

//! Numbers and switches shared by the writer's threads and its callers.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;

/// Locks a mutex; a thread that panicked while holding it left plain numbers, which stay usable.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state an append looks at before anything else.
#[derive(Debug, Default)]
pub(super) struct VaultGauges {
    /// No new records: `close` was called.
    pub(super) is_closing: AtomicBool,
    /// The writer thread has ended; whoever still queues must take it back.
    pub(super) is_ended: AtomicBool,
    /// Repeated disk failures: nothing is taken until a try on a new segment succeeds.
    pub(super) has_failed: AtomicBool,
    /// When that will be tried again, from the last try on.
    pub(super) retry_delay_ms: AtomicU64,
    /// The last attempt to make a spare failed, and not for want of space.
    pub(super) has_disk_trouble: AtomicBool,
    /// The number of a segment whose file was taken away while it took records; 0 for none.
    pub(super) gone_segment: AtomicU64,
    /// Closed segments that were not sealed yet, so perhaps not synced.
    pub(super) unsealed_segments: AtomicU64,
    /// What a record larger than a segment needed and did not find, since retention ran last.
    pub(super) asked_bytes: AtomicU64,
    /// So much arrives that compressing it takes a good part of a processor.
    pub(super) is_heavy: AtomicBool,
    /// Bytes the open segment still takes.
    pub(super) room_bytes: AtomicU64,
    /// Bytes accepted and not yet written, as they will lie on disk.
    pub(super) staged_bytes: AtomicU64,
    /// Duration of the last commit.
    pub(super) commit_latency_ns: AtomicU64,
    /// Commit groups written.
    pub(super) commits: AtomicU64,
    /// Those of them that were written ahead.
    pub(super) commits_ahead: AtomicU64,
    /// Segments whose write failed, or that read back other than written.
    pub(super) suspect_segments: AtomicU64,
    /// Sealed segments that were not read back yet.
    pub(super) unread_segments: AtomicU64,
}

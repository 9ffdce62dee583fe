//! The ambient look: every so many operations a worker glances at the pressure of its own edges.

use std::cell::Cell;
use std::sync::Arc;

use tokio::sync::Notify;

thread_local!(static OPERATIONS: Cell<u32> = const { Cell::new(0) });

/// Counts operations per worker thread and asks the controller to look when pressure is high.
///
/// The counter is the worker's own, so counting writes no line that another worker writes.
#[derive(Clone, Debug)]
pub struct Pulse {
    check_every: u32,
    high_permille: u32,
    alarm: Arc<Notify>,
}

impl Pulse {
    /// Makes a pulse that looks every `check_every` operations, and raises `alarm` when an edge is
    /// at `high_permille` or above.
    #[must_use]
    pub fn new(check_every: u32, high_permille: u32, alarm: Arc<Notify>) -> Self {
        Self { check_every: check_every.max(1), high_permille, alarm }
    }

    /// Counts one operation; returns whether it is time to look.
    pub(super) fn beat(&self) -> bool {
        OPERATIONS
            .try_with(|operations| {
                let count = operations.get() + 1;
                let is_due = count >= self.check_every;
                operations.set(if is_due { 0 } else { count });
                is_due
            })
            .unwrap_or(false)
    }

    /// Reports the pressure seen.
    pub(super) fn report(&self, occupancy_permille: u32) {
        if occupancy_permille >= self.high_permille {
            self.alarm.notify_one();
        }
    }
}

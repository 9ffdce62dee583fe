//! The reflex: what is decided for every request, in its source's own task, at once.
//!
//! ```text
//!   request
//!      |
//!   1. emergency switch -- thrown ----------------------------> the vault   Diverted
//!      |  one relaxed load, every request
//!   2. ambient zone      -- an edge is nearly full --> rings the controller, and goes on
//!      |  every `check_every` requests of this worker thread
//!   3. try-send          -- every edge is full ---------------> the vault   Spilled
//!      |  \-- some are full, or a backend is out -------------> both        Split
//!      |  a place in each edge
//!      v
//!   the pipeline                                     no room there either: given back, Full
//! ```
//!
//! Nothing here locks, allocates, formats, logs or waits, and nothing writes a cache line that
//! another worker writes, but for the edge or the vault that takes the batch.
//! `benches/reflex/` measures that, `tests/it/allocations.rs` counts.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use crossbeam_utils::CachePadded;

use super::pulse::Pulse;
use super::table::Full;
use super::table::Placement;
use super::table::RouteTable;
use crate::event::Batch;

/// The emergency switch of a process: thrown, every source that has a vault sends everything there.
///
/// Whoever turns the zone Red throws it; workers only ever read it.
#[derive(Debug, Default)]
pub struct Switch(CachePadded<Orders>);

/// What sources are told, all of it on one line that is seldom written.
#[derive(Debug, Default)]
struct Orders {
    is_thrown: AtomicBool,
    /// Sources take no new requests.
    is_draining: AtomicBool,
}

impl Switch {
    /// Throws it, or sets it back. The next request follows.
    pub fn set(&self, is_thrown: bool) {
        self.0.is_thrown.store(is_thrown, Ordering::Release);
    }

    /// Whether it is thrown.
    fn is_thrown(&self) -> bool {
        self.0.is_thrown.load(Ordering::Relaxed)
    }

    /// Lets sources refuse new requests, or take them again. The next request follows.
    pub fn drain(&self, is_draining: bool) {
        self.0.is_draining.store(is_draining, Ordering::Release);
    }

    /// Whether sources refuse new requests.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.is_draining.load(Ordering::Relaxed)
    }
}

/// What a source has, and a transform has not: the right to decide between pipeline and vault.
#[derive(Clone, Debug)]
pub struct Reflex {
    switch: Arc<Switch>,
    pulse: Pulse,
}

impl Reflex {
    /// Makes the reflex of one source.
    #[must_use]
    pub const fn new(switch: Arc<Switch>, pulse: Pulse) -> Self {
        Self { switch, pulse }
    }

    /// Whether new requests are refused.
    pub(super) fn is_draining(&self) -> bool {
        self.switch.is_draining()
    }

    /// Places a batch along `table`, or gives it back.
    pub(super) fn place(&self, table: &RouteTable, mut batch: Batch) -> Result<Placement, Full> {
        // 1. Emergency switch.
        let is_thrown = self.switch.is_thrown();
        if let Some(pivot) = &table.pivot
            && (is_thrown || pivot.takes_all)
        {
            return pivot.vault.try_take(batch).map(|()| Placement::Diverted);
        }
        // 2. Ambient zone.
        if self.pulse.beat() {
            self.pulse.report(table.occupancy_permille());
        }
        // 3. Try-send. A sink that does not get rid of it at once leaves it to the vault, if that has room.
        batch.back(table.pivot.as_ref().is_some_and(|pivot| pivot.vault.has_room()));
        match &table.pivot {
            None => table.fan_out(batch).map(|()| Placement::Pipeline),
            Some(pivot) if !table.has_one_way() => table.split(pivot, batch),
            Some(pivot) => match table.fan_out(batch) {
                Ok(()) => Ok(Placement::Pipeline),
                Err(Full(batch)) => pivot.vault.try_take(batch).map(|()| Placement::Spilled),
            },
        }
    }
}

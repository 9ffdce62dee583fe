//! The memory of one process: a share for each part, and the pool they take buffers from.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::pool::budget::Budget;
use crate::pool::buffer::Pool;

/// How many bytes each part may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Requests on their way in.
    pub ingest: u64,
    /// Batches that wait in edges.
    pub edges: u64,
    /// What transforms take beside the requests that they work on.
    pub processing: u64,
    /// Requests on their way into a vault.
    pub vault: u64,
    /// Requests on their way out of a vault.
    pub replay: u64,
    /// What is compressed and uploaded by `s3` sinks.
    pub s3: u64,
}

/// The shares of a process and its pool.
#[derive(Debug)]
pub struct Memory {
    /// Requests on their way in, from their first byte to their answer.
    pub ingest: Arc<Budget>,
    /// Batches that wait in edges.
    pub edges: Arc<Budget>,
    /// What transforms take beside the requests that they work on.
    pub processing: Arc<Budget>,
    /// Requests on their way into a vault.
    pub vault: Arc<Budget>,
    /// Requests on their way out of a vault.
    pub replay: Arc<Budget>,
    /// What is compressed and uploaded by `s3` sinks.
    pub s3: Arc<Budget>,
    /// Where buffers come from.
    pub pool: Arc<Pool>,
    /// Memory is short: idle memory goes back to the system now.
    pub(super) short: Notify,
}

impl MemoryLimits {
    /// As good as none.
    pub const NONE: Self = Self {
        ingest: u64::MAX,
        edges: u64::MAX,
        processing: u64::MAX,
        vault: u64::MAX,
        replay: u64::MAX,
        s3: u64::MAX,
    };

    /// The pool keeps an eighth of what requests may use: enough for the steady state, and little
    /// beside the budget.
    const fn idle_bytes(&self) -> u64 {
        self.ingest / 8
    }
}

impl Memory {
    /// Makes the shares.
    #[must_use]
    pub fn new(limits: &MemoryLimits) -> Arc<Self> {
        Arc::new(Self {
            ingest: Budget::new("ingest", limits.ingest),
            edges: Budget::new("edges", limits.edges),
            processing: Budget::new("processing", limits.processing),
            vault: Budget::new("vault", limits.vault),
            replay: Budget::new("replay", limits.replay),
            s3: Budget::new("s3", limits.s3),
            pool: Pool::new(limits.idle_bytes()),
            short: Notify::new(),
        })
    }

    /// The shares, in the order in which they are shown.
    pub fn each(&self) -> impl Iterator<Item = &Arc<Budget>> {
        let Self { ingest, edges, processing, vault, replay, s3, .. } = self;
        [ingest, edges, processing, vault, replay, s3].into_iter()
    }

    /// The shares whose fill is pressure, with how full they are in thousandths. The others are not:
    /// edges are sensed each for itself, what is processed is done in a moment, staging is taken once for as
    /// long as a vault is open, as is that of `s3`, and replay fills its share whenever there is something to replay.
    pub fn pressing(&self) -> impl Iterator<Item = (&'static str, u32)> {
        [&self.ingest].into_iter().map(|share| (share.name(), share.permille()))
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> MemoryLimits {
        MemoryLimits {
            ingest: self.ingest.limit(),
            edges: self.edges.limit(),
            processing: self.processing.limit(),
            vault: self.vault.limit(),
            replay: self.replay.limit(),
            s3: self.s3.limit(),
        }
    }

    /// Puts other limits in force; nothing that was granted is taken back.
    pub fn set_limits(&self, limits: &MemoryLimits) {
        self.ingest.set_limit(limits.ingest);
        self.edges.set_limit(limits.edges);
        self.processing.set_limit(limits.processing);
        self.vault.set_limit(limits.vault);
        self.replay.set_limit(limits.replay);
        self.s3.set_limit(limits.s3);
        self.pool.set_idle_max(limits.idle_bytes());
    }
}

impl Default for Memory {
    fn default() -> Self {
        Arc::into_inner(Self::new(&MemoryLimits::NONE)).expect("nobody else has it yet")
    }
}

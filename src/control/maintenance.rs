//! What operators maintain on a running process: its vaults, and whether it takes requests.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::draining::DrainState;
use crate::component::Vaults;
use crate::somatic::Governor;
use crate::topology::SharedParts;

/// What the commands for vaults, replays and draining work on.
#[derive(Clone)]
pub struct Maintenance {
    /// The open vaults.
    pub(super) vaults: Arc<Vaults>,
    /// How much background work may be done.
    pub(super) governor: Arc<Governor>,
    /// One vault is verified or counted at a time.
    pub(super) reading: Arc<Semaphore>,
    /// Since when requests are refused, and why.
    pub(super) drain: Arc<DrainState>,
}

impl Maintenance {
    /// Works on the parts of a process.
    #[must_use]
    pub fn new(shared: &SharedParts) -> Self {
        Self {
            vaults: Arc::clone(&shared.vaults),
            governor: Arc::clone(&shared.governor),
            reading: Arc::new(Semaphore::new(1)),
            drain: Arc::new(DrainState::new(Arc::clone(&shared.wiring))),
        }
    }
}

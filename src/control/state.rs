//! What is running, as the management plane sees it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::audit::AuditLog;
use super::history::History;
use super::maintenance::Maintenance;
use super::orders::Orders;
use crate::component::Vaults;
use crate::config::Config;
use crate::event::Ledgers;
use crate::logs::LogFilter;
use crate::metrics::Metrics;
use crate::pool::Memory;
use crate::topology::Wiring;
use crate::topology::Zones;

/// What is running, as the management plane sees it.
#[derive(Clone)]
pub struct ControlService {
    /// Since when.
    pub started: Instant,
    /// The configuration in force, and how many there have been.
    pub config: watch::Receiver<(u64, Arc<Config>)>,
    /// The zone.
    pub zones: Zones,
    /// The wiring.
    pub wiring: Arc<Wiring>,
    /// The books.
    pub ledgers: &'static Ledgers,
    /// The open vaults.
    pub vaults: Arc<Vaults>,
    /// The figures.
    pub metrics: Arc<Metrics>,
    /// The memory.
    pub memory: Arc<Memory>,
    /// Vaults that the configuration does not name.
    pub left_vaults: watch::Receiver<Vec<LeftVault>>,
    /// Whether the process is ready for requests.
    pub ready: Arc<AtomicBool>,
    /// What became of the last reload.
    pub last_reload: watch::Receiver<Option<LastReload>>,
    /// What only the process itself can do.
    pub orders: Orders,
    /// Which lines are logged.
    pub log_filter: LogFilter,
    /// Where changes are noted.
    pub audit: AuditLog,
    /// What was a moment ago.
    pub history: Arc<Mutex<History>>,
    /// What operators maintain.
    pub maintenance: Maintenance,
}

/// A directory that is no vault or spool of the configuration and holds requests that nobody delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftVault {
    /// Its directory.
    pub dir: PathBuf,
    /// Requests that are not delivered.
    pub requests: u64,
    /// Dead letters beside them.
    pub dead_letters: u64,
}

/// What became of a reload.
#[derive(Clone, Debug)]
pub struct LastReload {
    /// When it ended.
    pub at: Instant,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

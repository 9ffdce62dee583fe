//! What only the process itself can do, and what came of it.

use tokio::sync::mpsc;
use tokio::sync::oneshot;

/// Orders that wait for the one before.
pub const ORDERS_MAX: usize = 8;

/// Something for the process to do.
#[derive(Debug)]
pub enum Order {
    /// Read the configuration again and put it in force, or only say what that would change.
    Reload {
        /// Only say it.
        is_dry_run: bool,
        /// Who wants to know; nobody may be waiting any more.
        reply: oneshot::Sender<Result<Reloaded, String>>,
    },
}

/// Where orders go to.
pub type Orders = mpsc::Sender<Order>;

/// What a reload changed, or would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// How many configurations there have been.
    pub generation: u64,
    /// Each component with what became of it, or would.
    pub components: Vec<(String, String)>,
    /// The keys of the document, apart from components, whose values differ.
    pub settings: Vec<String>,
}

//! The registry of listening sockets, which outlive the sources that open them.

use std::any::Any;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use parking_lot::MutexGuard;

use crate::net::Descriptors;

/// The listening sockets of this process, so that a source that is replaced by a reload hands its
/// socket on and no connection is refused in between.
pub struct Listeners {
    open: Mutex<BTreeMap<SocketAddr, Listening>>,
    /// How many file descriptors all connections of sources may use.
    descriptors: Arc<Descriptors>,
}

impl Default for Listeners {
    fn default() -> Self {
        Self { open: Mutex::default(), descriptors: Descriptors::new(u64::MAX) }
    }
}

/// An open socket, and what its source keeps there for a successor.
struct Listening {
    socket: std::net::TcpListener,
    kept: Option<Arc<dyn Any + Send + Sync>>,
}

impl Listeners {
    /// Returns a listener on an address; one that is already open is shared.
    ///
    /// # Errors
    ///
    /// What the system says when the address cannot be bound.
    pub fn bind(&self, address: SocketAddr) -> std::io::Result<tokio::net::TcpListener> {
        let mut open = self.lock();
        if let Some(listening) = open.get(&address) {
            return tokio::net::TcpListener::from_std(listening.socket.try_clone()?);
        }
        let socket = std::net::TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        if address.port() != 0 {
            open.insert(address, Listening { socket: socket.try_clone()?, kept: None });
        }
        tokio::net::TcpListener::from_std(socket)
    }

    /// Returns what was kept at an address that is bound, if it fits, or keeps something new there:
    /// what is to outlive the source, like its open connections.
    pub fn keep<T: Any + Send + Sync>(
        &self,
        address: SocketAddr,
        fits: impl FnOnce(&T) -> bool,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        let mut open = self.lock();
        let listening = open.get_mut(&address);
        let kept = listening.as_ref().and_then(|listening| listening.kept.clone());
        if let Some(kept) =
            kept.and_then(|kept| kept.downcast::<T>().ok()).filter(|kept| fits(kept))
        {
            return kept;
        }
        let fresh = Arc::new(make());
        if let Some(listening) = listening {
            listening.kept = Some(Arc::clone(&fresh) as Arc<dyn Any + Send + Sync>);
        }
        fresh
    }

    /// The file descriptors that connections of sources may use.
    #[must_use]
    pub fn descriptors(&self) -> Arc<Descriptors> {
        Arc::clone(&self.descriptors)
    }

    /// Closes the sockets that are not in `wanted` any more.
    pub fn retain(&self, wanted: &[SocketAddr]) {
        self.lock().retain(|address, _| wanted.contains(address));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Listening>> {
        self.open.lock()
    }
}

//! File descriptors: the limit of the process, and how many of them connections may use.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use rustix::process::Resource;
use rustix::process::Rlimit;

/// How many descriptors the connections of sources may use, so that the vault, outgoing connections, the
/// control socket and the health checks always find one.
#[derive(Debug)]
pub struct Descriptors {
    limit: AtomicU64,
    used: AtomicU64,
}

/// One descriptor, until it is dropped.
#[derive(Debug)]
pub(super) struct DescriptorShare(Arc<Descriptors>);

impl Descriptors {
    /// So many for connections.
    #[must_use]
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit: AtomicU64::new(limit), used: AtomicU64::new(0) })
    }

    /// Another limit from now on; connections beyond it stay until they end.
    pub fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Relaxed);
    }

    /// Takes one, if there is one.
    pub(super) fn try_take(self: &Arc<Self>) -> Option<DescriptorShare> {
        let limit = self.limit.load(Relaxed);
        let more = |used: u64| (used < limit).then_some(used + 1);
        self.used.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(DescriptorShare(Arc::clone(self)))
    }
}

impl Drop for DescriptorShare {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Relaxed);
    }
}

/// Raises the limit of the process to what the system allows it, and returns it.
///
/// # Errors
///
/// What the system says; then it is as it was.
pub fn raise_descriptor_limit() -> std::io::Result<u64> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let maximum = limit.maximum.unwrap_or(u64::MAX);
    let current = limit.current.unwrap_or(u64::MAX);
    if maximum <= current {
        return Ok(current);
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(Resource::Nofile, raised)?;
    Ok(maximum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_the_process_is_raised_to_what_it_may_have() {
        let limit = raise_descriptor_limit().unwrap();
        let now = rustix::process::getrlimit(Resource::Nofile);
        assert_eq!(now.current, now.maximum);
        assert_eq!(now.current.unwrap_or(u64::MAX), limit);
    }

    #[test]
    fn a_lower_limit_takes_nothing_away() {
        let descriptors = Descriptors::new(2);
        let shares = [descriptors.try_take(), descriptors.try_take()];
        assert!(shares.iter().all(Option::is_some) && descriptors.try_take().is_none());
        descriptors.set_limit(1);
        drop(shares);
        let _share = descriptors.try_take().unwrap();
        assert!(descriptors.try_take().is_none());
    }
}

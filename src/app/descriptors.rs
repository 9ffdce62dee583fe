//! File descriptors: as many as the system allows, and some kept for what must go on.

use crate::config::Config;
use crate::net::Descriptors;
use crate::net::raise_descriptor_limit;

/// Connections may always use this part of all descriptors, whatever else is configured.
const CONNECTIONS_SHARE: u64 = 4;

/// Raises the soft limit of descriptors to the hard one, and returns what the process may have.
pub(super) fn raise() -> u64 {
    match raise_descriptor_limit() {
        Ok(limit) => limit,
        Err(error) => {
            tracing::warn!(%error, "Cannot raise the limit of file descriptors.");
            let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
            limit.current.unwrap_or(u64::MAX)
        }
    }
}

/// Lets the connections of sources use what the vaults, sinks, control socket and health checks of a
/// configuration leave, and says so if that is less than the configuration allows them.
pub(super) fn share_out(descriptors: &Descriptors, limit: u64, config: &Config) {
    let (wanted, beside) = (config.connections_max(), config.descriptors_beside());
    let allowed = allowed(limit, beside);
    descriptors.set_limit(allowed);
    if allowed < wanted {
        tracing::warn!(
            limit,
            reserved = beside,
            connections_max = wanted,
            allowed,
            "The limit of file descriptors is too low for connections_max of all listeners, so \
             they allow fewer connections. Raise it (ulimit -n, LimitNOFILE), or lower \
             connections_max."
        );
    }
}

/// How many of all descriptors connections may use.
fn allowed(limit: u64, beside: u64) -> u64 {
    limit.saturating_sub(beside).max(limit / CONNECTIONS_SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_what_the_others_leave_and_never_nothing() {
        assert_eq!(allowed(1_048_576, 300), 1_048_276);
        assert_eq!(allowed(1024, 300), 724);
        assert_eq!(allowed(256, 300), 64);
        assert_eq!(allowed(u64::MAX, 300), u64::MAX - 300);
    }
}

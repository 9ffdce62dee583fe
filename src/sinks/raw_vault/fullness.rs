//! A vault that has no room is told once, and once when it has room again.

use std::time::Duration;
use std::time::Instant;

use gophership_units::seconds_of;
use gophership_vault::Stats;
use gophership_vault::WhenFull;

/// Since when the vault is full.
#[derive(Debug)]
pub(super) struct FullnessWatch {
    when_full: WhenFull,
    since: Option<Instant>,
}

/// What is to be told.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Full,
    HasRoom(Duration),
}

impl FullnessWatch {
    pub(super) const fn new(when_full: WhenFull) -> Self {
        Self { when_full, since: None }
    }

    /// Tells what is new.
    pub(super) fn look(&mut self, vault: &str, stats: &Stats, now: Instant) {
        // A vault that drops the oldest requests is full all the time, and each drop is told.
        let is_full = stats.is_full && self.when_full == WhenFull::Refuse;
        let (used_bytes, max_bytes) = (stats.used_bytes, stats.max_bytes);
        match self.news(is_full, now) {
            Some(News::Full) => tracing::error!(
                %vault, used_bytes, max_bytes, waiting_requests = stats.backlog.records,
                "The vault is full; GopherShip refuses requests that the sinks do not take at once, until \
                 requests in the vault are delivered."
            ),
            Some(News::HasRoom(after)) => tracing::info!(
                %vault, used_bytes, max_bytes, after_seconds = seconds_of(after),
                "The vault has room again; it takes requests."
            ),
            None => {}
        }
    }

    fn news(&mut self, is_full: bool, now: Instant) -> Option<News> {
        match (is_full, self.since) {
            (true, None) => {
                self.since = Some(now);
                Some(News::Full)
            }
            (false, Some(since)) => {
                self.since = None;
                Some(News::HasRoom(now.saturating_duration_since(since)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_told_once() {
        let (mut watch, start) = (FullnessWatch::new(WhenFull::Refuse), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(watch.news(false, at(0)), None);
        assert_eq!(watch.news(true, at(1)), Some(News::Full));
        assert_eq!(watch.news(true, at(2)), None);
        assert_eq!(watch.news(false, at(9)), Some(News::HasRoom(Duration::from_secs(8))));
        assert_eq!(watch.news(false, at(10)), None);
    }
}

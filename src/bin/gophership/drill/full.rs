//! When the vaults had no room, as their metric told, and which refusals that excuses.

use std::time::Duration;

use tokio::time::Instant;

/// What the server's metrics told, look by look.
#[derive(Debug)]
pub(super) struct Fullness {
    /// From the last look that saw room to the first one that saw room again, or to no end yet.
    spans: Vec<(Instant, Option<Instant>)>,
    room_at: Instant,
    /// The most bytes of disk in use.
    pub(super) used_max: u64,
    /// What was found corrupt, at the last look.
    pub(super) corrupt: u64,
}

impl Fullness {
    pub(super) fn new(now: Instant) -> Self {
        Self { spans: Vec::new(), room_at: now, used_max: 0, corrupt: 0 }
    }

    /// Notes a look that took from `begun` to `ended`; what it saw was so at some moment between.
    pub(super) fn look(&mut self, is_full: bool, begun: Instant, ended: Instant) {
        let open = self.spans.last_mut().filter(|(_, end)| end.is_none());
        match (open, is_full) {
            (None, true) => self.spans.push((self.room_at, None)),
            (Some((_, end)), false) => *end = Some(ended),
            _ => {}
        }
        if !is_full {
            self.room_at = begun;
        }
    }

    /// Whether there may have been no room at some moment of this time.
    pub(super) fn meets(&self, begun: Instant, ended: Instant) -> bool {
        let meets = |(from, to): &(Instant, Option<Instant>)| {
            *from <= ended && to.is_none_or(|to| begun <= to)
        };
        self.spans.iter().any(meets)
    }

    /// How long there was no room, at most.
    pub(super) fn lasted(&self, now: Instant) -> Duration {
        let last =
            |(from, to): &(Instant, Option<Instant>)| to.unwrap_or(now).duration_since(*from);
        self.spans.iter().map(last).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_excused_only_by_a_vault_that_had_no_room_meanwhile() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut full = Fullness::new(start);
        for (second, is_full) in [(1, false), (2, true), (3, true), (4, false), (6, false)] {
            full.look(is_full, at(second), at(second));
        }
        let before = at(1) - Duration::from_millis(1);
        assert!(!full.meets(start, before) && full.meets(start, at(1)) && full.meets(at(3), at(9)));
        assert!(!full.meets(at(5), at(9)));
        assert_eq!(full.lasted(at(9)), Duration::from_secs(3));
        // The server was killed while it was full, and nobody has looked since.
        full.look(true, at(8), at(8));
        assert!(full.meets(at(20), at(21)) && !full.meets(at(5), at(5)));
    }
}

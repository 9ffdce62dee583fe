//! Which segments of an archive are meant.

use gophership_archive::Manifest;

/// A manifest sums up under this name what it does not list.
const OTHER: &str = "(other)";

/// Which segments are meant; everything by default. A segment is meant if any of its requests may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Requests received at this time or later, in nanoseconds since 1970.
    pub since_unix_ns: Option<u64>,
    /// Requests received before this time.
    pub until_unix_ns: Option<u64>,
    /// Received by one of these components; any if it is empty.
    pub sources: Vec<String>,
    /// Archived by one of these machines; any if it is empty.
    pub nodes: Vec<String>,
    /// Of one of these signals; any if it is empty.
    pub signals: Vec<String>,
    /// Numbers of the first and the last segment.
    pub segments: Option<(u64, u64)>,
    /// Of this vault.
    pub vault_id: Option<u128>,
}

impl Selection {
    /// Whether a segment may have requests that are meant.
    #[must_use]
    pub fn wants(&self, manifest: &Manifest) -> bool {
        let is_in_time = match manifest.received {
            Some(received) => {
                self.since_unix_ns.is_none_or(|since| since <= received.last_unix_ns)
                    && self.until_unix_ns.is_none_or(|until| received.first_unix_ns < until)
            }
            None => self.since_unix_ns.is_none() && self.until_unix_ns.is_none(),
        };
        let has_any = |wanted: &[String], has: &dyn Fn(&str) -> bool| {
            wanted.is_empty() || has(OTHER) || wanted.iter().any(|name| has(name))
        };
        is_in_time
            && has_any(&self.sources, &|name| manifest.sources.contains_key(name))
            && has_any(&self.signals, &|name| manifest.signals.contains_key(name))
            && (self.nodes.is_empty() || self.nodes.contains(&manifest.node))
            && self.wants_segment(manifest.vault_id, manifest.segment)
    }

    /// Whether a segment is meant, as far as its number says.
    pub(crate) fn wants_segment(&self, vault_id: u128, segment: u64) -> bool {
        self.vault_id.is_none_or(|wanted| wanted == vault_id)
            && self.segments.is_none_or(|(first, last)| (first..=last).contains(&segment))
    }
}

//! Which stored requests are meant.

use std::time::Duration;

use gophership_archive::Manifest;
use gophership_vault::RecordSelection;
use gophership_vault::StoredRecord;
use gophership_vault::Survey;

use super::found::FoundSum;
use super::location::ArchiveLocation;
use crate::event::Note;
use crate::event::Signal;

/// A segment may hold requests that were received this long before its first or after its last one: those
/// that waited before they came into the vault.
const OUT_OF_ORDER: Duration = Duration::from_hours(1);

/// Which requests of a vault are meant, and how they are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayRange {
    /// The archive that has them; without one the vault.
    pub archive: Option<ArchiveLocation>,
    /// Received at this time or later, in nanoseconds since 1970.
    pub since_unix_ns: Option<u64>,
    /// Received before this time.
    pub until_unix_ns: Option<u64>,
    /// Received by this source.
    pub source: Option<String>,
    /// Of this signal.
    pub signal: Option<Signal>,
    /// Records a second at most; as the pressure allows without it.
    pub rate: Option<u32>,
    /// The sinks that they are sent to.
    pub sinks: Vec<String>,
}

impl ReplayRange {
    /// Whether a record is meant.
    pub(super) fn has(&self, record: &StoredRecord) -> bool {
        let at = record.received_unix_ns;
        let is_of_signal =
            |signal: Signal| Signal::from_u8(record.signal).is_some_and(|it| it == signal);
        self.since_unix_ns.is_none_or(|since| since <= at)
            && self.until_unix_ns.is_none_or(|until| at < until)
            && self.signal.is_none_or(is_of_signal)
            && self.source.as_ref().is_none_or(|name| {
                let note = Note::read(&record.attrs);
                note.source_name() == name
            })
    }

    /// How much of a segment is meant, if its manifest tells: not if it is meant in part by time, or by
    /// signal and source together.
    pub(super) fn count_of(&self, manifest: &Manifest) -> Option<FoundSum> {
        let received = manifest.received?;
        let is_whole = self.since_unix_ns.is_none_or(|since| since <= received.first_unix_ns)
            && self.until_unix_ns.is_none_or(|until| received.last_unix_ns < until);
        let is_told = self.source.is_none() && (self.signal.is_none() || is_one_signal(manifest));
        if !is_whole || !is_told {
            return None;
        }
        let mut sum = FoundSum {
            oldest_unix_ns: received.first_unix_ns,
            newest_unix_ns: received.last_unix_ns,
            ..FoundSum::default()
        };
        let is_meant = |name: &str| self.signal.is_none_or(|signal| signal.name() == name);
        for (_, count) in manifest.signals.iter().filter(|(name, _)| is_meant(name)) {
            sum.requests += count.requests;
            sum.records += count.records;
            sum.bytes += count.bytes;
        }
        Some(sum)
    }

    /// What of a vault must be read for it: up to this record, in the segments that can have some of it.
    pub(super) fn selection(&self, survey: &Survey, last_seq: u64) -> RecordSelection {
        let slack = u64::try_from(OUT_OF_ORDER.as_nanos()).unwrap_or(u64::MAX);
        let since = self.since_unix_ns.unwrap_or(0).saturating_sub(slack);
        let until = self.until_unix_ns.unwrap_or(u64::MAX).saturating_add(slack);
        let with_records = survey.segments.iter().filter(|one| 0 < one.records);
        let ids: Vec<u64> = with_records
            .filter(|one| since <= one.last_received_unix_ns && one.created_unix_ns <= until)
            .map(|one| one.id.get())
            .collect();
        let segments = ids.iter().min().copied().zip(ids.iter().max().copied());
        // No segment has the number 0 and none the last one: nothing is read then.
        let segments = Some(segments.unwrap_or((u64::MAX, u64::MAX)));
        RecordSelection { segments, seqs: Some((0, last_seq)), cursor: None }
    }
}

/// Whether a segment has requests of one signal alone: then the times in its manifest are theirs.
fn is_one_signal(manifest: &Manifest) -> bool {
    manifest.signals.len() == 1
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::event::NoteSpace;
    use crate::event::Provenance;

    #[test]
    fn a_record_is_meant_if_time_signal_and_source_are() {
        let mut space = NoteSpace::default();
        let none = std::iter::empty();
        let attrs = Provenance::forever("otlp").note(3, none, &mut space).to_vec();
        let record = StoredRecord {
            seq: 1,
            signal: Signal::Traces as u8,
            received_unix_ns: 100,
            attrs,
            payload: Bytes::new(),
        };
        let all = ReplayRange::default();
        let with = |change: fn(&mut ReplayRange)| {
            let mut range = all.clone();
            change(&mut range);
            range.has(&record)
        };
        assert!(all.has(&record));
        assert!(with(|range| range.since_unix_ns = Some(100)));
        assert!(!with(|range| range.since_unix_ns = Some(101)));
        assert!(!with(|range| range.until_unix_ns = Some(100)));
        assert!(with(|range| range.until_unix_ns = Some(101)));
        assert!(with(|range| range.signal = Some(Signal::Traces)));
        assert!(!with(|range| range.signal = Some(Signal::Logs)));
        assert!(with(|range| range.source = Some("otlp".to_owned())));
        assert!(!with(|range| range.source = Some("other".to_owned())));
    }
}

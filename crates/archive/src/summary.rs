//! What is in a segment, as far as its manifest tells: signals, sources and times.
//!
//! The archive does not know what a record means; its caller says so of each.

use std::collections::BTreeMap;

use gophership_vault::RecordNote;
use gophership_vault::SealedSegment;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::error::ArchiveError;

/// Sources and signals beyond so many are summed up under [`OTHER`].
const NAMES_MAX: usize = 64;
/// The name that stands for all others.
const OTHER: &str = "(other)";

/// What a stored request means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestInfo {
    /// Its signal, like `logs`.
    pub signal: &'static str,
    /// Records in it: log records, spans or data points.
    pub records: u64,
    /// The component that received it.
    pub source: String,
}

/// How much of a signal is in a segment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignalCount {
    /// Requests.
    pub requests: u64,
    /// Log records, spans or data points.
    pub records: u64,
    /// Bytes of the requests before compression.
    pub bytes: u64,
}

/// How much of a source is in a segment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceCount {
    /// Requests.
    pub requests: u64,
    /// Log records, spans or data points.
    pub records: u64,
}

/// When the requests of a segment came in, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Received")]
pub struct ReceivedRange {
    /// The earliest time.
    pub first_unix_ns: u64,
    /// The latest time.
    pub last_unix_ns: u64,
}

/// What is in a segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentSummary {
    /// Requests.
    pub requests: u64,
    /// By signal.
    pub signals: BTreeMap<String, SignalCount>,
    /// By source.
    pub sources: BTreeMap<String, SourceCount>,
    /// When the requests came in; nothing without any.
    pub received: Option<ReceivedRange>,
}

impl SegmentSummary {
    /// Reads what stands beside the records of a segment. Blocks.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Vault`] when it cannot be read.
    pub fn of(
        segment: &SealedSegment,
        mut meaning: impl FnMut(&RecordNote<'_>) -> RequestInfo,
    ) -> Result<Self, ArchiveError> {
        let mut summary = Self::default();
        segment.for_each_note(|note| summary.add(note, &meaning(note)))?;
        Ok(summary)
    }

    fn add(&mut self, note: &RecordNote<'_>, meaning: &RequestInfo) {
        self.requests += 1;
        let signal = entry(&mut self.signals, meaning.signal);
        signal.requests += 1;
        signal.records = signal.records.saturating_add(meaning.records);
        signal.bytes += note.payload_bytes;
        let source = entry(&mut self.sources, &meaning.source);
        source.requests += 1;
        source.records = source.records.saturating_add(meaning.records);
        let at = note.received_unix_ns;
        let received =
            self.received.get_or_insert(ReceivedRange { first_unix_ns: at, last_unix_ns: at });
        received.first_unix_ns = received.first_unix_ns.min(at);
        received.last_unix_ns = received.last_unix_ns.max(at);
    }
}

fn entry<'a, T: Default>(counts: &'a mut BTreeMap<String, T>, name: &str) -> &'a mut T {
    let is_there = counts.contains_key(name) || counts.len() < NAMES_MAX;
    counts.entry(if is_there { name } else { OTHER }.to_owned()).or_default()
}

//! What of a log record counts when it is compared; pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use gophership_otlp::RecordView;

/// A part of a log record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RecordPart {
    /// The body.
    Body,
    /// Severity number and text.
    Severity,
    /// The attributes, in any order.
    Attributes,
    /// The name of the event.
    EventName,
    /// The resource and the instrumentation scope.
    Origin,
    /// The trace id.
    Trace,
}

/// The fields of a log record that are times.
const TIMES: [u32; 2] = [1, 11];

/// A hash of what counts.
pub(super) type ContentHash = [u8; 16];

/// Compares log records by some of their parts.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) parts: Vec<RecordPart>,
    /// Names of attributes that do not count.
    pub(super) ignored: Vec<String>,
}

impl RecordPart {
    /// The fields of a log record.
    const fn fields(self) -> &'static [u32] {
        match self {
            Self::Body => &[5],
            Self::Severity => &[2, 3],
            Self::Attributes => &[6],
            Self::EventName => &[12],
            Self::Trace => &[9],
            Self::Origin => &[],
        }
    }
}

impl Comparison {
    /// The hash of what counts of a record. The hashes of fields are added, so that their order
    /// does not matter.
    pub(super) fn content(&self, record: &RecordView<'_>) -> ContentHash {
        let mut sum: u128 = 0;
        for (number, value) in record.fields() {
            let Some(part) = self.part_of(number) else { continue };
            if part == RecordPart::Attributes && self.is_ignored(value) {
                continue;
            }
            sum = sum.wrapping_add(hash(number, value));
        }
        if self.parts.contains(&RecordPart::Origin) {
            // The pieces are not told apart by number, but a resource is no scope by accident.
            sum = record.origin().fold(sum, |sum, piece| sum.wrapping_add(hash(0, piece)));
        }
        sum.to_le_bytes()
    }

    fn part_of(&self, number: u32) -> Option<RecordPart> {
        self.parts.iter().copied().find(|part| part.fields().contains(&number))
    }

    /// Whether an attribute on the wire has one of the names that do not count. Its key comes
    /// first in what every known encoder writes; one that does not counts.
    fn is_ignored(&self, entry: &[u8]) -> bool {
        let [0x0a, len, rest @ ..] = entry else { return false };
        let key = rest.get(..usize::from(*len));
        *len < 0x80 && self.ignored.iter().any(|name| key == Some(name.as_bytes()))
    }
}

/// The hash of a whole record with its times: two of the same are the same record sent twice.
pub(super) fn identity(record: &RecordView<'_>) -> ContentHash {
    hash(0, record.wire()).to_le_bytes()
}

/// The hash of a whole request.
pub(super) fn request(wire: &[u8]) -> ContentHash {
    hash(0, wire).to_le_bytes()
}

/// Whether a record has neither a time nor the time at which it was observed.
pub(super) fn is_timeless(record: &RecordView<'_>) -> bool {
    let mut times = record.fields().filter(|(number, _)| TIMES.contains(number));
    times.all(|(_, value)| value.iter().all(|byte| *byte == 0))
}

fn hash(number: u32, value: &[u8]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&number.to_le_bytes()).update(value);
    let mut half = [0; 16];
    hasher.finalize_xof().fill(&mut half);
    u128::from_le_bytes(half)
}

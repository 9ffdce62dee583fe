//! The flight recorder: the last minutes of readings, for the file that is written when Red begins.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;
use std::time::Instant;

use super::kind::PressureKind;
use super::reading::Readings;
use super::zone::Zone;

/// Between two entries.
const ENTRY_EVERY: Duration = Duration::from_millis(100);
/// Two minutes.
const ENTRIES_MAX: usize = 1200;
/// A kind of which nothing was read.
const UNKNOWN: u16 = u16::MAX;

/// The highest number of each kind at one moment.
#[derive(Clone, Copy, Debug)]
struct Entry {
    unix_ms: u64,
    sensed: Zone,
    permille: [u16; PressureKind::ALL.len()],
}

/// A ring of what was read. Allocates once.
#[derive(Debug)]
pub struct Recorder {
    entries: VecDeque<Entry>,
    last: Option<Instant>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { entries: VecDeque::with_capacity(ENTRIES_MAX), last: None }
    }
}

impl Recorder {
    /// Notes what was read, unless it noted something just before.
    pub fn note(&mut self, now: Instant, unix_ms: u64, sensed: Zone, readings: &Readings) {
        let is_due =
            self.last.is_none_or(|last| ENTRY_EVERY <= now.saturating_duration_since(last));
        if is_due {
            self.note_now(now, unix_ms, sensed, readings);
        }
    }

    /// Notes what was read in any case: the moment that everything else is kept for.
    pub fn note_now(&mut self, now: Instant, unix_ms: u64, sensed: Zone, readings: &Readings) {
        let mut permille = [UNKNOWN; PressureKind::ALL.len()];
        for pressure in readings.iter() {
            let highest = &mut permille[pressure.kind as usize];
            let known = u16::try_from(pressure.permille).unwrap_or(UNKNOWN).min(UNKNOWN - 1);
            *highest = if *highest == UNKNOWN { known } else { known.max(*highest) };
        }
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { unix_ms, sensed, permille });
        self.last = Some(now);
    }

    /// Renders what is kept, oldest first: one JSON object per line, numbers in percent of what each
    /// [`PressureKind`] says.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        for Entry { unix_ms, sensed, permille } in &self.entries {
            // Writing to a string cannot fail.
            let _written = write!(text, "{{\"unix_ms\":{unix_ms},\"sensed\":\"{sensed}\"");
            for (kind, permille) in PressureKind::ALL.iter().zip(permille) {
                if *permille != UNKNOWN {
                    let (whole, tenth) = (permille / 10, permille % 10);
                    let _written = write!(text, ",\"{kind}\":{whole}.{tenth}");
                }
            }
            text.push_str("}\n");
        }
        text
    }
}

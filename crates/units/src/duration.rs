//! Durations.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;

use crate::UnitError;
use crate::deserialize_quantity;
use crate::scale;
use crate::split_number;

/// The units and their nanoseconds, the largest first.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A duration, written `250ms`, `1s`, `5m`, `1h`, `2d` or `1m30s`; at most 36500 days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(pub Duration);

impl HumanDuration {
    /// The longest duration that can be written: adding it to any clock is safe.
    pub const MAX: Duration = Duration::from_hours(36_500 * 24);

    /// Makes a duration of so many seconds.
    #[must_use]
    pub const fn seconds(seconds: u32) -> Self {
        Self(Duration::from_secs(seconds as u64))
    }

    /// Returns the duration.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for HumanDuration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = |reason| UnitError { text: text.to_owned(), kind: "duration", reason };
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let mut nanos: u64 = 0;
        let mut next_unit_idx = 0;
        loop {
            let Some((whole, fraction, tail)) = split_number(rest) else {
                return Err(error("write a number and a unit, like 250ms, 1s, 5m, 1h or 1m30s"));
            };
            let name_end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (name, tail) = tail.split_at_checked(name_end).unwrap_or((tail, ""));
            if name.is_empty() {
                return Err(error("a number needs a unit: ms, s, m, h or d"));
            }
            let Some(unit_idx) = UNITS.iter().position(|(unit, _)| *unit == name) else {
                return Err(error("the units are ms, s, m, h and d"));
            };
            if unit_idx < next_unit_idx {
                return Err(error("write the larger unit first, like 1m30s"));
            }
            next_unit_idx = unit_idx + 1;
            let sum = UNITS
                .get(unit_idx)
                .and_then(|(_, unit)| scale(whole, fraction, *unit))
                .and_then(|part| nanos.checked_add(part))
                .filter(|sum| Duration::from_nanos(*sum) <= Self::MAX);
            nanos = sum.ok_or_else(|| error("the limit is 36500 days"))?;
            rest = tail;
            if rest.is_empty() {
                return Ok(Self(Duration::from_nanos(nanos)));
            }
        }
    }
}

/// Writes the duration in all units it needs, like `1m30s`.
impl fmt::Display for HumanDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() {
            return formatter.write_str("0s");
        }
        let mut nanos = self.0.as_nanos();
        for (name, unit) in UNITS {
            let count = nanos / u128::from(unit);
            if 0 < count {
                write!(formatter, "{count}{name}")?;
            }
            nanos %= u128::from(unit);
        }
        Ok(())
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_quantity(deserializer, "a duration like 250ms, 1s, 5m or 1m30s", str::parse)
    }
}

impl schemars::JsonSchema for HumanDuration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A duration, like `250ms`, `1s`, `5m`, `1h`, `2d` or `1m30s`.",
            "type": "string",
            "pattern": "^(0|([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h|d))+)$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::HumanDuration;

    #[test]
    fn durations_are_read_and_written_in_units() {
        for (text, millis, written) in [
            ("1s", 1_000, "1s"),
            ("250ms", 250, "250ms"),
            ("1.5s", 1_500, "1s500ms"),
            ("5m", 300_000, "5m"),
            ("1m30s", 90_000, "1m30s"),
            ("90s", 90_000, "1m30s"),
            ("2d", 172_800_000, "2d"),
            ("0", 0, "0s"),
        ] {
            let duration: HumanDuration = text.parse().unwrap();
            assert_eq!(duration.get().as_millis(), millis, "{text}");
            assert_eq!(duration.to_string(), written, "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "10", "s", "-1s", "1 parsec", "30s1m", "1s1s", "1 s", "40000d", "1m-3s"] {
            assert!(text.parse::<HumanDuration>().is_err(), "{text}");
        }
    }
}

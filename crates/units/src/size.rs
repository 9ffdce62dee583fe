//! Sizes in bytes.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;

use crate::UnitError;
use crate::deserialize_quantity;
use crate::scale;
use crate::split_number;

/// The units by size, the binary before the decimal one of about the same size.
const UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
];

/// A size in bytes, written `64MiB`, `10GB` or, in bytes, `512`.
///
/// `KiB`, `MiB`, `GiB` and `TiB` are powers of 1024; `KB`, `MB`, `GB` and `TB` powers of 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// Makes a size of so many mebibytes.
    #[must_use]
    pub const fn mib(mib: u32) -> Self {
        Self((mib as u64) << 20)
    }

    /// Returns the size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = |reason| UnitError { text: text.to_owned(), kind: "size", reason };
        let trimmed = text.trim();
        let Some((whole, fraction, unit)) = split_number(trimmed) else {
            return Err(error("write a number and a unit, like 512, 64MiB or 10GB"));
        };
        let unit = unit.trim_start();
        let unit_bytes = match unit {
            "" | "B" if fraction.is_empty() => 1,
            "" | "B" => return Err(error("a number of bytes must be whole")),
            _ => match UNITS.iter().find(|(name, _)| *name == unit) {
                Some((_, unit_bytes)) => *unit_bytes,
                None => return Err(error("the units are KiB, MiB, GiB, TiB, KB, MB, GB and TB")),
            },
        };
        scale(whole, fraction, unit_bytes).map(Self).ok_or_else(|| error("the number is too large"))
    }
}

/// Writes the size in the largest unit that needs no fraction.
impl fmt::Display for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, unit): &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(*unit);
        match UNITS.iter().find(fits) {
            Some((name, unit)) => write!(formatter, "{}{name}", self.0 / unit),
            None => write!(formatter, "{}", self.0),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_quantity(deserializer, "a size like 512, 64MiB or 10GB", str::parse)
    }
}

impl schemars::JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A size in bytes, like `512`, `64MiB` (powers of 1024) or `10GB` (powers of 1000).",
            "type": ["string", "integer"],
            "pattern": "^[0-9]+(\\.[0-9]+)? ?([KMGT]i?)?B?$",
            "minimum": 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ByteSize;

    #[test]
    fn sizes_are_read_in_both_kinds_of_units_and_written_in_the_largest() {
        for (text, bytes, written) in [
            ("512", 512, "512"),
            ("512B", 512, "512"),
            ("64MiB", 64 << 20, "64MiB"),
            ("64 MiB", 64 << 20, "64MiB"),
            ("1.5GiB", 3 << 29, "1536MiB"),
            ("10GB", 10_000_000_000, "10GB"),
            ("1024KiB", 1 << 20, "1MiB"),
            ("1000KB", 1_000_000, "1MB"),
            ("0", 0, "0"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, written), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "MiB", "-1", "1.5", "64mb", "64Mi", "1.MiB", "20000000TiB", "1e9", "64MiBs"]
        {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}

//! Shares of a whole.

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

/// A share of a whole, written `85%` or `12.5%`: from 0 to 100 percent in steps of a tenth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share {
    /// At most 1000.
    permille: u16,
}

impl Share {
    /// Makes a share of so many thousandths; `None` if that is more than the whole.
    #[must_use]
    pub const fn from_permille(permille: u16) -> Option<Self> {
        if permille <= 1000 { Some(Self { permille }) } else { None }
    }

    /// Makes a share of so many percent; more than 100 counts as 100.
    #[must_use]
    pub const fn percent(percent: u8) -> Self {
        let percent = if percent <= 100 { percent } else { 100 };
        Self { permille: percent as u16 * 10 }
    }

    /// Returns the share in thousandths, from 0 to 1000.
    #[must_use]
    pub const fn permille(self) -> u16 {
        self.permille
    }

    /// Returns the share as a fraction, from 0 to 1.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.permille) / 1000.0
    }
}

impl FromStr for Share {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = |reason| UnitError { text: text.to_owned(), kind: "share", reason };
        let Some((whole, fraction, unit)) = split_number(text.trim()) else {
            return Err(error("write a percentage from 0% to 100%, like 85%"));
        };
        if unit.trim_start() != "%" {
            return Err(error("write a percentage with `%`, like 85%"));
        }
        if 1 < fraction.len() {
            return Err(error("a percentage has at most one decimal"));
        }
        let permille = scale(whole, fraction, 10).and_then(|permille| u16::try_from(permille).ok());
        permille
            .and_then(Self::from_permille)
            .ok_or_else(|| error("a percentage must be from 0% to 100%"))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.permille % 10 {
            0 => write!(formatter, "{}%", self.permille / 10),
            tenth => write!(formatter, "{}.{tenth}%", self.permille / 10),
        }
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_quantity(deserializer, "a share like 85%", str::parse)
    }
}

impl schemars::JsonSchema for Share {
    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A share from `0%` to `100%`, like `85%`.",
            "type": "string",
            "pattern": "^(100(\\.0)?|[0-9]{1,2}(\\.[0-9])?) ?%$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Share;

    #[test]
    fn shares_are_percentages_of_at_most_a_hundred() {
        for (text, permille, written) in
            [("85%", 850, "85%"), ("12.5%", 125, "12.5%"), ("100%", 1000, "100%"), ("0%", 0, "0%")]
        {
            let share: Share = text.parse().unwrap();
            assert_eq!((share.permille(), share.to_string().as_str()), (permille, written));
        }
        for text in ["", "85", "0.85", "101%", "-1%", "1.25%", "100.1%", "%"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }
}

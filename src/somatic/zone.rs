//! The three pressure zones.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much pressure there is, and so what is done.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Zone {
    /// The full pipeline.
    #[default]
    Green,
    /// Optional work is left out, background work is throttled.
    Yellow,
    /// Sources go straight to the vault; background work pauses.
    Red,
}

impl Zone {
    /// The zone's name, as in configuration and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Yellow => "yellow",
            Self::Red => "red",
        }
    }

    /// The next calmer zone.
    #[must_use]
    pub const fn calmer(self) -> Self {
        match self {
            Self::Red => Self::Yellow,
            Self::Yellow | Self::Green => Self::Green,
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The text names no zone.
#[derive(Debug, thiserror::Error)]
#[error("unknown zone {0:?}; use green, yellow or red")]
pub struct UnknownZone(String);

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(text: &str) -> Result<Self, UnknownZone> {
        match text {
            "green" => Ok(Self::Green),
            "yellow" => Ok(Self::Yellow),
            "red" => Ok(Self::Red),
            other => Err(UnknownZone(other.to_owned())),
        }
    }
}

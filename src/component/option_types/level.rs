//! Where transforms look for an attribute.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use gophership_otlp::Level;

/// The level of an attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AttributeLevel {
    /// The record itself.
    #[default]
    Record,
    /// The resource.
    Resource,
    /// The instrumentation scope.
    Scope,
}

impl AttributeLevel {
    /// The same, as the wire view calls it.
    #[must_use]
    pub const fn level(self) -> Level {
        match self {
            Self::Record => Level::Record,
            Self::Resource => Level::Resource,
            Self::Scope => Level::Scope,
        }
    }
}

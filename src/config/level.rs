//! Where transforms look for an attribute.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use gophership_otlp::Level;

/// Where an attribute is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AttributeLevel {
    /// On the record itself.
    #[default]
    Record,
    /// On its resource.
    Resource,
    /// On its scope.
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

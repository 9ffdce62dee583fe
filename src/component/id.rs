//! Names of components.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;

/// The longest id, in bytes.
const ID_LEN_MAX: usize = 64;

/// The name of a component, unique over all sections of a configuration.
///
/// At most 64 of `a` to `z`, `0` to `9`, `_`, `.` and `-`, the first of them no `.` or `-`: it is
/// also a metric label and part of file names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ComponentId(Arc<str>);

impl ComponentId {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name, shared.
    #[must_use]
    pub const fn shared(&self) -> &Arc<str> {
        &self.0
    }
}

impl FromStr for ComponentId {
    type Err = IdError;

    fn from_str(name: &str) -> Result<Self, IdError> {
        let reason = if name.is_empty() {
            "it is empty"
        } else if ID_LEN_MAX < name.len() {
            "the id is longer than 64 characters"
        } else if name.starts_with(['.', '-']) {
            "the id starts with a `.` or `-`"
        } else if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            "the id contains capital letters"
        } else if !name.bytes().all(is_id_byte) {
            "only a-z, 0-9, `_`, `.` and `-` are allowed"
        } else {
            return Ok(Self(name.into()));
        };
        Err(IdError { name: name.to_owned(), reason })
    }
}

impl TryFrom<String> for ComponentId {
    type Error = IdError;

    fn try_from(name: String) -> Result<Self, IdError> {
        name.parse()
    }
}

impl From<ComponentId> for String {
    fn from(id: ComponentId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl AsRef<str> for ComponentId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ComponentId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a valid component id: {reason}")]
pub struct IdError {
    /// The text.
    pub name: String,
    /// The rule it breaks.
    pub reason: &'static str,
}

/// Whether an id may hold this byte.
const fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'.' | b'-')
}

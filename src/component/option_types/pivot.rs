//! The option `pivot`: the vault that takes over for a source, or `off`.

use serde::Deserialize;
use serde::Serialize;

/// Says that no vault takes over. Tools that write YAML 1.1, such as Helm, make `false` of `off`, and `no` is the same
/// there.
const OFF: [&str; 3] = ["off", "false", "no"];

/// An option `pivot`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PivotOption(Option<String>);

impl PivotOption {
    /// Returns the vault, if one takes over.
    #[must_use]
    pub fn vault(&self) -> Option<&str> {
        self.0.as_deref().filter(|name| !OFF.contains(name))
    }

    /// Whether the option says nothing.
    #[must_use]
    pub const fn is_unset(&self) -> bool {
        self.0.is_none()
    }

    /// Names the vault that takes over, unless the option says something.
    pub fn set_default(&mut self, vault: &str) {
        self.0.get_or_insert_with(|| vault.to_owned());
    }
}

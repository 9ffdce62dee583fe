//! Names of outputs: what `inputs` are made of.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::Serializer;

use crate::component::id::ComponentId;

/// An output that others read: the only one of a component, or one of several, which is written
/// `transform.output`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputId {
    /// Whose output it is.
    pub component: ComponentId,
    /// Which one, if there are several; without a dot.
    pub port: Option<Arc<str>>,
}

impl OutputId {
    /// Splits a name that is no component's into a component and one of its outputs.
    pub(crate) fn split(name: &str) -> Option<(&str, &str)> {
        name.rsplit_once('.')
    }
}

impl From<ComponentId> for OutputId {
    /// The only output of a component.
    fn from(component: ComponentId) -> Self {
        Self { component, port: None }
    }
}

impl fmt::Display for OutputId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.port {
            None => write!(formatter, "{}", self.component),
            Some(port) => write!(formatter, "{}.{port}", self.component),
        }
    }
}

impl Serialize for OutputId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl schemars::JsonSchema for OutputId {
    fn schema_name() -> Cow<'static, str> {
        "OutputId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^[a-z0-9_][a-z0-9_.-]{0,128}$",
            "description": "The id of a component, or of one of its outputs: `transform.output`.",
        })
    }
}

//! The options that all components of a section share, next to their own.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::component::ComponentId;
use crate::component::OutputId;
use crate::component::Section;
use crate::config::sections::settings::BufferConfig;
use crate::somatic::Zone;

/// The key that names the component.
pub(in crate::config) const TYPE: &str = "type";

/// Returns the shared options of a section, without `type`.
pub(in crate::config) const fn shared_options(section: Section) -> &'static [&'static str] {
    match section {
        Section::Source => &[],
        Section::Transform => &["inputs", "shed_in", "buffer"],
        Section::Sink => &["inputs", "buffer", "formerly"],
    }
}

/// The shared options of transforms and sinks.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct SharedOptions {
    /// The sources and transforms to read from. For one output of a transform with several, write
    /// `transform.output`. Only a vault, and a sink that copies one, may omit this.
    // Read as texts: what names no component is told later, with the name that was meant.
    #[schemars(with = "Vec<OutputId>")]
    pub(in crate::config) inputs: Option<Vec<String>>,
    /// Skip this transform from this zone on, because its work is optional. Transforms that remove
    /// data cannot be skipped: `redact`, `filter`, and `enrich` with `delete`.
    pub(in crate::config) shed_in: Option<ShedIn>,
    /// The limits of the queue in front of this component.
    pub(in crate::config) buffer: BufferConfig,
    /// Former names of this sink. The sink takes over the requests that a vault still keeps for
    /// these names.
    #[schemars(with = "Vec<String>")]
    pub(in crate::config) formerly: Vec<ComponentId>,
}

/// The zones in which optional work can be skipped.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum ShedIn {
    /// Skipped in yellow and red.
    Yellow,
    /// Skipped in red only.
    Red,
}

impl From<ShedIn> for Zone {
    fn from(zone: ShedIn) -> Self {
        match zone {
            ShedIn::Yellow => Self::Yellow,
            ShedIn::Red => Self::Red,
        }
    }
}

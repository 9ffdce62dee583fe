//! The options that all components of a section share, next to their own.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::id::ComponentId;
use crate::config::output::OutputId;
use crate::config::registry::Section;
use crate::config::settings::BufferConfig;
use crate::somatic::Zone;

/// The key that names the component.
pub(super) const TYPE: &str = "type";

/// Returns the shared options of a section, without `type`.
pub(super) const fn shared_options(section: Section) -> &'static [&'static str] {
    match section {
        Section::Source => &[],
        Section::Transform => &["inputs", "shed_in", "buffer"],
        Section::Sink => &["inputs", "buffer", "formerly"],
    }
}

/// The shared options of transforms and sinks.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SharedOptions {
    /// The sources and transforms it reads; of a transform with several outputs one of them, as in
    /// `transform.output`. Only a vault, or what follows one, may have none.
    // Read as texts: what names no component is told later, with the name that was meant.
    #[schemars(with = "Vec<OutputId>")]
    pub(super) inputs: Option<Vec<String>>,
    /// The zone from which on it is left out, since its work is optional. What takes something out that
    /// must not go on cannot be left out: `redact`, `filter`, and `enrich` with `delete`.
    pub(super) shed_in: Option<ShedIn>,
    /// The limits of the queue in front of it.
    pub(super) buffer: BufferConfig,
    /// Names that the sink had before: it takes over what a vault still keeps for them.
    #[schemars(with = "Vec<String>")]
    pub(super) formerly: Vec<ComponentId>,
}

/// The zones in which optional work can be left out.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ShedIn {
    /// Left out in yellow and red.
    Yellow,
    /// Left out in red only.
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

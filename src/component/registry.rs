//! The list of all components of this binary.

use std::fmt;

use schemars::JsonSchema;
#[cfg(test)]
use schemars::Schema;
#[cfg(test)]
use schemars::SchemaGenerator;
use serde::de::DeserializeOwned;

use crate::component::options::OptionProblem;
use crate::component::options::Resource;
use crate::component::options::SinkConfig;
use crate::component::options::Site;
use crate::component::options::SourceConfig;
use crate::component::options::TransformConfig;
use crate::tree::DecodeResult;
use crate::tree::TreeDeserializer;

/// The three kinds of components, named after the sections of the document they stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// Brings data in.
    Source,
    /// Changes data on its way.
    Transform,
    /// Takes data out.
    Sink,
}

impl Section {
    /// All sections, in the order data flows.
    pub const ALL: [Self; 3] = [Self::Source, Self::Transform, Self::Sink];

    /// Returns the key of the section in the document.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Source => "sources",
            Self::Transform => "transforms",
            Self::Sink => "sinks",
        }
    }
}

/// Writes the name of one component of the section.
impl fmt::Display for Section {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Source => "source",
            Self::Transform => "transform",
            Self::Sink => "sink",
        })
    }
}

/// The own options of a component, decoded.
#[derive(Debug)]
pub(crate) enum AnyConfig {
    Source(Box<dyn SourceConfig>),
    Transform(Box<dyn TransformConfig>),
    Sink(Box<dyn SinkConfig>),
}

impl AnyConfig {
    /// Returns what the component finds wrong beyond types.
    pub(crate) fn problems(&self) -> Vec<OptionProblem> {
        match self {
            Self::Source(config) => config.problems(),
            Self::Transform(config) => config.problems(),
            Self::Sink(config) => config.problems(),
        }
    }

    /// Returns the value of every option, defaults included.
    pub(crate) fn values(&self) -> Option<serde_json::Value> {
        match self {
            Self::Source(config) => config.values(),
            Self::Transform(config) => config.values(),
            Self::Sink(config) => config.values(),
        }
    }

    /// Returns what the component needs for itself alone.
    pub(crate) fn resources(&self, site: &Site<'_>) -> Vec<Resource> {
        match self {
            Self::Source(config) => config.resources(site),
            Self::Transform(_) => Vec::new(),
            Self::Sink(config) => config.resources(site),
        }
    }
}

/// What the program knows about a component besides its code.
///
/// ```text
/// inventory::submit! {
///     ComponentInfo::sink::<BlackholeConfig>("blackhole", "Counts batches and discards them.")
/// }
/// ```
#[derive(Debug)]
pub struct ComponentInfo {
    /// The section it stands in.
    pub section: Section,
    /// Its `type:`.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    #[cfg(test)]
    schema: fn(&mut SchemaGenerator) -> Schema,
    decode: fn(TreeDeserializer<'_>) -> DecodeResult<AnyConfig>,
}

impl ComponentInfo {
    /// Describes a source with the options `C`.
    #[must_use]
    pub const fn source<C>(name: &'static str, summary: &'static str) -> Self
    where
        C: SourceConfig + DeserializeOwned + JsonSchema + 'static,
    {
        Self {
            section: Section::Source,
            name,
            summary,
            #[cfg(test)]
            schema: |generator| generator.subschema_for::<C>(),
            decode: |tree| Ok(AnyConfig::Source(Box::new(C::deserialize(tree)?))),
        }
    }

    /// Describes a transform with the options `C`.
    #[must_use]
    pub const fn transform<C>(name: &'static str, summary: &'static str) -> Self
    where
        C: TransformConfig + DeserializeOwned + JsonSchema + 'static,
    {
        Self {
            section: Section::Transform,
            name,
            summary,
            #[cfg(test)]
            schema: |generator| generator.subschema_for::<C>(),
            decode: |tree| Ok(AnyConfig::Transform(Box::new(C::deserialize(tree)?))),
        }
    }

    /// Describes a sink with the options `C`.
    #[must_use]
    pub const fn sink<C>(name: &'static str, summary: &'static str) -> Self
    where
        C: SinkConfig + DeserializeOwned + JsonSchema + 'static,
    {
        Self {
            section: Section::Sink,
            name,
            summary,
            #[cfg(test)]
            schema: |generator| generator.subschema_for::<C>(),
            decode: |tree| Ok(AnyConfig::Sink(Box::new(C::deserialize(tree)?))),
        }
    }

    /// Makes the schema of its own options.
    #[cfg(test)]
    pub(crate) fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        (self.schema)(generator)
    }

    /// Decodes its own options.
    pub(crate) fn decode(&self, tree: TreeDeserializer<'_>) -> DecodeResult<AnyConfig> {
        (self.decode)(tree)
    }
}

inventory::collect!(ComponentInfo);

/// Returns all components, sorted by section and name.
#[must_use]
pub fn list() -> Vec<&'static ComponentInfo> {
    let mut components: Vec<_> = inventory::iter::<ComponentInfo>().collect();
    components.sort_by_key(|info| (info.section, info.name));
    components
}

/// Finds the component that a `type:` in a section means.
pub(crate) fn find(section: Section, name: &str) -> Option<&'static ComponentInfo> {
    inventory::iter::<ComponentInfo>().find(|info| info.section == section && info.name == name)
}

/// Returns the names of the components of a section, sorted.
pub(crate) fn type_names(section: Section) -> Vec<&'static str> {
    let of_section = list().into_iter().filter(|info| info.section == section);
    of_section.map(|info| info.name).collect()
}

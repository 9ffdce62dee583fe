//! The list of all components of this binary.

use std::fmt;

use schemars::Schema;
use schemars::SchemaGenerator;

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

/// What the program knows about a component besides its code.
///
/// ```text
/// inventory::submit! {
///     ComponentInfo {
///         section: Section::Sink,
///         name: "blackhole",
///         summary: "Counts batches and forgets them.",
///         schema: |generator| BlackholeConfig::json_schema(generator),
///     }
/// }
/// ```
#[derive(Debug)]
pub struct ComponentInfo {
    /// The section it stands in.
    pub section: Section,
    /// Its `type:`, the same as its typetag name.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// Makes the schema of its options: `|generator| Options::json_schema(generator)`.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

inventory::collect!(ComponentInfo);

/// Returns all components, sorted by section and name.
#[must_use]
pub fn list() -> Vec<&'static ComponentInfo> {
    let mut components: Vec<_> = inventory::iter::<ComponentInfo>().collect();
    components.sort_by_key(|info| (info.section, info.name));
    components
}

/// Returns the names of the components of a section, sorted.
pub(crate) fn type_names(section: Section) -> Vec<&'static str> {
    let of_section = list().into_iter().filter(|info| info.section == section);
    of_section.map(|info| info.name).collect()
}

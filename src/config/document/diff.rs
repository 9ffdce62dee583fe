//! What a reload changes.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde_json::Value;

use crate::component::ComponentId;
use crate::component::NamedFile;
use crate::config::document::config::Config;
use crate::config::document::config::SinkEntry;
use crate::config::document::config::SourceEntry;
use crate::config::document::config::TransformEntry;
use crate::config::document::files;

/// The difference between the configuration in force and the one to come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigDiff {
    /// What happens to the sources.
    pub sources: SectionDiff,
    /// What happens to the transforms.
    pub transforms: SectionDiff,
    /// What happens to the sinks.
    pub sinks: SectionDiff,
    /// The keys of the document, apart from components, whose values differ.
    pub settings: BTreeSet<&'static str>,
}

/// What happens to the components of one section; every id is in exactly one set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SectionDiff {
    /// Only in the new configuration.
    pub added: BTreeSet<ComponentId>,
    /// Only in the old configuration.
    pub removed: BTreeSet<ComponentId>,
    /// In both, with another type, option or buffer, or with a file that changed: it is built anew.
    pub changed: BTreeSet<ComponentId>,
    /// In both, with other inputs or another `shed_in` alone: other routes are all it takes.
    pub rewired: BTreeSet<ComponentId>,
    /// The same in both.
    pub unchanged: BTreeSet<ComponentId>,
}

impl SectionDiff {
    /// Whether all components stay as they are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        [&self.added, &self.removed, &self.changed, &self.rewired].iter().all(|set| set.is_empty())
    }
}

impl ConfigDiff {
    /// Compares two configurations by their values, after interpolation and defaults, and by what the
    /// files were like that their components read, such as certificates.
    #[must_use]
    pub fn between(old: &Config, new: &Config) -> Self {
        let mut settings = BTreeSet::new();
        for (key, is_same) in [
            ("data_dir", old.data_dir == new.data_dir),
            ("somatic", old.somatic == new.somatic),
            ("control", old.control == new.control),
            ("metrics", old.metrics == new.metrics),
            ("shutdown", old.shutdown == new.shutdown),
        ] {
            if !is_same {
                settings.insert(key);
            }
        }
        let same_files = |files: &[NamedFile]| files::is_same(old, new, files);
        Self {
            sources: compare(&old.sources, &new.sources, &same_files),
            transforms: compare(&old.transforms, &new.transforms, &same_files),
            sinks: compare(&old.sinks, &new.sinks, &same_files),
            settings,
        }
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let sections = [&self.sources, &self.transforms, &self.sinks];
        self.settings.is_empty() && sections.iter().all(|section| section.is_empty())
    }
}

/// How a component compares with its predecessor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Wiring,
    Substance,
}

/// An entry that can be compared with its predecessor.
trait Comparable {
    fn change(&self, new: &Self) -> Change;

    /// The files that its options name.
    fn files(&self) -> Vec<NamedFile>;
}

impl Comparable for SourceEntry {
    fn change(&self, new: &Self) -> Change {
        let is_same_substance = self.kind == new.kind
            && is_same(self.config.values().as_ref(), new.config.values().as_ref());
        change(is_same_substance, true)
    }

    fn files(&self) -> Vec<NamedFile> {
        self.config.files()
    }
}

impl Comparable for TransformEntry {
    fn change(&self, new: &Self) -> Change {
        let is_same_substance = self.kind == new.kind
            && self.buffer == new.buffer
            && is_same(self.config.values().as_ref(), new.config.values().as_ref());
        change(is_same_substance, self.inputs == new.inputs && self.shed_in == new.shed_in)
    }

    fn files(&self) -> Vec<NamedFile> {
        self.config.files()
    }
}

impl Comparable for SinkEntry {
    fn change(&self, new: &Self) -> Change {
        let is_same_substance = self.kind == new.kind
            && self.buffer == new.buffer
            && is_same(self.config.values().as_ref(), new.config.values().as_ref());
        let is_same_wiring = self.inputs == new.inputs && self.formerly == new.formerly;
        change(is_same_substance, is_same_wiring)
    }

    fn files(&self) -> Vec<NamedFile> {
        self.config.files()
    }
}

const fn change(is_same_substance: bool, is_same_wiring: bool) -> Change {
    match (is_same_substance, is_same_wiring) {
        (true, true) => Change::None,
        (true, false) => Change::Wiring,
        (false, _) => Change::Substance,
    }
}

/// Whether options are the same. What cannot be compared is built anew, to be safe.
fn is_same(old: Option<&Value>, new: Option<&Value>) -> bool {
    old.is_some() && old == new
}

/// Sorts the ids of both sides into sets.
fn compare<E: Comparable>(
    old: &BTreeMap<ComponentId, E>,
    new: &BTreeMap<ComponentId, E>,
    same_files: &dyn Fn(&[NamedFile]) -> bool,
) -> SectionDiff {
    let mut diff = SectionDiff::default();
    for (id, entry) in old {
        let set = match new.get(id).map(|other| entry.change(other)) {
            None => &mut diff.removed,
            Some(Change::Substance) => &mut diff.changed,
            Some(_) if !same_files(&entry.files()) => &mut diff.changed,
            Some(Change::Wiring) => &mut diff.rewired,
            Some(Change::None) => &mut diff.unchanged,
        };
        set.insert(id.clone());
    }
    diff.added = new.keys().filter(|id| !old.contains_key(*id)).cloned().collect();
    diff
}

//! A component in the making: its name, its type and its options, as far as they could be decoded.

use std::sync::Arc;

use crate::component::AnyConfig;
use crate::component::ComponentId;
use crate::component::Section;
use crate::config::diagnosis::LocatedProblem;
use crate::config::diagnosis::Problem;
use crate::config::sections::SharedOptions;
use crate::tree::MapEntry;
use crate::tree::Mark;
use crate::tree::Node;
use crate::tree::Step;
use crate::tree::display_path;

/// A component in the making.
pub(in crate::config) struct Piece<'n> {
    pub(in crate::config) section: Section,
    pub(in crate::config) id: &'n str,
    pub(in crate::config) entry: &'n MapEntry,
    /// The `type:`, if it names a component.
    pub(in crate::config) kind: Option<&'static str>,
    /// The shared options; `None` if they could not be decoded, so that what it reads is unknown.
    pub(in crate::config) shared: Option<SharedOptions>,
    /// The component's own options; `None` if they could not be decoded.
    pub(in crate::config) config: Option<AnyConfig>,
}

impl Piece<'_> {
    /// Returns the path of the component, or of something in it.
    pub(in crate::config) fn path(&self, inside: &[Step]) -> Vec<Step> {
        let own = [Step::from(self.section.key()), Step::from(self.id)];
        own.into_iter().chain(inside.iter().cloned()).collect()
    }

    /// Returns the inputs; none if they are unknown.
    pub(in crate::config) fn inputs(&self) -> &[String] {
        self.shared.as_ref().and_then(|shared| shared.inputs.as_deref()).unwrap_or_default()
    }

    /// Returns the names that a sink had before; none if they are unknown.
    pub(in crate::config) fn formerly(&self) -> &[ComponentId] {
        self.shared.as_ref().map_or(&[], |shared| &shared.formerly)
    }

    /// Returns the names of the outputs, if there are several; none if they are unknown.
    pub(in crate::config) fn ports(&self) -> Vec<Arc<str>> {
        match &self.config {
            Some(AnyConfig::Transform(config)) => config.ports(),
            _ => Vec::new(),
        }
    }

    /// Returns the vault that takes over.
    pub(in crate::config) fn pivot(&self) -> Option<&str> {
        match &self.config {
            Some(AnyConfig::Source(config)) => config.pivot(),
            _ => None,
        }
    }

    /// Whether a vault could take over, and nothing says which.
    pub(in crate::config) fn wants_pivot(&self) -> bool {
        matches!(&self.config, Some(AnyConfig::Source(config)) if config.wants_pivot())
    }

    /// Returns the vault that the component reads.
    pub(in crate::config) fn replays(&self) -> Option<&str> {
        match &self.config {
            Some(AnyConfig::Source(config)) => config.replays(),
            _ => None,
        }
    }

    /// Returns the vault whose dead-letter store the component uses.
    pub(in crate::config) fn dead_letters(&self) -> Option<&str> {
        match &self.config {
            Some(AnyConfig::Source(config)) => config.dead_letters(),
            _ => None,
        }
    }

    /// Returns the vault that the component copies.
    pub(in crate::config) fn copies(&self) -> Option<&str> {
        match &self.config {
            Some(AnyConfig::Sink(config)) => config.copies(),
            _ => None,
        }
    }

    /// Returns the headers of requests that a source keeps; `None` if it receives no requests with headers.
    pub(in crate::config) fn kept_headers(&self) -> Option<&[String]> {
        match &self.config {
            Some(AnyConfig::Source(config)) => config.kept_headers(),
            _ => None,
        }
    }

    /// Returns the headers that a sink sends on.
    pub(in crate::config) fn forwarded_headers(&self) -> &[String] {
        match &self.config {
            Some(AnyConfig::Sink(config)) => config.forwarded_headers(),
            _ => &[],
        }
    }

    /// Whether the component is a vault.
    pub(in crate::config) fn is_vault(&self) -> bool {
        matches!(&self.config, Some(AnyConfig::Sink(config)) if config.is_vault())
    }

    /// Returns a name that stands in the component as messages may show it.
    pub(in crate::config) fn shown(&self, inside: &[Step], name: &str) -> String {
        let node = self.entry.node.descend(inside);
        node.and_then(Node::shown_text).unwrap_or(name).to_owned()
    }

    /// Makes a finding about the component or something in it.
    pub(in crate::config) fn finding(&self, inside: &[Step], problem: Problem) -> LocatedProblem {
        LocatedProblem::new(self.mark(inside), display_path(&self.path(inside)), problem)
    }

    /// Returns the place of something in the component.
    pub(in crate::config) fn mark(&self, inside: &[Step]) -> Mark {
        self.entry.node.value_mark(inside, self.entry.key_mark)
    }
}

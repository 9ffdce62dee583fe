//! What must hold between components, beyond each one's options.
//!
//! Works on a [`Draft`], so that a broken component hides none of the others' problems. What a
//! broken component would do is unknown; nothing is reported that could be its fault.

mod circles;
mod resources;
mod vaults;
mod wiring;

use std::collections::HashMap;

use crate::config::draft::Draft;
use crate::config::draft::Piece;
use crate::config::error::Finding;
use crate::config::error::Problem;
use crate::config::findings::Findings;
use crate::config::id::ComponentId;
use crate::config::node::Mark;
use crate::config::node::Node;
use crate::config::node::Step;
use crate::config::node::display_path;
use crate::config::registry::Section;

/// Adds everything that is wrong between the components of a draft.
pub(super) fn validate(draft: &Draft<'_>, findings: &mut Findings) {
    sections(draft, findings);
    let plan = Plan::new(draft, findings);
    wiring::check(&plan, findings);
    vaults::check(&plan, findings);
    circles::check(&plan, findings);
    resources::check(&plan, draft.settings.as_ref(), findings);
}

/// The components by id.
struct Plan<'d> {
    root: &'d Node,
    pieces: &'d [Piece<'d>],
    /// The first component of each id.
    by_id: HashMap<&'d str, usize>,
}

impl<'d> Plan<'d> {
    /// Indexes the components; a second one of the same id is a problem.
    fn new(draft: &'d Draft<'_>, findings: &mut Findings) -> Self {
        let mut by_id: HashMap<&str, usize> = HashMap::new();
        for (index, piece) in draft.pieces.iter().enumerate() {
            let first_idx = *by_id.entry(piece.id).or_insert(index);
            let Some(first) = draft.pieces.get(first_idx).filter(|_| first_idx != index) else {
                continue;
            };
            let Ok(id) = piece.id.parse::<ComponentId>() else { continue };
            findings.add(|| {
                let other_line = first.entry.key_mark.line;
                let problem = Problem::DuplicateId { id, other: first.section, other_line };
                let path = display_path(&piece.path(&[]));
                Finding::new(piece.entry.key_mark, path, problem)
                    .with_help("ids are unique over all sections: rename one of them")
            });
        }
        Self { root: draft.root, pieces: &draft.pieces, by_id }
    }

    /// Finds a component and its index by id.
    fn find(&self, id: &str) -> Option<(usize, &'d Piece<'d>)> {
        let index = *self.by_id.get(id)?;
        self.pieces.get(index).map(|piece| (index, piece))
    }

    /// Returns the place inside a component where it names `text`: under `key` if it does there,
    /// else wherever it does first.
    fn place_of(piece: &Piece<'_>, key: &str, text: &str) -> Vec<Step> {
        let node = &piece.entry.node;
        let is_there = node.get(key).is_some_and(|entry| entry.node.text() == Some(text));
        if is_there {
            return vec![Step::from(key)];
        }
        node.scalars(&|scalar| scalar == text).into_iter().next().unwrap_or_default()
    }
}

/// A pipeline needs a source and a sink.
fn sections(draft: &Draft<'_>, findings: &mut Findings) {
    for section in [Section::Source, Section::Sink] {
        let key = section.key();
        let entry = draft.root.get(key);
        let is_mapping_or_absent =
            entry.is_none_or(|entry| entry.node.is_null() || entry.node.entries().is_empty());
        let has_some = draft.pieces.iter().any(|piece| piece.section == section);
        // Anything else under the key was reported when it was decoded.
        let is_reported =
            entry.is_some_and(|entry| entry.node.text().is_some() && !entry.node.is_null());
        if has_some || is_reported || !is_mapping_or_absent {
            continue;
        }
        findings.add(|| {
            let mark = draft.root.key_mark(&[Step::from(key)], Mark::START);
            let path = if entry.is_some() { key.to_owned() } else { String::new() };
            Finding::new(mark, path, Problem::EmptySection { section })
                .with_help(format!("add one under `{key}:`"))
        });
    }
}

//! What must hold between components, beyond each one's options.
//!
//! Works on a [`Draft`], so that a broken component hides none of the others' problems. What a
//! broken component would do is unknown; nothing is reported that could be its fault.

mod cases;
mod circles;
mod headers;
mod resources;
mod vaults;
mod wiring;

use std::collections::HashMap;
use std::collections::HashSet;

use crate::component::ComponentId;
use crate::component::OutputId;
use crate::component::Section;
use crate::config::diagnosis::Findings;
use crate::config::diagnosis::LocatedProblem;
use crate::config::diagnosis::Problem;
use crate::config::draft::Draft;
use crate::config::draft::Piece;
use crate::tree::Mark;
use crate::tree::Node;
use crate::tree::Step;
use crate::tree::display_path;

/// Adds everything that is wrong between the components of a draft.
pub(super) fn validate(draft: &Draft<'_>, findings: &mut Findings) {
    sections(draft, findings);
    let plan = Plan::new(draft, findings);
    wiring::check(&plan, findings);
    vaults::check(&plan, findings);
    vaults::check_former_names(&plan, findings);
    circles::check(&plan, findings);
    resources::check(&plan, draft.settings.as_ref(), findings);
    cases::check(&plan, draft, findings);
}

/// Adds what is allowed between components, and should be known to whoever starts it.
pub(super) fn warn(draft: &Draft<'_>, findings: &mut Findings) {
    headers::warn(&Plan::new(draft, findings), findings);
}

/// What a name in `inputs` means.
enum Reading<'d, 'n> {
    /// The output of a component, given with its index; any output if it is not known which it has.
    Of(usize, &'d Piece<'d>),
    /// A transform with several outputs, and none of them.
    Which(&'d Piece<'d>),
    /// An output that the transform does not have.
    NoOutput(&'d Piece<'d>, &'n str),
    /// Nothing.
    Unknown,
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
                LocatedProblem::new(piece.entry.key_mark, path, problem)
                    .with_help("ids must be unique over all sections: rename one of them")
            });
        }
        Self { root: draft.root, pieces: &draft.pieces, by_id }
    }

    /// Finds a component and its index by id.
    fn find(&self, id: &str) -> Option<(usize, &'d Piece<'d>)> {
        let index = *self.by_id.get(id)?;
        self.pieces.get(index).map(|piece| (index, piece))
    }

    /// Finds what a name in `inputs` means.
    fn reading<'n>(&self, name: &'n str) -> Reading<'d, 'n> {
        if let Some((idx, piece)) = self.find(name) {
            let is_one = piece.ports().is_empty();
            return if is_one { Reading::Of(idx, piece) } else { Reading::Which(piece) };
        }
        let found = OutputId::split(name).and_then(|(id, port)| Some((self.find(id)?, port)));
        let Some(((idx, piece), port)) = found else { return Reading::Unknown };
        let ports = piece.ports();
        let is_unknown = piece.section == Section::Transform && piece.config.is_none();
        if is_unknown || ports.iter().any(|known| **known == *port) {
            Reading::Of(idx, piece)
        } else if ports.is_empty() {
            Reading::Unknown
        } else {
            Reading::NoOutput(piece, port)
        }
    }

    /// Finds the component whose output a name in `inputs` means, if it exists.
    fn read(&self, name: &str) -> Option<(usize, &'d Piece<'d>)> {
        match self.reading(name) {
            Reading::Of(idx, piece) => Some((idx, piece)),
            Reading::Which(_) | Reading::NoOutput(..) | Reading::Unknown => None,
        }
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

/// Returns the names under which a component is read.
fn names(piece: &Piece<'_>) -> Vec<String> {
    let ports = piece.ports();
    if ports.is_empty() {
        return vec![piece.id.to_owned()];
    }
    let mut names: Vec<String> = ports.iter().map(|port| format!("{}.{port}", piece.id)).collect();
    // One that is named twice is told elsewhere.
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
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
            LocatedProblem::new(mark, path, Problem::EmptySection { section })
                .with_help(format!("add one under `{key}:`"))
        });
    }
}

//! The transforms and outputs that cases for `gophership test` name.

use crate::component::Section;
use crate::config::diagnosis::Findings;
use crate::config::diagnosis::LocatedProblem;
use crate::config::diagnosis::Problem;
use crate::config::diagnosis::nearest;
use crate::config::draft::Draft;
use crate::config::validate::Plan;
use crate::config::validate::Reading;
use crate::config::validate::wiring::with_outputs;
use crate::tree::Mark;
use crate::tree::Node;
use crate::tree::Step;
use crate::tree::display_path;

/// Checks that they exist, and that of several outputs one is named.
pub(super) fn check(plan: &Plan<'_>, draft: &Draft<'_>, findings: &mut Findings) {
    let Some(settings) = &draft.settings else { return };
    for (idx, case) in settings.tests.iter().enumerate() {
        let path = |option| [Step::from("tests"), Step::Index(idx), Step::from(option)];
        let start = plan.find(&case.start).map(|(_, piece)| piece);
        if start.is_none_or(|piece| piece.section != Section::Transform) {
            findings.add(|| unknown(plan, draft, &path("start"), &case.start));
        }
        let Some(end) = &case.end else { continue };
        let path = path("end");
        let at = |problem| finding(draft, &path, problem);
        match plan.reading(end) {
            Reading::Of(_, piece) if piece.section == Section::Transform => {}
            Reading::Which(piece) => {
                let Ok(id) = piece.id.parse() else { continue };
                findings.add(|| with_outputs(at(Problem::WhichOutput { id }), piece, None));
            }
            Reading::NoOutput(piece, port) => {
                let Ok(id) = piece.id.parse() else { continue };
                let shown = shown(draft, &path, end);
                let name = if shown == end { port } else { shown }.to_owned();
                let problem = Problem::UnknownOutput { id, name };
                findings.add(|| with_outputs(at(problem), piece, Some(end)));
            }
            Reading::Of(..) | Reading::Unknown => {
                findings.add(|| unknown(plan, draft, &path, end));
            }
        }
    }
}

fn finding(draft: &Draft<'_>, path: &[Step], problem: Problem) -> LocatedProblem {
    LocatedProblem::new(draft.root.value_mark(path, Mark::START), display_path(path), problem)
}

/// The name at a path as messages may show it.
fn shown<'a>(draft: &'a Draft<'_>, path: &[Step], name: &'a str) -> &'a str {
    draft.root.descend(path).and_then(Node::shown_text).unwrap_or(name)
}

/// Makes the finding of a name that is no transform's.
fn unknown(plan: &Plan<'_>, draft: &Draft<'_>, path: &[Step], name: &str) -> LocatedProblem {
    let message = format!("there is no transform `{}`", shown(draft, path, name));
    let transforms = plan.pieces.iter().filter(|piece| piece.section == Section::Transform);
    let known: Vec<&str> = transforms.map(|piece| piece.id).collect();
    let near = nearest(name, known.iter().copied());
    let names: &[&str] = if near.is_some() { &[] } else { &known };
    finding(draft, path, Problem::InvalidValue { message }).with_names(near, "transforms", names)
}

//! Who reads whom: inputs exist, and nobody speaks to the wall.

use std::collections::HashSet;

use crate::config::draft::AnyConfig;
use crate::config::draft::Piece;
use crate::config::error::Finding;
use crate::config::error::Problem;
use crate::config::findings::Findings;
use crate::config::nearest::nearest;
use crate::config::node::Step;
use crate::config::registry::Section;
use crate::config::validate::Plan;

/// Checks all inputs, and that everything with an output is read.
pub(super) fn check(plan: &Plan<'_>, findings: &mut Findings) {
    for piece in plan.pieces {
        inputs(plan, piece, findings);
    }
    let is_all_known = plan.pieces.iter().all(|piece| piece.shared.is_some());
    if is_all_known {
        unread(plan, findings);
    }
}

/// Checks that the inputs of a component exist, have an output, and are named once.
fn inputs(plan: &Plan<'_>, piece: &Piece<'_>, findings: &mut Findings) {
    if piece.section == Section::Source {
        return;
    }
    let may_be_free = piece.config.is_none() || piece.is_vault() || piece.replays().is_some();
    let may_be_free = may_be_free && piece.section == Section::Sink;
    if piece.shared.is_some() && piece.inputs().is_empty() && !may_be_free {
        findings.add(|| no_inputs(plan, piece));
    }
    let mut seen = HashSet::new();
    for (index, name) in piece.inputs().iter().enumerate() {
        let at = [Step::from("inputs"), Step::Index(index)];
        if !seen.insert(name) {
            if let Ok(id) = name.parse() {
                let problem = Problem::DuplicateInput { id };
                findings.add(|| piece.finding(&at, problem));
            }
            continue;
        }
        match plan.find(name) {
            None => findings.add(|| {
                let names = outputs(plan, piece);
                let near = nearest(name, names.iter().copied());
                let shown: &[&str] = if near.is_some() { &[] } else { &names };
                let problem = Problem::UnknownInput { name: piece.shown(&at, name) };
                piece.finding(&at, problem).with_names(near, "sources and transforms", shown)
            }),
            Some((_, other)) if other.section == Section::Sink => {
                let Ok(id) = name.parse() else { continue };
                findings.add(|| {
                    let finding = piece.finding(&at, Problem::InputIsSink { id });
                    if other.is_vault() {
                        finding.with_help("to read a vault, add a source of type `vault_replay`")
                    } else {
                        finding.with_help(format!("read what `{name}` reads"))
                    }
                });
            }
            Some(_) => {}
        }
    }
}

/// Makes the finding of a component that reads nothing.
fn no_inputs(plan: &Plan<'_>, piece: &Piece<'_>) -> Finding {
    const SHOWN_LEN_MAX: usize = 20;
    let is_given = piece.entry.node.get("inputs").is_some();
    let at = if is_given { vec![Step::from("inputs")] } else { Vec::new() };
    let names: Vec<&str> = outputs(plan, piece).into_iter().take(SHOWN_LEN_MAX).collect();
    let id = piece.id.parse();
    let problem = match id {
        Ok(id) => Problem::NoInputs { section: piece.section, id },
        Err(_) => Problem::MissingOption { name: "inputs".to_owned() },
    };
    let example = names.first().copied().unwrap_or("name");
    piece.finding(&at, problem).with_help(format!(
        "add `inputs: [{example}]`; sources and transforms: {}",
        names.join(", ")
    ))
}

/// Returns the names of everything the component could read.
fn outputs<'d>(plan: &Plan<'d>, reader: &Piece<'_>) -> Vec<&'d str> {
    let has_output = |piece: &&Piece<'_>| piece.section != Section::Sink && piece.id != reader.id;
    plan.pieces.iter().filter(has_output).map(|piece| piece.id).collect()
}

/// Finds sources and transforms that nobody reads.
fn unread(plan: &Plan<'_>, findings: &mut Findings) {
    let inputs = plan.pieces.iter().flat_map(Piece::inputs).map(String::as_str);
    let read: HashSet<&str> = inputs.collect();
    // A misspelt input is the reason why the one it means seems unread.
    let meant: HashSet<String> = findings.meant_inputs().map(str::to_owned).collect();
    for piece in plan.pieces {
        let is_journaled = match &piece.config {
            Some(AnyConfig::Source(config)) => config.is_journaled() && config.pivot().is_some(),
            Some(_) => false,
            None => piece.section == Section::Source,
        };
        let is_fine = piece.section == Section::Sink
            || read.contains(piece.id)
            || meant.contains(piece.id)
            || is_journaled;
        let Ok(id) = piece.id.parse() else { continue };
        if !is_fine {
            findings.add(|| {
                let problem = Problem::Unread { section: piece.section, id };
                let help =
                    format!("name it in the `inputs` of a transform or sink: [{}]", piece.id);
                piece.finding(&[], problem).with_help(help)
            });
        }
    }
}

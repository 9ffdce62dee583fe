//! Who reads whom: inputs exist, and nobody speaks to the wall.

use std::collections::HashSet;

use crate::component::AnyConfig;
use crate::component::OutputId;
use crate::component::Section;
use crate::config::diagnosis::Findings;
use crate::config::diagnosis::LocatedProblem;
use crate::config::diagnosis::Problem;
use crate::config::diagnosis::nearest;
use crate::config::draft::Piece;
use crate::config::validate::Plan;
use crate::config::validate::Reading;
use crate::config::validate::names;
use crate::tree::Step;

/// Checks all inputs, and that everything with an output is read.
pub(super) fn check(plan: &Plan<'_>, findings: &mut Findings) {
    for piece in plan.pieces {
        inputs(plan, piece, findings);
        outputs(plan, piece, findings);
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
    let is_copy = piece.copies().is_some();
    if is_copy && !piece.inputs().is_empty() {
        let message = "a sink that copies a vault has no inputs: remove `inputs` or `vault`";
        let problem = Problem::InvalidValue { message: message.to_owned() };
        findings.add(|| piece.finding(&[Step::from("inputs")], problem));
    }
    let may_be_free = piece.config.is_none() || piece.is_vault() || is_copy;
    let may_be_free = may_be_free && piece.section == Section::Sink;
    if piece.shared.is_some() && piece.inputs().is_empty() && !may_be_free {
        findings.add(|| no_inputs(plan, piece));
    }
    let mut seen = HashSet::new();
    for (index, name) in piece.inputs().iter().enumerate() {
        let at = [Step::from("inputs"), Step::Index(index)];
        if !seen.insert(name) {
            let problem = || Problem::DuplicateInput { name: piece.shown(&at, name) };
            findings.add(|| piece.finding(&at, problem()));
            continue;
        }
        match plan.reading(name) {
            Reading::Unknown => findings.add(|| {
                let names = readable(plan, piece);
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let near = nearest(name, names.iter().copied());
                let shown: &[&str] = if near.is_some() { &[] } else { &names };
                let problem = Problem::UnknownInput { name: piece.shown(&at, name) };
                piece.finding(&at, problem).with_names(near, "sources and transforms", shown)
            }),
            Reading::Of(_, other) if other.section == Section::Sink => {
                let Ok(id) = name.parse() else { continue };
                findings.add(|| {
                    let finding = piece.finding(&at, Problem::InputIsSink { id });
                    if other.is_vault() {
                        finding.with_help("to read a vault, add a source of type `vault_replay`")
                    } else {
                        finding.with_help(format!("use the inputs of `{name}` instead"))
                    }
                });
            }
            Reading::Which(other) => {
                let Ok(id) = other.id.parse() else { continue };
                let problem = Problem::WhichOutput { id };
                findings.add(|| with_outputs(piece.finding(&at, problem), other, None));
            }
            Reading::NoOutput(other, port) => {
                let Ok(id) = other.id.parse() else { continue };
                let shown = piece.shown(&at, name);
                let port = if shown == *name { port.to_owned() } else { shown };
                let problem = Problem::UnknownOutput { id, name: port };
                findings.add(|| with_outputs(piece.finding(&at, problem), other, Some(name)));
            }
            Reading::Of(..) => {}
        }
    }
}

/// Adds the outputs of a transform to a finding, and the one that was meant.
pub(super) fn with_outputs(
    finding: LocatedProblem,
    transform: &Piece<'_>,
    written: Option<&str>,
) -> LocatedProblem {
    let names = names(transform);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let port = written.and_then(OutputId::split).map(|(_, port)| port);
    // Their beginnings are the same, so they are not compared.
    let ports = names.iter().filter_map(|name| OutputId::split(name));
    let near = port.and_then(|port| nearest(port, ports.map(|(_, port)| port)));
    let near = near.map(|port| format!("{}.{port}", transform.id));
    finding.with_names(near.as_deref(), "its outputs", &names)
}

/// Checks that outputs of a component can be told from other components, and are there in every zone.
fn outputs(plan: &Plan<'_>, piece: &Piece<'_>, findings: &mut Findings) {
    let is_shed = piece.shared.as_ref().is_some_and(|shared| shared.shed_in.is_some());
    if is_shed && !piece.ports().is_empty() {
        let message =
            "`shed_in` is not allowed here: a transform with several outputs cannot be skipped";
        let problem = Problem::InvalidValue { message: message.to_owned() };
        findings.add(|| piece.finding(&[Step::from("shed_in")], problem));
    }
    let protects = match &piece.config {
        Some(AnyConfig::Transform(config)) => config.protects(),
        _ => None,
    };
    if let (true, Some(what)) = (is_shed, protects) {
        let message = format!(
            "`shed_in` is not allowed here: while this transform is skipped, {what} would pass"
        );
        findings.add(|| {
            let problem = Problem::InvalidValue { message };
            piece
                .finding(&[Step::from("shed_in")], problem)
                .with_help("remove `shed_in`, and move optional work into a transform of its own")
        });
    }
    let Some((before, port)) = OutputId::split(piece.id) else { return };
    let Some((_, other)) = plan.find(before) else { return };
    let (Ok(id), Ok(transform)) = (piece.id.parse(), other.id.parse()) else { return };
    if other.ports().iter().any(|known| **known == *port) {
        let problem = Problem::IdOfOutput { id, transform };
        findings.add(|| piece.finding(&[], problem).with_help("rename one of them"));
    }
}

/// Makes the finding of a component that reads nothing.
fn no_inputs(plan: &Plan<'_>, piece: &Piece<'_>) -> LocatedProblem {
    const SHOWN_LEN_MAX: usize = 20;
    let is_given = piece.entry.node.get("inputs").is_some();
    let at = if is_given { vec![Step::from("inputs")] } else { Vec::new() };
    let names: Vec<String> = readable(plan, piece).into_iter().take(SHOWN_LEN_MAX).collect();
    let id = piece.id.parse();
    let problem = match id {
        Ok(id) => Problem::NoInputs { section: piece.section, id },
        Err(_) => Problem::MissingOption { name: "inputs".to_owned() },
    };
    let example = names.first().map_or("name", String::as_str);
    piece.finding(&at, problem).with_help(format!(
        "add `inputs: [{example}]`; sources and transforms: {}",
        names.join(", ")
    ))
}

/// Returns the names of everything the component could read.
fn readable(plan: &Plan<'_>, reader: &Piece<'_>) -> Vec<String> {
    let has_output = |piece: &&Piece<'_>| piece.section != Section::Sink && piece.id != reader.id;
    plan.pieces.iter().filter(has_output).flat_map(names).collect()
}

/// Finds sources and transforms that nobody reads. Of several outputs one that is read is enough.
fn unread(plan: &Plan<'_>, findings: &mut Findings) {
    let read = |name: &str| match plan.reading(name) {
        Reading::Of(_, piece) | Reading::Which(piece) | Reading::NoOutput(piece, _) => {
            Some(piece.id)
        }
        Reading::Unknown => None,
    };
    // A misspelt input is the reason why the one it means seems unread.
    let inputs = plan.pieces.iter().flat_map(Piece::inputs).map(String::as_str);
    let read: HashSet<&str> = inputs.chain(findings.meant_inputs()).filter_map(read).collect();
    for piece in plan.pieces {
        let is_journaled = match &piece.config {
            Some(AnyConfig::Source(config)) => config.is_journaled() && config.pivot().is_some(),
            Some(_) => false,
            None => piece.section == Section::Source,
        };
        let is_fine = piece.section == Section::Sink || read.contains(piece.id) || is_journaled;
        let Ok(id) = piece.id.parse() else { continue };
        if !is_fine {
            findings.add(|| {
                let problem = Problem::Unread { section: piece.section, id };
                let names = names(piece).join(", ");
                let help = format!("add it to the `inputs` of a transform or sink: [{names}]");
                piece.finding(&[], problem).with_help(help)
            });
        }
    }
}

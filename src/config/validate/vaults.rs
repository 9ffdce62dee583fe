//! References to vaults: `pivot`, what replays, what copies, and where dead letters go.

use std::collections::HashSet;

use crate::component::Section;
use crate::config::diagnosis::Findings;
use crate::config::diagnosis::Problem;
use crate::config::diagnosis::nearest;
use crate::config::draft::Piece;
use crate::config::validate::Plan;
use crate::tree::Step;

/// Checks that references to vaults name vaults, and that every vault is of use.
pub(super) fn check(plan: &Plan<'_>, findings: &mut Findings) {
    let mut used: HashSet<&str> = HashSet::new();
    for piece in plan.pieces {
        let names = [
            ("pivot", piece.pivot()),
            ("vault", piece.replays()),
            ("vault", piece.copies()),
            ("dead_letters", piece.dead_letters()),
        ];
        for (key, name) in names {
            if let Some(name) = name {
                used.insert(name);
                reference(plan, piece, key, name, findings);
            }
        }
    }
    let is_all_known = plan.pieces.iter().all(|piece| {
        piece.section == Section::Transform || (piece.config.is_some() && piece.shared.is_some())
    });
    let has_unknown = used.iter().any(|name| plan.find(name).is_none());
    // A broken component, or a misspelt reference, may be the one that would use it.
    if !is_all_known || has_unknown {
        return;
    }
    for piece in plan.pieces {
        let is_used = used.contains(piece.id) || !piece.inputs().is_empty();
        let Ok(id) = piece.id.parse() else { continue };
        if piece.is_vault() && !is_used {
            findings.add(|| {
                let help = format!("name it as the `pivot: {}` of a source", piece.id);
                piece.finding(&[], Problem::UnusedVault { id }).with_help(help)
            });
        }
    }
}

/// Checks that what a sink says to have been called before is free, and said by no other.
pub(super) fn check_former_names(plan: &Plan<'_>, findings: &mut Findings) {
    let mut said: HashSet<&str> = HashSet::new();
    for piece in plan.pieces {
        for (index, name) in piece.formerly().iter().enumerate() {
            let message = if plan.find(name.as_str()).is_some() {
                "this component is in the configuration; a former name must not be in use"
            } else if !said.insert(name.as_str()) {
                "another sink lists this former name too; only one sink can take over its requests"
            } else {
                continue;
            };
            let problem = Problem::InvalidValue { message: message.to_owned() };
            let at = [Step::from("formerly"), Step::Index(index)];
            findings.add(|| piece.finding(&at, problem));
        }
    }
}

/// Checks one reference.
fn reference(plan: &Plan<'_>, piece: &Piece<'_>, key: &str, name: &str, findings: &mut Findings) {
    let at = Plan::place_of(piece, key, name);
    let problem = match plan.find(name) {
        None => Problem::UnknownVault { name: piece.shown(&at, name) },
        Some((_, other)) => {
            let is_broken = other.config.is_none() && other.section == Section::Sink;
            let (Some(kind), Ok(id)) = (other.kind, name.parse()) else { return };
            if other.is_vault() || is_broken {
                return;
            }
            Problem::NotAVault { id, section: other.section, kind: kind.to_owned() }
        }
    };
    findings.add(|| {
        let vaults = plan.pieces.iter().filter(|piece| piece.is_vault());
        let names: Vec<&str> = vaults.map(|piece| piece.id).collect();
        let near = nearest(name, names.iter().copied());
        let finding = piece.finding(&at, problem);
        if names.is_empty() {
            finding.with_help("add a sink of type `raw_vault`")
        } else {
            finding.with_names(near, "vaults", &names)
        }
    });
}

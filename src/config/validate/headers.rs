//! Headers that a sink forwards: some source before it must keep them, or there is nothing to forward.

use std::collections::BTreeSet;

use crate::component::Section;
use crate::config::diagnosis::Findings;
use crate::config::diagnosis::Problem;
use crate::config::draft::Piece;
use crate::config::validate::Plan;
use crate::tree::Step;

/// Warns of each forwarded header that no source before the sink keeps.
pub(super) fn warn(plan: &Plan<'_>, findings: &mut Findings) {
    for sink in plan.pieces {
        let forwarded = sink.forwarded_headers();
        if forwarded.is_empty() {
            continue;
        }
        let Some(sources) = sources_before(plan, sink) else { continue };
        for (idx, name) in forwarded.iter().enumerate() {
            let keeps = |source: &&Piece<'_>| {
                let kept = source.kept_headers().unwrap_or_default();
                kept.iter().any(|kept| kept.eq_ignore_ascii_case(name))
            };
            if sources.iter().any(keeps) {
                continue;
            }
            findings.add(|| {
                let at = [Step::from("forward_headers"), Step::Index(idx)];
                let message = format!(
                    "no source before this sink keeps the header {:?}, so the sink never sends it",
                    sink.shown(&at, name)
                );
                let names: Vec<String> = sources.iter().map(|it| format!("`{}`", it.id)).collect();
                let help = format!("add it to the `keep_headers` of {}", names.join(" or "));
                sink.finding(&at, Problem::InvalidValue { message }).with_help(help)
            });
        }
    }
}

/// The sources that receive what comes to a sink, directly or through a vault; `None` if some of it may come from
/// elsewhere: from an archive, or from a vault that no source fills now.
fn sources_before<'d>(plan: &Plan<'d>, sink: &Piece<'_>) -> Option<Vec<&'d Piece<'d>>> {
    let mut open: Vec<&str> = sink.inputs().iter().map(String::as_str).collect();
    let (mut seen, mut sources) = (BTreeSet::new(), Vec::new());
    while let Some(name) = open.pop() {
        let (index, piece) = plan.read(name)?;
        if !seen.insert(index) {
            continue;
        }
        match (piece.section, piece.replays()) {
            (Section::Source, Some(vault)) => {
                let before = open.len();
                let fills = plan.pieces.iter().filter(|other| other.pivot() == Some(vault));
                open.extend(fills.map(|other| other.id));
                open.extend(plan.find(vault)?.1.inputs().iter().map(String::as_str));
                if open.len() == before {
                    return None;
                }
            }
            (Section::Source, None) if piece.kept_headers().is_some() => sources.push(piece),
            // What an archive has was received elsewhere; a demo has no headers at all.
            (Section::Source, None) => return None,
            _ => open.extend(piece.inputs().iter().map(String::as_str)),
        }
    }
    (!sources.is_empty()).then_some(sources)
}

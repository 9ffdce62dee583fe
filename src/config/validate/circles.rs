//! Circles: among transforms, and through a vault and its replay.

use crate::component::ComponentId;
use crate::component::Section;
use crate::config::diagnosis::Findings;
use crate::config::diagnosis::PROBLEMS_MAX;
use crate::config::diagnosis::Problem;
use crate::config::draft::Piece;
use crate::config::validate::Plan;
use crate::tree::Step;

/// Finds every circle and tells its members.
pub(super) fn check(plan: &Plan<'_>, findings: &mut Findings) {
    let mut reads: Vec<Vec<usize>> =
        plan.pieces.iter().map(|piece| inputs_of(plan, piece)).collect();
    for members in circles(reads.clone()) {
        report_cycle(plan, &members, findings);
        // It is told once, whatever else leads through it.
        for index in members {
            reads.get_mut(index).map(Vec::clear).unwrap_or_default();
        }
    }
    for (index, piece) in plan.pieces.iter().enumerate() {
        if piece.section != Section::Source {
            continue;
        }
        let Some((vault_idx, _)) = piece.replays().and_then(|vault| plan.find(vault)) else {
            continue;
        };
        push(&mut reads, index, vault_idx);
        if let Some((pivot_idx, _)) = piece.pivot().and_then(|pivot| plan.find(pivot)) {
            push(&mut reads, pivot_idx, index);
        }
    }
    for members in circles(reads) {
        report_replay(plan, &members, findings);
    }
}

/// Adds an edge.
fn push(reads: &mut [Vec<usize>], reader_idx: usize, read_idx: usize) {
    if let Some(inputs) = reads.get_mut(reader_idx) {
        inputs.push(read_idx);
    }
}

/// Returns what a component reads, without what cannot be read anyway.
fn inputs_of(plan: &Plan<'_>, piece: &Piece<'_>) -> Vec<usize> {
    let found = piece.inputs().iter().filter_map(|name| plan.read(name));
    found.filter(|(_, other)| other.section != Section::Sink).map(|(index, _)| index).collect()
}

/// Finds circles that share no member, up to the number of problems shown. Each is listed so that
/// a member is read by the next, beginning with the one that stands first in the document.
///
/// Takes no recursion: a hostile document may chain thousands of transforms.
fn circles(mut reads: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
    let mut circles = Vec::new();
    while circles.len() < PROBLEMS_MAX {
        strip(&mut reads);
        let Some(start_idx) = reads.iter().position(|inputs| !inputs.is_empty()) else { break };
        let mut order: Vec<usize> = Vec::new();
        let mut seen_at = vec![usize::MAX; reads.len()];
        let mut at = start_idx;
        let circle = loop {
            match seen_at.get_mut(at) {
                Some(seen) if *seen == usize::MAX => *seen = order.len(),
                Some(seen) => break order.split_off(*seen),
                None => return circles,
            }
            order.push(at);
            match reads.get(at).and_then(|inputs| inputs.first()) {
                Some(next) => at = *next,
                None => return circles,
            }
        };
        let mut members: Vec<usize> = circle.into_iter().rev().collect();
        let first = members.iter().enumerate().min_by_key(|(_, index)| **index);
        let first_idx = first.map_or(0, |(position, _)| position);
        members.rotate_left(first_idx);
        for index in &members {
            reads.get_mut(*index).map(Vec::clear).unwrap_or_default();
        }
        circles.push(members);
    }
    circles
}

/// Takes out, again and again, whoever reads nothing: what remains has a circle before it.
fn strip(reads: &mut [Vec<usize>]) {
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); reads.len()];
    for (index, inputs) in reads.iter().enumerate() {
        for input_idx in inputs {
            push(&mut readers, *input_idx, index);
        }
    }
    let mut open_len: Vec<usize> = reads.iter().map(Vec::len).collect();
    let mut free: Vec<usize> =
        open_len.iter().enumerate().filter(|(_, len)| **len == 0).map(|(index, _)| index).collect();
    let mut is_free = vec![false; reads.len()];
    while let Some(index) = free.pop() {
        if let Some(flag) = is_free.get_mut(index) {
            *flag = true;
        }
        for reader_idx in readers.get(index).map_or(&[][..], Vec::as_slice) {
            if let Some(len) = open_len.get_mut(*reader_idx) {
                *len -= 1;
                if *len == 0 {
                    free.push(*reader_idx);
                }
            }
        }
    }
    for (index, inputs) in reads.iter_mut().enumerate() {
        if is_free.get(index) == Some(&true) {
            inputs.clear();
        } else {
            inputs.retain(|input_idx| is_free.get(*input_idx) == Some(&false));
        }
    }
}

/// Reports a circle of transforms at the input that closes it.
fn report_cycle(plan: &Plan<'_>, members: &[usize], findings: &mut Findings) {
    let pieces = pieces(plan, members);
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else { return };
    let is_last = |name: &String| plan.read(name).is_some_and(|(_, piece)| piece.id == last.id);
    let at = first.inputs().iter().position(is_last);
    let inside: Vec<Step> =
        at.map(|index| vec![Step::from("inputs"), Step::Index(index)]).unwrap_or_default();
    findings.add(|| {
        first
            .finding(&inside, Problem::Cycle { members: ids(&pieces) })
            .with_help("data must come from a source: remove one of these inputs")
    });
}

/// Reports a replay that comes back to its vault, at the source that replays.
fn report_replay(plan: &Plan<'_>, members: &[usize], findings: &mut Findings) {
    let pieces = pieces(plan, members);
    let replayer =
        pieces.iter().find(|piece| piece.section == Section::Source && piece.replays().is_some());
    let Some(source) = replayer else { return };
    let inside = Plan::place_of(source, "vault", source.replays().unwrap_or_default());
    findings.add(|| {
        source.finding(&inside, Problem::ReplayLoop { members: ids(&pieces) }).with_help(
            "sources fill a vault by `pivot`; remove the vault from the components that read its \
             replay",
        )
    });
}

/// Returns the components of a circle.
fn pieces<'d>(plan: &Plan<'d>, members: &[usize]) -> Vec<&'d Piece<'d>> {
    members.iter().filter_map(|index| plan.pieces.get(*index)).collect()
}

/// Returns the ids of the components of a circle.
fn ids(pieces: &[&Piece<'_>]) -> Vec<ComponentId> {
    pieces.iter().filter_map(|piece| piece.id.parse().ok()).collect()
}

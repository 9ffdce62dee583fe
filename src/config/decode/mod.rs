//! From a [`Node`] to a typed value, with every problem instead of the first.
//!
//! A deserializer stops at its first problem. To find the others, the problem is noted together
//! with its path, the place is repaired in a copy of the tree (an unknown option is taken out, a
//! wrong or missing value becomes a stand-in that pretends to be whatever is wanted) and the copy
//! is decoded again, until that succeeds or fails at a stand-in nothing fits.

mod describe;

use crate::config::diagnosis::nearest;
use crate::tree::DecodeResult;
use crate::tree::Failure;
use crate::tree::FailureKind;
use crate::tree::MapEntry;
use crate::tree::Node;
use crate::tree::NodeValue;
use crate::tree::STAND_IN_TEXTS;
use crate::tree::Step;
use crate::tree::Trace;
use crate::tree::Trail;
use crate::tree::TreeDeserializer;

pub(super) use describe::describe;
pub(super) use describe::found_in;

/// The most decodings tried of one value; each finds or repairs something.
const ATTEMPTS_MAX: usize = 400;
/// The most problems reported of one value.
const FAILURES_MAX: usize = 100;

/// Decodes a value with `read`; paths of failures are relative to it.
///
/// # Errors
///
/// Every problem found, at least one.
pub(super) fn decode<T>(
    node: &Node,
    read: impl Fn(TreeDeserializer<'_>) -> DecodeResult<T>,
) -> Result<T, Vec<Failure>> {
    let mut failures: Vec<Failure> = Vec::new();
    let mut repaired: Option<Node> = None;
    for _ in 0..ATTEMPTS_MAX {
        let current = repaired.as_ref().unwrap_or(node);
        let trace = Trace::default();
        let tree = TreeDeserializer::new(current, &Trail::Root, &trace);
        let failure = match read(tree) {
            Ok(value) if failures.is_empty() && !current.holds_stand_in() => return Ok(value),
            Ok(_) => return Err(failures),
            Err(fault) => trace.into_failure().unwrap_or(Failure { path: Vec::new(), fault }),
        };
        let failure = without_secret(current, failure);
        let is_new = !is_consequence(current, &failure, &failures);
        let can_go_on = repair(repaired.get_or_insert_with(|| node.clone()), &failure);
        if is_new {
            failures.push(failure);
        }
        if !can_go_on || FAILURES_MAX <= failures.len() {
            break;
        }
    }
    Err(failures)
}

/// Shows a value from the environment as the text before interpolation: it may be a secret.
fn without_secret(root: &Node, failure: Failure) -> Failure {
    let Failure { path, mut fault } = failure;
    if let Some(Node { value: NodeValue::Scalar(scalar), .. }) = root.descend(&path)
        && let Some(template) = &scalar.template
    {
        fault = fault.without_secret(&scalar.text, template);
    }
    Failure { path, fault }
}

/// Whether a failure only repeats what is reported already, here or elsewhere.
fn is_consequence(node: &Node, failure: &Failure, known: &[Failure]) -> bool {
    let at = node.descend(&failure.path);
    match &failure.fault {
        // A misspelt option is absent under its right name.
        FailureKind::MissingField { field } => {
            let explains = |other: &Failure| match (&other.fault, other.path.split_last()) {
                (FailureKind::UnknownField { field: written, expected }, Some((_, parent))) => {
                    *parent == failure.path
                        && nearest(written, expected.iter().copied()) == Some(*field)
                }
                _ => false,
            };
            known.iter().any(explains) || at.is_some_and(is_stand_in)
        }
        FailureKind::UnknownField { .. } => false,
        // A value may be refused for what a stand-in inside it pretends.
        _ => at.is_some_and(Node::holds_stand_in),
    }
}

/// Whether the value itself is a stand-in.
fn is_stand_in(node: &Node) -> bool {
    matches!(node.value, NodeValue::StandIn(_))
}

/// Changes the tree so that the next decoding gets past the failure; `false` if nothing is left to
/// change.
fn repair(root: &mut Node, failure: &Failure) -> bool {
    let path = failure.path.as_slice();
    match (&failure.fault, path.split_last()) {
        (FailureKind::UnknownField { .. }, Some((Step::Key(key), parent))) => {
            if let Some(Node { value: NodeValue::Map(entries), .. }) = root.descend_mut(parent) {
                entries.retain(|entry| entry.key != *key);
                return true;
            }
            stand_in(root, path)
        }
        (FailureKind::MissingField { field }, _) => match root.descend_mut(path) {
            Some(Node { value: NodeValue::Map(entries), mark }) => {
                if entries.iter().any(|entry| entry.key == *field) {
                    return stand_in(root, path);
                }
                let node = Node { mark: *mark, value: NodeValue::StandIn(0) };
                entries.push(MapEntry { key: (*field).to_owned(), key_mark: *mark, node });
                true
            }
            _ => stand_in(root, path),
        },
        _ => stand_in(root, path),
    }
}

/// Puts a stand-in at a path; where there is one already, lets it try the next text, and at last
/// replaces its parent.
fn stand_in(root: &mut Node, path: &[Step]) -> bool {
    let Some(node) = root.descend_mut(path) else { return false };
    match &mut node.value {
        NodeValue::StandIn(text_idx) if *text_idx + 1 < STAND_IN_TEXTS.len() => {
            *text_idx += 1;
            true
        }
        NodeValue::StandIn(_) => match path.split_last() {
            Some((_, parent)) => stand_in(root, parent),
            None => false,
        },
        value => {
            *value = NodeValue::StandIn(0);
            true
        }
    }
}

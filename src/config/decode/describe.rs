//! From a decoder's complaint to a problem a writer of YAML understands.

use crate::config::diagnosis::LocatedProblem;
use crate::config::diagnosis::Problem;
use crate::config::diagnosis::nearest;
use crate::tree::Failure;
use crate::tree::FailureKind;
use crate::tree::Mark;
use crate::tree::Node;
use crate::tree::NodeValue;
use crate::tree::Plain;
use crate::tree::Scalar;
use crate::tree::Step;
use crate::tree::display_path;

/// Turns a failure inside the value at `base` into a finding; `more_names` are options of that
/// value that its decoder does not know of.
pub(in crate::config) fn describe(
    root: &Node,
    base: &[Step],
    more_names: &[&str],
    failure: Failure,
) -> LocatedProblem {
    let is_direct = failure.path.len() == 1;
    let mut path: Vec<Step> = base.iter().cloned().chain(failure.path).collect();
    let mark = mark_of(root, &path, &failure.fault);
    let at = root.descend(&path);
    match failure.fault {
        FailureKind::Custom { message } => {
            let problem = custom(message, at);
            LocatedProblem::new(mark, display_path(&path), problem)
        }
        FailureKind::Mismatch { expected, found } => {
            let help = mismatch_help(&expected, at);
            let problem = Problem::WrongType { expected, found };
            let mut finding = LocatedProblem::new(mark, display_path(&path), problem);
            finding.help = help;
            finding
        }
        FailureKind::UnknownVariant { variant, expected } => {
            let near = nearest(&variant, expected.iter().copied());
            let message = format!("`{variant}` is not a valid value");
            LocatedProblem::new(mark, display_path(&path), Problem::InvalidValue { message })
                .with_names(near, "valid values", expected)
        }
        FailureKind::UnknownField { field, expected } => {
            let mut names: Vec<&str> = if is_direct { more_names.to_vec() } else { Vec::new() };
            names.extend(expected);
            let near = nearest(&field, names.iter().copied());
            let finding = LocatedProblem::new(
                mark,
                display_path(&path),
                Problem::UnknownOption { name: field.clone() },
            )
            .with_names(near, "valid options", &names);
            if field == "inputs" {
                return finding.with_help("a source has no inputs: other components read from it");
            }
            finding
        }
        FailureKind::MissingField { field } => {
            let owner = display_path(&path);
            path.push(Step::from(field));
            let problem = Problem::MissingOption { name: field.to_owned() };
            LocatedProblem::new(mark, display_path(&path), problem)
                .with_help(format!("add `{field}: ...` under `{owner}`"))
        }
        FailureKind::DuplicateField { field } => {
            let message = format!("the option `{field}` is given twice");
            LocatedProblem::new(mark, display_path(&path), Problem::InvalidValue { message })
        }
    }
}

/// Puts the messages of foreign parsers into our words.
fn custom(message: String, at: Option<&Node>) -> Problem {
    let expected = match message.as_str() {
        "invalid socket address syntax" => "an address with a port, like 127.0.0.1:4317",
        "invalid IP address syntax" => "an IP address, like 127.0.0.1",
        _ => return Problem::InvalidValue { message },
    };
    let found = at.map_or_else(|| "another text".to_owned(), found_in);
    Problem::WrongType { expected: expected.to_owned(), found }
}

/// Says what to do about a value of the wrong type, where that is not plain.
fn mismatch_help(expected: &str, at: Option<&Node>) -> Option<String> {
    let node = at?;
    match &node.value {
        NodeValue::Scalar(scalar) if scalar.plain == Plain::Null => {
            Some("write a value after the colon".to_owned())
        }
        NodeValue::Scalar(scalar) if expected == "a list" => {
            Some(format!("write a list, in brackets: [{}]", shown(scalar)))
        }
        NodeValue::Scalar(scalar) if scalar.plain == Plain::Text => {
            let is_number = expected.contains("number") && scalar.text.parse::<f64>().is_ok();
            let is_bool = expected.starts_with("`true`") && scalar.text.parse::<bool>().is_ok();
            (is_number || is_bool).then(|| format!("leave out the quotes: {}", shown(scalar)))
        }
        _ => None,
    }
}

/// Says what stands at a place of the document.
pub(in crate::config) fn found_in(node: &Node) -> String {
    match &node.value {
        NodeValue::Map(_) => "a mapping".to_owned(),
        NodeValue::Seq(_) => "a list".to_owned(),
        NodeValue::StandIn(_) => "a value".to_owned(),
        NodeValue::Scalar(scalar) => match scalar.plain {
            Plain::Null => "nothing".to_owned(),
            Plain::Bool(_) => format!("`{}`", scalar.text),
            Plain::Unsigned(_) | Plain::Signed(_) | Plain::Float(_) => {
                format!("the number {}", scalar.text)
            }
            Plain::Text => format!("the text `{}`", shown(scalar)),
        },
    }
}

/// Returns the text of a scalar that may be shown: before interpolation, and not endless.
fn shown(scalar: &Scalar) -> String {
    const SHOWN_LEN_MAX: usize = 80;
    let text = scalar.template.as_deref().unwrap_or(&scalar.text);
    match text.char_indices().nth(SHOWN_LEN_MAX) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Returns the place a failure is shown at.
fn mark_of(root: &Node, path: &[Step], fault: &FailureKind) -> Mark {
    match fault {
        FailureKind::UnknownField { .. }
        | FailureKind::MissingField { .. }
        | FailureKind::DuplicateField { .. } => root.key_mark(path, Mark::START),
        // The name of a choice with content is a key.
        FailureKind::UnknownVariant { variant, .. }
            if path.last() == Some(&Step::Key(variant.clone()))
                && root.descend(path).and_then(Node::text) != Some(variant) =>
        {
            root.key_mark(path, Mark::START)
        }
        _ => root.value_mark(path, Mark::START),
    }
}

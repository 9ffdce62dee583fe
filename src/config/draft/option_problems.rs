//! What components found wrong with their own options, put at its place in the document.

use serde_json::Value as Json;

use crate::component::OptionProblem;
use crate::config::diagnosis::Findings;
use crate::config::diagnosis::LocatedProblem;
use crate::config::diagnosis::Problem;
use crate::tree::Mark;
use crate::tree::Node;
use crate::tree::NodeValue;
use crate::tree::Step;
use crate::tree::display_path;

/// Adds problems that components found in their own options; `values` are all their options.
pub(super) fn add(
    findings: &mut Findings,
    root: &Node,
    path: &[Step],
    problems: Vec<OptionProblem>,
    values: Option<&Json>,
) {
    for OptionProblem { path: option, message, help } in problems {
        findings.add(|| {
            let inside = root.descend(path).map(|node| node.resolve(&option)).unwrap_or_default();
            let whole: Vec<Step> = path.iter().chain(&inside).cloned().collect();
            let at = root.descend(&whole);
            let (message, help) = match at {
                Some(Node { value: NodeValue::Scalar(scalar), .. }) => {
                    (scalar.without_secret(message), help.filter(|_| scalar.template.is_none()))
                }
                _ => (message, help),
            };
            let problem = Problem::InvalidValue { message: with_subject(message, path, &inside) };
            let mark = root.value_mark(&whole, Mark::START);
            let finding = LocatedProblem::new(mark, display_path(&whole), problem);
            let default = values.and_then(|values| value_at(values, &inside));
            match default.filter(|_| at.is_none()) {
                Some(default) => {
                    finding.with_help(format!("it is not set; its default is {default}"))
                }
                None => LocatedProblem { help, ..finding },
            }
        });
    }
}

/// Begins a message with the name of what it is about, if it begins with a verb.
fn with_subject(message: String, path: &[Step], inside: &[Step]) -> String {
    const VERBS: [&str; 6] = ["must ", "needs ", "has ", "is ", "begins ", "ends "];
    let is_bare = VERBS.iter().any(|verb| message.starts_with(verb));
    let last_key = path.last().cloned();
    let name = if inside.is_empty() { last_key.into_iter().collect() } else { inside.to_vec() };
    if is_bare { format!("`{}` {message}", display_path(&name)) } else { message }
}

/// Returns the value of an option as it would be written.
fn value_at(values: &Json, path: &[Step]) -> Option<String> {
    let step_down = |value: &'_ Json, step: &Step| match step {
        Step::Key(key) => value.get(key).cloned(),
        Step::Index(index) => value.get(index).cloned(),
    };
    let value = path.iter().try_fold(values.clone(), |value, step| step_down(&value, step))?;
    match value {
        Json::String(text) => Some(text),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

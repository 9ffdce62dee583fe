//! `${VAR}` and `${VAR:-default}` in string values.
//!
//! Interpolation works on parsed values only: never on keys, never on raw text, so a variable's
//! content cannot change the shape of the document. `$$` is a literal dollar, and a dollar before
//! anything but `{` stands for itself. As in a shell, the default of `:-` is also taken when the
//! variable is set but empty.

use crate::config::diagnosis::LocatedProblem;
use crate::config::diagnosis::Problem;
use crate::tree::Mark;
use crate::tree::Node;
use crate::tree::NodeValue;
use crate::tree::Plain;
use crate::tree::Scalar;
use crate::tree::Step;
use crate::tree::display_path;
use crate::tree::lines;

/// Looks up an environment variable.
pub(in crate::config) type Environment<'e> = dyn Fn(&str) -> Option<String> + 'e;

/// The longest value an interpolation may make, in bytes.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Interpolates all string values of the tree; values that cannot be become stand-ins.
pub(in crate::config) fn interpolate(
    root: &mut Node,
    text: &str,
    environment: &Environment<'_>,
) -> Vec<LocatedProblem> {
    let mut findings = Vec::new();
    let lines = lines(text);
    let mut walk = Walk { lines: &lines, environment, path: Vec::new(), findings: &mut findings };
    walk.visit(root);
    findings
}

/// The walk over the tree.
struct Walk<'w> {
    lines: &'w [&'w str],
    environment: &'w Environment<'w>,
    path: Vec<Step>,
    findings: &'w mut Vec<LocatedProblem>,
}

impl Walk<'_> {
    fn visit(&mut self, node: &mut Node) {
        match &mut node.value {
            NodeValue::Map(entries) => {
                for entry in entries {
                    self.path.push(Step::Key(entry.key.clone()));
                    self.visit(&mut entry.node);
                    self.path.pop();
                }
            }
            NodeValue::Seq(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.path.push(Step::Index(index));
                    self.visit(item);
                    self.path.pop();
                }
            }
            NodeValue::Scalar(scalar)
                if scalar.plain == Plain::Text && scalar.text.contains('$') =>
            {
                let (value, problems) = expand(&scalar.text, self.environment);
                if problems.is_empty() {
                    let template = std::mem::take(&mut scalar.text);
                    let template = (template.contains("${")).then_some(template);
                    *scalar = Scalar { text: value, plain: Plain::Text, template };
                } else {
                    self.report(node.mark, problems);
                    node.value = NodeValue::StandIn(0);
                }
            }
            NodeValue::Scalar(_) | NodeValue::StandIn(_) => {}
        }
    }

    fn report(&mut self, mark: Mark, problems: Vec<(String, Problem)>) {
        for (token, problem) in problems {
            let mark = self.place_of(mark, &token);
            let help = match &problem {
                Problem::MissingVariable { name } => {
                    format!("set it, or give a default: `${{{name}:-default}}`")
                }
                _ => "write `${NAME}` or `${NAME:-default}`; `$$` is a literal dollar".to_owned(),
            };
            self.findings
                .push(LocatedProblem::new(mark, display_path(&self.path), problem).with_help(help));
        }
    }

    /// Finds the token in the line where the value begins; a value of several lines keeps its mark.
    fn place_of(&self, mark: Mark, token: &str) -> Mark {
        let line = usize::try_from(mark.line).ok().and_then(|line| self.lines.get(line - 1));
        let skipped_len = usize::try_from(mark.column - 1).unwrap_or(usize::MAX);
        let rest = line.map(|line| line.chars().skip(skipped_len).collect::<String>());
        let found = rest.as_deref().and_then(|rest| rest.split_once(token));
        let offset = found.map_or(0, |(before, _)| before.chars().count());
        Mark { line: mark.line, column: mark.column + u32::try_from(offset).unwrap_or(0) }
    }
}

/// Expands one text; problems carry the piece of text they are about.
fn expand(text: &str, environment: &Environment<'_>) -> (String, Vec<(String, Problem)>) {
    let mut value = String::new();
    let mut problems = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        value.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            value.push('$');
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let Some((inside, after)) = after.split_once('}') else {
                problems.push(bad(after, "the closing `}` is missing"));
                return (value, problems);
            };
            match variable(inside, environment) {
                Ok(content) => value.push_str(&content),
                Err(problem) => problems.push((format!("${{{inside}"), problem)),
            }
            rest = after;
        } else {
            value.push('$');
            rest = after;
        }
        if VALUE_BYTES_MAX < value.len() {
            problems.push(bad(rest, "the value becomes too long"));
            return (String::new(), problems);
        }
    }
    value.push_str(rest);
    (value, problems)
}

/// Evaluates what stands between the braces.
fn variable(inside: &str, environment: &Environment<'_>) -> Result<String, Problem> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let is_name = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err(bad(inside, "a name is made of letters, digits and `_`").1);
    }
    match (environment(name), default) {
        (Some(content), _) if !content.is_empty() => Ok(content),
        (_, Some(default)) => Ok(default.to_owned()),
        (Some(empty), None) => Ok(empty),
        (None, None) => Err(Problem::MissingVariable { name: name.to_owned() }),
    }
}

/// Makes the problem of an interpolation that cannot be understood.
fn bad(inside: &str, reason: &'static str) -> (String, Problem) {
    // A long text adds nothing to the message.
    let start: String = inside.chars().take(24).collect();
    let text = format!("${{{start}");
    (text.clone(), Problem::BadInterpolation { text, reason })
}

#[cfg(test)]
mod tests {
    use super::expand;

    /// Expands with HOME=/root and EMPTY set.
    fn expanded(text: &str) -> Result<String, String> {
        let environment = |name: &str| match name {
            "HOME" => Some("/root".to_owned()),
            "EMPTY" => Some(String::new()),
            "TRICK" => Some("${HOME} $$ \n a: b".to_owned()),
            _ => None,
        };
        let (value, problems) = expand(text, &environment);
        problems.first().map_or(Ok(value), |(_, problem)| Err(problem.to_string()))
    }

    #[test]
    fn variables_defaults_and_dollars_are_expanded_once() {
        for (text, value) in [
            ("${HOME}/data", "/root/data"),
            ("${NONE:-a:-b}", "a:-b"),
            ("${EMPTY}|${EMPTY:-full}|${NONE:-}", "|full|"),
            ("$$HOME $${HOME} $HOME 5$", "$HOME ${HOME} $HOME 5$"),
            ("${TRICK}", "${HOME} $$ \n a: b"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_expanded_is_an_error() {
        for text in ["${NONE}", "${}", "${a b}", "${HOME", "${1A}", "${HOME:?message}"] {
            assert!(expanded(text).is_err(), "{text}");
        }
    }
}

//! The collector of everything that is wrong with a document.

use std::collections::HashMap;

use crate::config::diagnosis::error::ConfigError;
use crate::config::diagnosis::error::ConfigErrors;
use crate::config::diagnosis::error::PROBLEMS_MAX;
use crate::config::diagnosis::hide::Secrets;
use crate::config::diagnosis::problem::LocatedProblem;
use crate::config::diagnosis::problem::Problem;
use crate::tree::lines;

/// Collects problems up to a limit and counts the rest.
#[derive(Debug, Default)]
pub(in crate::config) struct Findings {
    found: Vec<LocatedProblem>,
    omitted_len: usize,
    is_touched: bool,
    secrets: Secrets,
}

impl Findings {
    /// Adds a problem. Beyond the limit it is only counted and not even made: looking for the
    /// nearest of ten thousand names takes its time.
    pub(in crate::config) fn add(&mut self, make: impl FnOnce() -> LocatedProblem) {
        if self.found.len() < PROBLEMS_MAX {
            self.found.push(make());
        } else {
            self.omitted_len += 1;
        }
    }

    /// Notes what must not be shown of the document.
    pub(in crate::config) fn hide(&mut self, secrets: Secrets) {
        self.secrets = secrets;
    }

    /// Begins an empty list about the same document.
    pub(in crate::config) fn take_secrets(&mut self) -> Self {
        Self { secrets: std::mem::take(&mut self.secrets), ..Self::default() }
    }

    /// Notes that something could not be decoded, even where the reason was told before.
    pub(in crate::config) const fn touch(&mut self) {
        self.is_touched = true;
    }

    /// Whether nothing is wrong.
    pub(in crate::config) const fn is_empty(&self) -> bool {
        self.found.is_empty() && !self.is_touched
    }

    /// Whether an unknown option right under `path` most likely means `name`.
    pub(in crate::config) fn means(&self, name: &str, path: &str) -> bool {
        self.found.iter().any(|finding| {
            let Problem::UnknownOption { name: written } = &finding.problem else { return false };
            finding.nearest.as_deref() == Some(name)
                && finding.path.strip_prefix(path).is_some_and(|rest| rest.ends_with(written))
        })
    }

    /// Returns the names that unknown inputs most likely mean.
    pub(in crate::config) fn meant_inputs(&self) -> impl Iterator<Item = &str> {
        let is_input =
            |finding: &&LocatedProblem| matches!(finding.problem, Problem::UnknownInput { .. });
        self.found.iter().filter(is_input).filter_map(|finding| finding.nearest.as_deref())
    }

    /// Completes the problems with the file and its lines.
    pub(in crate::config) fn into_errors(self, file: &str, text: &str) -> ConfigErrors {
        let lines = lines(text);
        let secrets = self.secrets;
        // A line may be as long as the document, and all errors may be in it.
        let mut shown: HashMap<usize, String> = HashMap::new();
        let errors = self.found.into_iter().map(|finding| {
            let line_idx = usize::try_from(finding.mark.line).unwrap_or(usize::MAX) - 1;
            ConfigError {
                file: file.to_owned(),
                line: finding.mark.line,
                column: finding.mark.column,
                path: finding.path,
                problem: without_secrets(finding.problem, &secrets),
                nearest: finding.nearest,
                help: finding.help,
                source_line: shown
                    .entry(line_idx)
                    .or_insert_with(|| {
                        secrets.hide(lines.get(line_idx).copied().unwrap_or_default())
                    })
                    .clone(),
            }
        });
        ConfigErrors::new(errors.collect(), self.omitted_len)
    }
}

/// Problems may quote the value they are about.
fn without_secrets(problem: Problem, secrets: &Secrets) -> Problem {
    match problem {
        Problem::Syntax { message } => Problem::Syntax { message: secrets.hide(&message) },
        Problem::InvalidValue { message } => {
            Problem::InvalidValue { message: secrets.hide(&message) }
        }
        Problem::WrongType { expected, found } => {
            Problem::WrongType { expected, found: secrets.hide(&found) }
        }
        other => other,
    }
}

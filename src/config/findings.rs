//! The collector of everything that is wrong with a document.

use crate::config::error::ConfigError;
use crate::config::error::ConfigErrors;
use crate::config::error::Finding;
use crate::config::error::PROBLEMS_MAX;
use crate::config::error::Problem;
use crate::config::node::lines;

/// Collects problems up to a limit and counts the rest.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: Vec<Finding>,
    omitted_len: usize,
    is_touched: bool,
}

impl Findings {
    /// Adds a problem. Beyond the limit it is only counted and not even made: looking for the
    /// nearest of ten thousand names takes its time.
    pub(super) fn add(&mut self, make: impl FnOnce() -> Finding) {
        if self.found.len() < PROBLEMS_MAX {
            self.found.push(make());
        } else {
            self.omitted_len += 1;
        }
    }

    /// Notes that something could not be decoded, even where the reason was told before.
    pub(super) const fn touch(&mut self) {
        self.is_touched = true;
    }

    /// Whether nothing is wrong.
    pub(super) const fn is_empty(&self) -> bool {
        self.found.is_empty() && !self.is_touched
    }

    /// Whether an unknown option right under `path` most likely means `name`.
    pub(super) fn means(&self, name: &str, path: &str) -> bool {
        self.found.iter().any(|finding| {
            let Problem::UnknownOption { name: written } = &finding.problem else { return false };
            finding.nearest.as_deref() == Some(name)
                && finding.path.strip_prefix(path).is_some_and(|rest| rest.ends_with(written))
        })
    }

    /// Returns the names that unknown inputs most likely mean.
    pub(super) fn meant_inputs(&self) -> impl Iterator<Item = &str> {
        let is_input = |finding: &&Finding| matches!(finding.problem, Problem::UnknownInput { .. });
        self.found.iter().filter(is_input).filter_map(|finding| finding.nearest.as_deref())
    }

    /// Completes the problems with the file and its lines.
    pub(super) fn into_errors(self, file: &str, text: &str) -> ConfigErrors {
        let lines = lines(text);
        let errors = self.found.into_iter().map(|finding| {
            let line_idx = usize::try_from(finding.mark.line).unwrap_or(usize::MAX) - 1;
            ConfigError {
                file: file.to_owned(),
                line: finding.mark.line,
                column: finding.mark.column,
                path: finding.path,
                problem: finding.problem,
                nearest: finding.nearest,
                help: finding.help,
                source_line: lines.get(line_idx).copied().unwrap_or_default().to_owned(),
            }
        });
        ConfigErrors::new(errors.collect(), self.omitted_len)
    }
}

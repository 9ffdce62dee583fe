//! Everything that is wrong with a configuration, printed as a good compiler would.
//!
//! ```text
//! error: unknown option `lisen`
//!   --> gophership.yaml:5:7 (sources.otlp.grpc.lisen)
//!    |
//!  5 |       lisen: "0.0.0.0:4317"
//!    |       ^^^^^
//!    = help: did you mean `listen`? valid options: listen, tls
//! ```

use std::fmt;
use std::fmt::Write as _;

use crate::config::diagnosis::problem::Problem;

/// The most problems collected of one file; the rest is counted.
pub(in crate::config) const PROBLEMS_MAX: usize = 100;

/// The longest piece of a line shown, in characters.
const SHOWN_LEN_MAX: usize = 120;

/// The longest message shown, in characters: it may quote a value.
const MESSAGE_LEN_MAX: usize = 400;

/// One problem, its place in the file and its remedy.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}:{column}: {}{problem}", prefix(path))]
pub struct ConfigError {
    /// The file, as the caller named it.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
    /// The path in the document, like `sources.otlp.grpc.listen`; empty for the whole document.
    pub path: String,
    /// What is wrong.
    #[source]
    pub problem: Problem,
    /// The valid name the writer most likely meant.
    pub nearest: Option<String>,
    /// What to do about it, `nearest` included.
    pub help: Option<String>,
    /// The line of the text.
    pub source_line: String,
}

impl ConfigError {
    /// Returns the error as a compiler would print it, with the line and a caret under the place.
    ///
    /// The text has several lines and ends without a newline.
    #[must_use]
    pub fn render(&self) -> String {
        render(self, "error")
    }

    /// Returns it as [`render`](Self::render) does, for something that is allowed, and should be known.
    #[must_use]
    pub fn render_warning(&self) -> String {
        render(self, "warning")
    }
}

/// Everything that is wrong with one file, in the order of its lines; never empty.
#[derive(Debug)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
    omitted_len: usize,
}

impl ConfigErrors {
    /// Sorts the problems of a file by place and keeps the first hundred.
    pub(in crate::config) fn new(mut errors: Vec<ConfigError>, mut omitted_len: usize) -> Self {
        errors.sort_by_key(|error| (error.line, error.column));
        omitted_len += errors.len().saturating_sub(PROBLEMS_MAX);
        errors.truncate(PROBLEMS_MAX);
        Self { errors, omitted_len }
    }

    /// Returns the problems, in the order of their lines.
    #[must_use]
    pub fn as_slice(&self) -> &[ConfigError] {
        &self.errors
    }

    /// Returns the problems themselves.
    pub(in crate::config) fn into_vec(self) -> Vec<ConfigError> {
        self.errors
    }

    /// Returns how many more there are beyond those kept.
    #[must_use]
    pub const fn omitted_len(&self) -> usize {
        self.omitted_len
    }
}

impl std::error::Error for ConfigErrors {}

/// Writes every problem as a compiler would, and their number.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in &self.errors {
            writeln!(formatter, "{}\n", error.render())?;
        }
        let file = self.errors.first().map_or("", |error| &error.file);
        match self.errors.len() + self.omitted_len {
            1 => write!(formatter, "1 problem in {file}"),
            len if self.omitted_len == 0 => write!(formatter, "{len} problems in {file}"),
            len => write!(
                formatter,
                "{len} problems in {file}; the first {} are shown",
                self.errors.len()
            ),
        }
    }
}

/// Writes a path in front of a message.
fn prefix(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}

/// Renders one error, without a final newline.
fn render(error: &ConfigError, severity: &str) -> String {
    let ConfigError { file, line, column, path, problem, help, source_line, .. } = error;
    let problem = shorten(&problem.to_string());
    let help = help.as_deref().map(shorten);
    let path = if path.is_empty() { String::new() } else { format!(" ({path})") };
    let number = line.to_string();
    let margin = " ".repeat(number.len() + 1);
    let mut text = format!("{severity}: {problem}\n {margin}--> {file}:{line}:{column}{path}");
    if !source_line.trim().is_empty() {
        let (shown, caret_idx, caret_len) = snippet(source_line, *column);
        let indent = " ".repeat(caret_idx);
        let carets = "^".repeat(caret_len);
        let _written =
            write!(text, "\n {margin}|\n {number} | {shown}\n {margin}| {indent}{carets}");
    }
    if let Some(help) = help {
        let _written = write!(text, "\n {margin}= help: {help}");
    }
    text
}

/// Puts a message on one line of bearable length.
fn shorten(message: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = message.chars().map(clean).take(MESSAGE_LEN_MAX).collect();
    if short.len() < message.len() {
        short.push_str("...");
    }
    short
}

/// Returns the piece of the line to show, and where and how long its underline is.
fn snippet(line: &str, column: u32) -> (String, usize, usize) {
    // A tab or control character would move everything behind it on the screen.
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let characters: Vec<char> = line.trim_end().chars().map(clean).collect();
    let column_idx = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
    let caret_idx = column_idx.min(characters.len());
    let token_len = token_len(characters.get(caret_idx..).unwrap_or_default());
    let start_idx = if caret_idx < SHOWN_LEN_MAX { 0 } else { caret_idx - SHOWN_LEN_MAX / 4 };
    let shown: String = characters.iter().skip(start_idx).take(SHOWN_LEN_MAX).collect();
    let caret_idx = caret_idx - start_idx;
    (shown, caret_idx, token_len.min(SHOWN_LEN_MAX - caret_idx).max(1))
}

/// Returns the length of the key or scalar that begins here.
fn token_len(rest: &[char]) -> usize {
    let first = rest.first().copied().unwrap_or(' ');
    if first == '"' || first == '\'' {
        let end_idx = rest.iter().skip(1).position(|c| *c == first);
        return end_idx.map_or(rest.len(), |idx| idx + 2);
    }
    if first == '[' || first == '{' {
        return 1;
    }
    let next = |idx: usize| rest.get(idx + 1).copied().unwrap_or(' ');
    let ends = |idx: usize, c: char| match c {
        ':' => next(idx) == ' ',
        ',' => next(idx) == ' ' || next(idx) == ',',
        ']' | '}' => rest.get(..idx).is_some_and(|token| !token.contains(&'{')),
        ' ' => matches!(next(idx), '#' | ' ' | '}' | ']'),
        _ => false,
    };
    rest.iter().enumerate().position(|(idx, c)| ends(idx, *c)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::snippet;

    /// Returns the underlined text.
    fn underlined(line: &str, column: u32) -> String {
        let (shown, caret_idx, caret_len) = snippet(line, column);
        shown.chars().skip(caret_idx).take(caret_len).collect()
    }

    #[test]
    fn the_underline_covers_the_key_or_the_value() {
        assert_eq!(underlined("  grpc: { lisen: \"a b: c\" }", 11), "lisen");
        assert_eq!(underlined("  grpc: { lisen: \"a b: c\" }", 18), "\"a b: c\"");
        assert_eq!(underlined("inputs: [otlp, replay]", 10), "otlp");
        assert_eq!(underlined("inputs: [otlp, replay]", 16), "replay");
        assert_eq!(underlined("d: { rate: 0 }", 12), "0");
        assert_eq!(underlined("rate: ten per second # comment", 7), "ten per second");
        assert_eq!(underlined("path: ${HOME}/x", 7), "${HOME}/x");
    }

    #[test]
    fn a_column_far_out_or_beyond_the_line_is_shown_without_trouble() {
        assert_eq!(underlined("abc", 99), "");
        let long = format!("{}: wrong", "k".repeat(500));
        assert_eq!(underlined(&long, 503), "wrong");
        assert_eq!(underlined(&long, u32::MAX), "");
    }
}

//! The configuration: the YAML document, and every check before a start.
//!
//! ```text
//!  text --yaml--> Node --decode, draft--> Draft --validate--> Config --diff--> what a reload does
//!                  |                        |         |
//!                  +------- diagnosis ------+---------+--> ConfigErrors
//! ```
//!
//! Each step goes as far as it can and adds what is wrong to the findings, so that one run tells
//! all problems of a file. A `Node` knows its place in the text, whatever the order
//! of options, and so does every problem.
//!
//! | to find | look into |
//! |---|---|
//! | the tree of values and their places | `src/tree/` |
//! | how a file is read, parsed, and filled from the environment | `yaml/` |
//! | a message that a user reads, and what it must not show | `diagnosis/` |
//! | an option that is no component's own, like `somatic` or `buffer` | `sections/` |
//! | how options become typed values, with all problems instead of the first | `decode/`, `draft/`; `src/tree/` |
//! | what must hold between components | `validate/` |
//! | the finished configuration, and how two of them differ | `document/` |
//! | the JSON Schema and the reference page | `schema/` |
//!
//! A folder imports only those that stand lower in the table of `tests/tidy/layers.rs`. What a component
//! is, with the types of its options, is in [`component`](crate::component).

mod decode;
mod diagnosis;
mod document;
mod draft;
mod schema;
mod sections;
mod validate;
mod yaml;

#[cfg(test)]
mod tests;

use std::path::Path;

pub use diagnosis::ConfigError;
pub use diagnosis::ConfigErrors;
pub use diagnosis::Problem;
pub use diagnosis::nearest;
pub use document::Config;
pub use document::ConfigDiff;
pub use document::FileChanges;
pub use document::Leg;
pub use document::SectionDiff;
pub use document::SinkEntry;
pub use document::SourceEntry;
pub use document::TransformEntry;
pub use document::UnreadableFile;
pub use schema::schema;
pub use sections::AuditConfig;
pub use sections::BufferConfig;
pub use sections::CONTROL_SOCKET;
pub use sections::ControlConfig;
pub use sections::MemoryConfig;
pub use sections::MemoryShares;
pub use sections::MetricsConfig;
pub use sections::PageMode;
pub use sections::Role;
pub use sections::RoleRule;
pub use sections::SOCKET_PATH_LEN_MAX;
pub use sections::ShutdownConfig;
pub use sections::SomaticConfig;
pub use sections::TestCase;
pub use sections::TestRecord;
pub use sections::Watermarks;

use crate::component::FileStamp;
use crate::tree::Mark;
use crate::tree::display_path;
use diagnosis::Findings;
use diagnosis::LocatedProblem;
use diagnosis::Secrets;
use draft::Draft;

/// Of the hash of a text; enough to tell configurations apart.
const HASH_DIGITS: usize = 16;

/// Loads and checks a configuration.
///
/// `file_name` is shown in errors; `environment` looks up the variables of `${VAR}`.
///
/// # Errors
///
/// Everything that is wrong with the text, up to a hundred problems.
pub fn load_text(
    file_name: &str,
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigErrors> {
    let mut findings = Findings::default();
    match load_into(text, environment, &mut findings) {
        Some((mut config, warnings)) => {
            config.warnings = warnings.into_errors(file_name, text).into_vec();
            config.hash =
                blake3::hash(text.as_bytes()).to_hex().chars().take(HASH_DIGITS).collect();
            Ok(config)
        }
        None => Err(findings.into_errors(file_name, text)),
    }
}

/// Loads and checks the configuration in a file.
///
/// # Errors
///
/// The file cannot be read or is not UTF-8, or everything that is wrong with it.
pub fn load_file(
    path: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigErrors> {
    let file_name = path.display().to_string();
    let fail = |mark: Mark, problem: Problem, text: &str| {
        let mut findings = Findings::default();
        findings.add(|| LocatedProblem::new(mark, String::new(), problem));
        Err(findings.into_errors(&file_name, text))
    };
    // Before it is read: a later change is another one.
    let stamp = FileStamp::of(path);
    let bytes = match yaml::read(path) {
        Ok(bytes) => bytes,
        Err(problem) => return fail(Mark::START, problem, ""),
    };
    match String::from_utf8(bytes) {
        Ok(text) => {
            let mut config = load_text(&file_name, &text, environment)?;
            config.look_at_files(path, stamp);
            Ok(config)
        }
        Err(error) => {
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let mark = yaml::mark_of_byte(error.as_bytes(), error.utf8_error().valid_up_to());
            let message = "invalid UTF-8".to_owned();
            fail(mark, Problem::Syntax { message }, &text)
        }
    }
}

/// Takes a text through all steps, and returns the configuration with its warnings; `None` if anything
/// is wrong with it.
fn load_into(
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
    findings: &mut Findings,
) -> Option<(Config, Findings)> {
    let (mut root, duplicates) = match yaml::parse(text) {
        Ok(parsed) => parsed,
        Err((mark, problem)) => {
            findings.add(|| LocatedProblem::new(mark, String::new(), problem));
            return None;
        }
    };
    findings.hide(Secrets::of(&root));
    for yaml::Duplicate { key, mark, first } in duplicates {
        findings.add(|| {
            let path = root.path_of_key(first).unwrap_or_default();
            let problem = Problem::DuplicateKey { key, first_line: first.line };
            LocatedProblem::new(mark, display_path(&path), problem)
                .with_help("remove or rename one of them; YAML would silently use only one")
        });
    }
    for finding in yaml::interpolate(&mut root, text, environment) {
        findings.add(|| finding);
    }
    let draft = Draft::decode(&root, findings);
    validate::validate(&draft, findings);
    if !findings.is_empty() {
        return None;
    }
    let mut warnings = findings.take_secrets();
    draft.add_warnings(&mut warnings);
    validate::warn(&draft, &mut warnings);
    let mut config = draft.into_config()?;
    document::add_missing(&mut config);
    Some((config, warnings))
}

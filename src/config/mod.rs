//! The configuration: the YAML document, the seams to the components, and every check before a
//! start.
//!
//! ```text
//!  text --load--> Node --interpolate--> Node --draft--> Draft --validate--> Config
//!                  |         |                    |            |
//!                  +---------+---- Findings ------+------------+--> ConfigErrors
//! ```
//!
//! Each step goes as far as it can and adds what is wrong to the findings, so that one run tells
//! all problems of a file. A `Node` knows its place in the text, whatever the order
//! of options, and so does every problem.

mod common;
mod component;
mod component_error;
mod condition;
pub mod connections;
mod cursors;
mod decode;
mod describe;
mod diff;
mod document;
mod draft;
mod error;
mod file;
mod findings;
mod hide;
mod id;
mod interpolate;
mod level;
mod load;
mod memory;
mod nearest;
mod node;
mod option_problems;
mod output;
mod piece;
mod pivot;
mod problem;
mod reference;
mod registry;
mod replay;
pub mod running;
mod schema;
mod secret;
mod settings;
mod somatic;
mod syntax;
mod testing;
mod transform_chain;
mod validate;

#[cfg(test)]
mod tests;

use std::path::Path;

pub use component::OptionProblem;
pub use component::Resource;
pub use component::SinkConfig;
pub use component::Site;
pub use component::SourceConfig;
pub use component::TransformConfig;
pub use condition::Condition;
pub use condition::Severity;
pub use condition::SignalName;
pub use cursors::CursorOwner;
pub use cursors::Heir;
pub use cursors::SinkCursors;
pub use cursors::StaleCursor;
pub use diff::ConfigDiff;
pub use diff::SectionDiff;
pub use document::CONTROL_SOCKET;
pub use document::Config;
pub use document::SinkEntry;
pub use document::SourceEntry;
pub use document::TransformEntry;
pub use error::ConfigError;
pub use error::ConfigErrors;
pub use gophership_units::ByteSize;
pub use gophership_units::HumanDuration;
pub use gophership_units::Share;
pub use gophership_units::UnitError;
pub use id::ComponentId;
pub use id::IdError;
pub use level::AttributeLevel;
pub use memory::MemoryConfig;
pub use memory::MemoryShares;
pub use output::OutputId;
pub use pivot::PivotOption;
pub use problem::Problem;
pub use reference::reference;
pub use registry::ComponentInfo;
pub use registry::Section;
pub use registry::list;
pub use schema::schema;
pub use secret::Secret;
pub use settings::BufferConfig;
pub use settings::ControlConfig;
pub use settings::MetricsConfig;
pub use settings::ShutdownConfig;
pub use somatic::SomaticConfig;
pub use somatic::Watermarks;
pub use testing::TestCase;
pub use testing::TestRecord;
pub use transform_chain::Leg;

use draft::Draft;
use findings::Findings;
use hide::Secrets;
use node::Mark;
use problem::Finding;

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
        findings.add(|| Finding::new(mark, String::new(), problem));
        Err(findings.into_errors(&file_name, text))
    };
    let bytes = match file::read(path) {
        Ok(bytes) => bytes,
        Err(problem) => return fail(Mark::START, problem, ""),
    };
    match String::from_utf8(bytes) {
        Ok(text) => load_text(&file_name, &text, environment),
        Err(error) => {
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let mark = file::mark_of_byte(error.as_bytes(), error.utf8_error().valid_up_to());
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
    let (mut root, duplicates) = match load::parse(text) {
        Ok(parsed) => parsed,
        Err((mark, problem)) => {
            findings.add(|| Finding::new(mark, String::new(), problem));
            return None;
        }
    };
    findings.hide(Secrets::of(&root));
    for load::Duplicate { key, mark, first } in duplicates {
        findings.add(|| {
            let path = root.path_of_key(first).unwrap_or_default();
            let problem = Problem::DuplicateKey { key, first_line: first.line };
            Finding::new(mark, node::display_path(&path), problem)
                .with_help("remove or rename one of them; YAML would silently use only one")
        });
    }
    for finding in interpolate::interpolate(&mut root, text, environment) {
        findings.add(|| finding);
    }
    let draft = Draft::decode(&root, findings);
    validate::validate(&draft, findings);
    if !findings.is_empty() {
        return None;
    }
    let mut warnings = findings.take_secrets();
    draft.add_warnings(&mut warnings);
    let mut config = draft.into_config()?;
    replay::add_missing(&mut config);
    Some((config, warnings))
}

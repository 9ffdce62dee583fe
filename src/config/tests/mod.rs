//! Tests of the whole way from a text to a configuration or its problems.

mod diff;
mod golden;
mod headers;
mod loading;
mod mutation;
mod page;
mod positions;
mod schema;

use crate::config::Config;
use crate::config::ConfigErrors;
use crate::config::load_text;

/// A configuration with one of everything, as users write it.
const EXAMPLE: &str = include_str!("example.yaml");

/// Loads a text with two variables in the environment.
fn load(text: &str) -> Result<Config, ConfigErrors> {
    load_text("gophership.yaml", text, &|name| match name {
        "HOSTNAME" => Some("ship-1".to_owned()),
        "RATE" => Some("250".to_owned()),
        "SECRET" => Some("hunter2hunter2".to_owned()),
        _ => None,
    })
}

/// Loads a pipeline of four transforms with the cases of `gophership test` for it.
pub(super) fn load_with_tests(tests: &str) -> Result<Config, String> {
    const PIPELINE: &str = "
sources: { s: { type: demo } }
transforms:
  a: { type: enrich, inputs: [s] }
  b: { type: enrich, inputs: [a] }
  c: { type: enrich, inputs: [b] }
  d: { type: enrich, inputs: [b, a] }
sinks: { k: { type: blackhole, inputs: [c, d] } }
";
    let text = format!("{PIPELINE}tests: [{tests}]");
    load_text("tests.yaml", &text, &|_| None).map_err(|errors| errors.to_string())
}

/// Returns the problems of a text as `line:column path: message` lines.
fn problems(text: &str) -> Vec<String> {
    let errors = load(text).map(|_| ()).unwrap_err();
    assert!(!errors.as_slice().is_empty());
    let line = |error: &crate::config::ConfigError| {
        format!("{}:{} {}: {}", error.line, error.column, error.path, error.problem)
    };
    errors.as_slice().iter().map(line).collect()
}

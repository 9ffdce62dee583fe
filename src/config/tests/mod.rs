//! Tests of the whole way from a text to a configuration or its problems.

mod diff;
mod golden;
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

/// Returns the problems of a text as `line:column path: message` lines.
fn problems(text: &str) -> Vec<String> {
    let errors = load(text).map(|_| ()).unwrap_err();
    assert!(!errors.as_slice().is_empty());
    let line = |error: &crate::config::ConfigError| {
        format!("{}:{} {}: {}", error.line, error.column, error.path, error.problem)
    };
    errors.as_slice().iter().map(line).collect()
}

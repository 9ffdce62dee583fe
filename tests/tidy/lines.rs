//! Log lines have fields that programs can read: no debug output, and durations and sizes as numbers.

use super::report;
use super::sources;

const MACROS: [&str; 5] = ["trace!(", "debug!(", "info!(", "warn!(", "error!("];
/// What prints a quantity as people write it.
const AS_TEXT: [&str; 2] = ["HumanDuration(", "ByteSize("];

/// The arguments of every log line in a text, each with the number of its line.
fn log_lines(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for name in MACROS {
        for (start, _) in text.match_indices(&format!("tracing::{name}")) {
            let (before, rest) = text.split_at(start);
            let arguments = rest.split_at("tracing::".len() + name.len()).1;
            let line = before.matches('\n').count() + 1;
            found.push((line, arguments.split_at(end_of(arguments)).0));
        }
    }
    found
}

/// Where the parenthesis closes that was opened before.
fn end_of(arguments: &str) -> usize {
    let (mut depth, mut is_text, mut is_escaped) = (1, false, false);
    for (at, c) in arguments.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_text => is_escaped = true,
            '"' => is_text = !is_text,
            '(' if !is_text => depth += 1,
            ')' if !is_text => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    arguments.len()
}

/// What is wrong with the arguments of a log line.
fn fault(arguments: &str) -> Option<&'static str> {
    let fields: String = arguments.split('"').step_by(2).collect();
    let starts = |field: &str| field.trim_start().starts_with('?');
    let is_debug = fields.split(',').any(|field| {
        starts(field) || field.split_once('=').is_some_and(|(_, value)| starts(value))
    });
    if is_debug || arguments.contains(":?}") {
        return Some("has debug output: give the field a text or a number");
    }
    AS_TEXT
        .iter()
        .any(|quantity| arguments.contains(quantity))
        .then_some("has a quantity as text: give `_seconds` or `_bytes` as a number")
}

#[test]
fn log_lines_are_for_people_and_programs() {
    let mut violations = Vec::new();
    let mut seen = 0;
    for (path, text) in sources().filter(|(path, _)| !path.starts_with("tests/")) {
        for (line, arguments) in log_lines(&text) {
            seen += 1;
            if let Some(fault) = fault(arguments) {
                violations.push(format!("{path}:{line} {fault}"));
            }
        }
    }
    report(&violations);
    assert!(100 < seen, "log lines are written in another way now");
}

#[test]
fn debug_output_and_texts_of_quantities_are_found() {
    for wrong in [
        r#"?command, "Changed.""#,
        r#"%sink, took = ?elapsed, "Done.""#,
        r#"%sink, "Done: {it:?}.""#,
        r#"%sink, after = %HumanDuration(took), "Done.""#,
    ] {
        assert!(fault(wrong).is_some(), "{wrong}");
    }
    let text = r#"tracing::info!(%sink, wait = f(1), "Is it (so)?"); other(?);"#;
    let [(1, arguments)] = *log_lines(text) else { panic!("{:?}", log_lines(text)) };
    assert_eq!(arguments, r#"%sink, wait = f(1), "Is it (so)?""#);
    assert_eq!(fault(arguments), None);
}

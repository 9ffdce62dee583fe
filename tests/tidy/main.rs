//! The guardian of the layout: layers, sizes and words that a reviewer need not look for.
#![expect(clippy::unwrap_used, reason = "a test stops where it finds something")]

mod circles;
mod layers;
mod lines;
mod mutants;
mod names;
mod paths;
mod promises;

use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// With its signature and its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 400;
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// Written by a program.
const GENERATED: &[&str] = &["crates/control/src/proto.rs"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `dir`, without what is built or fetched.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            let skipped = ["target", "dist", ".git", "gophership-data", "node_modules", "corpus"];
            if !skipped.contains(&name.as_str()) {
                found.extend(files(&path));
            }
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn rust_files(dir: &str) -> Vec<(String, String)> {
    let is_rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let name = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(), text)
    };
    files(&root().join(dir)).into_iter().filter(is_rust).map(name).collect()
}

/// All of ours: the program, its crates, the tests.
fn sources() -> impl Iterator<Item = (String, String)> {
    ["src", "crates", "tests"].into_iter().flat_map(rust_files)
}
fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

fn report(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}
#[test]
fn a_file_has_one_subject_and_a_bounded_length() {
    let mut violations = Vec::new();
    for (path, text) in sources() {
        if GENERATED.contains(&path.as_str()) {
            continue;
        }
        if !text.starts_with("//!") {
            violations.push(format!("{path} does not say its subject in its first line"));
        }
        let body = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
        let lines = body.lines().count();
        if lines > FILE_LINES_MAX {
            violations.push(format!("{path} has {lines} lines before its tests"));
        }
    }
    report(&violations);
}

/// Whether a line begins a function.
fn begins_function(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let is_prefix = |word: &&str| {
        word.starts_with("pub") || ["const", "async", "unsafe", "extern"].contains(word)
    };
    words.by_ref().find(|word| !is_prefix(word)) == Some("fn")
}

#[test]
fn a_function_fits_a_screen() {
    let mut violations = Vec::new();
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (start, line) in lines.iter().enumerate().filter(|(_, line)| begins_function(line)) {
            let indent = line.len() - line.trim_start().len();
            let end = format!("{}}}", " ".repeat(indent));
            let len = lines[start..].iter().position(|line| *line == end).map_or(1, |len| len + 1);
            let is_declaration = line.ends_with(';') || line.ends_with('}');
            if !is_declaration && len > FUNCTION_LINES_MAX && !GENERATED.contains(&path.as_str()) {
                violations.push(format!("{path}:{} has {len} lines", start + 1));
            }
        }
    }
    report(&violations);
}

#[test]
fn words_are_kept() {
    let mut violations = Vec::new();
    for (path, text) in sources() {
        if GENERATED.contains(&path.as_str()) || path.starts_with("tests/tidy/") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let at = format!("{path}:{}", number + 1);
            if !line.is_ascii() {
                violations.push(format!("{at} is not ASCII"));
            }
            if line.contains("TODO") && !line.contains("TODO(#") {
                violations.push(format!("{at} has a TODO without an issue"));
            }
            if line.contains("#[ignore") {
                violations.push(format!("{at} ignores a test"));
            }
        }
    }
    report(&violations);
}

#[test]
fn the_architecture_names_every_folder() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let missing: Vec<String> = layers::LAYERS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| {
            !text.contains(&format!("`{name}/`")) && !text.contains(&format!("`{name}.rs`"))
        })
        .map(|name| format!("ARCHITECTURE.md does not mention {name}"))
        .collect();
    report(&missing);
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            text.contains(&format!("`crates/{name}/`")),
            "ARCHITECTURE.md does not mention {name}"
        );
    }
    assert!(text.lines().count() <= 200, "ARCHITECTURE.md is longer than 200 lines");
}

#[test]
fn the_repository_holds_no_large_files() {
    let is_large = |path: &PathBuf| fs::metadata(path).unwrap().len() > FILE_BYTES_MAX;
    let large: Vec<String> = files(root())
        .into_iter()
        .filter(is_large)
        .map(|path| format!("{} is larger than {FILE_BYTES_MAX} bytes", path.display()))
        .collect();
    report(&large);
}

//! Folders import only downwards, and components do not know each other.

use super::code_lines;
use super::report;
use super::rust_files;

/// Who may import whom inside `src/`, lowest layer first. Anything not listed is forbidden.
pub(super) const LAYERS: &[(&str, &[&str])] = &[
    ("stripes", &[]),
    ("background", &[]),
    ("pool", &[]),
    ("recent", &[]),
    ("tree", &[]),
    ("somatic", &["stripes"]),
    ("tls", &[]),
    ("der", &[]),
    ("net", &[]),
    ("metrics", &["stripes"]),
    ("logs", &["metrics"]),
    ("event", &["stripes"]),
    ("flow", &["event", "metrics", "pool", "stripes"]),
    ("ledger", &["event"]),
    (
        "component",
        &["ledger", "event", "flow", "metrics", "net", "pool", "somatic", "tls", "tree", "der"],
    ),
    ("delivery", &["component", "event", "flow", "metrics", "somatic", "tls"]),
    ("config", &["component", "flow", "pool", "somatic", "tls", "tree"]),
    ("sources", &["component", "event", "flow", "metrics", "net", "pool", "somatic", "tls"]),
    ("transforms", &["component", "event", "metrics", "recent"]),
    (
        "sinks",
        &[
            "background",
            "component",
            "delivery",
            "event",
            "flow",
            "metrics",
            "pool",
            "somatic",
            "tls",
        ],
    ),
    ("topology", &["component", "config", "event", "flow", "metrics", "pool", "somatic"]),
    (
        "control",
        &[
            "component",
            "config",
            "event",
            "flow",
            "logs",
            "metrics",
            "net",
            "pool",
            "somatic",
            "tls",
            "topology",
            "der",
        ],
    ),
    (
        "app",
        &[
            "ledger",
            "component",
            "config",
            "control",
            "event",
            "flow",
            "logs",
            "metrics",
            "net",
            "pool",
            "somatic",
            "topology",
        ],
    ),
];

/// The folders inside a folder, lowest first; those with the same number are strangers to each other.
/// Files beside them have the number 1.
const INNER_LAYERS: &[(&str, &[(&str, u32)])] = &[
    (
        "crates/vault/src",
        &[
            ("format", 0),
            ("segment", 2),
            ("log", 3),
            ("recover", 4),
            ("append", 5),
            ("read", 5),
            ("tools", 6),
        ],
    ),
    (
        "src/config",
        &[
            ("diagnosis", 2),
            ("sections", 2),
            ("yaml", 3),
            ("decode", 3),
            ("document", 3),
            ("schema", 3),
            ("draft", 4),
            ("validate", 5),
        ],
    ),
];

/// The folder or file of `src/` that a path belongs to; none for the programs and the crate root.
fn layer(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let name = inside.split('/').next()?.trim_end_matches(".rs");
    (!matches!(name, "bin" | "lib")).then_some(name)
}

#[test]
fn folders_import_only_downwards() {
    let mut violations = Vec::new();
    for (path, text) in rust_files("src") {
        let Some(layer) = layer(&path) else { continue };
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
            violations.push(format!("{path}: {layer} is in no layer"));
            continue;
        };
        for tail in code_lines(&text).flat_map(|line| line.split("crate::").skip(1)) {
            let name: String =
                tail.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            if name.is_empty() {
                violations.push(format!("{path}: write one path per `use crate::`"));
            } else if name != layer && !allowed.contains(&name.as_str()) {
                violations.push(format!("{path}: {layer} -> {name}"));
            }
        }
    }
    report(&violations);
}

/// The number of a folder or file inside a folder.
fn inner_layer(folders: &[(&str, u32)], name: &str) -> u32 {
    folders.iter().find(|(folder, _)| *folder == name).map_or(1, |(_, layer)| *layer)
}

#[test]
fn inner_folders_import_only_downwards() {
    let mut violations = Vec::new();
    for (root, folders) in INNER_LAYERS {
        let prefix = match root.strip_prefix("src/") {
            Some(name) => format!("crate::{name}::"),
            None => "crate::".to_owned(),
        };
        for (path, text) in rust_files(root) {
            let inside = path.strip_prefix(root).unwrap().trim_start_matches('/');
            // What stands beside them is the face of all, as is what tests them.
            let Some((from, _)) = inside.split_once('/') else { continue };
            if from == "tests" {
                continue;
            }
            let at = inner_layer(folders, from);
            for tail in code_lines(&text).flat_map(|line| line.split(&prefix).skip(1)) {
                let is_end = |c: char| !c.is_alphanumeric() && c != '_';
                let to = tail.split(is_end).next().unwrap();
                if from != to && at <= inner_layer(folders, to) {
                    violations.push(format!("{path}: {from} -> {to}"));
                }
            }
        }
    }
    report(&violations);
}

#[test]
fn components_name_no_other_component() {
    let mut violations = Vec::new();
    for folder in ["sources", "transforms", "sinks"] {
        for (path, text) in rust_files(&format!("src/{folder}")) {
            let prefix = format!("crate::{folder}::");
            let itself = path.split('/').nth(2).unwrap().trim_end_matches(".rs").to_owned();
            for tail in code_lines(&text).flat_map(|line| line.split(&prefix).skip(1)) {
                if !tail.starts_with(&itself) {
                    violations.push(format!("{path} names {tail}"));
                }
            }
        }
    }
    report(&violations);
}

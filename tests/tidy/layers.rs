//! Folders import only downwards, and components do not know each other.

use super::code_lines;
use super::report;
use super::rust_files;

/// Who may import whom inside `src/`, lowest layer first. Anything not listed is forbidden.
pub(super) const LAYERS: &[(&str, &[&str])] = &[
    ("stripes", &[]),
    ("pool", &[]),
    ("recent", &[]),
    ("somatic", &["stripes"]),
    ("tls", &[]),
    ("net", &[]),
    ("metrics", &["stripes"]),
    ("logs", &["metrics"]),
    ("event", &["stripes"]),
    ("flow", &["event", "metrics"]),
    ("ledger", &["event"]),
    ("config", &["ledger", "event", "flow", "metrics", "net", "pool", "somatic", "tls"]),
    ("delivery", &["config", "event", "flow", "metrics", "somatic", "tls"]),
    ("sources", &["config", "event", "flow", "metrics", "net", "pool", "somatic", "tls"]),
    ("transforms", &["config", "event", "metrics", "recent"]),
    ("sinks", &["config", "delivery", "event", "flow", "metrics", "pool", "somatic", "tls"]),
    ("topology", &["config", "event", "flow", "metrics", "pool", "somatic"]),
    ("control", &["config", "event", "metrics", "net", "pool", "somatic", "topology"]),
    (
        "app",
        &[
            "ledger", "config", "control", "event", "flow", "metrics", "net", "pool", "somatic",
            "topology",
        ],
    ),
];

/// The folders of the vault, lowest first; `append` and `read` are strangers to each other. Files beside
/// them are lower than all but `format`.
const VAULT_LAYERS: &[(&str, u32)] = &[
    ("format", 0),
    ("segment", 2),
    ("log", 3),
    ("recover", 4),
    ("append", 5),
    ("read", 5),
    ("tools", 6),
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

#[test]
fn the_vault_imports_only_downwards() {
    let layer = |name: &str| {
        let found = VAULT_LAYERS.iter().find(|(folder, _)| *folder == name);
        found.map_or((name.to_owned(), 1), |(folder, layer)| ((*folder).to_owned(), *layer))
    };
    let mut violations = Vec::new();
    for (path, text) in rust_files("crates/vault/src") {
        let inside = path.strip_prefix("crates/vault/src/").unwrap();
        // What fuzzers try is beside all of it.
        let Some((folder, _)) = inside.split_once('/') else { continue };
        let (from, at) = layer(folder);
        for tail in code_lines(&text).flat_map(|line| line.split("crate::").skip(1)) {
            let (to, lies) =
                layer(tail.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap());
            if from != to && at <= lies {
                violations.push(format!("{path}: {from} -> {to}"));
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

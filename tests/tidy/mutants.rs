//! The bugs that `tests/mutants/run` plants can be planted: a change of the code has to take its patch along.

use std::fs;

use super::files;
use super::report;
use super::root;

/// What a hunk expects in its file.
fn before(hunk: &str) -> String {
    let lines = hunk.lines().skip(1).filter(|line| line.starts_with([' ', '-']));
    let lines = lines.map(|line| line.get(1..).unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The hunks of a patch that its files do not have.
fn faults(patch: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in patch.split("\n--- a/").skip(1) {
        let file = part.lines().next().unwrap_or_default();
        let text = fs::read_to_string(root().join(file)).unwrap_or_default();
        for hunk in part.split("\n@@ ").skip(1) {
            let before = before(hunk);
            if before.is_empty() || !text.contains(&before) {
                found.push(format!("{file} has no such lines any more:\n{before}"));
            }
        }
    }
    found
}

#[test]
fn every_planted_bug_fits_the_code() {
    let patches: Vec<_> = files(&root().join("tests/mutants"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "patch"))
        .collect();
    assert!(30 <= patches.len(), "the patches are somewhere else now");
    let mut violations = Vec::new();
    for path in patches {
        let patch = fs::read_to_string(&path).unwrap();
        assert!(patch.contains("\n--- a/") && patch.contains("\n@@ "), "{}", path.display());
        let name = path.file_name().unwrap().display().to_string();
        violations.extend(faults(&patch).into_iter().map(|fault| format!("{name}: {fault}")));
    }
    report(&violations);
}

//! Every file that a Markdown file names exists.

use std::path::Path;

use super::files;
use super::report;
use super::root;

/// What names of files of ours end with.
const EXTENSIONS: &[&str] =
    &["json", "md", "patch", "proto", "py", "rs", "sh", "toml", "yaml", "yml"];
/// Files that a user makes, or a program of ours when it runs.
const NOT_OURS: &[&str] =
    &["/etc/", "gophership.yaml", "gophership.yml", "compose.yaml", ".jsonl", "gs.yaml"];

/// What stands between backticks, or is linked to.
fn named(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    let linked = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    quoted.chain(linked)
}

/// Whether a word is the path of a file, or of a folder with its parent.
fn is_path(word: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    let is_folder = word.strip_suffix('/').is_some_and(|name| name.contains('/'));
    let has_extension = word
        .rsplit_once('.')
        .is_some_and(|(name, end)| !name.is_empty() && EXTENSIONS.contains(&end));
    !word.starts_with('/')
        && !word.is_empty()
        && word.chars().all(is_plain)
        && (is_folder || has_extension)
        && !NOT_OURS.iter().any(|theirs| word.contains(theirs))
}

#[test]
fn files_that_are_named_exist() {
    let all = files(root());
    let names: Vec<&str> =
        all.iter().filter_map(|path| path.file_name().and_then(|name| name.to_str())).collect();
    let mut violations = Vec::new();
    for page in all.iter().filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let text = std::fs::read_to_string(page).unwrap();
        let beside = page.parent().unwrap_or(Path::new(""));
        for (number, line) in text.lines().enumerate() {
            for word in named(line).filter(|word| is_path(word)) {
                // A name alone is that of some file: its folder is said nearby.
                let is_there =
                    [root().join(word), root().join("src").join(word), beside.join(word)]
                        .iter()
                        .any(|path| path.exists())
                        || names.contains(&word);
                if !is_there {
                    let page = page.strip_prefix(root()).unwrap().display();
                    violations.push(format!("{page}:{}: there is no {word}", number + 1));
                }
            }
        }
    }
    report(&violations);
}

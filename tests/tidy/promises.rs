//! Every sentence of the pages that promise something has a test, or a word why it needs none.
//!
//! `tests/promises.txt` is written by people; `website/promises.md` is made of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use super::root;
use super::rust_files;

const LIST: &str = "tests/promises.txt";
const PAGE: &str = "website/promises.md";
const HEAD: &str = "# Promises and their tests\n\n\
This page lists every sentence of the README and of the page on durability that promises something, with the tests that prove it.\n\
It is generated from `tests/promises.txt`; a sentence without a test fails `cargo test`.\n\
A name such as C1 is a suite of the [torture tests](torture.md).\n";
/// What stands below a sentence that promises nothing.
const NO_PROMISE: [&str; 2] = ["explains", "limits"];

/// A sentence of a page and what the list has below it.
struct Entry {
    page: String,
    sentence: String,
    below: Vec<String>,
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Reads the list.
fn entries(text: &str) -> Vec<Entry> {
    let mut page = String::new();
    let mut entries: Vec<Entry> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("page ") {
            name.clone_into(&mut page);
        } else if let Some(sentence) = line.strip_prefix("> ") {
            let (page, sentence) = (page.clone(), sentence.to_owned());
            entries.push(Entry { page, sentence, below: Vec::new() });
        } else {
            entries.last_mut().expect("a sentence comes first").below.push(line.to_owned());
        }
    }
    entries
}

/// The sentences of a page: of its text, its lists and the rows of its tables.
fn sentences(text: &str) -> Vec<String> {
    let is_rule = |line: &str| line.starts_with('|') && line.chars().all(|c| "|-: ".contains(c));
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut found = Vec::new();
    let mut is_code = false;
    for (idx, line) in lines.iter().enumerate() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if is_code || line.is_empty() || line.starts_with('#') || is_rule(line) {
        } else if line.starts_with('|') {
            let is_head = lines.get(idx + 1).is_some_and(|next| is_rule(next));
            if !is_head {
                found.push((*line).to_owned());
            }
        } else {
            split(line.strip_prefix("- ").unwrap_or(line), &mut found);
        }
    }
    found
}

/// Cuts behind each full stop that a new sentence follows.
fn split(line: &str, found: &mut Vec<String>) {
    let mut rest = line;
    let begins = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_uppercase() || "`[".contains(first))
    };
    let mut from = 0;
    while let Some(stop) = rest.get(from..).and_then(|text| text.find(". ")) {
        let (head, tail) = rest.split_at(from + stop + 1);
        if begins(tail.trim_start()) {
            found.push(head.to_owned());
            (rest, from) = (tail.trim_start(), 0);
        } else {
            from += stop + 2;
        }
    }
    if !rest.is_empty() {
        found.push(rest.to_owned());
    }
}

/// Where the two lists of sentences of a page differ.
fn differences(page: &str, written: &[String], listed: &[&str], violations: &mut Vec<String>) {
    for sentence in written.iter().filter(|one| !listed.contains(&one.as_str())) {
        violations.push(format!("{page}: {LIST} has no test for: {sentence}"));
    }
    for sentence in listed.iter().filter(|one| !written.iter().any(|other| other == **one)) {
        violations.push(format!("{LIST}: {page} no longer says: {sentence}"));
    }
}

#[test]
fn every_promise_names_its_tests() {
    let list = entries(&read(LIST));
    let mut violations = Vec::new();
    let mut pages: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in &list {
        pages.entry(&entry.page).or_default().push(&entry.sentence);
        if entry.below.is_empty() {
            violations.push(format!("{LIST}: no test below: {}", entry.sentence));
        }
    }
    assert!(pages.len() >= 2, "{LIST} names its pages");
    for (page, listed) in &pages {
        differences(page, &sentences(&read(page)), listed, &mut violations);
    }
    super::report(&violations);
}

/// The files and functions, or the suites, that a line of the list names.
fn named(line: &str) -> Option<(&str, Vec<&str>)> {
    let (file, names) = line.split_once(": ")?;
    Some((file, names.split(", ").collect()))
}

#[test]
fn every_test_of_a_promise_exists() {
    let suites: String =
        rust_files("tests/torture").into_iter().map(|(_, text)| text).collect::<String>();
    let mut violations = Vec::new();
    for line in entries(&read(LIST)).into_iter().flat_map(|entry| entry.below) {
        if NO_PROMISE.contains(&line.as_str()) {
            continue;
        }
        let Some((file, names)) = named(&line) else {
            violations.push(format!("{LIST}: not a file and its tests: {line}"));
            continue;
        };
        let text = if file == "torture" { suites.clone() } else { read_or_empty(file) };
        for name in names {
            let wanted = match file {
                "torture" => format!("id: \"{name}\""),
                _ => format!("fn {name}("),
            };
            let is_suite = file == "torture" && text.contains(&format!("suite(\"{name}\""));
            if !text.contains(&wanted) && !is_suite {
                violations.push(format!("{LIST}: there is no test {name} in {file}"));
            }
        }
    }
    super::report(&violations);
}

fn read_or_empty(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

/// A sentence as a cell: a row of a table becomes its cells with semicolons between them.
fn cell(sentence: &str) -> String {
    let cells = sentence.trim_matches('|').split('|').map(str::trim);
    let cells: Vec<&str> = cells.filter(|cell| !cell.is_empty()).collect();
    // Links are relative to the page that they come from.
    let text = cells.join("; ");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some((before, link)) = rest.split_once("](") {
        let (_, after) = link.split_once(')').unwrap_or(("", ""));
        let start = before.rfind('[').unwrap_or(before.len());
        let (head, words) = before.split_at(start);
        let _infallible = write!(out, "{head}{}", words.trim_start_matches('['));
        rest = after;
    }
    out + rest
}

/// The page: a table for each page of promises.
fn rendered(list: &[Entry]) -> String {
    let mut text = HEAD.to_owned();
    let mut page = "";
    for entry in list {
        if entry.page != page {
            page = &entry.page;
            let _infallible = write!(text, "\n## {page}\n\n| promise | tests |\n|---|---|\n");
        }
        let tests: Vec<String> = entry
            .below
            .iter()
            .filter_map(|line| named(line))
            .map(|(file, names)| {
                let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                format!("{file}: {}", names.join(", "))
            })
            .collect();
        if !tests.is_empty() {
            let (promise, tests) = (cell(&entry.sentence), tests.join("; "));
            let _infallible = writeln!(text, "| {promise} | {tests} |");
        }
    }
    text
}

#[test]
fn the_page_of_promises_is_what_the_list_says() {
    let text = rendered(&entries(&read(LIST)));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(root().join(PAGE), &text).unwrap();
    }
    assert!(read(PAGE) == text, "{PAGE} is old; UPDATE_GOLDEN=1 rewrites it");
}

#[test]
fn a_new_sentence_and_an_old_one_are_found() {
    let written = sentences(
        "# T\n\nIt keeps all. It loses `a.b` never.\n\n| x | y |\n|---|---|\n| 1 | 2 |\n- one\n",
    );
    assert_eq!(written, ["It keeps all.", "It loses `a.b` never.", "| 1 | 2 |", "one"]);
    let mut violations = Vec::new();
    differences("p", &written, &["It keeps all.", "It loses all.", "| 1 | 2 |"], &mut violations);
    assert_eq!(violations.len(), 3, "{violations:?}");
    assert!(violations[0].contains("no test for: It loses `a.b` never."), "{violations:?}");
}

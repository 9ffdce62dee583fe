//! No files import each other in a circle.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;

use super::report;
use super::rust_files;

/// The folder that `crate::` means in a file: that of a library, or of a program in `src/bin/`.
fn crate_folder(path: &str) -> String {
    let names: Vec<&str> = path.split('/').collect();
    let src = names.iter().position(|name| *name == "src").unwrap();
    let is_program = names[src + 1] == "bin";
    let len = if is_program { (src + 3).min(names.len() - 1) } else { src + 1 };
    names[..len].join("/")
}

/// The module of a file, as the folder that it has or could have.
fn module(path: &str) -> &str {
    let path = path.strip_suffix(".rs").unwrap();
    ["/mod", "/lib", "/main"].iter().find_map(|end| path.strip_suffix(end)).unwrap_or(path)
}

/// A file without its comments and without what is only there for tests.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            let item = lines.by_ref().find(|line| !line.starts_with("#["));
            if item.is_some_and(|item| item.ends_with('{')) {
                lines.by_ref().find(|line| *line == "}");
            }
        } else if !line.trim_start().starts_with("//") {
            code.push_str(line.split(" // ").next().unwrap());
            code.push('\n');
        }
    }
    code
}

/// The paths in a piece of code that begin with `crate`, `self` or `super`. By others a `mod.rs` names
/// its children, whose face it is.
fn paths(code: &str) -> Vec<String> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let starts = ["crate::", "self::", "super::"].iter();
    let mut found = Vec::new();
    for (start, _) in starts.flat_map(|start| code.match_indices(start)) {
        let (before, rest) = code.split_at(start);
        if before.ends_with(is_path) {
            continue;
        }
        let (path, rest) = rest.split_at(rest.find(|c| !is_path(c)).unwrap_or(rest.len()));
        match rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            Some((names, _)) => {
                let names = names.split(',').filter_map(|name| name.split_whitespace().next());
                found.extend(names.map(|name| format!("{path}{name}")));
            }
            None => found.push(path.to_owned()),
        }
    }
    found
}

/// The file that a path in another file leads to: the deepest that there is.
fn target<'f>(files: &BTreeMap<&str, &'f str>, from: &str, path: &str) -> Option<&'f str> {
    let root = crate_folder(from);
    let mut names: Vec<&str> = module(from).split('/').collect();
    for name in path.split("::") {
        match name {
            "crate" => names = root.split('/').collect(),
            "self" => {}
            "super" => drop(names.pop()),
            name => names.push(name),
        }
    }
    while root.split('/').count() <= names.len() {
        if let Some(file) = files.get(names.join("/").as_str()) {
            return Some(file);
        }
        names.pop();
    }
    None
}

/// The shortest way from a file along what it imports back to itself.
fn circle<'f>(imports: &BTreeMap<&'f str, BTreeSet<&'f str>>, start: &'f str) -> Vec<&'f str> {
    let mut ways = VecDeque::from([vec![start]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for next in &imports[way.last().unwrap()] {
            let way = [way.as_slice(), &[*next]].concat();
            if *next == start {
                return way;
            }
            if seen.insert(*next) {
                ways.push_back(way);
            }
        }
    }
    Vec::new()
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let is_source = |(path, _): &(String, String)| path.split('/').nth(2) == Some("src");
    let mut sources = rust_files("src");
    sources.extend(rust_files("crates").into_iter().filter(is_source));
    sources.retain(|(path, _)| !path.contains("/tests/") && !path.ends_with("tests.rs"));
    let files: BTreeMap<&str, &str> =
        sources.iter().map(|(path, _)| (module(path), path.as_str())).collect();
    let imports_of = |path: &str, text: &str| -> BTreeSet<&str> {
        let targets = paths(&code(text)).into_iter().filter_map(|name| target(&files, path, &name));
        targets.filter(|to| *to != path).collect()
    };
    let imports: BTreeMap<&str, BTreeSet<&str>> =
        sources.iter().map(|(path, text)| (path.as_str(), imports_of(path, text))).collect();
    let mut reported = BTreeSet::new();
    let mut violations = Vec::new();
    for path in imports.keys() {
        let circle = if reported.contains(path) { Vec::new() } else { circle(&imports, path) };
        if !circle.is_empty() {
            violations
                .push(format!("files import each other in a circle: {}", circle.join(" -> ")));
        }
        reported.extend(circle);
    }
    report(&violations);
}

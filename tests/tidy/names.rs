//! A type that another file can name has a name of its own.

use std::collections::BTreeMap;

use super::GENERATED;
use super::report;
use super::rust_files;

/// Messages of the control protocol with the name of the type whose wire form they are.
const WIRE_FORMS: &[&str] = &[
    "Bucket",
    "LastReload",
    "LeftVault",
    "LetterSelection",
    "Pressure",
    "Rates",
    "Stall",
    "Zone",
    "ZoneSpan",
];
/// Names that two crates share, because each is the usual word where it is.
const SHARED: &[(&str, &str)] =
    &[("Request", "HTTP/2 has requests, and so has telemetry; no file uses both")];

/// The type that a line defines, if other files can name it.
fn defined(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("pub")?;
    let rest = match rest.strip_prefix('(') {
        Some(rest) => rest.split_once(')')?.1,
        None => rest,
    };
    let (keyword, rest) = rest.strip_prefix(' ')?.split_once(' ')?;
    let is_type = ["struct", "enum", "union", "trait", "type"].contains(&keyword);
    is_type.then(|| rest.split(|c: char| !c.is_ascii_alphanumeric()).next()).flatten()
}

/// The files that define each name, but for what is there for tests only.
fn definitions(sources: &[(String, String)]) -> BTreeMap<&str, Vec<&str>> {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (path, text) in sources {
        for name in text.lines().filter_map(defined) {
            found.entry(name).or_default().push(path);
        }
    }
    found
}

/// What is wrong with a name that these files define.
fn fault(name: &str, files: &[&str]) -> Option<String> {
    let is_wire_form = WIRE_FORMS.contains(&name);
    let is_shared = is_wire_form || SHARED.iter().any(|(shared, _)| *shared == name);
    let is_pair =
        files.len() == 2 && is_wire_form == files.iter().any(|path| GENERATED.contains(path));
    match (is_shared, files.len()) {
        (true, _) if is_pair => None,
        (true, 1) => {
            Some(format!("{name} is defined once: take it out of the list in tests/tidy/names.rs"))
        }
        (false, 1) => None,
        _ => Some(format!(
            "{name} is defined in {}: give all but one a more specific name, or make it private \
             if only its own file uses it",
            files.join(" and ")
        )),
    }
}

#[test]
fn a_type_name_that_crosses_a_file_has_one_meaning() {
    let is_source = |(path, _): &(String, String)| path.split('/').nth(2) == Some("src");
    let mut sources = rust_files("src");
    sources.extend(rust_files("crates").into_iter().filter(is_source));
    sources.retain(|(path, _)| !path.contains("/tests/") && !path.ends_with("tests.rs"));
    let found = definitions(&sources);
    assert!(1000 < found.len(), "types are defined in another way now");
    let mut violations: Vec<String> =
        found.iter().filter_map(|(name, files)| fault(name, files)).collect();
    let listed = WIRE_FORMS.iter().chain(SHARED.iter().map(|(name, _)| name));
    let gone = listed.filter(|name| !found.contains_key(**name));
    violations.extend(gone.map(|name| format!("tests/tidy/names.rs lists {name}, which is gone")));
    report(&violations);
}

#[test]
fn a_name_that_is_defined_twice_is_found() {
    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let sources = [
        file("src/a.rs", "pub(super) struct Pace {\n}\nstruct Own;\npub fn run() {}\n"),
        file("src/b.rs", "pub type Pace<T> = Vec<T>;\npub(crate) enum Own {\n}\n"),
    ];
    let found = definitions(&sources);
    assert_eq!(found["Pace"], ["src/a.rs", "src/b.rs"]);
    assert_eq!(found["Own"], ["src/b.rs"]);
    assert!(fault("Pace", &found["Pace"]).is_some_and(|text| text.contains("src/a.rs and")));
    assert_eq!(fault("Own", &found["Own"]), None);
    let wire = ["crates/control/src/proto.rs", "src/somatic/zone.rs"];
    assert_eq!(fault("Zone", &wire), None);
    assert!(fault("Zone", &["src/a.rs", "src/b.rs"]).is_some());
    assert!(fault("Request", &["src/a.rs"]).is_some());
}

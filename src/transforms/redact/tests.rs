//! What the options mean, and what is wrong with them.

use gophership_otlp::Fate;
use gophership_otlp::Rewrite;
use prometheus::IntCounter;
use serde_json::json;

use super::*;

fn config(options: serde_json::Value) -> RedactConfig {
    let config: RedactConfig = serde_json::from_value(options).unwrap();
    assert_eq!(config.problems(), []);
    config
}

fn redactor(config: &RedactConfig) -> Redactor {
    let counter = || IntCounter::new("test", "test").unwrap();
    let patterns = config.compile().unwrap().into_iter().map(|(_, it)| (it, counter())).collect();
    Redactor::new(config, config.hasher().unwrap(), patterns, counter())
}

/// What stands for a text; the text itself if nothing is redacted.
fn redacted(redactor: &mut Redactor, text: &str) -> String {
    let mut out = Vec::new();
    if !redactor.text(text.as_bytes(), &mut out) {
        assert!(out.is_empty());
        return text.to_owned();
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn each_action_leaves_what_it_says() {
    let text = "from a@b.cd to e@f.gh, twice a@b.cd";
    let mut mask = redactor(&config(json!({ "patterns": ["email"], "mask": "<mail>" })));
    assert_eq!(redacted(&mut mask, text), "from <mail> to <mail>, twice <mail>");
    mask.count();
    assert_eq!(mask.counts(), (vec![3], 0));
    let mut remove = redactor(&config(json!({ "patterns": ["email"], "action": "remove" })));
    assert_eq!(redacted(&mut remove, text), "from  to , twice ");
    let mut hash = redactor(&config(
        json!({ "patterns": ["email"], "action": "hash", "key": "0123456789abcdef" }),
    ));
    let hashed = redacted(&mut hash, text);
    let words: Vec<&str> = hashed.split([' ', ',']).collect();
    assert_eq!((words[1], words[1].len()), (words[6], 32));
    assert_ne!(words[1], words[3]);
}

#[test]
fn overlapping_matches_leave_nothing_of_either() {
    let mut redactor = redactor(&config(json!({ "regex": ["abcd", "cdef", "ghi"] })));
    assert_eq!(redacted(&mut redactor, "xabcdefghix"), "x********x");
    assert_eq!(redacted(&mut redactor, "xabcxcdefx"), "xabcx****x");
}

#[test]
fn keys_are_redacted_unless_they_are_ignored() {
    let mut redactor =
        redactor(&config(json!({ "keys": ["*secret*"], "ignore_keys": ["k8s.secret.name"] })));
    assert_eq!(redactor.entry(b"client_Secret"), Fate::Replace);
    assert_eq!(redactor.entry(b"k8s.secret.name"), Fate::Leave);
    assert_eq!(redactor.entry(b"other"), Fate::Look);
    let mut out = Vec::new();
    redactor.replace(b"x", &mut out);
    redactor.count();
    assert_eq!((out, redactor.counts()), (b"****".to_vec(), (vec![], 1)));
    let mut remover = tests::redactor(&config(json!({ "keys": ["a"], "action": "remove" })));
    assert_eq!(remover.entry(b"a"), Fate::Remove);
}

#[test]
fn places_that_are_not_named_are_not_entered() {
    let redactor = redactor(&config(json!({ "patterns": ["card"], "places": ["body", "names"] })));
    assert!(redactor.enters(Position::Body) && redactor.enters(Position::Name));
    assert!(!redactor.enters(Position::Record) && !redactor.enters(Position::Resource));
    assert!(!redactor.enters(Position::Scope));
}

#[test]
fn what_cannot_work_is_said() {
    let problems = |config: RedactConfig| -> Vec<String> {
        let line = |problem: OptionProblem| format!("{}: {}", problem.path, problem.message);
        config.problems().into_iter().map(line).collect()
    };
    let base = RedactConfig { patterns: vec![BuiltIn::Email], ..RedactConfig::default() };
    let secret = |text: &str| Some(Secret(text.to_owned()));
    let has = |config: RedactConfig, words: &str| {
        let found = problems(config);
        assert!(found.len() == 1 && found[0].contains(words), "{words}: {found:?}");
    };
    assert!(problems(base.clone()).is_empty());
    has(RedactConfig::default(), "it redacts nothing");
    has(RedactConfig { places: Vec::new(), ..base.clone() }, "places: needs at least one place");
    has(RedactConfig { regex: vec!["(".to_owned()], ..base.clone() }, "regex.0: unclosed group");
    has(RedactConfig { regex: vec!["a*".to_owned()], ..base.clone() }, "matches the empty text");
    has(RedactConfig { keys: vec![String::new()], ..base.clone() }, "keys.0: is empty");
    has(RedactConfig { action: Action::Hash, ..base.clone() }, "action: `hash` needs a `key`");
    has(RedactConfig { key: secret("0123456789abcdef"), ..base.clone() }, "has no effect");
    has(
        RedactConfig { action: Action::Hash, key: secret("short"), ..base },
        "key: must have at least 16 bytes",
    );
}

/// The page of the website whose tables say what is covered.
const PAGE: &str = include_str!("../../../website/redact.md");

/// The rows of the table with this head.
fn rows(head: &str) -> Vec<[String; 3]> {
    let table = PAGE.lines().skip_while(|line| *line != head).skip(2);
    let cells = |line: &str| {
        let cells = line
            .trim_matches('|')
            .split(" | ")
            .map(|cell| unescaped(cell.trim().trim_matches('`')));
        cells.collect::<Vec<_>>().try_into().unwrap()
    };
    let rows: Vec<[String; 3]> =
        table.take_while(|line| line.starts_with('|')).map(cells).collect();
    assert!(40 < rows.len(), "{head}");
    rows
}

/// Puts characters where the page has their numbers.
fn unescaped(text: &str) -> String {
    let mut parts = text.split("\\u{");
    let mut plain = parts.next().unwrap().to_owned();
    for part in parts {
        let (number, rest) = part.split_once('}').unwrap();
        plain.push(char::from_u32(u32::from_str_radix(number, 16).unwrap()).unwrap());
        plain.push_str(rest);
    }
    plain
}

#[test]
fn each_pattern_covers_what_the_page_says_and_nothing_else() {
    for [pattern, text, left] in rows("| pattern | text | what is left |") {
        let mut redactor = redactor(&config(json!({ "patterns": [pattern] })));
        assert_eq!(redacted(&mut redactor, &text), left, "{pattern} in {text}");
    }
}

const LIMITS: gophership_otlp::DecodeLimits =
    gophership_otlp::DecodeLimits { decoded_bytes_max: 1 << 20, depth_max: 50 };

/// A request as JSON with a text at a path like `resourceLogs[].schemaUrl`.
fn request_with(path: &str, text: &str) -> serde_json::Value {
    let leaf = serde_json::Value::from(text);
    path.rsplit('.').fold(leaf, |inner, step| match step.strip_suffix("[]") {
        Some(list) => json!({ list: [inner] }),
        None => json!({ step: inner }),
    })
}

#[test]
fn each_field_of_the_page_is_looked_at_in_its_place_alone() {
    const ALL: [&str; 5] = ["body", "attributes", "resource", "scope", "names"];
    let text = "jo@example.com";
    for [place, signal, field] in rows("| place | signal | field |") {
        let signal: gophership_otlp::Signal = signal.parse().unwrap();
        let json = request_with(&field, text).to_string();
        let wire = gophership_otlp::json_to_wire(signal, json.as_bytes(), &LIMITS).unwrap();
        let applied = |places: &[&str]| {
            let options = json!({ "patterns": ["email"], "places": places });
            let mut redactor = redactor(&config(options));
            Rewriter::default().apply(signal, &wire, &mut redactor, usize::MAX).unwrap()
        };
        let others: Vec<&str> = ALL.into_iter().filter(|other| *other != place).collect();
        assert_eq!(applied(&others), wire, "{field} is {place} alone");
        for places in [&[place.as_str()][..], &ALL] {
            let left = applied(places);
            let has = |words: &str| left.windows(words.len()).any(|it| it == words.as_bytes());
            assert!(has("****") && !has(text), "{field} in {places:?}");
        }
    }
}

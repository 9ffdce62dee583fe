//! What the options mean, and what is wrong with them.

use super::*;

fn config(yaml: &str) -> RedactConfig {
    let text = format!(
        "sources: {{ s: {{ type: demo }} }}\nsinks: {{ k: {{ type: blackhole, inputs: [t] }} }}\n\
         transforms: {{ t: {{ type: redact, inputs: [s], {yaml} }} }}"
    );
    let config = crate::config::load_text("redact.yaml", &text, &|_| None).unwrap();
    let (_, entry) = config.transforms.iter().next().unwrap();
    let mut options = serde_json::to_value(&*entry.config).unwrap();
    serde_json::from_value(options["redact"].take()).unwrap()
}

fn redactor(config: &RedactConfig) -> Redactor {
    let counter = || IntCounter::new("test", "test").unwrap();
    Redactor {
        patterns: config.compile().unwrap().into_iter().map(|(_, it)| (it, counter())).collect(),
        keys: config.keys.clone(),
        ignore_keys: config.ignore_keys.clone(),
        places: config.places.iter().map(|name| name.place()).collect(),
        stand_in: StandIn {
            action: config.action,
            mask: config.mask.clone(),
            hasher: config.hasher().unwrap(),
        },
        by_key: counter(),
        found: Vec::new(),
    }
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
    let mut mask = redactor(&config("patterns: [email], mask: <mail>"));
    assert_eq!(redacted(&mut mask, text), "from <mail> to <mail>, twice <mail>");
    assert_eq!(mask.patterns[0].1.get(), 3);
    let mut remove = redactor(&config("patterns: [email], action: remove"));
    assert_eq!(redacted(&mut remove, text), "from  to , twice ");
    let mut hash = redactor(&config("patterns: [email], action: hash, key: 0123456789abcdef"));
    let hashed = redacted(&mut hash, text);
    let words: Vec<&str> = hashed.split([' ', ',']).collect();
    assert_eq!((words[1], words[1].len()), (words[6], 32));
    assert_ne!(words[1], words[3]);
}

#[test]
fn overlapping_matches_leave_nothing_of_either() {
    let mut redactor = redactor(&config("regex: [abcd, cdef, ghi]"));
    assert_eq!(redacted(&mut redactor, "xabcdefghix"), "x********x");
    assert_eq!(redacted(&mut redactor, "xabcxcdefx"), "xabcx****x");
}

#[test]
fn keys_are_redacted_unless_they_are_ignored() {
    let mut redactor = redactor(&config("keys: ['*secret*'], ignore_keys: [k8s.secret.name]"));
    assert_eq!(redactor.entry(b"client_Secret"), Fate::Replace);
    assert_eq!(redactor.entry(b"k8s.secret.name"), Fate::Leave);
    assert_eq!(redactor.entry(b"other"), Fate::Look);
    let mut out = Vec::new();
    redactor.replace(b"x", &mut out);
    assert_eq!((out, redactor.by_key.get()), (b"****".to_vec(), 1));
    let mut remover = tests::redactor(&config("keys: [a], action: remove"));
    assert_eq!(remover.entry(b"a"), Fate::Remove);
}

#[test]
fn places_that_are_not_named_are_not_entered() {
    let redactor = redactor(&config("patterns: [card], places: [body, names]"));
    assert!(redactor.enters(Place::Body) && redactor.enters(Place::Name));
    assert!(!redactor.enters(Place::Record) && !redactor.enters(Place::Resource));
    assert!(!redactor.enters(Place::Scope));
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
    has(RedactConfig { places: Vec::new(), ..base.clone() }, "places: names no place");
    has(RedactConfig { regex: vec!["(".to_owned()], ..base.clone() }, "regex.0: unclosed group");
    has(RedactConfig { regex: vec!["a*".to_owned()], ..base.clone() }, "matches the empty text");
    has(RedactConfig { keys: vec![String::new()], ..base.clone() }, "keys.0: is empty");
    has(RedactConfig { action: Action::Hash, ..base.clone() }, "action: `hash` needs a `key`");
    has(RedactConfig { key: secret("0123456789abcdef"), ..base.clone() }, "is of no use");
    has(
        RedactConfig { action: Action::Hash, key: secret("short"), ..base },
        "key: must have at least 16 bytes",
    );
}

//! Ten thousand documents that nobody meant.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::path::Path;

use crate::config::tests::EXAMPLE;
use crate::config::tests::load;
use crate::tree::lines;

/// How many mutated documents are loaded.
const MUTATIONS: u64 = 10_000;

/// Values at the edges of what parsers expect.
const EXTREMES: &[&str] = &[
    "",
    "~",
    "-1",
    "0",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "1e999",
    ".nan",
    "-.inf",
    "true",
    "[]",
    "{}",
    "[[[[",
    "}}",
    "&a [*a]",
    "*a",
    "&a",
    "<<: *a",
    "!tag x",
    "!!str 1",
    "! x",
    "${X}",
    "${",
    "${}",
    "$$",
    "${HOSTNAME}",
    "${SECRET}",
    "\"",
    "'",
    "\"\\uD800\"",
    "\"\\x00\"",
    "\0",
    "\u{feff}",
    "\u{65e5}\u{672c}",
    "\u{1f600}",
    "\u{2028}",
    "\r",
    "\r\n",
    "0x7fffffffffffffff",
    "18446744073709551615TiB",
    "99999999999d",
    "1m1m",
    "100.1%",
    "-0%",
    "[::]:4317",
    "0.0.0.0:0",
    "127.0.0.1:65536",
    "---",
    "...",
    "--- x",
    "\t",
    "? ",
    "? x",
    "- ",
    ": ",
    "|",
    ">",
    "|+2",
    "%YAML 1.1",
    "#",
    "vault",
    "otlp",
    "enrich",
    "inputs: []",
    "type: raw_vault",
    "pivot: vault",
    "..",
    "/",
    ".",
    "sources:",
    "sinks:",
    "buffer: {}",
    "null: null",
    "[a]: b",
];

/// A small generator of numbers, the same on every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (limit.max(1) as u64)).unwrap()
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// Changes a text in one way.
fn mutate(text: &str, dice: &mut Dice) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let line_idx = dice.below(lines.len());
    let other_idx = dice.below(lines.len());
    if lines.is_empty() {
        return (*dice.pick::<&str>(EXTREMES)).to_owned();
    }
    match dice.below(10) {
        0 => return flip_bytes(text, dice),
        1 => drop(lines.remove(line_idx)),
        2 => lines.insert(other_idx, lines[line_idx].clone()),
        3 => lines.swap(line_idx, other_idx),
        4 => {
            let indent = " ".repeat(dice.below(7));
            lines[line_idx] = format!("{indent}{}", lines[line_idx].trim_start());
        }
        5 => lines[line_idx].insert_str(0, dice.pick::<&str>(&[" ", "  ", "\t", "- ", "# ", "{"])),
        6 => {
            let key = lines[line_idx].split_once(':').map_or("", |(key, _)| key).to_owned();
            lines[line_idx] = format!("{key}: {}", dice.pick(EXTREMES));
        }
        7 => {
            let line = lines[line_idx].clone();
            let words: Vec<&str> = line.split([' ', ',', '[', ']', '{', '}', '"']).collect();
            let word = *dice.pick(&words);
            let new = *dice.pick::<&str>(EXTREMES);
            if !word.is_empty() {
                lines[line_idx] = line.replacen(word, new, 1);
            }
        }
        8 => {
            let words: Vec<&str> = text.split_whitespace().collect();
            if words.is_empty() {
                return (*dice.pick::<&str>(EXTREMES)).to_owned();
            }
            let (old, new) = (*dice.pick(&words), *dice.pick(&words));
            return text.replacen(old, new, 1 + dice.below(3));
        }
        _ => {
            let position = dice.below(lines[line_idx].len() + 1);
            if lines[line_idx].is_char_boundary(position) {
                lines[line_idx].insert_str(position, dice.pick::<&str>(EXTREMES));
            }
        }
    }
    lines.join("\n")
}

/// Flips a few bits anywhere.
fn flip_bytes(text: &str, dice: &mut Dice) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=dice.below(4) {
        let position = dice.below(bytes.len());
        if let Some(byte) = bytes.get_mut(position) {
            *byte ^= 1 << dice.below(8);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the example and all documents with typical mistakes.
fn seeds() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests/golden");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    let mut seeds = vec![EXAMPLE.to_owned(); paths.len()];
    seeds.extend(paths.iter().map(|path| std::fs::read_to_string(path).unwrap()));
    seeds
}

/// Scenario: example documents with one to four random changes each.
/// Guarantees: each loads or has problems with places inside the text; none panics.
#[test]
fn ten_thousand_mutations_load_or_are_refused_and_never_panic() {
    let seeds = seeds();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut loaded_len = 0;
    for _ in 0..MUTATIONS {
        let mut text = dice.pick(&seeds).clone();
        for _ in 0..=dice.below(4) {
            text = mutate(&text, &mut dice);
        }
        let Ok(result) = catch_unwind(AssertUnwindSafe(|| load(&text))) else {
            panic!("this document panics:\n{text}");
        };
        match result {
            Ok(config) => {
                loaded_len += 1;
                assert!(!config.sources.is_empty() && !config.sinks.is_empty(), "{text}");
            }
            Err(errors) => {
                assert!(!errors.as_slice().is_empty(), "refused without a reason:\n{text}");
                assert!(
                    !errors.to_string().contains("hunter2hunter2"),
                    "a secret is shown:\n{text}"
                );
                let lines_len = lines(&text).len();
                for error in errors.as_slice() {
                    let is_inside = 1 <= error.line && error.line as usize <= lines_len + 1;
                    assert!(is_inside && 1 <= error.column, "{error} in:\n{text}");
                }
            }
        }
    }
    // Mutations that hardly ever load would say little about what comes after the parser.
    assert!(MUTATIONS / 50 < loaded_len, "only {loaded_len} documents loaded");
}

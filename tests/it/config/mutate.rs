//! Makes hostile documents out of good ones.

/// Values at the edges of what parsers, types and allocators expect.
const EXTREMES: &[&str] = &[
    "",
    "~",
    "-1",
    "0",
    "1",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "0x7fffffffffffffff",
    "1e999",
    "-0.0",
    ".nan",
    "-.inf",
    "true",
    "no",
    "[]",
    "{}",
    "[[[[",
    "}}",
    "&a [*a]",
    "*a",
    "<<: *a",
    "!tag x",
    "!!str 1",
    "${X}",
    "${",
    "${}",
    "$$",
    "${HOSTNAME}",
    "${X:-0}",
    "\"",
    "'",
    "\"\\uD800\"",
    "\"\\0\"",
    "\0",
    "\u{feff}",
    "\u{65e5}\u{672c}",
    "\u{1f600}",
    "\u{2028}",
    "\r",
    "\t",
    "1B",
    "1KiB",
    "63KiB",
    "64KiB",
    "4GiB",
    "16000TiB",
    "18446744073709551615TiB",
    "1ns",
    "1ms",
    "36500d",
    "99999999999d",
    "1m1m",
    "0%",
    "100%",
    "100.1%",
    "0.1%",
    "[::]:4317",
    "[::1]:0",
    "0.0.0.0:0",
    "127.0.0.1:65536",
    "localhost:4317",
    "http://",
    "https://[::1]:1",
    "http://x:99999",
    "---",
    "...",
    "? x",
    "- ",
    ": ",
    "|",
    ">",
    "%YAML 1.1",
    "#",
    "vault",
    "otlp",
    "replay",
    "enrich",
    "off",
    "..",
    "/",
    ".",
    "a/../../b",
    "red",
    "journaled",
];

/// Options that examples do not spell out, by type; the last word is the kind of value.
const OPTIONS: &[&str] = &[
    "otlp patience: DURATION",
    "otlp answer_within: DURATION",
    "otlp message_size_max: SIZE",
    "otlp compression_ratio_max: COUNT",
    "otlp records_max: COUNT",
    "otlp resources_max: COUNT",
    "otlp in_flight_max: SIZE",
    "otlp read_idle_timeout: DURATION",
    "otlp connections_max: COUNT",
    "otlp connection: { idle_timeout: DURATION }",
    "otlp connection: { age_max: DURATION }",
    "otlp streams_max: COUNT",
    "otlp ack: NAME",
    "otlp pivot: NAME",
    "otlp timeout: DURATION",
    "otlp concurrency: COUNT",
    "otlp concurrency: auto",
    "otlp concurrency_max: COUNT",
    "otlp endpoints: [TEXT, TEXT]",
    "otlp balance: NAME",
    "otlp bearer_token_file: TEXT",
    "otlp headers_from: { x: TEXT }",
    "otlp connect_timeout: DURATION",
    "otlp keepalive: { interval: DURATION }",
    "otlp compression: NAME",
    "otlp retry: { max: DURATION }",
    "otlp headers: { x: TEXT }",
    "otlp forward_headers: [TEXT]",
    "otlp proxy: TEXT",
    "otlp encoding: NAME",
    "otlp tls: { server_name: TEXT, min_version: TEXT }",
    "otlp auth: { bearer_token_file: TEXT }",
    "otlp http: { listen: TEXT, cors: { origins: [TEXT], max_age: DURATION } }",
    "vault_replay rate: COUNT",
    "vault_replay in_flight: COUNT",
    "vault_replay in_flight_bytes: SIZE",
    "demo rate: COUNT",
    "demo count: COUNT",
    "demo seed: COUNT",
    "enrich record: { a: TEXT }",
    "enrich scope: { a: { rename: TEXT } }",
    "enrich resource: { service.name: { set_if_absent: TEXT } }",
    "enrich shed_in: NAME",
    "enrich buffer: { batches: COUNT }",
    "filter drop: [{ attribute: a, equals: TEXT }]",
    "filter keep: [{ attribute: a, prefix: TEXT }]",
    "filter keep: [{ severity_at_least: NAME }]",
    "route first_match: TEXT",
    "route routes: [{ name: NAME, when: { attribute: a, equals: TEXT } }]",
    "file path: TEXT",
    "file fsync: NAME",
    "file rotate: { size: SIZE }",
    "file rotate: { age: DURATION }",
    "file rotate: { keep: COUNT }",
    "file buffer: { bytes: SIZE }",
    "console every: DURATION",
    "console format: NAME",
    "console buffer: { batches: COUNT }",
    "raw_vault path: TEXT",
    "raw_vault max_size: SIZE",
    "raw_vault segment_size: SIZE",
    "raw_vault segment_age: DURATION",
    "raw_vault staging: SIZE",
    "raw_vault dead_letter_max_size: SIZE",
    "raw_vault durability: NAME",
    "raw_vault compression: NAME",
];

/// Values of a kind, between which anything may happen.
const KINDS: &[(&str, &[&str])] = &[
    ("DURATION", &["0s", "1ns", "1ms", "999ms", "8s", "8001ms", "1h", "36500d", "36501d"]),
    (
        "SIZE",
        &["0", "1", "64KiB", "256KiB", "1MiB", "64MiB", "1GiB", "4GiB", "5GiB", "10GB", "16000TiB"],
    ),
    (
        "COUNT",
        &[
            "0",
            "1",
            "2",
            "1000",
            "65536",
            "10000000",
            "524288",
            "4294967295",
            "18446744073709551615",
        ],
    ),
    (
        "NAME",
        &[
            "received",
            "journaled",
            "none",
            "zstd",
            "memory",
            "written",
            "json",
            "always",
            "interval",
            "red",
            "vault",
            "fatal",
        ],
    ),
    (
        "TEXT",
        &[
            "x",
            "1",
            "-1.5",
            "true",
            "\"\"",
            "\"{signal}\"",
            "\"a b\"",
            "\u{1f600}",
            "./a/./b",
            "9223372036854775807",
            "\"\\n\"",
            "\"x/{signal}/{signal}\"",
            "\"\\0\"",
        ],
    ),
];

/// A small generator of numbers, the same on every run.
pub(super) struct Dice(u64);

impl Dice {
    /// Makes the dice of one case; neighbouring cases have nothing in common.
    pub(super) fn new(seed: u64, case: u64) -> Self {
        let mixed =
            (seed ^ case.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Self((mixed ^ (mixed >> 31)) | 1)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (limit.max(1) as u64)).unwrap()
    }

    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// Changes a text in one way; `other` lends lines.
pub(super) fn mutate(text: &str, other: &str, dice: &mut Dice) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return (*dice.pick::<&str>(EXTREMES)).to_owned();
    }
    let (at, to) = (dice.below(lines.len()), dice.below(lines.len()));
    match dice.below(20) {
        0 => return flip_bytes(text, dice),
        1 => drop(lines.remove(at)),
        2 => lines.insert(to, lines[at].clone()),
        3 => lines.swap(at, to),
        4 => lines[at] = format!("{}{}", " ".repeat(dice.below(8)), lines[at].trim_start()),
        5 => lines[at] = with_value(&lines[at], dice.pick::<&str>(EXTREMES)),
        6 => {
            let shapes =
                ["[#]", "{ a: # }", "\"#\"", "'#'", "[#, #]", "{ #: # }", "- #", "|\n      #"];
            lines[at] =
                with_value(&lines[at], &dice.pick::<&str>(&shapes).replace('#', value(&lines[at])));
        }
        7 => {
            let depth = 1 + dice.below(3000);
            let (open, close) = *dice.pick(&[("[", "]"), ("{a: ", "}"), ("- ", "")]);
            let nested =
                format!("{}{}{}", open.repeat(depth), value(&lines[at]), close.repeat(depth));
            lines[at] = with_value(&lines[at], &nested);
        }
        8 => lines[at] = replace_word(&lines[at], text, dice),
        9 => {
            let lent: Vec<&str> = other.lines().collect();
            let from = dice.below(lent.len());
            let block =
                lent.iter().skip(from).take(1 + dice.below(8)).map(|line| (*line).to_owned());
            lines.splice(at..at, block);
        }
        10 => lines.truncate(at),
        11 => lines[at] = replace_number(&lines[at], dice),
        _ => insert_option(&mut lines, dice),
    }
    lines.join("\n")
}

/// What stands behind the first colon of a line.
fn value(line: &str) -> &str {
    line.split_once(':').map_or(line, |(_, value)| value).trim()
}

fn with_value(line: &str, value: &str) -> String {
    let key = line.split_once(':').map_or("", |(key, _)| key);
    format!("{key}: {value}")
}

fn flip_bytes(text: &str, dice: &mut Dice) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=dice.below(4) {
        let position = dice.below(bytes.len());
        bytes[position] ^= 1 << dice.below(8);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn replace_word(line: &str, text: &str, dice: &mut Dice) -> String {
    let is_gap = |c: char| c.is_whitespace() || ",[]{}\"".contains(c);
    let words = |text: &str| -> Vec<String> {
        text.split(is_gap).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let (here, anywhere) = (words(line), words(text));
    if here.is_empty() {
        return line.to_owned();
    }
    let new = if dice.below(2) == 0 { dice.pick(&anywhere) } else { *dice.pick::<&str>(EXTREMES) };
    let old = dice.pick(&here).clone();
    line.replacen(&old, new, 1)
}

/// Replaces the first number of a line and leaves its unit.
fn replace_number(line: &str, dice: &mut Dice) -> String {
    let Some(start) = line.find(|c: char| c.is_ascii_digit()) else { return line.to_owned() };
    let digits = line.get(start..).unwrap().find(|c: char| !c.is_ascii_digit());
    let end = digits.map_or(line.len(), |len| start + len);
    let number =
        *dice.pick(&["0", "1", "007", "-5", "1.5", "65535", "4294967296", "99999999999999999999"]);
    format!("{}{number}{}", line.get(..start).unwrap(), line.get(end..).unwrap())
}

/// Gives some component an option with an extreme value.
fn insert_option(lines: &mut Vec<String>, dice: &mut Dice) {
    let types: Vec<usize> =
        (0..lines.len()).filter(|at| lines[*at].trim_start().starts_with("type:")).collect();
    if types.is_empty() {
        return;
    }
    let at = *dice.pick(&types);
    let indent = lines[at].len() - lines[at].trim_start().len();
    let wanted = value(&lines[at]).to_owned();
    let has_type = |option: &&&str| option.split_once(' ').is_some_and(|(name, _)| name == wanted);
    let known: Vec<&&str> = OPTIONS.iter().filter(has_type).collect();
    let Some((_, option)) =
        dice.pick(if known.is_empty() { return } else { &known }).split_once(' ')
    else {
        return;
    };
    let mut option = option.to_owned();
    for (kind, values) in KINDS {
        let values = if dice.below(5) == 0 { EXTREMES } else { values };
        option = option.replace(kind, dice.pick::<&str>(values));
    }
    let name = option.split(':').next().unwrap();
    // Instead of the one that is there; given twice it would only be a duplicate.
    let is_same = |line: &String| line.trim_start().starts_with(&format!("{name}:"));
    match lines.iter().skip(at).take(8).position(is_same) {
        Some(offset) => lines[at + offset] = format!("{}{option}", " ".repeat(indent)),
        None => lines.insert(at + 1, format!("{}{option}", " ".repeat(indent))),
    }
}

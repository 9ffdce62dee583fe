//! Every snippet of the website works: configurations load, and commands and their flags are known.
//!
//! A fence says what it holds: `yaml` a whole configuration, `yaml fragment` sections of one, and
//! `yaml` with a name of [`FOREIGN`] a file of another program. `console` and `sh` hold commands.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::process::Command;

use serde::Deserialize;
use serde_yaml::Value;

use super::pages::markdown;
use super::stage::load;
use crate::harness::gs_ctl;

/// What files of other programs are marked with; they only have to be YAML.
const FOREIGN: [&str; 8] =
    ["collector", "compose", "fluent-bit", "helm", "kubernetes", "prometheus", "systemd", "vector"];
/// Around a fragment: whatever it names itself replaces what has the same key here.
const FRAME: &str = "
sources: { otlp: { type: otlp } }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: \"https://backend:4317\" }
  vault: { type: raw_vault }
";

/// A fenced block of a page.
struct Snippet {
    /// The page and the line of the fence.
    place: String,
    /// What stands behind the fence.
    info: String,
    text: String,
}

fn snippets() -> Vec<Snippet> {
    let mut snippets = Vec::new();
    for (name, text) in markdown() {
        let mut open: Option<(Snippet, usize)> = None;
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            match (line.trim_start().strip_prefix("```"), open.take()) {
                (Some(info), None) => {
                    let place = format!("website/{name}:{}", number + 1);
                    let (info, text) = (info.trim().to_owned(), String::new());
                    open = Some((Snippet { place, info, text }, indent));
                }
                (Some(_), Some((snippet, _))) => snippets.push(snippet),
                (None, Some((mut snippet, indent))) => {
                    snippet.text.push_str(line.get(indent..).unwrap_or_default());
                    snippet.text.push('\n');
                    open = Some((snippet, indent));
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "website/{name} has a fence without an end");
    }
    assert!(100 < snippets.len(), "the pages are written in another way now");
    snippets
}

fn yaml(text: &str) -> Result<Value, serde_yaml::Error> {
    serde_yaml::from_str(text)
}

/// Puts a fragment over the frame: its components beside those of the frame.
fn framed(fragment: &str) -> Result<String, serde_yaml::Error> {
    let Value::Mapping(mut document) = yaml(FRAME)? else { unreachable!("the frame is one") };
    let Value::Mapping(sections) = yaml(fragment)? else { return Ok(fragment.to_owned()) };
    for (section, content) in sections {
        match (document.get_mut(&section), content) {
            (Some(Value::Mapping(known)), Value::Mapping(content)) => known.extend(content),
            (_, content) => {
                document.insert(section, content);
            }
        }
    }
    serde_yaml::to_string(&document)
}

/// What is wrong with a snippet of YAML, if anything is.
fn problem_of(snippet: &Snippet, kind: &str) -> Option<String> {
    let loaded = |text: &str| load(&snippet.place, text, &[]).err().map(|it| it.to_string());
    match kind {
        "" => loaded(&snippet.text),
        "fragment" => match framed(&snippet.text) {
            Ok(text) => loaded(&text),
            Err(error) => Some(error.to_string()),
        },
        kind if FOREIGN.contains(&kind) => serde_yaml::Deserializer::from_str(&snippet.text)
            .find_map(|document| Value::deserialize(document).err())
            .map(|error| error.to_string()),
        kind => {
            Some(format!("`{kind}` says nothing: leave it out, or write fragment, {FOREIGN:?}"))
        }
    }
}

/// Scenario: every snippet of YAML on the website, in an empty environment.
/// Guarantees: a whole configuration loads, a fragment loads within a pipeline, and what is of
/// another program says so and is YAML.
#[test]
fn every_configuration_on_the_website_is_valid() {
    let mut problems = Vec::new();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for snippet in snippets() {
        let Some(kind) = snippet.info.strip_prefix("yaml") else { continue };
        let kind = kind.trim();
        *kinds.entry(kind.to_owned()).or_default() += 1;
        if let Some(problem) = problem_of(&snippet, kind) {
            problems.push(format!("{}: {problem}", snippet.place));
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    assert!(40 < kinds[""] && 2 < kinds["fragment"], "{kinds:?}");
}

/// Splits a line of shell into simple commands, each into words.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let (mut word, mut quote) = (None::<String>, None);
    for c in line.chars().chain([' ']) {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ' | '|' | '&' | ';' | '>' | '<') => {
                all.last_mut().unwrap().extend(word.take());
                if c != ' ' {
                    all.push(Vec::new());
                }
            }
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    all
}

/// Returns the program of ours that a command runs, and its arguments.
fn ours(words: &[String]) -> Option<(&'static str, &[String])> {
    let first = words.iter().position(|word| !word.contains('=') || word.starts_with('-'))?;
    let words = &words[first..];
    if words.starts_with(&["cargo".to_owned(), "run".to_owned()]) {
        // The load generator has a test of its own for these.
        if words.iter().any(|word| word == "gophership-load") {
            return None;
        }
        let dashes = words.iter().position(|word| word == "--")?;
        return Some(("gophership", &words[dashes + 1..]));
    }
    match words[0].rsplit('/').next()? {
        "gs-ctl" => Some(("gs-ctl", &words[1..])),
        "gophership" | "gophership-new" => Some(("gophership", &words[1..])),
        _ => None,
    }
}

/// Asks a program for help behind these arguments: it complains about those it does not know.
fn help(program: &str, arguments: &[String]) -> Result<String, String> {
    let path = match program {
        "gs-ctl" => gs_ctl(),
        _ => env!("CARGO_BIN_EXE_gophership").into(),
    };
    let output = Command::new(path).args(arguments).arg("--help").output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

/// Scenario: every command of ours in a fence, with `--help` behind it.
/// Guarantees: program, command, flags and values are known.
#[test]
fn every_command_on_the_website_is_known() {
    let mut problems = Vec::new();
    let mut tried = BTreeSet::new();
    for snippet in snippets() {
        let text = snippet.text.replace("\\\n", " ");
        let lines = text.lines();
        let lines: Vec<&str> = match snippet.info.as_str() {
            "console" => lines.filter_map(|line| line.strip_prefix("$ ")).collect(),
            "sh" | "bash" => lines.collect(),
            _ => continue,
        };
        for words in lines.into_iter().flat_map(commands) {
            let Some((program, arguments)) = ours(&words) else { continue };
            if tried.insert((program, arguments.to_vec())) {
                let wrong = help(program, arguments).err();
                problems.extend(wrong.map(|error| format!("{}: {error}", snippet.place)));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    assert!(60 < tried.len(), "only {} commands were found", tried.len());
}

/// Scenario: every command of ours in a sentence or a table, such as `gs-ctl status [--watch]`.
/// Guarantees: the command is known, and its help has the flags.
#[test]
fn every_command_in_a_sentence_is_known() {
    let is_plain = |word: &&str| {
        word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') && !word.starts_with('-')
    };
    let mut asked: BTreeMap<(&str, Vec<String>), Result<String, String>> = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, text) in markdown() {
        let prose = text.split("```").step_by(2);
        for code in prose.flat_map(|part| part.split('`').skip(1).step_by(2)) {
            let mut words = code.split_whitespace();
            let program = match words.next() {
                Some("gs-ctl") => "gs-ctl",
                Some("gophership") => "gophership",
                _ => continue,
            };
            let arguments: Vec<String> = words.take_while(is_plain).map(str::to_owned).collect();
            let answer = asked
                .entry((program, arguments.clone()))
                .or_insert_with(|| help(program, &arguments));
            let flags =
                code.split(|c: char| " []|\\".contains(c)).filter(|it| it.starts_with("--"));
            match answer {
                Err(error) => problems.push(format!("website/{name}: `{code}`: {error}")),
                Ok(help) => problems.extend(
                    flags
                        .filter(|flag| !help.contains(flag.split('=').next().unwrap()))
                        .map(|flag| format!("website/{name}: `{code}`: {flag} is not in its help")),
                ),
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    assert!(30 < asked.len(), "only {} commands were found", asked.len());
}

#[test]
fn a_line_of_shell_is_split_as_a_shell_does() {
    let line = "A=b gs-ctl tap x --filter 'a and b' | wc -l > out # gs-ctl no";
    let words = commands(line);
    let (program, arguments) = ours(&words[0]).unwrap();
    assert_eq!(
        (program, arguments),
        ("gs-ctl", &["tap", "x", "--filter", "a and b"].map(str::to_owned)[..])
    );
    assert_eq!(words[1], ["wc", "-l"]);
    assert!(ours(&words[2]).is_none());
}

//! What people write, or their tools: a byte order mark, the booleans of YAML 1.1, `localhost`, keys that stand twice,
//! values that are out of range, files that are not there. Each is taken, or refused in words that say what to do.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs a command in a directory, without a variable HOSTNAME, and returns its exit code and all that it said.
fn said(dir: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gophership"));
    command.current_dir(dir).env_remove("GOPHERSHIP_CONFIG").env_remove("HOSTNAME");
    let output = command.args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
}

/// A source with these options, a sink, and these further sinks.
fn pipeline(source: &str, sinks: &str) -> String {
    format!(
        "sources: {{ in: {{ type: otlp{source} }} }}\nsinks: {{ out: {{ type: console, inputs: [in] }}{sinks} }}\n"
    )
}

/// A source, a transform with these options, and a sink.
fn transformed(transform: &str) -> String {
    format!(
        "sources: {{ in: {{ type: otlp }} }}\ntransforms: {{ t: {{ inputs: [in], {transform} }} }}\n\
         sinks: {{ out: {{ type: console, inputs: [t] }} }}\n"
    )
}

/// Scenario: configurations as editors, Helm and people write them.
/// Guarantees: each is valid.
#[test]
fn what_is_meant_well_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let vault = ", v: { type: raw_vault, inputs: [in], replay: ";
    let switched = |off: &str| pipeline(&format!(", pivot: {off}"), &format!("{vault}{off} }}"));
    for text in [
        format!("\u{feff}{}", pipeline("", "")),
        pipeline(", grpc: { listen: 'localhost:4317' }", ""),
        switched("off"),
        switched("false"),
        switched("no"),
        transformed("type: filter, drop: [{ attribute: a, on: resource, exists: yes }]"),
        transformed("type: enrich, resource: { host.name: '${HOSTNAME}' }"),
    ] {
        fs::write(dir.path().join("it.yaml"), &text).unwrap();
        let (code, words) = said(dir.path(), &["validate", "it.yaml"]);
        assert_eq!(code, 0, "{text}{words}");
        assert_eq!(words, "it.yaml: valid\n", "{text}");
    }
}

/// Scenario: configurations with one mistake each.
/// Guarantees: each is refused once, at its place, in words that say what is allowed or what to do.
#[test]
fn a_mistake_is_told_once_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let vault = ", v: { type: raw_vault }";
    let deep = format!("data_dir: /tmp/{}\n", "x".repeat(110));
    for (text, words) in [
        (pipeline(", pivot: w", vault), "vaults: v"),
        (
            pipeline("", ", v: { type: raw_vault, inputs: [in], segment_size: 64KiB }"),
            "`segment_size` must be from 1MiB to 4GiB",
        ),
        (transformed("type: sample, rate: 10"), "`rate` must be from 0 to 1"),
        (transformed("type: sample, rate: 1e-17"), "`rate` is below 2^-56"),
        (pipeline("", "") + &deep, "set control.socket to a shorter path"),
        (
            pipeline(", grpc: { listen: '127.0.0.1:1', tls: { cert: no.pem, key: no.pem } }", ""),
            "cannot read no.pem, the sources.in.grpc.tls.cert: No such file",
        ),
    ] {
        fs::write(dir.path().join("it.yaml"), &text).unwrap();
        let (got, all) = said(dir.path(), &["validate", "it.yaml"]);
        assert_eq!(got, 78, "{text}{all}");
        assert_eq!(all.matches(words).count(), 1, "{text}{all}");
        assert!(!all.contains("panicked"), "{all}");
    }
}

/// Scenario: a lookup table has a key twice.
/// Guarantees: nothing is started, and the message has the line and the key.
#[test]
fn a_table_with_a_key_twice_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("twice.csv"), "code,state\n200,ok\n200,other\n").unwrap();
    let text =
        transformed("type: enrich, record: { s: { lookup: { table: twice.csv, key: code } } }");
    fs::write(dir.path().join("it.yaml"), text).unwrap();
    let (code, all) = said(dir.path(), &["run", "it.yaml"]);
    assert!(code == 69 && all.contains("line 3 has a key that is there twice: 200"), "{all}");
}

/// Scenario: a filter of the log, and the name of a test case, with a typing error.
/// Guarantees: both are errors that say what there is; nothing is started.
#[test]
fn a_typing_error_on_the_command_line_starts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("it.yaml"), pipeline("", "")).unwrap();
    let (code, all) = said(dir.path(), &["run", "--log", "inof", "it.yaml"]);
    assert!(code == 64 && all.contains("did you mean `info`"), "{all}");
    let (code, all) = said(dir.path(), &["test", "it.yaml", "--only", "nosuch"]);
    assert!(code == 1 && all.contains("No test case matches `nosuch`. There are none."), "{all}");
}

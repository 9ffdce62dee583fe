//! How commands are told which configuration file is meant.

use std::fs;
use std::path::Path;
use std::process::Command;

const VALID: &str = "
data_dir: /nowhere/of/gophership
sources: { demo: { type: demo } }
transforms: { mark: { type: enrich, inputs: [demo], record: { a: b } } }
sinks: { hole: { type: blackhole, inputs: [mark] } }
tests: [{ name: passes, start: mark, input: [{ body: x }], expect: [{ body: x }] }]
";

/// Runs a command without any variable but this one, and returns its exit code and all that it said.
fn said(arguments: &[&str], variable: Option<&Path>) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gophership"));
    command.env_remove("GOPHERSHIP_CONFIG").args(arguments);
    command.envs(variable.map(|path| ("GOPHERSHIP_CONFIG", path)));
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
}

/// Scenario: a file is named as an argument, with `-c`, with `--config`, and by the variable, and a folder is
/// named instead.
/// Guarantees: every command that reads one finds it in each way, what is typed goes before the variable, and
/// a folder is an error that says so.
#[test]
fn every_command_takes_its_file_in_the_same_ways() {
    let dir = tempfile::tempdir().unwrap();
    let (valid, invalid) = (dir.path().join("valid.yaml"), dir.path().join("invalid.yaml"));
    fs::write(&valid, VALID).unwrap();
    fs::write(&invalid, "sources: 7\n").unwrap();
    let text = |path: &Path| path.display().to_string();
    // What each command comes to with the valid file: `run` would not end, so it is given the other one.
    for (command, file, code, words) in [
        ("validate", &valid, 0, "valid.yaml: valid"),
        ("graph", &valid, 0, "hole"),
        ("test", &valid, 0, "1 cases, 0 failed"),
        ("run", &invalid, 78, "invalid.yaml"),
        ("drill", &valid, 78, "no `otlp` source"),
        ("audit", &valid, 66, "there is no ledger in /nowhere/of/gophership"),
    ] {
        let file = text(file);
        for arguments in
            [&[command, &file][..], &[command, "-c", &file], &[command, "--config", &file]]
        {
            for variable in [None, Some(Path::new("/does/not/exist.yaml"))] {
                let (got, all) = said(arguments, variable);
                assert_eq!(got, code, "{arguments:?}: {all}");
                assert!(all.contains(words), "{arguments:?}: {all}");
            }
        }
        let (got, all) = said(&[command], Some(Path::new(&file)));
        assert_eq!(got, code, "{command} with the variable: {all}");
        assert!(all.contains(words), "{command} with the variable: {all}");
        if command != "validate" {
            let (got, all) = said(&[command, &text(dir.path())], None);
            assert_eq!(got, 66, "{command}: {all}");
            assert!(all.contains("is a folder"), "{command}: {all}");
        }
    }
}

/// Scenario: `validate` is given several files, folders with and without a configuration, and nothing.
/// Guarantees: each file is checked, one that is wrong decides the exit code, and nothing is not valid.
#[test]
fn validate_checks_every_file_of_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in
        [("a.yaml", VALID), ("b.yml", VALID), ("c.yaml", "sources: 7\n"), ("d.txt", "no")]
    {
        fs::write(dir.path().join(name), content).unwrap();
    }
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (code, all) = said(&["validate", &path("")], None);
    assert_eq!(code, 78, "{all}");
    assert!(all.contains("a.yaml: valid") && all.contains("b.yml: valid"), "{all}");
    assert!(all.contains("c.yaml:") && !all.contains("d.txt"), "{all}");
    let (code, all) = said(&["validate", &path("a.yaml"), "-c", &path("b.yml")], None);
    assert_eq!((code, all.matches(": valid").count()), (0, 2), "{all}");
    fs::create_dir(path("empty")).unwrap();
    assert_eq!(said(&["validate", &path("empty")], None).0, 66);
    assert_eq!(said(&["validate"], None).0, 64);
}

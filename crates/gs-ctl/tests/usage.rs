//! What `gs-ctl` says and how it ends when it cannot ask anybody.
#![expect(clippy::unwrap_used, reason = "a test stops where it finds something")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

/// `gs-ctl` in a folder of its own, without any setting of whoever runs the test.
fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gs-ctl"));
    command.env_clear().env("HOME", home).current_dir(home);
    command
}

fn gs_ctl(home: &Path, arguments: &[&str]) -> Output {
    program(home).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    let text = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8(text).unwrap()
}

/// Scenario: nothing listens on the socket, nor at the endpoint.
/// Guarantees: the error names the place and what to look at; the exit code is that of an unavailable
/// service.
#[test]
fn a_server_that_is_not_there_is_an_error_that_helps() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("control.sock");
    let output = gs_ctl(dir.path(), &["--socket", socket.to_str().unwrap(), "status"]);
    assert_eq!(output.status.code(), Some(69), "{}", said(&output));
    assert!(said(&output).contains(socket.to_str().unwrap()) && said(&output).contains("--socket"));
    assert!(output.stdout.is_empty());

    assert!(gs_ctl(dir.path(), &["certs", "init", "--dir", "c"]).status.success());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (ca, cert, key) = ("c/ca.pem", "c/admin.pem", "c/admin.key");
    let endpoint = free.to_string();
    let endpoint = ["health", "--endpoint", &endpoint, "--ca", ca, "--cert", cert, "--key", key];
    let output = gs_ctl(dir.path(), &endpoint);
    assert_eq!(output.status.code(), Some(69), "{}", said(&output));
    assert!(said(&output).contains(&free.to_string()) && said(&output).contains("--endpoint"));
}

/// Scenario: `top` writes to a pipe.
/// Guarantees: it says what to use instead, with the code for wrong usage, before anybody is asked.
#[test]
fn top_needs_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let output = gs_ctl(dir.path(), &["top"]);
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
    assert!(said(&output).contains("gs-ctl status --watch"), "{}", said(&output));
}

/// Scenario: a command, a zone and a duration that do not exist; options that do not go together.
/// Guarantees: each is refused before anybody is asked, with the code for wrong usage.
#[test]
fn wrong_arguments_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, word) in [
        (&["stauts"][..], "status"),
        (&["override", "--zone", "blue"], "green"),
        (&["override", "--zone", "red", "--ttl", "5"], "a number needs a unit"),
        (&["tap"], "COMPONENT"),
        (&["tap", "otlp", "--limit", "0"], "1.."),
        (&["tail", "--filter", "severity=warn"], "wrong at character 9"),
        (&["tap", "otlp", "--filter", "body~\"x"], "the closing"),
        (&["dead-letters", "ls", "--since", "yesterday"], "an age like 2h"),
        (&["dead-letters", "ls", "--reason", "a", "--because", "b"], "--because"),
        (&["dead-letters", "drop"], "--yes"),
        (&["vault", "prune", "x"], "--yes"),
        (&["vault", "prune", "x", "--force"], "--yes"),
        (&["drain"], "--yes"),
        (&["drain", "--wait"], "--yes"),
        (&["replay"], "--vault"),
        (&["replay", "--follow"], "--from"),
        (&[], "override"),
        (&["status", "--endpoint", "localhost:1"], "--ca, --cert and --key"),
        (&["status", "--socket", "s", "--endpoint", "localhost:1"], "not both"),
        (&["context", "set", "x"], "--socket"),
        (&["certs", "init", "--client", "../x"], "cannot be the name"),
        (&["certs", "init", "--days", "0"], "--days"),
        (&["vault", "verify", "--segment", "3"], "<NAME>"),
        (&["vault", "hold"], "<NAME>"),
        (&["vault", "prune", "x", "--segment", "3", "--older-than", "1h"], "--segment"),
        (&["drain", "--deadline", "5s"], "--wait"),
        (&["drain", "--undo", "--wait"], "--wait"),
        (&["replay", "--vault", "x", "--since", "yesterday"], "2026-01-31T12:00:00Z"),
        (&["replay", "stop"], "<ID>"),
    ] {
        let output = gs_ctl(dir.path(), arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(word), "{arguments:?}: {}", said(&output));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was written");
}

/// Scenario: contexts are set, listed, used and removed; a context, the environment and the command line
/// name different sockets.
/// Guarantees: the command line goes before the environment, that before the context; an unknown context
/// and a broken file have the code for configuration.
#[test]
fn contexts_name_processes_and_the_command_line_goes_first() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let is_asked = |output: &Output, place: &str| {
        assert_eq!(output.status.code(), Some(69), "{}", said(output));
        assert!(said(output).contains(place), "{place}: {}", said(output));
    };
    is_asked(&gs_ctl(home, &["status"]), "gophership-data/control.sock");
    for name in ["one", "two"] {
        let socket = format!("{name}.sock");
        let output = gs_ctl(home, &["context", "set", name, "--socket", &socket]);
        assert!(output.status.success(), "{}", said(&output));
    }
    // Paths are kept whole; the first context is the current one.
    is_asked(&gs_ctl(home, &["status"]), &format!("{}/one.sock", home.display()));
    is_asked(&gs_ctl(home, &["--context", "two", "status"]), "/two.sock");
    assert!(gs_ctl(home, &["context", "use", "two"]).status.success());
    is_asked(&gs_ctl(home, &["status"]), "/two.sock");
    let output = program(home).env("GS_SOCKET", "env.sock").arg("status").output().unwrap();
    is_asked(&output, "env.sock");
    let typed = ["status", "--context", "one"];
    let output = program(home).env("GS_SOCKET", "env.sock").args(typed).output().unwrap();
    is_asked(&output, "/one.sock");
    let typed = ["status", "--socket", "typed.sock"];
    let output = program(home).env("GS_CONTEXT", "one").args(typed).output().unwrap();
    is_asked(&output, "typed.sock");

    let listed = gs_ctl(home, &["context", "ls", "-o", "json"]);
    assert!(said(&listed).contains("\"current\": \"two\""), "{}", said(&listed));
    assert!(gs_ctl(home, &["context", "rm", "two"]).status.success());
    is_asked(&gs_ctl(home, &["status"]), "gophership-data/control.sock");
    for arguments in [["context", "use", "two"], ["--context", "two", "status"]] {
        let output = gs_ctl(home, &arguments);
        assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    }
    fs::write(home.join(".config/gs-ctl/config.yaml"), "contexts: [").unwrap();
    let output = gs_ctl(home, &["status"]);
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
}

/// Scenario: certificates are made, made again, and with another client.
/// Guarantees: keys are for their owner alone; nothing is replaced without `--force`, the CA never.
#[test]
fn certificates_are_made_and_not_replaced_by_accident() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let init = |more: &[&str]| {
        gs_ctl(home, &[&["certs", "init", "--dir", "certs", "--host", "db.example"], more].concat())
    };
    let output = init(&[]);
    assert!(output.status.success(), "{}", said(&output));
    for (name, mode) in [("ca.key", 0o600), ("server.key", 0o600), ("admin.key", 0o600)] {
        let path = home.join("certs").join(name);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, mode, "{name}");
    }
    let read = |name: &str| fs::read(home.join("certs").join(name)).unwrap();
    let (ca, server) = (read("ca.pem"), read("server.pem"));
    let output = init(&[]);
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
    assert!(said(&output).contains("--force"), "{}", said(&output));
    assert!(init(&["--client", "eve"]).status.success());
    assert_eq!(read("server.pem"), server);
    assert!(init(&["--client", "bob", "--force"]).status.success());
    assert_eq!(read("ca.pem"), ca);
    assert_ne!(read("server.pem"), server);
    assert!(home.join("certs/bob.pem").exists());
    fs::remove_file(home.join("certs/ca.key")).unwrap();
    let output = init(&["--force"]);
    assert!(said(&output).contains("half a CA"), "{}", said(&output));
}

/// Scenario: help, version, completions and man pages.
/// Guarantees: they name the program and every command; `--version` says gs-ctl.
#[test]
fn help_version_completions_and_man_pages_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let version = gs_ctl(dir.path(), &["--version"]);
    assert_eq!(said(&version), format!("gs-ctl {}\n", env!("CARGO_PKG_VERSION")));
    for shell in ["bash", "zsh", "fish"] {
        let output = gs_ctl(dir.path(), &["completions", shell]);
        assert!(output.status.success() && said(&output).contains("override"), "{shell}");
    }
    let output = gs_ctl(dir.path(), &["man", "pages"]);
    assert!(output.status.success(), "{}", said(&output));
    for page in ["gs-ctl.1", "gs-ctl-status.1", "gs-ctl-certs-init.1"] {
        let text = fs::read_to_string(dir.path().join("pages").join(page)).unwrap();
        assert!(text.contains("gs"), "{page}");
    }
}

/// Scenario: whoever reads the output has gone.
/// Guarantees: the command ends quietly, with 0.
#[test]
fn a_closed_pipe_ends_it_quietly() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [&["completions", "zsh"][..], &["--help"], &["context", "ls", "-o", "yaml"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = program(dir.path());
        let child = command.args(arguments).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        drop(command);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
        assert!(output.stderr.is_empty(), "{arguments:?}: {}", said(&output));
    }
}

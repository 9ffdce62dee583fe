//! What `gs-ctl` says and how it ends when it cannot ask anybody.
#![expect(clippy::unwrap_used, reason = "a test stops where it finds something")]

use std::process::Command;
use std::process::Output;

fn gs_ctl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gs-ctl"))
        .args(arguments)
        .env_remove("GOPHERSHIP_CONTROL_SOCKET")
        .output()
        .unwrap()
}

/// Scenario: nothing listens on the socket.
/// Guarantees: the error names the socket and what to look at; the exit code is that of an unavailable
/// service.
#[test]
fn a_server_that_is_not_there_is_an_error_that_helps() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("control.sock");
    let output = gs_ctl(&["--socket", socket.to_str().unwrap(), "status"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains(socket.to_str().unwrap()) && said.contains("--socket"), "{said}");
    assert!(output.stdout.is_empty());
}

/// Scenario: a command, a zone and a duration that do not exist.
/// Guarantees: each is refused before anybody is asked, with the code for wrong usage.
#[test]
fn wrong_arguments_are_refused() {
    for (arguments, word) in [
        (&["stauts"][..], "status"),
        (&["override", "--zone", "blue"], "green"),
        (&["override", "--zone", "red", "--ttl", "5"], "a number needs a unit"),
        (&[], "override"),
    ] {
        let output = gs_ctl(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {said}");
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
}

//! `gophership vault`, begun, run and interrupted.

use std::process::Child;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

use rustix::process::Pid;
use rustix::process::Signal as ProcessSignal;

/// Begins a command of `gophership vault`.
pub(crate) fn begin(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_gophership"))
        .arg("vault")
        .args(arguments)
        .env_remove("GOPHERSHIP_CONFIG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs a command of `gophership vault`.
pub(crate) fn tool(arguments: &[&str]) -> Output {
    begin(arguments).wait_with_output().unwrap()
}

/// Interrupts a command, as Ctrl-C does.
pub(crate) fn interrupt(child: &Child) {
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, ProcessSignal::INT).unwrap();
}

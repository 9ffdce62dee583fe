//! The last lines of `cargo test`: which tests were left out on this machine, and why.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use untested::LIST;

/// The arguments of a run that asks for other tests, or for none.
fn is_asked() -> bool {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let is_other = |word: &String| !word.starts_with('-') || word == "--list";
    !words.iter().any(is_other)
}

fn main() -> ExitCode {
    if !is_asked() {
        return ExitCode::SUCCESS;
    }
    let missing: Vec<_> = LIST.iter().filter_map(|one| Some((one.test, one.missing()?))).collect();
    let mut text = String::new();
    if missing.is_empty() {
        text.push_str("left out on this machine: nothing\n");
    } else {
        let _infallible = writeln!(text, "LEFT OUT ON THIS MACHINE: {} tests", missing.len());
        for (test, why) in &missing {
            let _infallible = writeln!(text, "    {test}: {why}");
        }
    }
    let written = std::io::stdout().write_all(text.as_bytes());
    if written.is_err() || (untested::is_strict() && !missing.is_empty()) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

//! The torture of the vault: crashes, power cuts, corruption and short resources, by the thousand.
//!
//! ```console
//! $ cargo test --test torture                                          # the fast tier, part of `cargo test`
//! $ cargo test --release --test torture -- --tier long                 # the long tier, with its table
//! $ cargo test --release --test torture -- --only C6 --seed 7          # one suite, one seed
//! ```
//!
//! Each suite says how often it ran, what was violated, and with which seed to see it again. Some runs have the
//! same seeds each time, others new ones.

#[path = "../it/harness/mod.rs"]
#[allow(
    clippy::unwrap_used,
    dead_code,
    unused_imports,
    reason = "it is shared with the integration tests, which use all of it"
)]
mod harness;
mod inside;
mod options;
mod outside;
mod suite;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use options::Options;
use suite::Outcome;
use suite::Suite;

/// What takes longest starts first, so that the end is not one suite alone.
const FIRST: [&str; 3] = ["C6", "C1", "M1"];

/// Every suite, in the order in which they start.
fn suites() -> Vec<Suite> {
    let mut suites = [outside::suites(), inside::suites()].concat();
    let place = |suite: &Suite| FIRST.iter().position(|id| *id == suite.id);
    suites.sort_by_key(|suite| place(suite).unwrap_or(FIRST.len()));
    suites
}

fn main() -> ExitCode {
    if let Some(code) = outside::run_child() {
        return code;
    }
    let options = Options::from_arguments();
    let all = suites();
    let unknown = options.unknown(&all);
    if !unknown.is_empty() {
        say(&format!("torture: no suite is called {}; --list names all", unknown.join(" or ")));
        return ExitCode::FAILURE;
    }
    let chosen: Vec<Suite> = all.into_iter().filter(|suite| options.wants(suite)).collect();
    if options.is_list {
        for suite in &chosen {
            say(&format!("{}: {}", suite.id, suite.title));
        }
        return ExitCode::SUCCESS;
    }
    let outcomes = run_all(&chosen, &options);
    say(&suite::table(&outcomes, &options));
    if conclude(&outcomes, &options) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says in the last lines what passed, what failed and what was left out; returns whether that is enough.
fn conclude(outcomes: &[Outcome], options: &Options) -> bool {
    let failed = outcomes.iter().filter(|outcome| outcome.has_failed()).count();
    let whole = outcomes.iter().filter(|outcome| outcome.is_left_out()).count();
    let passed = outcomes.len() - failed - whole;
    let left_out: Vec<String> = outcomes.iter().flat_map(Outcome::left_out).collect();
    say(&format!("torture: {passed} passed, {failed} failed, {whole} left out"));
    for what in &left_out {
        say(&format!("    left out: {what}"));
    }
    if let Some(elsewhere) = options.elsewhere() {
        say(&elsewhere);
    }
    let is_short = options.is_strict() && !left_out.is_empty();
    if is_short {
        say("torture: FAILED, because --strict allows nothing to be left out");
    }
    failed == 0 && !is_short
}

/// Runs the suites on as many threads as asked for; outcomes come in the order of the suites.
fn run_all(suites: &[Suite], options: &Options) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                while let Some(suite) = suites.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = suite::run(suite, options);
                    say(&outcome.line());
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|outcome| suites.iter().position(|suite| suite.id == outcome.id));
    outcomes
}

fn say(text: &str) {
    let written = writeln!(std::io::stdout(), "{text}");
    written.expect("standard output takes a line");
}

//! One suite: how often it runs, what it found, and how that is told.

use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::time::Duration;
use std::time::Instant;

use crate::options::Options;
use crate::options::Tier;

/// A suite of the torture.
#[derive(Clone, Copy)]
pub(crate) struct Suite {
    /// Short and unique, such as `C6`.
    pub(crate) id: &'static str,
    /// What is done, and what must hold.
    pub(crate) title: &'static str,
    /// Runs in the fast tier.
    pub(crate) fast: u64,
    /// Runs in the long tier.
    pub(crate) long: u64,
    /// Does [`Run::runs`] runs; returns early only when it is useless to go on.
    pub(crate) run: fn(&mut Run),
}

impl Suite {
    /// What filters are compared with.
    pub(crate) fn name(&self) -> String {
        format!("torture::{} {}", self.id, self.title)
    }
}

/// The first seed of the runs that are the same each time.
pub(crate) const FIXED_SEED: u64 = 1;
/// Suites whose runs differ by their seeds alone. One in so many of their runs has a seed that is new each time.
const FRESH: [&str; 12] = ["C1", "C6", "C7", "M1", "B5", "B7", "F1", "F2", "F3", "F4", "F5", "F6"];
const FRESH_SHARE: u64 = 4;

/// Violations told in full; more are counted.
const VIOLATIONS_KEPT_MAX: usize = 20;

/// One execution of a suite.
pub(crate) struct Run {
    id: &'static str,
    pub(crate) tier: Tier,
    /// Whether limits of time are those of a release build.
    is_promised: bool,
    /// How many runs are wanted; the number the suite is measured by.
    pub(crate) runs: u64,
    /// Seed of the first run; run number `n` uses `seed + n`, so that one can be repeated alone.
    pub(crate) seed: u64,
    done: u64,
    violations: u64,
    told: Vec<String>,
    notes: Vec<String>,
    /// Parts that could not run here, and why.
    left_out: Vec<String>,
}

impl Run {
    /// Whether a part of the suite can run here; one that cannot is told as left out. The list of `untested`
    /// has it under the name of the suite and this.
    pub(crate) fn can(&mut self, part: &str) -> bool {
        let name = format!("torture {} {part}", self.id);
        assert!(untested::LIST.iter().any(|one| one.test == name), "{name} is not in the list");
        let missing = untested::missing(&name);
        self.left_out.extend(missing.iter().map(|why| format!("{} {part}: {why}", self.id)));
        missing.is_none()
    }

    /// The limit that the website promises, or in a debug build another one: unoptimised code takes longer.
    pub(crate) fn limit<T>(&self, promised: T, unoptimised: T) -> T {
        if self.is_promised { promised } else { unoptimised }
    }

    /// Counts finished runs.
    pub(crate) fn done(&mut self, runs: u64) {
        self.done += runs;
    }

    /// Remembers what must not have happened. `seed` repeats it: `--only ID --runs 1 --seed SEED`.
    pub(crate) fn violation(&mut self, seed: u64, what: impl Into<String>) {
        self.violations += 1;
        if self.told.len() < VIOLATIONS_KEPT_MAX {
            self.told.push(format!("seed {seed}: {}", what.into()));
        }
    }

    /// Notes a figure for the table, such as a largest latency.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

/// What became of a suite.
pub(crate) struct Outcome {
    pub(crate) id: &'static str,
    title: &'static str,
    /// Why it did not run.
    missing: Option<String>,
    /// Parts of it that did not run, and why.
    left_out: Vec<String>,
    runs: u64,
    violations: u64,
    told: Vec<String>,
    notes: Vec<String>,
    took: Duration,
}

impl Outcome {
    /// Whether something was violated, or nothing was run although everything needed was there.
    pub(crate) fn has_failed(&self) -> bool {
        0 < self.violations || (self.runs == 0 && self.missing.is_none())
    }

    fn parts(&self) -> Vec<String> {
        self.left_out.iter().map(|part| format!("left out: {part}")).collect()
    }

    /// What was not tested of it, each with its reason.
    pub(crate) fn left_out(&self) -> impl Iterator<Item = String> {
        let whole = self.missing.iter().map(|why| format!("{}: {why}", self.id));
        whole.chain(self.left_out.iter().cloned())
    }

    /// Whether none of it ran.
    pub(crate) fn is_left_out(&self) -> bool {
        self.missing.is_some()
    }

    /// One line for the terminal, with the violations below.
    pub(crate) fn line(&self) -> String {
        let mut line = match &self.missing {
            Some(missing) => format!("torture {}: {} ... left out: {missing}", self.id, self.title),
            None => format!(
                "torture {}: {} ... {} ({} runs, {} violations, {:.1} s)",
                self.id,
                self.title,
                if self.has_failed() { "FAILED" } else { "ok" },
                self.runs,
                self.violations,
                self.took.as_secs_f64(),
            ),
        };
        for part in &self.left_out {
            let _infallible = write!(line, "\n    left out: {part}");
        }
        for told in &self.told {
            let _infallible = write!(line, "\n    {told}");
        }
        line
    }
}

/// The first seeds and the numbers of runs: all runs from the seed that was asked for, or the usual ones and
/// some that nobody has seen before.
fn parts(suite: &Suite, options: &Options) -> Vec<(u64, u64)> {
    let tier_runs = if options.tier == Tier::Fast { suite.fast } else { suite.long };
    let runs = options.runs.unwrap_or(tier_runs);
    if let Some(seed) = options.seed {
        return vec![(seed, runs)];
    }
    let fresh = if FRESH.contains(&suite.id) { runs / FRESH_SHARE } else { 0 };
    let parts = [(FIXED_SEED, runs - fresh), (options.fresh_seed(), fresh)];
    parts.into_iter().filter(|(_, runs)| *runs > 0).collect()
}

/// Runs a suite; a panic is a violation.
pub(crate) fn run(suite: &Suite, options: &Options) -> Outcome {
    let mut run = Run {
        id: suite.id,
        tier: options.tier,
        is_promised: options.is_promised || !cfg!(debug_assertions),
        runs: 0,
        seed: 0,
        done: 0,
        violations: 0,
        told: Vec::new(),
        notes: Vec::new(),
        left_out: Vec::new(),
    };
    let started = Instant::now();
    let missing = untested::missing(&format!("torture {}", suite.id));
    let parts = if missing.is_none() { parts(suite, options) } else { Vec::new() };
    for (seed, runs) in parts {
        (run.seed, run.runs) = (seed, runs);
        let before = run.done;
        let ended = catch_unwind(AssertUnwindSafe(|| (suite.run)(&mut run)));
        if let Err(panic) = ended {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            let text = text.unwrap_or_default();
            run.violation(seed + (run.done - before), format!("panic: {text}"));
        }
    }
    Outcome {
        id: suite.id,
        title: suite.title,
        missing,
        left_out: run.left_out,
        runs: run.done,
        violations: run.violations,
        told: run.told,
        notes: run.notes,
        took: started.elapsed(),
    }
}

/// The table of a tier, as Markdown.
pub(crate) fn table(outcomes: &[Outcome], options: &Options) -> String {
    let tier = if options.tier == Tier::Fast { "fast" } else { "long" };
    let mut text = format!("\nTier {tier}, seed {}\n\n", options.seeds());
    text.push_str("| suite | what | runs | violations | seconds | figures |\n");
    text.push_str("|---|---|--:|--:|--:|---|\n");
    for outcome in outcomes {
        let figures = match &outcome.missing {
            Some(missing) => format!("left out: {missing}"),
            None => [&outcome.notes[..], &outcome.parts()[..]].concat().join("; "),
        };
        let _infallible = writeln!(
            text,
            "| {} | {} | {} | {} | {:.0} | {figures} |",
            outcome.id,
            outcome.title,
            outcome.runs,
            outcome.violations,
            outcome.took.as_secs_f64(),
        );
    }
    text
}

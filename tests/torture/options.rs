//! The arguments of the torture: those of its own, and those `cargo test` passes to every target.

use clap::Parser;
use clap::ValueEnum;

use crate::suite::FIXED_SEED;
use crate::suite::Suite;

/// How much is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tier {
    /// Minutes: with the tests.
    Fast,
    /// An hour or more: before a release, and after every change of the format or of recovery.
    Long,
}

/// What to run, and how.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "a command line is made of switches")]
#[command(about = "Tortures the vault", disable_version_flag = true)]
pub(crate) struct Options {
    /// How much to run.
    #[arg(long, value_enum, default_value = "fast")]
    pub(crate) tier: Tier,
    /// Runs only these suites, by id.
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Leaves these suites to another command.
    #[arg(long, value_delimiter = ',', env = "GOPHERSHIP_TORTURE_EXCEPT")]
    except: Vec<String>,
    /// The seed of the first run of each suite; every failure names its own. Without it the runs begin with
    /// seed 1, and some suites have runs with a new seed each time beside them.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Runs of each suite, instead of the tier's number.
    #[arg(long)]
    pub(crate) runs: Option<u64>,
    /// Suites that run at once.
    #[arg(long, default_value_t = 2)]
    pub(crate) jobs: usize,
    /// Fails if a suite, or a part of one, is left out; so does the variable `GOPHERSHIP_TEST_STRICT`.
    #[arg(long = "strict")]
    is_strict: bool,
    /// Holds the limits of time that the website promises for a release build, also if the torture is a debug
    /// build; the variable `GOPHERSHIP_BIN` then names a program that is a release build.
    #[arg(long = "promised")]
    pub(crate) is_promised: bool,
    /// Names the suites and runs none.
    #[arg(long = "list")]
    pub(crate) is_list: bool,
    /// Runs the suites whose name contains one of these, as every test of Rust does.
    filters: Vec<String>,
    #[arg(skip = fastrand::u64(1_000..1 << 24))]
    fresh_seed: u64,

    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    exact: bool,
    #[arg(long, short, hide = true)]
    quiet: bool,
    #[arg(long, hide = true)]
    test_threads: Option<usize>,
    #[arg(long, hide = true)]
    skip: Vec<String>,
    #[arg(long, hide = true)]
    format: Option<String>,
    #[arg(long, hide = true)]
    include_ignored: bool,
    #[arg(long, hide = true)]
    ignored: bool,
}

impl Options {
    /// Reads the command line; explains itself and ends the process when it cannot.
    pub(crate) fn from_arguments() -> Self {
        Self::parse()
    }

    /// Whether what is left out is a failure.
    pub(crate) fn is_strict(&self) -> bool {
        self.is_strict || untested::is_strict()
    }

    /// The seed that is new each time.
    pub(crate) const fn fresh_seed(&self) -> u64 {
        self.fresh_seed
    }

    /// The seeds in words.
    pub(crate) fn seeds(&self) -> String {
        match self.seed {
            Some(seed) => seed.to_string(),
            None => format!("{FIXED_SEED}, and {} in runs that are new each time", self.fresh_seed),
        }
    }

    /// Ids in `--only` and `--except` that no suite has.
    pub(crate) fn unknown(&self, suites: &[Suite]) -> Vec<&str> {
        let is_known = |id: &str| suites.iter().any(|suite| id.eq_ignore_ascii_case(suite.id));
        let named = self.only.iter().chain(&self.except).map(String::as_str);
        named.filter(|id| !is_known(id)).collect()
    }

    /// What was left to another command, in words.
    pub(crate) fn elsewhere(&self) -> Option<String> {
        let ids = self.except.join(", ");
        (!ids.is_empty()).then(|| format!("torture: left to another command: {ids}"))
    }

    /// Whether a suite is to be run.
    pub(crate) fn wants(&self, suite: &Suite) -> bool {
        let name = suite.name();
        let is_named = self.only.is_empty()
            || self.only.iter().any(|only| only.eq_ignore_ascii_case(suite.id));
        let is_matched =
            self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter));
        let is_elsewhere = self.except.iter().any(|id| id.eq_ignore_ascii_case(suite.id));
        is_named
            && is_matched
            && !is_elsewhere
            && !self.ignored
            && !self.skip.iter().any(|skip| name.contains(skip.as_str()))
    }
}

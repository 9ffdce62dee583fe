//! Tests that need more of the machine than others: what each needs, and what is missing here.
//!
//! A test in the [`LIST`] asks [`can_run`] first. Where something is missing it is left out, and says so.
//! The test `verdict` of this crate is the last that `cargo test` runs: it names every test that was left
//! out. In the strict mode, which `.ci/run` sets, a test that is left out fails.

mod cgroup;
mod list;
mod need;

use std::io::Write as _;

pub use cgroup::ControlGroup;
pub use cgroup::device_of;
pub use list::LIST;
pub use need::Need;

/// The variable that makes a test fail that would be left out.
pub const STRICT: &str = "GOPHERSHIP_TEST_STRICT";

/// A test and what it needs.
#[derive(Clone, Copy, Debug)]
pub struct Conditional {
    /// Its binary and its name, such as `it socket::name`, or a suite of the torture, such as `torture C3`.
    pub test: &'static str,
    /// All of this.
    pub needs: &'static [Need],
}

impl Conditional {
    /// What is missing here, in words.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        self.needs.iter().find_map(|need| need.missing())
    }
}

/// Whether a test that would be left out has to fail.
#[must_use]
pub fn is_strict() -> bool {
    std::env::var_os(STRICT).is_some_and(|value| !value.is_empty() && value != "0")
}

/// What a test lacks here, in words; nothing for a test that is not in the [`LIST`].
#[must_use]
pub fn missing(test: &str) -> Option<String> {
    LIST.iter().find(|one| one.test == test)?.missing()
}

/// Whether a test can run here; if not, it returns at once, and standard error says why.
///
/// # Panics
///
/// In the strict mode, and if the test is not in the [`LIST`].
#[must_use]
pub fn can_run(test: &str) -> bool {
    assert!(LIST.iter().any(|one| one.test == test), "{test} is not in the list of `untested`");
    let Some(why) = missing(test) else { return true };
    assert!(!is_strict(), "{test} cannot run here: it {why}");
    // Not by a macro: the output of a test that passes would be swallowed.
    let _nobody_reads = writeln!(std::io::stderr(), "left out: {test}: it {why}");
    false
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn read_all(dir: &Path, text: &mut String) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read_all(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }

    #[test]
    fn every_test_in_the_list_exists_and_asks() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut text = String::new();
        for dir in ["tests", "crates/archive/tests"] {
            read_all(&root.join(dir), &mut text);
        }
        for one in LIST {
            let has = |text_of_it: &str| text.contains(&format!("\"{text_of_it}\""));
            // A part of a suite is asked for by the rest of its name.
            let is_suite = |name: &str| {
                let (id, part) = name.split_once(' ').unwrap_or((name, ""));
                text.contains(&format!("id: \"{id}\"")) && (part.is_empty() || has(part))
            };
            let suite = one.test.strip_prefix("torture ");
            assert!(has(one.test) || suite.is_some_and(is_suite), "nothing asks for {}", one.test);
        }
    }

    #[test]
    fn a_missing_program_is_named() {
        let why = Need::Program("no-such-program").missing().unwrap();
        assert_eq!(why, "needs the program no-such-program");
        assert_eq!(Need::Program("sh").missing(), None);
    }

    #[test]
    #[should_panic(expected = "is not in the list")]
    fn a_test_that_is_not_listed_cannot_ask() {
        let _unreached = can_run("it nobody::knows_me");
    }
}

//! The severities of log records, as options name them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A severity range of the OpenTelemetry log data model.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Numbers 1 to 4.
    Trace,
    /// Numbers 5 to 8.
    Debug,
    /// Numbers 9 to 12.
    Info,
    /// Numbers 13 to 16.
    Warn,
    /// Numbers 17 to 20.
    Error,
    /// Numbers 21 to 24.
    Fatal,
}

impl Severity {
    /// The first number of the range.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32 * 4 + 1
    }

    /// The severity that a text begins with the name of, in any case, as `INFO`, `info2` and `Warning` do.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        let names = [
            ("trace", Self::Trace),
            ("debug", Self::Debug),
            ("info", Self::Info),
            ("warn", Self::Warn),
            ("err", Self::Error),
            ("fatal", Self::Fatal),
            ("crit", Self::Fatal),
        ];
        let begins = |name: &str| {
            text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        names.into_iter().find(|(name, _)| begins(name)).map(|(_, severity)| severity)
    }
}

//! The arguments of `gs-ctl dead-letters`.

use std::str::FromStr;

use clap::Args;
use clap::Subcommand;
use clap::ValueEnum;
use gophership_control::proto;
use gophership_units::HumanDuration;
use gophership_units::ns_of;
use gophership_units::parse_timestamp;
use gophership_units::unix_ns;

const NS_PER_MS: u64 = 1_000_000;

/// What is done with dead letters.
#[derive(Debug, Subcommand)]
pub(crate) enum LettersCommand {
    /// List dead letters: sums by vault, sink and reason, or with --each one by one.
    Ls {
        #[command(flatten)]
        selection: LetterArgs,
        /// The same as --because.
        #[arg(long, value_name = "TEXT", conflicts_with = "because")]
        reason: Option<String>,
        /// List the letters one by one, oldest first.
        #[arg(long)]
        each: bool,
        /// The maximum number of lines; 0 means no limit.
        #[arg(long, value_name = "NUMBER", default_value_t = 100)]
        limit: u32,
    },
    /// Show a dead letter: its facts and its content. It needs the role operator, because the content
    /// is as the sender sent it, including data that a transform would redact.
    Show {
        /// The letter, as `ls --each` names it.
        id: String,
        /// How the content is shown.
        #[arg(long, value_enum, default_value = "json")]
        format: ContentFormat,
    },
    /// Send dead letters through the pipeline again, to the sinks that missed them. A letter is removed once
    /// its sinks have accepted it; one that is refused again stays.
    Redrive {
        /// Only these letters, as `ls --each` names them.
        ids: Vec<String>,
        #[command(flatten)]
        selection: LetterArgs,
        /// Send them to this sink instead; repeat it for several. A letter stays while another sink that
        /// missed it is in the configuration.
        #[arg(long, value_name = "SINK")]
        to: Vec<String>,
        /// Only count the letters.
        #[arg(long)]
        dry_run: bool,
        /// Wait until the redrive is over; the exit code is 1 if letters stay.
        #[arg(long)]
        wait: bool,
        /// The reason, for the audit log.
        #[arg(long, value_name = "TEXT", env = "GS_REASON", default_value = "")]
        reason: String,
    },
    /// Delete dead letters. It asks first; without a terminal it needs --yes.
    Drop {
        /// Only these letters, as `ls --each` names them.
        ids: Vec<String>,
        #[command(flatten)]
        selection: LetterArgs,
        /// Only count the letters.
        #[arg(long)]
        dry_run: bool,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        /// The reason, for the audit log.
        #[arg(long, value_name = "TEXT", env = "GS_REASON", default_value = "")]
        reason: String,
    },
}

/// Which dead letters are meant; without any of these all are.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct LetterArgs {
    /// Only letters of this vault.
    #[arg(long, value_name = "NAME")]
    pub(crate) vault: Option<String>,
    /// Only letters that this sink missed.
    #[arg(long, value_name = "NAME")]
    pub(crate) sink: Option<String>,
    /// Only letters whose reason contains this text, in upper or lower case.
    #[arg(long, value_name = "TEXT")]
    pub(crate) because: Option<String>,
    /// Only letters that this source received.
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Only letters of this signal: logs, traces or metrics.
    #[arg(long, value_name = "SIGNAL")]
    pub(crate) signal: Option<String>,
    /// Only letters that were refused at this time or later: a time such as 2026-01-31T12:00:00Z, or an
    /// age such as 2h.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<LetterTime>,
    /// Only letters that were refused before this time or age.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<LetterTime>,
}

impl LetterArgs {
    /// The selection, as the server understands it.
    pub(crate) fn wire(&self, ids: &[String]) -> proto::LetterSelection {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        proto::LetterSelection {
            vault: text(&self.vault),
            sink: text(&self.sink),
            because: text(&self.because),
            source: text(&self.source),
            signal: text(&self.signal),
            since_unix_ms: self.since.map(|time| time.0),
            until_unix_ms: self.until.map(|time| time.0),
            ids: ids.to_vec(),
            ends: Vec::new(),
        }
    }
}

/// A point in time, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LetterTime(pub(crate) u64);

impl FromStr for LetterTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(unix_ns) = parse_timestamp(text) {
            return Ok(Self(unix_ns / NS_PER_MS));
        }
        let ago: HumanDuration = text.parse().map_err(|_| {
            format!("{text:?} is neither a time like 2026-01-31T12:00:00Z nor an age like 2h")
        })?;
        Ok(Self(unix_ns().saturating_sub(ns_of(ago.0)) / NS_PER_MS))
    }
}

/// How the content of a letter is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ContentFormat {
    /// The facts of the letter, and its content as OTLP JSON.
    Json,
    /// The content alone: the protobuf bytes as they were received.
    Raw,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_point_in_time_or_an_age() {
        let time = |text: &str| text.parse::<LetterTime>().map(|time| time.0);
        assert_eq!(time("2026-01-31T12:00:00Z"), Ok(1_769_860_800_000));
        let (hour, now) = (time("1h").unwrap(), unix_ns() / NS_PER_MS);
        assert!((now - 3_700_000..now - 3_500_000).contains(&hour));
        assert!(time("yesterday").is_err());
    }
}

//! The options of an `s3_replay` source.

use std::time::Duration;

use gophership_archive::Prefix;
use gophership_restore::Selection;
use gophership_s3::BucketOptions;
use gophership_units::ByteSize;
use gophership_units::HumanDuration;
use gophership_units::parse_timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::OptionProblem;
use crate::component::SignalName;

/// Segments that are restored at the same time.
const CONCURRENCY_MAX: u32 = 8;
const REPLAY_ID_LEN_MAX: usize = 64;
const LEASE_MIN: Duration = Duration::from_secs(5);

/// Replays the archive that an `s3` sink with `vault` wrote, and ends the process when everything is
/// delivered and no other source runs.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct S3ReplayConfig {
    /// The bucket.
    pub(super) bucket: BucketOptions,
    /// The first part of all keys, as the `s3` sink has it.
    #[serde(default = "prefix")]
    prefix: String,
    /// Replay only requests that were received at this time or later: `2026-01-31T12:00:00Z`.
    #[serde(default)]
    since: Option<String>,
    /// Replay only requests that were received before this time.
    #[serde(default)]
    until: Option<String>,
    /// Replay only requests of these sources, by the ids that they had; by default all.
    #[serde(default)]
    sources: Vec<String>,
    /// Replay only segments of these machines, by the option `node` of their `s3` sinks; by default
    /// all.
    #[serde(default)]
    nodes: Vec<String>,
    /// Replay only these signals; by default all.
    #[serde(default)]
    signals: Vec<SignalName>,
    /// The maximum records per second; by default unlimited. The source pauses in red, and slows down
    /// while live requests wait for a processor.
    #[serde(default)]
    pub(super) rate: Option<u32>,
    /// The maximum number of concurrent requests.
    #[serde(default = "in_flight")]
    pub(super) in_flight: u32,
    /// The maximum bytes in flight, within the `replay` share of `somatic.memory`.
    #[serde(default = "in_flight_bytes")]
    pub(super) in_flight_bytes: ByteSize,
    /// The number of segments that are restored and replayed at the same time, from 1 to 8. Each takes
    /// the disk space of a segment.
    #[serde(default = "concurrency")]
    pub(super) concurrency: u32,
    /// The vault whose dead-letter store gets the requests that a sink refuses for good. `gs-ctl
    /// dead-letters` lists them and sends them again. By default they only stay in the bucket.
    #[serde(default)]
    pub(super) dead_letters: Option<String>,
    /// The name of the replay. Hosts with the same name share its segments, and under one name each
    /// segment is replayed once. By default GopherShip derives the name from `prefix` and the selection.
    /// To replay the same selection again, give another name.
    #[serde(default)]
    replay_id: Option<String>,
    /// If a host does not renew its claims for this long, other hosts take over its segments.
    #[serde(default = "lease")]
    lease: HumanDuration,
    /// Keep looking for new segments when everything is delivered.
    #[serde(default)]
    pub(super) follow: bool,
}

fn prefix() -> String {
    "gophership".to_owned()
}

fn in_flight() -> u32 {
    64
}

fn in_flight_bytes() -> ByteSize {
    ByteSize(8 << 20)
}

fn concurrency() -> u32 {
    2
}

fn lease() -> HumanDuration {
    HumanDuration::seconds(60)
}

impl S3ReplayConfig {
    /// What is wrong with the options beyond their types.
    pub(super) fn option_problems(&self) -> Vec<OptionProblem> {
        let of_bucket = self.bucket.problems().into_iter();
        let mut problems: Vec<OptionProblem> = of_bucket
            .map(|fault| OptionProblem::new(format!("bucket.{}", fault.option), fault.reason))
            .collect();
        let mut demand = |is_right: bool, option: &str, reason: &str| {
            if !is_right {
                problems.push(OptionProblem::new(option, reason));
            }
        };
        let is_prefix = self.prefix.parse::<Prefix>().is_ok();
        demand(is_prefix, "prefix", "must be letters, digits and `._-=`, in parts between slashes");
        let is_time =
            |time: &Option<String>| time.as_ref().is_none_or(|it| parse_timestamp(it).is_some());
        let as_time = "must be a time like 2026-01-31T12:00:00Z";
        demand(is_time(&self.since), "since", as_time);
        demand(is_time(&self.until), "until", as_time);
        demand(self.rate != Some(0), "rate", "must be more than 0");
        demand((1..=1000).contains(&self.in_flight), "in_flight", "must be from 1 to 1000");
        demand(self.in_flight_bytes.0 != 0, "in_flight_bytes", "must be more than 0");
        let is_concurrency = (1..=CONCURRENCY_MAX).contains(&self.concurrency);
        demand(is_concurrency, "concurrency", "must be from 1 to 8");
        let is_plain = |id: &String| {
            (1..=REPLAY_ID_LEN_MAX).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        demand(
            self.replay_id.as_ref().is_none_or(is_plain),
            "replay_id",
            "must be 1 to 64 letters, digits, dots, dashes and underscores",
        );
        demand(LEASE_MIN <= self.lease.0, "lease", "must be at least 5s");
        problems
    }

    /// What is allowed, and should be known to whoever starts it.
    pub(super) fn option_warnings(&self) -> Vec<OptionProblem> {
        let of_bucket = self.bucket.warnings().into_iter();
        let mut warnings: Vec<OptionProblem> = of_bucket
            .map(|fault| OptionProblem::new(format!("bucket.{}", fault.option), fault.reason))
            .collect();
        if self.dead_letters.is_none() {
            let message = "names no vault in `dead_letters`: a request that a sink refuses for good \
                           stays in the bucket, and nothing sends it again";
            let help = "add a sink of type `raw_vault`, and name it in `dead_letters`";
            warnings.push(OptionProblem::new("", message).with_help(help));
        }
        warnings
    }

    /// The part of the bucket; empty if it is not valid, which is a problem.
    pub(super) fn prefix(&self) -> Prefix {
        self.prefix.parse().unwrap_or_default()
    }

    pub(super) fn lease(&self) -> Duration {
        self.lease.0
    }

    /// Which segments and requests are meant.
    pub(super) fn selection(&self) -> Selection {
        let signals = self.signals.iter().map(|name| name.signal().name().to_owned());
        Selection {
            since_unix_ns: self.since.as_deref().and_then(parse_timestamp),
            until_unix_ns: self.until.as_deref().and_then(parse_timestamp),
            sources: self.sources.clone(),
            nodes: self.nodes.clone(),
            signals: signals.collect(),
            ..Selection::default()
        }
    }

    /// The name of the replay, the same on every host with the same selection.
    pub(super) fn replay_id(&self) -> String {
        if let Some(id) = &self.replay_id {
            return id.clone();
        }
        let Selection { since_unix_ns, until_unix_ns, mut sources, mut nodes, mut signals, .. } =
            self.selection();
        for names in [&mut sources, &mut nodes, &mut signals] {
            names.sort();
        }
        let meant =
            (self.prefix().to_string(), since_unix_ns, until_unix_ns, sources, nodes, signals);
        let digest = blake3::hash(format!("{meant:?}").as_bytes()).to_hex();
        digest.chars().take(16).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> S3ReplayConfig {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn hosts_with_the_same_selection_share_a_replay() {
        let one = config(r#"{"bucket": {"name": "b"}, "nodes": ["x", "y"], "rate": 5}"#);
        let same = config(r#"{"bucket": {"name": "b"}, "nodes": ["y", "x"]}"#);
        let other = config(r#"{"bucket": {"name": "b"}, "nodes": ["x"]}"#);
        assert_eq!(one.replay_id(), same.replay_id());
        assert_ne!(one.replay_id(), other.replay_id());
        let named = config(r#"{"bucket": {"name": "b"}, "replay_id": "again"}"#);
        assert_eq!(named.replay_id(), "again");
    }

    #[test]
    fn options_that_cannot_work_are_reported() {
        let wrong = config(
            r#"{"bucket": {"name": ""}, "prefix": "a b", "since": "1h", "rate": 0, "in_flight": 0,
                "concurrency": 9, "replay_id": "a/b", "lease": "1s"}"#,
        );
        let paths: Vec<String> = wrong.option_problems().into_iter().map(|it| it.path).collect();
        assert_eq!(
            paths,
            [
                "bucket.name",
                "prefix",
                "since",
                "rate",
                "in_flight",
                "concurrency",
                "replay_id",
                "lease"
            ]
        );
    }
}

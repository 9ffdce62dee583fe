//! The options of the `otlp` sink that are more than a value, and what can be wrong with all of them.

use std::time::Duration;

use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OtlpSinkConfig;
use super::client;
use crate::config::ByteSize;
use crate::config::HumanDuration;
use crate::config::OptionProblem;
use crate::delivery::Concurrency;
use crate::delivery::ConcurrencyOption;
use crate::delivery::ENDPOINTS_MAX;
use crate::delivery::Fault;
use crate::delivery::GIVE_UP_AFTER;
use crate::delivery::HeaderSources;
use crate::delivery::Limits;

/// More requests on their way help no backend.
const CONCURRENCY_MAX: u32 = 1024;

/// Before each attempt a part of a pause is waited that is left to chance, and the pause doubles
/// from `min` to `max`. A backend that says when to come again is asked not before, for up to 5
/// minutes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RetryConfig {
    /// The pause after the first failure.
    pub(super) min: HumanDuration,
    /// The pause after many failures.
    pub(super) max: HumanDuration,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            min: HumanDuration(Duration::from_millis(100)),
            max: HumanDuration(Duration::from_secs(5)),
        }
    }
}

/// Over HTTP/2 a ping, over HTTP/1 what TCP does.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct KeepaliveConfig {
    /// After this long without a word from the backend it is asked whether it is there.
    pub(super) interval: HumanDuration,
    /// A connection whose ping has no answer for this long is closed.
    pub(super) timeout: HumanDuration,
}

impl Default for KeepaliveConfig {
    fn default() -> Self {
        Self { interval: HumanDuration::seconds(20), timeout: HumanDuration::seconds(10) }
    }
}

/// How requests travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Protocol {
    /// OTLP/gRPC.
    #[default]
    Grpc,
    /// OTLP/HTTP with protobuf.
    Http,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum CompressionOption {
    /// Not at all.
    #[default]
    None,
    /// gzip, which every backend understands.
    Gzip,
    /// zstd, which many do.
    Zstd,
}

pub(super) fn connect_timeout() -> HumanDuration {
    HumanDuration::seconds(3)
}

pub(super) fn timeout() -> HumanDuration {
    HumanDuration::seconds(10)
}

pub(super) fn concurrency_max() -> u32 {
    256
}

pub(super) fn together_max() -> ByteSize {
    ByteSize(0)
}

pub(super) fn in_flight_max() -> ByteSize {
    ByteSize(32 << 20)
}

impl OtlpSinkConfig {
    /// The endpoints, in their order; the error names the option at fault.
    pub(super) fn endpoints(&self) -> Result<Vec<Uri>, Fault> {
        let fault = |option: &str, reason: String| (option.to_owned(), reason);
        let texts = match (&self.endpoint, self.endpoints.as_slice()) {
            (Some(one), []) => std::slice::from_ref(one),
            (None, []) => {
                let reason = "an `otlp` sink needs an `endpoint`, or several `endpoints`";
                return Err(fault("endpoint", reason.to_owned()));
            }
            (Some(_), _) => {
                let reason = "give either `endpoint` or `endpoints`";
                return Err(fault("endpoints", reason.to_owned()));
            }
            (None, several) => several,
        };
        if ENDPOINTS_MAX < texts.len() {
            return Err(fault("endpoints", format!("must be at most {ENDPOINTS_MAX}")));
        }
        let mut endpoints: Vec<Uri> = Vec::new();
        for (idx, text) in texts.iter().enumerate() {
            let option = match &self.endpoint {
                Some(_) => "endpoint".to_owned(),
                None => format!("endpoints.{idx}"),
            };
            let uri = client::endpoint(text).map_err(|reason| (option.clone(), reason))?;
            let name = client::name(&uri);
            if endpoints.iter().any(|other| client::name(other) == name) {
                return Err((option, format!("{name} is there twice")));
            }
            endpoints.push(uri);
        }
        Ok(endpoints)
    }

    /// Where headers come from.
    pub(super) fn header_sources(&self) -> Result<HeaderSources, Fault> {
        let token = self.bearer_token_file.as_deref();
        HeaderSources::new(&self.headers, &self.headers_from, token)
    }

    /// What bounds the engine.
    pub(super) fn limits(&self) -> Result<Limits, Fault> {
        Ok(Limits {
            endpoints: self.endpoints()?.iter().map(client::name).collect(),
            balance: self.balance,
            concurrency: match self.concurrency {
                ConcurrencyOption::Auto => Concurrency::Auto(self.concurrency_max),
                ConcurrencyOption::Fixed(requests) => Concurrency::Fixed(requests),
            },
            in_flight_bytes: self.in_flight_max.0,
            together_bytes: self.together_max.0,
            timeout: self.timeout.0,
            retry_min: self.retry.min.0,
            retry_max: self.retry.max.0,
            give_up_after: GIVE_UP_AFTER,
        })
    }

    /// What is wrong with the options beyond their types.
    pub(super) fn find_problems(&self) -> Vec<OptionProblem> {
        let faults = [self.endpoints().err(), self.header_sources().err()];
        let faults = faults.into_iter().flatten();
        let mut problems: Vec<_> =
            faults.map(|(option, reason)| OptionProblem::new(option, reason)).collect();
        let mut demand = |is_right: bool, option: &str, message: &str| {
            if !is_right {
                problems.push(OptionProblem::new(option, message));
            }
        };
        let is_count = |number: u32| (1..=CONCURRENCY_MAX).contains(&number);
        let is_concurrency = match self.concurrency {
            ConcurrencyOption::Auto => true,
            ConcurrencyOption::Fixed(number) => is_count(number),
        };
        demand(is_concurrency, "concurrency", "must be `auto`, or from 1 to 1024");
        demand(is_count(self.concurrency_max), "concurrency_max", "must be from 1 to 1024");
        for (option, time) in [
            ("connect_timeout", self.connect_timeout),
            ("timeout", self.timeout),
            ("keepalive.interval", self.keepalive.interval),
            ("keepalive.timeout", self.keepalive.timeout),
        ] {
            demand(!time.0.is_zero(), option, "must be more than 0");
        }
        demand(self.in_flight_max.0 != 0, "in_flight_max", "must be more than 0");
        let is_retry = !self.retry.min.0.is_zero() && self.retry.min <= self.retry.max;
        demand(is_retry, "retry", "needs 0 < min <= max");
        demand(!self.tls.is_half(), "tls", "`cert` and `key` go together");
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(options: &str) -> Vec<(String, String)> {
        let config: OtlpSinkConfig = serde_json::from_str(options).unwrap();
        let problems = config.find_problems().into_iter();
        problems.map(|problem| (problem.path, problem.message)).collect()
    }

    #[test]
    fn every_mistake_names_its_option() {
        let many = vec!["\"h:1\""; 17].join(",");
        let cases = [
            ("{}", "endpoint", "needs an `endpoint`"),
            (r#"{"endpoint": "h:1", "endpoints": ["h:2"]}"#, "endpoints", "either"),
            (r#"{"endpoint": "ftp://h"}"#, "endpoint", "must begin with"),
            (r#"{"endpoints": ["h:1", "ftp://h"]}"#, "endpoints.1", "must begin with"),
            (r#"{"endpoints": ["h:1", "http://h:1/"]}"#, "endpoints.1", "is there twice"),
            (&format!("{{\"endpoints\": [{many}]}}"), "endpoints", "at most 16"),
            (r#"{"endpoint": "h:1", "concurrency": 0}"#, "concurrency", "`auto`"),
            (r#"{"endpoint": "h:1", "concurrency": 1025}"#, "concurrency", "`auto`"),
            (r#"{"endpoint": "h:1", "concurrency_max": 0}"#, "concurrency_max", "from 1"),
            (r#"{"endpoint": "h:1", "connect_timeout": "0s"}"#, "connect_timeout", "more than 0"),
            (r#"{"endpoint": "h:1", "timeout": "0s"}"#, "timeout", "more than 0"),
            (
                r#"{"endpoint": "h:1", "keepalive": {"interval": "0s"}}"#,
                "keepalive.interval",
                "more than 0",
            ),
            (r#"{"endpoint": "h:1", "in_flight_max": "0B"}"#, "in_flight_max", "more than 0"),
            (
                r#"{"endpoint": "h:1", "retry": {"min": "2s", "max": "1s"}}"#,
                "retry",
                "0 < min <= max",
            ),
            (
                r#"{"endpoint": "h:1", "headers": {"authorization": "x"}, "bearer_token_file": "/t"}"#,
                "bearer_token_file",
                "given twice",
            ),
            (r#"{"endpoint": "h:1", "headers_from": {"a b": "/t"}}"#, "headers_from.a b", "name"),
        ];
        for (options, option, words) in cases {
            let found = problems(options);
            let [(path, message)] = found.as_slice() else { panic!("{options}: {found:?}") };
            assert_eq!(path, option, "{options}");
            assert!(message.contains(words), "{options}: {message}");
        }
    }

    #[test]
    fn one_endpoint_or_several_are_right() {
        for options in [
            r#"{"endpoint": "h:1"}"#,
            r#"{"endpoints": ["h:1"]}"#,
            r#"{"endpoints": ["h:1", "https://h:1", "h:2"], "balance": "least_loaded"}"#,
            r#"{"endpoint": "h:1", "concurrency": "auto", "concurrency_max": 1}"#,
        ] {
            assert_eq!(problems(options), [], "{options}");
        }
    }
}

//! The options of the `otlp` sink that are more than a value, and what can be wrong with all of them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OtlpSinkConfig;
use super::codes::Codes;
use crate::config::ByteSize;
use crate::config::HumanDuration;
use crate::config::OptionProblem;
use crate::config::Secret;
use crate::delivery::Concurrency;
use crate::delivery::ConcurrencyOption;
use crate::delivery::ENDPOINTS_MAX;
use crate::delivery::Endpoint;
use crate::delivery::EndpointError;
use crate::delivery::EndpointProtocol;
use crate::delivery::GIVE_UP_AFTER;
use crate::delivery::HeaderFault;
use crate::delivery::HeaderSources;
use crate::delivery::Limits;
use crate::tls::ClientTls;

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

pub(super) fn batch_max_bytes() -> ByteSize {
    ByteSize(0)
}

pub(super) fn in_flight_max() -> ByteSize {
    ByteSize(32 << 20)
}

impl OtlpSinkConfig {
    /// The endpoints, in their order.
    ///
    /// # Errors
    ///
    /// All that is wrong with them, each with the option at fault.
    pub(super) fn endpoints(&self) -> Result<Vec<Endpoint>, Vec<OptionProblem>> {
        let fault = |option: &str, reason: String| Err(vec![OptionProblem::new(option, reason)]);
        let texts = match (&self.endpoint, self.endpoints.as_slice()) {
            (Some(one), []) => std::slice::from_ref(one),
            (None, []) => {
                let reason = "an `otlp` sink needs an `endpoint`, or several `endpoints`";
                return fault("endpoint", reason.to_owned());
            }
            (Some(_), _) => {
                let reason = "give either `endpoint` or `endpoints`";
                return fault("endpoints", reason.to_owned());
            }
            (None, several) => several,
        };
        if ENDPOINTS_MAX < texts.len() {
            return fault("endpoints", format!("must be at most {ENDPOINTS_MAX}"));
        }
        let protocol = match self.protocol {
            Protocol::Grpc => EndpointProtocol::Grpc,
            Protocol::Http => EndpointProtocol::Http,
        };
        let (mut endpoints, mut problems): (Vec<Endpoint>, _) = (Vec::new(), Vec::new());
        for (idx, text) in texts.iter().enumerate() {
            match Endpoint::parse(text, protocol) {
                Ok(endpoint) if endpoints.contains(&endpoint) => {
                    let reason = format!("{} is there twice", endpoint.name());
                    problems.push(OptionProblem::new(self.endpoint_option(idx), reason));
                }
                Ok(endpoint) => endpoints.push(endpoint),
                Err(error) => problems.push(self.endpoint_problem(idx, error)),
            }
        }
        if problems.is_empty() { Ok(endpoints) } else { Err(problems) }
    }

    /// The option that holds an endpoint.
    fn endpoint_option(&self, idx: usize) -> String {
        match &self.endpoint {
            Some(_) => "endpoint".to_owned(),
            None => format!("endpoints.{idx}"),
        }
    }

    fn endpoint_problem(&self, idx: usize, error: EndpointError) -> OptionProblem {
        OptionProblem::new(self.endpoint_option(idx), error.problem).with_help(error.help)
    }

    /// What could be read on its way, or is meant for TLS and does not get it: errors, and warnings.
    fn exposures(&self) -> (Vec<OptionProblem>, Vec<OptionProblem>) {
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        let endpoints = self.endpoints().unwrap_or_default();
        let credential = self.header_sources().ok().and_then(|sources| sources.credential());
        for (idx, endpoint) in endpoints.iter().enumerate() {
            if self.tls.is_some()
                && let Err(error) = endpoint.check_tls_options("`tls`")
            {
                problems.push(self.endpoint_problem(idx, error));
                continue;
            }
            let Some(credential) = &credential else { continue };
            let checked = endpoint.check_credential(
                &format!("`{credential}`"),
                "`allow_credentials_in_plain_text: true`",
                self.allow_credentials_in_plain_text,
            );
            match checked {
                Ok(None) => {}
                Ok(Some(warning)) => warnings.push(self.endpoint_problem(idx, warning)),
                Err(error) => problems.push(self.endpoint_problem(idx, error)),
            }
        }
        (problems, warnings)
    }

    /// What is allowed, and should be known.
    pub(super) fn find_warnings(&self) -> Vec<OptionProblem> {
        self.exposures().1
    }

    /// How many connections it opens at most: over gRPC one to each endpoint and one while that is
    /// replaced, over HTTP one for each request on its way.
    pub(super) fn connections_max(&self) -> u64 {
        let endpoints = self.endpoints.len().max(1) as u64;
        let requests = match self.concurrency {
            ConcurrencyOption::Auto => self.concurrency_max,
            ConcurrencyOption::Fixed(requests) => requests,
        };
        match self.protocol {
            Protocol::Grpc => 2 * endpoints,
            Protocol::Http => u64::from(requests) + endpoints,
        }
    }

    /// Where headers come from.
    pub(super) fn header_sources(&self) -> Result<HeaderSources, HeaderFault> {
        let token = self.bearer_token_file.as_deref();
        let texts = self.headers.iter().map(|(name, Secret(text))| (name.as_str(), text.as_str()));
        HeaderSources::new(texts, &self.headers_from, token)
    }

    /// Codes that mean something else than OTLP says.
    pub(super) fn codes(&self) -> Codes {
        Codes { last: self.final_codes.clone(), again: self.retryable_codes.clone() }
    }

    /// What bounds the engine.
    pub(super) fn limits(&self, endpoints: &[Endpoint]) -> Limits {
        Limits {
            endpoints: endpoints.iter().map(Endpoint::name).collect(),
            balance: self.balance,
            concurrency: match self.concurrency {
                ConcurrencyOption::Auto => Concurrency::Auto(self.concurrency_max),
                ConcurrencyOption::Fixed(requests) => Concurrency::Fixed(requests),
            },
            in_flight_bytes: self.in_flight_max.0,
            together_bytes: self.batch_max_bytes.0,
            timeout: self.timeout.0,
            retry_min: self.retry.min.0,
            retry_max: self.retry.max.0,
            give_up_after: GIVE_UP_AFTER,
        }
    }

    /// What is wrong with the options beyond their types.
    pub(super) fn find_problems(&self) -> Vec<OptionProblem> {
        let mut problems = self.endpoints().err().unwrap_or_default();
        let fault = self.header_sources().err();
        problems.extend(fault.map(|(option, reason)| OptionProblem::new(option, reason)));
        problems.extend(self.exposures().0);
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
        if let Some(code) = self.codes().both() {
            demand(false, "retryable_codes", &format!("{code} is one of `final_codes` too"));
        }
        let is_half = self.tls.as_ref().is_some_and(ClientTls::is_half);
        demand(!is_half, "tls", "`cert` and `key` go together");
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

    fn assert_found(cases: &[(&str, &str, &str)]) {
        for (options, option, words) in cases {
            let found = problems(options);
            let [(path, message)] = found.as_slice() else { panic!("{options}: {found:?}") };
            assert_eq!(path, option, "{options}");
            assert!(message.contains(words), "{options}: {message}");
        }
    }

    #[test]
    fn every_mistake_in_endpoints_names_its_option() {
        let many = vec!["\"http://h:1\""; 17].join(",");
        assert_found(&[
            ("{}", "endpoint", "needs an `endpoint`"),
            (r#"{"endpoint": "http://h:1", "endpoints": ["http://h:2"]}"#, "endpoints", "either"),
            (r#"{"endpoint": "ftp://h"}"#, "endpoint", "must begin with"),
            (r#"{"endpoints": ["http://h:1", "ftp://h"]}"#, "endpoints.1", "must begin with"),
            (r#"{"endpoints": ["http://h:1", "http://h:1/"]}"#, "endpoints.1", "is there twice"),
            (&format!("{{\"endpoints\": [{many}]}}"), "endpoints", "at most 16"),
            (r#"{"endpoint": "h:1"}"#, "endpoint", "must begin with"),
            (r#"{"endpoint": "http://h:1/v1/logs", "protocol": "http"}"#, "endpoint", "ends in"),
            (r#"{"endpoint": "http://h:1/a"}"#, "endpoint", "has a path"),
            (r#"{"endpoint": "http://h:1", "tls": {}}"#, "endpoint", "`tls` is for TLS"),
            (r#"{"endpoint": "http://localhost:1", "tls": {"ca": "/c"}}"#, "endpoint", "for TLS"),
            (
                r#"{"endpoint": "http://h:1", "bearer_token_file": "/t"}"#,
                "endpoint",
                "`bearer_token_file` is sent there in plain text",
            ),
            (
                r#"{"endpoints": ["https://h", "http://h"], "headers": {"api-key": "x"}}"#,
                "endpoints.1",
                "`headers.api-key` is sent there in plain text",
            ),
        ]);
    }

    #[test]
    fn every_other_mistake_names_its_option() {
        assert_found(&[
            (r#"{"endpoint": "http://h:1", "concurrency": 0}"#, "concurrency", "`auto`"),
            (r#"{"endpoint": "http://h:1", "concurrency": 1025}"#, "concurrency", "`auto`"),
            (r#"{"endpoint": "http://h:1", "concurrency_max": 0}"#, "concurrency_max", "from 1"),
            (
                r#"{"endpoint": "http://h:1", "connect_timeout": "0s"}"#,
                "connect_timeout",
                "more than 0",
            ),
            (r#"{"endpoint": "http://h:1", "timeout": "0s"}"#, "timeout", "more than 0"),
            (
                r#"{"endpoint": "http://h:1", "keepalive": {"interval": "0s"}}"#,
                "keepalive.interval",
                "more than 0",
            ),
            (
                r#"{"endpoint": "http://h:1", "in_flight_max": "0B"}"#,
                "in_flight_max",
                "more than 0",
            ),
            (
                r#"{"endpoint": "http://h:1", "retry": {"min": "2s", "max": "1s"}}"#,
                "retry",
                "0 < min <= max",
            ),
            (
                r#"{"endpoint": "https://h:1", "headers": {"authorization": "x"}, "bearer_token_file": "/t"}"#,
                "bearer_token_file",
                "given twice",
            ),
            (
                r#"{"endpoint": "http://h:1", "final_codes": [500], "retryable_codes": ["500"]}"#,
                "retryable_codes",
                "500 is one of",
            ),
            (
                r#"{"endpoint": "https://h:1", "headers_from": {"a b": "/t"}}"#,
                "headers_from.a b",
                "name",
            ),
        ]);
    }

    #[test]
    fn one_endpoint_or_several_are_right() {
        for options in [
            r#"{"endpoint": "http://h:1"}"#,
            r#"{"endpoints": ["http://h:1"]}"#,
            r#"{"endpoints": ["http://h:1", "https://h:1", "http://h:2"], "balance": "least_loaded"}"#,
            r#"{"endpoint": "http://h:1", "concurrency": "auto", "concurrency_max": 1}"#,
            r#"{"endpoint": "https://h:1", "tls": {}, "bearer_token_file": "/t"}"#,
            r#"{"endpoint": "http://h:1", "headers": {"x-scope-orgid": "a"}}"#,
            r#"{"endpoint": "http://localhost:1", "bearer_token_file": "/t"}"#,
        ] {
            assert_eq!(problems(options), [], "{options}");
        }
    }

    #[test]
    fn a_credential_on_loopback_is_a_warning_and_one_that_is_allowed_is_none() {
        let warnings = |options: &str| -> Vec<String> {
            let config: OtlpSinkConfig = serde_json::from_str(options).unwrap();
            assert_eq!(config.find_problems(), [], "{options}");
            config.find_warnings().into_iter().map(|warning| warning.path).collect()
        };
        let token = r#""bearer_token_file": "/t""#;
        assert_eq!(
            warnings(&format!(r#"{{"endpoint": "http://[::1]:1", {token}}}"#)),
            ["endpoint"]
        );
        let allow = r#""allow_credentials_in_plain_text": true"#;
        for endpoint in ["http://h:1", "http://127.0.0.1:1", "https://h"] {
            let options = format!(r#"{{"endpoint": "{endpoint}", {token}, {allow}}}"#);
            assert!(warnings(&options).is_empty(), "{options}");
        }
    }

    #[test]
    fn debug_shows_no_header() {
        let options = r#"{"endpoint": "https://h:1", "headers": {"authorization": "hunter2"}}"#;
        let config: OtlpSinkConfig = serde_json::from_str(options).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}

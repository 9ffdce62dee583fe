//! What can be wrong with the options of the `otlp` sink.

use gophership_otlp_client::Codes;
use gophership_otlp_client::Encoding;
use gophership_otlp_client::Protocol;

use super::OtlpSinkConfig;
use crate::component::OptionProblem;
use crate::delivery::EndpointProtocol;
use crate::delivery::NetworkOptions;

impl OtlpSinkConfig {
    /// The options that network sinks share.
    pub(super) fn network(&self) -> NetworkOptions<'_> {
        NetworkOptions {
            kind: "otlp",
            endpoint: self.endpoint.as_ref(),
            endpoints: &self.endpoints,
            protocol: match self.protocol {
                Protocol::Grpc => EndpointProtocol::Grpc,
                Protocol::Http => EndpointProtocol::Http,
            },
            balance: self.balance,
            headers: &self.headers,
            headers_from: &self.headers_from,
            bearer_token_file: self.bearer_token_file.as_deref(),
            allow_credentials_in_plain_text: self.allow_credentials_in_plain_text,
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
            keepalive: &self.keepalive,
            concurrency: self.concurrency,
            concurrency_max: self.concurrency_max,
            in_flight_max: self.in_flight_max,
            batch_max_bytes: self.batch_max_bytes,
            retry: &self.retry,
            tls: self.tls.as_ref(),
            proxy: self.proxy.as_ref(),
            forward_headers: &self.forward_headers,
        }
    }

    /// Codes that mean something else than OTLP says.
    pub(super) fn codes(&self) -> Codes {
        Codes { last: self.final_codes.clone(), again: self.retryable_codes.clone() }
    }

    /// What is wrong with the options beyond their types.
    pub(super) fn find_problems(&self) -> Vec<OptionProblem> {
        let mut problems = self.network().problems();
        if self.encoding == Encoding::Json && self.protocol == Protocol::Grpc {
            let reason = "`json` needs `protocol: http`";
            problems.push(OptionProblem::new("encoding", reason));
        }
        problems.extend(self.codes().both().map(|code| {
            let reason = format!("{code} is also in `final_codes`");
            OptionProblem::new("retryable_codes", reason)
        }));
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
                "500 is also in",
            ),
            (r#"{"endpoint": "http://h:1", "encoding": "json"}"#, "encoding", "protocol: http"),
            (r#"{"endpoint": "http://h:1", "proxy": "proxy:3128"}"#, "proxy", "must be a URL"),
            (
                r#"{"endpoint": "https://h:1", "tls": {"server_name": "a b"}}"#,
                "tls.server_name",
                "neither",
            ),
            (
                r#"{"endpoint": "http://h:1", "forward_headers": ["authorization"]}"#,
                "endpoint",
                "`forward_headers` is sent there in plain text",
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
            r#"{"endpoint": "http://h:1", "protocol": "http", "encoding": "json", "proxy": "off"}"#,
            r#"{"endpoint": "https://h:1", "tls": {"server_name": "a.b", "min_version": "1.2"}}"#,
            r#"{"endpoint": "https://h:1", "tls": {"min_version": 1.2}}"#,
            r#"{"endpoint": "http://h:1", "forward_headers": ["x-scope-orgid"]}"#,
        ] {
            assert_eq!(problems(options), [], "{options}");
        }
    }

    #[test]
    fn a_credential_on_loopback_is_a_warning_and_one_that_is_allowed_is_none() {
        let warnings = |options: &str| -> Vec<String> {
            let config: OtlpSinkConfig = serde_json::from_str(options).unwrap();
            assert_eq!(config.find_problems(), [], "{options}");
            config.network().warnings().into_iter().map(|warning| warning.path).collect()
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
    fn any_certificate_is_accepted_with_a_warning_only() {
        let config: OtlpSinkConfig = serde_json::from_str(
            r#"{"endpoint": "https://h:1", "tls": {"insecure_skip_verify": true}}"#,
        )
        .unwrap();
        let paths: Vec<_> = config.network().warnings().into_iter().map(|it| it.path).collect();
        assert_eq!(
            (config.find_problems(), paths),
            (vec![], vec!["tls.insecure_skip_verify".to_owned()])
        );
    }

    #[test]
    fn debug_shows_no_header() {
        let options = r#"{"endpoint": "https://h:1", "headers": {"authorization": "hunter2"}}"#;
        let config: OtlpSinkConfig = serde_json::from_str(options).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}

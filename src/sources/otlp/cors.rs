//! CORS: which pages of which sites may send from a browser.
//!
//! Source: Fetch Standard, "CORS protocol".

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::Response;
use http::StatusCode;
use http::header::ACCESS_CONTROL_ALLOW_CREDENTIALS;
use http::header::ACCESS_CONTROL_ALLOW_HEADERS;
use http::header::ACCESS_CONTROL_ALLOW_METHODS;
use http::header::ACCESS_CONTROL_ALLOW_ORIGIN;
use http::header::ACCESS_CONTROL_MAX_AGE;
use http::header::ACCESS_CONTROL_REQUEST_METHOD;
use http::header::ORIGIN;
use http::header::VARY;
use http::request::Parts;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use gophership_units::HumanDuration;

use crate::component::OptionProblem;

/// What every page may send: the headers of OTLP itself.
const OWN_HEADERS: [&str; 2] = ["content-type", "content-encoding"];
const ENTRIES_MAX: usize = 64;

/// Lets web pages of other origins send from a browser (CORS).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CorsConfig {
    /// The origins of the pages, such as `https://shop.example.com`. One `*` stands for any
    /// characters, as in `https://*.example.com`; `*` alone allows every page.
    origins: Vec<String>,
    /// Request headers that pages may set, beside `content-type` and `content-encoding`, such as
    /// `authorization`.
    #[serde(default)]
    headers: Vec<String>,
    /// How long a browser may remember the answer to a preflight request.
    #[serde(default = "max_age")]
    max_age: HumanDuration,
}

fn max_age() -> HumanDuration {
    HumanDuration::seconds(7200)
}

impl CorsConfig {
    /// What is wrong with the options; `option` is where they stand.
    pub(super) fn problems(&self, option: &str) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        let mut add = |path: &str, message: String| {
            problems.push(OptionProblem::new(format!("{option}.{path}"), message));
        };
        if self.origins.is_empty() {
            add("origins", "needs at least one origin".to_owned());
        }
        for (path, entries) in [("origins", &self.origins), ("headers", &self.headers)] {
            if ENTRIES_MAX < entries.len() {
                add(path, format!("at most {ENTRIES_MAX} entries"));
            }
        }
        for (idx, origin) in self.origins.iter().enumerate() {
            let has_scheme = origin.starts_with("http://") || origin.starts_with("https://");
            let host = origin.split_once("://").map_or("", |(_, host)| host);
            let is_origin = has_scheme && !host.is_empty() && !host.contains('/');
            let is_text = HeaderValue::from_str(origin).is_ok();
            if 1 < origin.matches('*').count() || !is_text || (origin != "*" && !is_origin) {
                let message = format!("{origin:?} is not an origin like https://shop.example.com");
                add(&format!("origins.{idx}"), message);
            }
        }
        for (idx, name) in self.headers.iter().enumerate() {
            if name.parse::<HeaderName>().is_err() {
                add(&format!("headers.{idx}"), format!("{name:?} is not a header name"));
            }
        }
        problems
    }

    /// Makes what decides.
    pub(super) fn build(&self) -> Cors {
        let own = OWN_HEADERS.into_iter();
        let headers: Vec<&str> = own.chain(self.headers.iter().map(String::as_str)).collect();
        let value = |text: String| HeaderValue::from_str(&text).ok();
        Cors {
            origins: self.origins.clone(),
            headers: value(headers.join(", ")),
            max_age: value(self.max_age.0.as_secs().to_string()),
        }
    }
}

/// Decides for a listener.
#[derive(Clone, Debug)]
pub(super) struct Cors {
    origins: Vec<String>,
    headers: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
}

impl Cors {
    /// The answer to a browser that asks whether it may send; `None` if it does not ask that.
    pub(super) fn preflight(&self, head: &Parts) -> Option<Response<Bytes>> {
        let asks = head.method == Method::OPTIONS
            && head.headers.contains_key(ORIGIN)
            && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !asks {
            return None;
        }
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        self.allow(&head.headers, response.headers_mut());
        let answers = response.headers_mut();
        if answers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            answers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
            answers.extend(self.headers.clone().map(|value| (ACCESS_CONTROL_ALLOW_HEADERS, value)));
            answers.extend(self.max_age.clone().map(|value| (ACCESS_CONTROL_MAX_AGE, value)));
        }
        Some(response)
    }

    /// Lets the page that sent a request read the answer, if it may send at all.
    pub(super) fn allow(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        answer.append(VARY, HeaderValue::from_static("origin"));
        let Some(origin) = request.get(ORIGIN) else { return };
        if self.origins.iter().any(|allowed| allowed == "*") {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else if self.origins.iter().any(|allowed| fits(allowed.as_bytes(), origin.as_bytes())) {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            // A page that is left sends with `sendBeacon`, which is always with credentials.
            answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

/// Whether an origin is one of those that are meant. Source: RFC 6454: scheme and host are in lower case.
fn fits(allowed: &[u8], origin: &[u8]) -> bool {
    let Some(star) = allowed.iter().position(|byte| *byte == b'*') else {
        return allowed.eq_ignore_ascii_case(origin);
    };
    let (before, after) = (&allowed[..star], &allowed[star + 1..]);
    let Some(middle_len) = origin.len().checked_sub(before.len() + after.len()) else {
        return false;
    };
    let (head, rest) = origin.split_at(before.len());
    let (middle, tail) = rest.split_at(middle_len);
    // A star stands for a part of the host, and not for the end of one host and the path to another.
    let is_host = !middle.is_empty() && !middle.contains(&b'/');
    is_host && head.eq_ignore_ascii_case(before) && tail.eq_ignore_ascii_case(after)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn cors(origins: &[&str]) -> Cors {
        let origins = origins.iter().map(ToString::to_string).collect();
        let headers = vec!["authorization".to_owned()];
        CorsConfig { origins, headers, max_age: max_age() }.build()
    }

    fn asked(cors: &Cors, origin: &str) -> Option<HeaderMap> {
        let request = Request::builder().method("OPTIONS").uri("/v1/logs").header(ORIGIN, origin);
        let request = request.header(ACCESS_CONTROL_REQUEST_METHOD, "POST").body(()).unwrap();
        let response = cors.preflight(&request.into_parts().0)?;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        Some(response.headers().clone())
    }

    #[test]
    fn a_preflight_is_answered_for_allowed_origins_only() {
        let cors = cors(&["https://shop.example.com", "https://*.example.org"]);
        for origin in ["https://shop.example.com", "https://a.example.org"] {
            let headers = asked(&cors, origin).unwrap();
            assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], origin);
            assert_eq!(headers[ACCESS_CONTROL_ALLOW_METHODS], "POST");
            let allowed = "content-type, content-encoding, authorization";
            assert_eq!(headers[ACCESS_CONTROL_ALLOW_HEADERS], allowed);
            assert_eq!(headers[ACCESS_CONTROL_MAX_AGE], "7200");
        }
        for origin in [
            "http://shop.example.com",
            "https://shop.example.com.evil.net",
            "https://example.org",
            "https://evil.net/.example.org",
            "null",
        ] {
            let headers = asked(&cors, origin).unwrap();
            assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), "{origin}");
        }
        let post = Request::builder().method("POST").header(ORIGIN, "https://shop.example.com");
        assert!(cors.preflight(&post.body(()).unwrap().into_parts().0).is_none());
    }

    #[test]
    fn every_page_may_send_without_credentials_if_told_so() {
        let headers = asked(&cors(&["*"]), "https://any.net").unwrap();
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
    }

    #[test]
    fn every_mistake_names_its_option() {
        let problems = |origins: &[&str], headers: &[&str]| -> Vec<String> {
            let all = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
            let config =
                CorsConfig { origins: all(origins), headers: all(headers), max_age: max_age() };
            config.problems("http.cors").into_iter().map(|problem| problem.path).collect()
        };
        assert_eq!(problems(&[], &[]), ["http.cors.origins"]);
        assert_eq!(problems(&["*", "https://a", "https://*.b"], &["x-tenant"]), [""; 0]);
        assert_eq!(problems(&["shop.example.com"], &[]), ["http.cors.origins.0"]);
        assert_eq!(problems(&["https://a/b"], &[]), ["http.cors.origins.0"]);
        assert_eq!(
            problems(&["https://*.a.*"], &["a b"]),
            ["http.cors.origins.0", "http.cors.headers.0"]
        );
    }
}

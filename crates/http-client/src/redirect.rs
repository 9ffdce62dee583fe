//! Answers that redirect: where requests follow, and what is said where they do not.

use std::io;

use http::HeaderMap;
use http::Response;
use http::StatusCode;
use http::Uri;
use http::header::LOCATION;
use hyper::body::Incoming;

/// Where an answer redirects to, if requests follow: to the same host and port, or from `http` to `https`
/// of the same host. Headers with secrets in them do not go to another one.
#[must_use]
pub fn followed(from: &Uri, response: &Response<Incoming>) -> Option<Uri> {
    is_redirect(response.status()).then_some(())?;
    target(from, response.headers().get(LOCATION)?.to_str().ok()?)
}

fn target(from: &Uri, location: &str) -> Option<Uri> {
    if location.starts_with('/') && !location.starts_with("//") {
        return at_path(from, location).ok();
    }
    let to: Uri = location.parse().ok()?;
    let is_same_host = to.host()?.eq_ignore_ascii_case(from.host()?);
    let port = |uri: &Uri| {
        uri.port_u16().or_else(|| (uri.scheme_str() == Some("https")).then_some(443)).unwrap_or(80)
    };
    let is_same = to.scheme() == from.scheme() && port(&to) == port(from);
    let is_safer = from.scheme_str() == Some("http") && to.scheme_str() == Some("https");
    (is_same_host && (is_same || is_safer)).then_some(to)
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 307 | 308)
}

/// What is to be said of an answer that redirects: that is no fault of the request.
#[must_use]
pub fn redirect_words(status: StatusCode, headers: &HeaderMap) -> String {
    if !status.is_redirection() {
        return String::new();
    }
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok()?.parse().ok());
    let to = location.map(|to: Uri| format!(", which redirects to {}", name(&to)));
    format!("{}: is the endpoint correct?", to.unwrap_or_default())
}

/// The same place with another path, which may have a query.
///
/// # Errors
///
/// When the path is none.
pub fn at_path(uri: &Uri, path: &str) -> io::Result<Uri> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path.parse().map_err(io::Error::other)?);
    Uri::from_parts(parts).map_err(io::Error::other)
}

/// What a redirect leads to, in logs: without what may be secret in it, a user or a query.
fn name(to: &Uri) -> String {
    let port = to.port().map(|port| format!(":{port}")).unwrap_or_default();
    let (scheme, host) = (to.scheme_str().unwrap_or_default(), to.host().unwrap_or_default());
    format!("{scheme}://{host}{port}{}", to.path().trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_followed_to_the_same_host_and_never_to_less_safety() {
        for (from, location, to) in [
            ("http://h:4318/v1/logs", "/x/v1/logs", Some("http://h:4318/x/v1/logs")),
            ("http://h:4318/v1/logs", "http://h:4318/x", Some("http://h:4318/x")),
            ("http://h/v1/logs", "http://H:80/x", Some("http://H:80/x")),
            ("http://h:80/v1/logs", "https://h/v1/logs", Some("https://h/v1/logs")),
            ("https://h/v1/logs", "http://h/v1/logs", None),
            ("http://h:4318/v1/logs", "http://h:4319/v1/logs", None),
            ("http://h/v1/logs", "http://other/v1/logs", None),
            ("http://h/v1/logs", "//other/v1/logs", None),
            ("http://h/v1/logs", "", None),
            ("http://h/v1/logs", "x y", None),
        ] {
            let found = target(&from.parse().unwrap(), location).map(|to| to.to_string());
            assert_eq!(found.as_deref(), to, "{from} {location}");
        }
    }
}

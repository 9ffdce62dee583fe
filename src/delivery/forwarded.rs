//! Headers that a source kept and a sink sends on, such as the name of a tenant.

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;

use super::headers::is_credential;
use crate::component::OptionProblem;
use crate::event::Provenance;
use crate::event::note::HEADERS_MAX;

/// Headers that belong to one connection, or say what the body is: a sink sets them itself.
const OWN: [&str; 14] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
const GRPC: &str = "grpc-";

/// The headers that a sink sends on. Cheap to ask where there are none.
#[derive(Clone, Debug, Default)]
pub struct ForwardedHeaders(Vec<HeaderName>);

impl ForwardedHeaders {
    /// Takes names that were checked with the configuration.
    #[must_use]
    pub fn new(names: &[String]) -> Self {
        Self(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// The headers of a request that came from there: those of every request, in which forwarded ones
    /// replace others of the same name. `None` if it has none to be forwarded.
    #[must_use]
    pub fn join(&self, every: &HeaderMap, provenance: &Provenance) -> Option<HeaderMap> {
        if self.0.is_empty() {
            return None;
        }
        let mut joined: Option<HeaderMap> = None;
        for name in &self.0 {
            let kept = provenance.headers().filter(|(kept, _)| *kept == name.as_str());
            let values = kept.filter_map(|(_, value)| HeaderValue::from_bytes(value).ok());
            for (idx, mut value) in values.enumerate() {
                let headers = joined.get_or_insert_with(|| every.clone());
                if idx == 0 {
                    headers.remove(name);
                }
                value.set_sensitive(is_credential(name, &value));
                headers.append(name.clone(), value);
            }
        }
        joined
    }
}

/// What is wrong with the names.
pub(super) fn problems(names: &[String]) -> Vec<OptionProblem> {
    let mut problems = Vec::new();
    let mut add = |path: String, message: String| problems.push(OptionProblem::new(path, message));
    if HEADERS_MAX < names.len() {
        add("forward_headers".to_owned(), format!("at most {HEADERS_MAX} headers"));
    }
    for (idx, text) in names.iter().enumerate() {
        let path = format!("forward_headers.{idx}");
        match text.parse::<HeaderName>() {
            Err(_) => add(path, format!("{text:?} is not a header name")),
            Ok(name) if OWN.contains(&name.as_str()) || name.as_str().starts_with(GRPC) => {
                add(path, format!("the sink sets the header {text:?} itself"));
            }
            Ok(_) => {}
        }
    }
    problems
}

/// The option of a name under which credentials travel.
pub(super) fn credential(names: &[String]) -> Option<String> {
    let nothing = HeaderValue::from_static("");
    let is_one = |text: &&String| {
        let name = text.parse::<HeaderName>();
        name.is_ok_and(|name| is_credential(&name, &nothing))
    };
    names.iter().find(is_one).map(|_| "forward_headers".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_replaces_what_every_request_has() {
        let headers: [(&str, &[u8]); 4] =
            [("x-tenant", b"a"), ("x-other", b"c"), ("x-tenant", b"b"), ("x-id", b"d")];
        let provenance = Provenance::with_headers("in", headers.into_iter());
        let mut every = HeaderMap::new();
        every.insert("x-tenant", HeaderValue::from_static("default"));
        every.insert("x-id", HeaderValue::from_static("own"));
        let forwarded = ForwardedHeaders::new(&["X-Tenant".to_owned(), "x-absent".to_owned()]);
        let joined = forwarded.join(&every, &provenance).unwrap();
        assert_eq!(joined.get_all("x-tenant").iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((joined.len(), &joined["x-id"]), (3, &HeaderValue::from_static("own")));
        assert!(forwarded.join(&every, &Provenance::forever("in")).is_none());
        assert!(ForwardedHeaders::default().join(&every, &provenance).is_none());
    }

    #[test]
    fn headers_of_the_connection_and_the_body_are_the_sinks_own() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let paths = |of: &[&str]| -> Vec<String> {
            problems(&names(of)).into_iter().map(|problem| problem.path).collect()
        };
        assert_eq!(paths(&["x-scope-orgid", "authorization"]), [""; 0]);
        assert_eq!(
            paths(&["a b", "Content-Type", "grpc-timeout", "x"]),
            ["forward_headers.0", "forward_headers.1", "forward_headers.2"]
        );
        assert_eq!(paths(&["x"; 17]), ["forward_headers"]);
        assert!(credential(&names(&["x-scope-orgid"])).is_none());
        assert!(credential(&names(&["authorization"])).is_some());
    }
}

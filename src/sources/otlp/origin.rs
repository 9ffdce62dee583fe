//! What is noted of where a request comes from: the source, and the headers it is told to keep.

use http::HeaderMap;
use http::HeaderName;

use crate::event::Provenance;

/// Makes the provenance of requests.
pub(super) struct Origins {
    source: String,
    keep: Vec<HeaderName>,
    /// What a request without any of those headers gets.
    plain: Provenance,
}

impl Origins {
    /// Keeps the named headers; names that are none were refused with the configuration.
    pub(super) fn new(source: &str, keep: &[String]) -> Self {
        let keep = keep.iter().filter_map(|name| name.parse().ok()).collect();
        Self { source: source.to_owned(), keep, plain: Provenance::forever(source) }
    }

    /// Notes where a request with these headers comes from.
    pub(super) fn of(&self, headers: &HeaderMap) -> Provenance {
        if !self.keep.iter().any(|name| headers.contains_key(name)) {
            return self.plain.clone();
        }
        let kept = self.keep.iter().flat_map(|name| {
            headers.get_all(name).into_iter().map(|value| (name.as_str(), value.as_bytes()))
        });
        Provenance::with_headers(&self.source, kept)
    }
}

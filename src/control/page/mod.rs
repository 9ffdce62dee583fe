//! The page for people: `/` shows what the process does now, and `/status.json` has the same figures for
//! programs.
//!
//! ```text
//!   view       the figures of one moment, with the rates that follow from the history
//!    |- html, graph    the page, complete without a script
//!    `- json           the same as JSON
//! ```
//!
//! The page refers to nothing outside of it. Its script only gets the page again and shows the new figures.

mod graph;
mod html;
mod json;
mod markup;
mod view;

use bytes::Bytes;
use http::HeaderName;
use http::HeaderValue;
use http::Response;
use http::header;
use http_body_util::Full;

use view::View;

use super::state::ControlService;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Nothing but the page's own style and script, which their hashes name; a test compares the hashes.
const POLICY: &str = "default-src 'none'; \
    style-src 'sha256-oPc5LNRlAoknobtK+lAtA+Lp3fQj7seUXl2oQjXCjvw='; \
    script-src 'sha256-hC6MZcY71upuj8vbo/179BQb7C00STxcmZUSKOLMDQs='; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// Serves the page of one listener.
pub(super) struct Page {
    service: ControlService,
}

impl Page {
    /// Makes the page.
    pub(super) const fn new(service: ControlService) -> Self {
        Self { service }
    }

    /// Answers a path of the page; `None` if it has no such path, or is off.
    pub(super) fn answer(&self, path: &str) -> Option<Response<Full<Bytes>>> {
        if !self.is_on() {
            return None;
        }
        match path {
            "/" => Some(respond("text/html; charset=utf-8", page(&self.view()))),
            "/status.json" => Some(respond("application/json", json::render(&self.view()))),
            _ => None,
        }
    }

    fn is_on(&self) -> bool {
        self.service.config.borrow().1.metrics.page.is_on()
    }

    fn view(&self) -> View {
        let (_, config) = self.service.config.borrow().clone();
        let status = self.service.status_now();
        View::new(status, &config, &self.service.history.lock())
    }
}

/// The whole page. What others wrote is not looked through for marks.
fn page(view: &View) -> String {
    let (head, tail) = PAGE.split_once("{{main}}").unwrap_or((PAGE, ""));
    let mut page = head.replace("{{style}}", STYLE);
    html::render(view, &mut page);
    page.push_str(&tail.replace("{{script}}", SCRIPT));
    page
}

/// An answer that no browser keeps, guesses the type of, or shows inside another page.
fn respond(content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 in base64, as a policy names it.
    fn hash(text: &str) -> String {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
        let hasher = suite.tls13().unwrap().common.hash_provider;
        let hash = hasher.hash(text.as_bytes());
        let mut encoded = String::new();
        for three in hash.as_ref().chunks(3) {
            let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
            let bits = bits << (8 * (3 - three.len()));
            for place in 0..4 {
                let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
                encoded.push(if place <= three.len() { char::from(letter) } else { '=' });
            }
        }
        encoded
    }

    #[test]
    fn the_policy_allows_this_style_and_this_script_and_nothing_else() {
        let style = hash(STYLE);
        assert!(POLICY.contains(&format!("style-src 'sha256-{style}';")), "{style}");
        let script = hash(SCRIPT);
        assert!(POLICY.contains(&format!("script-src 'sha256-{script}';")), "{script}");
        assert!(!POLICY.contains("unsafe"));
    }

    #[test]
    fn the_page_is_small_and_refers_to_nothing_outside() {
        assert!(PAGE.len() + STYLE.len() + SCRIPT.len() < 30_000);
        for text in [PAGE, STYLE, SCRIPT] {
            for word in ["http:", "https:", "src=", "@import", "url(", "style=\""] {
                assert!(!text.contains(word), "{word}");
            }
            assert!(text.is_ascii());
        }
    }

    #[test]
    fn no_browser_keeps_it_or_frames_it() {
        let response = respond("text/html; charset=utf-8", String::new());
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("x-frame-options"), "DENY");
        assert!(header("content-security-policy").starts_with("default-src 'none';"));
    }

    #[test]
    fn a_page_is_whole_and_what_people_wrote_stays_text() {
        let mut view = view::tests::view();
        view.status.zone_reason = "<script>{{style}}</script>".to_owned();
        let page = page(&view);
        assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
        assert_eq!(page.matches("<script>").count(), 1);
        assert!(page.contains("&lt;script&gt;{{style}}&lt;/script&gt;"));
        assert_eq!(page.matches("{{").count(), 1);
        assert!(page.contains(STYLE) && page.contains(SCRIPT));
    }
}

//! An [`Endpoint`]: where a backend is. Every place that is given one reads it here.
//!
//! The reading is strict, because a lenient one sends secrets where nobody meant them to go: a scheme
//! is required, so that plain text is a choice, and what a URL library would drop or replace in
//! silence (a port out of range, a fragment) is an error. No message repeats the text, which may hold
//! a password; what to write instead is made of the parts that were checked.

use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use http::Uri;

/// A longer endpoint is a mistake.
const TEXT_BYTES_MAX: usize = 2048;
/// Longer names cannot be resolved.
const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;
/// What OTLP over HTTP appends to an endpoint.
const APPENDED: [&str; 3] = ["/v1/logs", "/v1/traces", "/v1/metrics"];

/// The protocol that is spoken to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointProtocol {
    /// OTLP over gRPC, whose paths are fixed.
    Grpc,
    /// OTLP over HTTP, which appends its paths to that of the endpoint.
    Http,
}

/// Why a text is no endpoint, or not one for what is sent there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct EndpointError {
    /// What is wrong; begins with a verb, of which the endpoint is the subject.
    pub problem: String,
    /// What to do instead.
    pub help: String,
}

fn fault(problem: impl Into<String>, help: impl Into<String>) -> EndpointError {
    EndpointError { problem: problem.into(), help: help.into() }
}

/// A backend: scheme, host, port and path, all of them checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    uri: Uri,
    is_tls: bool,
    is_loopback: bool,
}

impl Endpoint {
    /// Reads an endpoint.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what to write instead; neither shows what may be a secret.
    pub fn parse(text: &str, protocol: EndpointProtocol) -> Result<Self, EndpointError> {
        const EXAMPLE: &str = "write it like `https://backend:4317`";
        if text.is_empty() {
            return Err(fault("is empty", EXAMPLE));
        }
        if TEXT_BYTES_MAX < text.len() {
            return Err(fault(format!("is longer than {TEXT_BYTES_MAX} bytes"), EXAMPLE));
        }
        if text.contains(char::is_whitespace) {
            return Err(fault("has a space in it", "write it without spaces"));
        }
        let is_of_urls = |c: char| c.is_ascii_graphic() && !r#"\"<>`{}|^"#.contains(c);
        if !text.chars().all(is_of_urls) {
            let help = "write a name with non-ASCII letters as `xn--...`";
            return Err(fault("has a character that is not allowed in a URL", help));
        }
        if text.contains('@') {
            let help = "remove it, and use `bearer_token_file`, or `headers_from` with the name \
                        `authorization`";
            return Err(fault("has a user name or a password (`@`)", help));
        }
        let (is_tls, rest) = scheme(text)?;
        let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at_checked(host_end).unwrap_or((rest, ""));
        let (host, is_loopback) = authority_of(authority)?;
        let base = format!("{}://{authority}", if is_tls { "https" } else { "http" });
        let path = path(tail, &base, protocol)?;
        let uri = format!("{base}{path}").parse();
        let uri: Uri = uri.map_err(|_| fault("is not a URL", EXAMPLE))?;
        debug_assert_eq!(uri.host(), Some(host), "both read the same host");
        Ok(Self { uri, is_tls, is_loopback })
    }

    /// The endpoint as a URI.
    #[must_use]
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Whether requests to it are encrypted.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// What it is called in logs and metrics.
    #[must_use]
    pub fn name(&self) -> String {
        self.uri.to_string().trim_end_matches('/').to_owned()
    }

    /// Checks that TLS options have something to do here.
    ///
    /// # Errors
    ///
    /// When the endpoint is plain text: whoever gives a certificate means TLS.
    pub fn check_tls_options(&self, options: &str) -> Result<(), EndpointError> {
        if self.is_tls {
            return Ok(());
        }
        let instead = self.with_tls();
        Err(fault(
            format!("begins with `http://`, which is plain text, and {options} is for TLS"),
            format!("write `{instead}`, or remove {options}"),
        ))
    }

    /// Checks that a credential does not travel in plain text. `option` is what allows it, and
    /// `is_allowed` whether it does. On loopback it is a warning, which is returned.
    ///
    /// # Errors
    ///
    /// When the credential could be read on its way, and nobody allowed it.
    pub fn check_credential(
        &self,
        credential: &str,
        option: &str,
        is_allowed: bool,
    ) -> Result<Option<EndpointError>, EndpointError> {
        if self.is_tls || is_allowed {
            return Ok(None);
        }
        let problem = format!("begins with `http://`: {credential} is sent there in plain text");
        if self.is_loopback {
            let help = format!("it stays on this machine; set {option} to hide this warning");
            return Ok(Some(fault(problem, help)));
        }
        let instead = self.with_tls();
        Err(fault(problem, format!("write `{instead}`, or set {option} if anyone may read it")))
    }

    fn with_tls(&self) -> String {
        self.name().replacen("http://", "https://", 1)
    }
}

/// The scheme, and what comes behind it.
fn scheme(text: &str) -> Result<(bool, &str), EndpointError> {
    let is = |name: &str, wanted: &[&str]| wanted.iter().any(|it| name.eq_ignore_ascii_case(it));
    let first = text.split([':', '/']).next().unwrap_or_default();
    if is(first, &["unix", "unix-abstract"]) && text.contains(':') {
        let help = "write `http://HOST:PORT` or `https://HOST:PORT`";
        return Err(fault("is a unix socket, which is not supported", help));
    }
    match text.split_once("://") {
        Some((name, rest)) if is(name, &["https"]) => Ok((true, rest)),
        Some((name, rest)) if is(name, &["http"]) => Ok((false, rest)),
        Some((name, rest)) => {
            let is_plain = is(name, &["grpc", "dns", "tcp", "ip", "h2c"]);
            let instead = if is_plain { ["http", "https"] } else { ["https", "http"] };
            Err(fault(
                "must begin with `http://` or `https://`",
                match authority_of(rest) {
                    Ok(_) => {
                        format!("write `{}://{rest}` or `{}://{rest}`", instead[0], instead[1])
                    }
                    Err(_) => "write `https://HOST:PORT`, or `http://HOST:PORT`".to_owned(),
                },
            ))
        }
        None if is(first, &["http", "https"]) && text.contains(':') => {
            let help = "write `https://HOST:PORT`, or `http://HOST:PORT`";
            Err(fault("must begin with `http://` or `https://`", help))
        }
        None => Err(fault(
            "must begin with `https://`, or with `http://` for plain text",
            match authority_of(text) {
                Ok(_) => format!("write `https://{text}` or `http://{text}`"),
                Err(_) => "write `https://HOST:PORT`, or `http://HOST:PORT`".to_owned(),
            },
        )),
    }
}

/// The host of an authority without user, and whether it is this machine.
fn authority_of(authority: &str) -> Result<(&str, bool), EndpointError> {
    const HELP: &str = "write it like `https://backend:4317`";
    let (host, after) = if authority.starts_with('[') {
        let end = authority.find(']').map_or(authority.len(), |end| end + 1);
        authority.split_at_checked(end).unwrap_or((authority, ""))
    } else if 1 < authority.matches(':').count() {
        let help = "write an IPv6 address like `https://[2001:db8::7]:4317`";
        return Err(fault("has more than one `:`; write an IPv6 address in brackets", help));
    } else {
        let end = authority.find(':').unwrap_or(authority.len());
        authority.split_at_checked(end).unwrap_or((authority, ""))
    };
    let is_loopback = is_loopback(host)?;
    match after.strip_prefix(':') {
        None if after.is_empty() => {}
        Some("") => return Err(fault("has no port after the `:`", HELP)),
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            if !port.parse::<u16>().is_ok_and(|port| port != 0) {
                let help = "OTLP has port 4317 over gRPC, and 4318 over HTTP";
                return Err(fault("has a port that is not from 1 to 65535", help));
            }
        }
        Some(_) => return Err(fault("has a port that is not a number", HELP)),
        None => return Err(fault("has text other than a port after its address", HELP)),
    }
    Ok((host, is_loopback))
}

/// Checks a host: a name, an IPv4 address, or an IPv6 address in brackets.
fn is_loopback(host: &str) -> Result<bool, EndpointError> {
    const HELP: &str = "write a name, an IPv4 address, or an IPv6 address in brackets";
    if host.is_empty() {
        return Err(fault("has no host", "write it like `https://backend:4317`"));
    }
    if let Some(inside) = host.strip_prefix('[') {
        let address = inside.strip_suffix(']').and_then(|text| text.parse::<Ipv6Addr>().ok());
        let Some(address) = address else {
            return Err(fault("has brackets around text that is not an IPv6 address", HELP));
        };
        return Ok(address.to_canonical().is_loopback());
    }
    let mut labels = host.strip_suffix('.').unwrap_or(host).split('.');
    let of_names = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label =
        |label: &str| (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(of_names);
    if HOST_BYTES_MAX < host.len() || !labels.clone().all(is_label) {
        return Err(fault("has a host that is neither a name nor an address", HELP));
    }
    // The system's resolver takes `127.1` and `0x7f.1` for addresses too.
    let is_number = |label: &str| {
        let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
        let is_hex = hex.is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        is_hex || label.bytes().all(|byte| byte.is_ascii_digit())
    };
    match host.parse::<Ipv4Addr>() {
        Ok(address) => Ok(address.is_loopback()),
        Err(_) if labels.next_back().is_some_and(is_number) => {
            Err(fault("ends in a number like an IPv4 address, but is not one", HELP))
        }
        Err(_) => Ok(host.eq_ignore_ascii_case("localhost")),
    }
}

/// The path, without slashes at its end.
fn path<'t>(
    tail: &'t str,
    base: &str,
    protocol: EndpointProtocol,
) -> Result<&'t str, EndpointError> {
    let end = tail.find(['?', '#']).unwrap_or(tail.len());
    let (path, rest) = tail.split_at_checked(end).unwrap_or((tail, ""));
    let path = path.trim_end_matches('/');
    if let Some(mark) = rest.chars().next() {
        let what = if mark == '?' { "a query (`?`)" } else { "a fragment (`#`)" };
        return Err(fault(format!("has {what}, which is never sent"), "remove it"));
    }
    if protocol == EndpointProtocol::Grpc && !path.is_empty() {
        let help = format!("write `{base}`, or set the protocol to `http`");
        return Err(fault("has a path, but gRPC defines its own paths", help));
    }
    for appended in APPENDED {
        if let Some(before) = path.strip_suffix(appended) {
            let problem = format!("ends in `{appended}`, which GopherShip appends itself");
            return Err(fault(problem, format!("write `{base}{before}`")));
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::EndpointProtocol::{Grpc, Http};
    use super::*;

    /// What becomes of texts: the name of the endpoint, or the problem and the help.
    type Row = (&'static str, EndpointProtocol, Result<&'static str, (&'static str, &'static str)>);
    const TABLE: &[Row] = &[
        ("http://localhost:4317", Grpc, Ok("http://localhost:4317")),
        ("https://otlp.example.com", Grpc, Ok("https://otlp.example.com")),
        ("HTTPS://Example.com:4317/", Grpc, Ok("https://Example.com:4317")),
        ("https://host:4318/a/b/", Http, Ok("https://host:4318/a/b")),
        ("https://host:4318//", Http, Ok("https://host:4318")),
        ("https://[::1]:4317", Grpc, Ok("https://[::1]:4317")),
        ("http://[2001:db8::7]", Http, Ok("http://[2001:db8::7]")),
        ("http://otel_collector:4317", Grpc, Ok("http://otel_collector:4317")),
        ("http://xn--bcher-kva.example:4317", Grpc, Ok("http://xn--bcher-kva.example:4317")),
        ("http://host:4318/logs/v1", Http, Ok("http://host:4318/logs/v1")),
        ("https://host.:4317", Grpc, Ok("https://host.:4317")),
        ("", Grpc, Err(("is empty", "`https://backend:4317`"))),
        ("backend", Grpc, Err(("must begin with `https://`", "`https://backend`"))),
        ("localhost:4317", Grpc, Err(("must begin with", "`http://localhost:4317`"))),
        ("127.0.0.1:4317", Grpc, Err(("must begin with", "`https://127.0.0.1:4317`"))),
        ("[::1]:4317", Grpc, Err(("must begin with", "`https://[::1]:4317`"))),
        ("::1", Grpc, Err(("must begin with", "HOST:PORT"))),
        ("//host:4317", Grpc, Err(("must begin with", "HOST:PORT"))),
        ("http:/host:4317", Grpc, Err(("must begin with", "HOST:PORT"))),
        ("https:host:4317", Grpc, Err(("must begin with", "HOST:PORT"))),
        ("http:4317", Grpc, Err(("must begin with", "HOST:PORT"))),
        ("grpc://host:4317", Grpc, Err(("must begin with", "`http://host:4317`"))),
        ("ftp://host", Grpc, Err(("must begin with", "`https://host`"))),
        ("unix:///run/otlp.sock", Grpc, Err(("is a unix socket", "HOST:PORT"))),
        ("unix:/run/otlp.sock", Grpc, Err(("is a unix socket", "HOST:PORT"))),
        ("https://localhost:99999", Grpc, Err(("not from 1 to 65535", "4317"))),
        ("https://127.0.0.1:0", Grpc, Err(("not from 1 to 65535", "4317"))),
        ("https://h:18446744073709551621", Grpc, Err(("not from 1 to 65535", "4317"))),
        ("https://host:", Grpc, Err(("has no port", "backend"))),
        ("https://host:grpc", Grpc, Err(("not a number", "backend"))),
        ("https://host:+1", Grpc, Err(("not a number", "backend"))),
        ("https://:443", Grpc, Err(("has no host", "backend"))),
        ("https://", Grpc, Err(("has no host", "backend"))),
        ("https:///v1/logs", Http, Err(("has no host", "backend"))),
        ("http://::1:4317", Grpc, Err(("more than one `:`", "[2001:db8::7]:4317"))),
        ("http://[::1", Grpc, Err(("brackets around", "IPv6"))),
        ("http://[fe80::1%25eth0]:4317", Grpc, Err(("brackets around", "IPv6"))),
        ("http://[host]:4317", Grpc, Err(("brackets around", "IPv6"))),
        ("http://[::1]4317", Grpc, Err(("text other than a port", "backend"))),
        ("http://256.0.0.1:4317", Grpc, Err(("like an IPv4 address", "IPv4"))),
        ("http://127.1:4317", Grpc, Err(("like an IPv4 address", "IPv4"))),
        ("http://0x7f000001", Grpc, Err(("like an IPv4 address", "IPv4"))),
        ("http://a..b", Grpc, Err(("neither a name nor an address", "IPv4"))),
        ("http://a,b:4317", Grpc, Err(("neither a name nor an address", "IPv4"))),
        ("http://user:pw@host:4317", Grpc, Err(("a user name or a password", "headers_from"))),
        ("http://user:p/w@host", Grpc, Err(("a user name or a password", "headers_from"))),
        ("user:pw@host", Grpc, Err(("a user name or a password", "headers_from"))),
        ("https://host:4318/v1/logs", Http, Err(("ends in `/v1/logs`", "`https://host:4318`"))),
        ("https://host/a/v1/traces/", Http, Err(("ends in `/v1/traces`", "`https://host/a`"))),
        ("https://host/v1/metrics", Grpc, Err(("has a path", "write `https://host`"))),
        ("https://host:4317/otlp", Grpc, Err(("has a path", "the protocol to `http`"))),
        ("https://host:4318/a?token=x", Http, Err(("has a query", "remove it"))),
        ("https://host:4318#a", Http, Err(("has a fragment", "remove it"))),
        (" https://host:4317", Grpc, Err(("a space", "without spaces"))),
        ("https://host:4317\n", Grpc, Err(("a space", "without spaces"))),
        ("https://ho st", Grpc, Err(("a space", "without spaces"))),
        ("https://b\u{fc}cher:4317", Grpc, Err(("not allowed in a URL", "xn--"))),
        ("https://host\\a", Http, Err(("not allowed in a URL", "xn--"))),
        ("https://${HOST}", Http, Err(("not allowed in a URL", "xn--"))),
    ];

    #[test]
    fn each_endpoint_of_the_table_has_exactly_its_outcome() {
        for (text, protocol, expected) in TABLE {
            let found = Endpoint::parse(text, *protocol);
            match (&found, expected) {
                (Ok(endpoint), Ok(name)) => {
                    assert_eq!(&endpoint.name(), name, "{text:?}");
                    assert_eq!(endpoint.uri().to_string().trim_end_matches('/'), *name);
                    assert_eq!(endpoint.is_tls(), name.starts_with("https"));
                }
                (Err(error), Err((problem, help))) => assert!(
                    error.problem.contains(problem) && error.help.contains(help),
                    "{text:?}: {error:?}"
                ),
                _ => panic!("{text:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn an_endpoint_has_a_bounded_length() {
        let longest = format!("https://host/{}", "a".repeat(TEXT_BYTES_MAX - 13));
        assert!(Endpoint::parse(&longest, Http).is_ok());
        let error = Endpoint::parse(&format!("{longest}a"), Http).unwrap_err();
        assert!(error.problem.contains("is longer than"), "{error:?}");
    }

    #[test]
    fn a_host_has_a_bounded_length() {
        let label = "a".repeat(49);
        let host = format!("{label}.{label}.{label}.{label}.{label}.abc");
        assert_eq!(host.len(), HOST_BYTES_MAX);
        assert!(Endpoint::parse(&format!("https://{host}:4317"), Grpc).is_ok());
        let error = Endpoint::parse(&format!("https://{host}d:4317"), Grpc).unwrap_err();
        assert!(error.problem.contains("neither a name"), "{error:?}");
    }

    #[test]
    fn no_message_shows_what_may_be_a_secret() {
        for text in [
            "http://user:hunter2@host:4317",
            "https://host/?token=hunter2",
            "https://host/#hunter2",
            "hunter2@host",
            "http://host:hunter2",
            "http://user:hunter2/@host",
        ] {
            for protocol in [Grpc, Http] {
                let error = Endpoint::parse(text, protocol).unwrap_err();
                assert!(!format!("{error} {error:?}").contains("hunter2"), "{text}: {error:?}");
            }
        }
    }

    #[test]
    fn a_credential_needs_tls_or_leave_and_on_loopback_it_is_a_warning() {
        let outcome = |text: &str, is_allowed| {
            let endpoint = Endpoint::parse(text, Grpc).unwrap();
            endpoint.check_credential("`bearer_token_file`", "`allow`", is_allowed)
        };
        assert_eq!(outcome("https://host", false), Ok(None));
        assert_eq!(outcome("http://host", true), Ok(None));
        for text in ["http://host", "http://10.0.0.1", "http://0.0.0.0", "http://localhost.evil"] {
            let error = outcome(text, false).unwrap_err();
            assert!(error.problem.contains("`bearer_token_file` is sent there in plain text"));
            assert!(error.help.starts_with("write `https://"), "{error:?}");
        }
        for text in
            ["http://localhost", "http://127.9.9.9", "http://[::1]", "http://[::ffff:127.0.0.1]"]
        {
            assert!(outcome(text, false).unwrap().is_some(), "{text}");
            assert_eq!(outcome(text, true), Ok(None), "{text}");
        }
    }

    #[test]
    fn options_for_tls_need_an_endpoint_with_tls() {
        let check = |text: &str| Endpoint::parse(text, Grpc).unwrap().check_tls_options("`tls`");
        assert_eq!(check("https://host:1"), Ok(()));
        let error = check("http://localhost:1").unwrap_err();
        assert_eq!(error.help, "write `https://localhost:1`, or remove `tls`");
    }
}

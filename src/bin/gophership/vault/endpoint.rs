//! Where `gophership vault export` sends to: the client of the endpoint, and what may be sent there.

use std::time::Duration;

use bytes::Bytes;
use gophership_http_client::Answer;
use gophership_http_client::ConnectOptions;
use gophership_http_client::Proxies;
use gophership_otlp::Signal;
use gophership_otlp_client::OtlpClient;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Uri;
use serde_json::json;

use gophership::delivery::Endpoint;
use gophership::delivery::EndpointError;
use gophership::delivery::EndpointProtocol;
use gophership::delivery::is_credential;
use gophership::tls::ClientTls;

use super::Failure;
use super::args::ExportArgs;
use super::args::ExportProtocol;
use crate::complain;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A client of one endpoint.
pub(super) struct ExportClient {
    client: OtlpClient,
    uri: Uri,
    headers: HeaderMap,
}

impl ExportClient {
    /// Makes a client; it connects when the first request is sent.
    pub(super) fn new(args: &ExportArgs) -> Result<Self, Failure> {
        let headers = headers(&args.headers)?;
        let endpoint = endpoint(args, &headers)?;
        let tls: ClientTls = serde_json::from_value(json!({ "ca": args.ca }))
            .map_err(|error| Failure::usage(format!("--ca cannot be used: {error}")))?;
        let tls = tls.load().map_err(|error| Failure::usage(format!("TLS: {error}")))?;
        let options = ConnectOptions {
            tls: Some(tls),
            https_only: endpoint.is_tls(),
            proxies: Proxies::from_environment(),
            ..ConnectOptions::default()
        };
        let protocol = match args.protocol {
            ExportProtocol::Grpc => gophership_otlp_client::Protocol::Grpc,
            ExportProtocol::Http => gophership_otlp_client::Protocol::Http,
        };
        let client = OtlpClient::new(protocol, options);
        Ok(Self { client, uri: endpoint.uri().clone(), headers })
    }

    /// Sends a request once.
    pub(super) async fn send(&self, signal: Signal, wire: Bytes) -> Answer {
        let sent = self.client.send(&self.uri, &self.headers, signal, wire);
        let replied = tokio::time::timeout(ANSWER_WITHIN, sent).await;
        replied.map_or_else(
            |_| Answer::unanswered("no answer within the timeout"),
            |reply| reply.answer,
        )
    }
}

/// Reads the endpoint, and checks that nothing goes there in plain text that should not.
fn endpoint(args: &ExportArgs, headers: &HeaderMap) -> Result<Endpoint, Failure> {
    let protocol = match args.protocol {
        ExportProtocol::Grpc => EndpointProtocol::Grpc,
        ExportProtocol::Http => EndpointProtocol::Http,
    };
    let fault =
        |error: EndpointError| Failure::usage(format!("--to {}; {}", error.problem, error.help));
    let endpoint = Endpoint::parse(&args.to, protocol).map_err(fault)?;
    if args.ca.is_some() {
        endpoint.check_tls_options("`--ca`").map_err(fault)?;
    }
    let credential = headers.iter().find(|(name, value)| is_credential(name, value));
    if let Some((name, _)) = credential {
        let option = "`--allow-credentials-in-plain-text`";
        let credential = format!("the header `{name}`");
        let is_allowed = args.allow_credentials_in_plain_text;
        let checked = endpoint.check_credential(&credential, option, is_allowed).map_err(fault)?;
        if let Some(warning) = checked {
            complain(&format!("warning: --to {}; {}", warning.problem, warning.help));
        }
    }
    Ok(endpoint)
}

fn headers(texts: &[String]) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for text in texts {
        let fault = || Failure::usage("--header must be NAME=VALUE, with valid header characters");
        let (name, value) = text.split_once('=').ok_or_else(fault)?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| fault())?;
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_| fault())?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_name_and_a_value() {
        let texts = |text: &str| headers(&[text.to_owned()]);
        assert_eq!(texts("a=b=c").unwrap().get("a").unwrap(), "b=c");
        for text in ["a", "=b", "a b=c", "a=b\nc"] {
            assert!(texts(text).is_err(), "{text:?}");
        }
    }
}

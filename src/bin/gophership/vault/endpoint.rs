//! Sends stored requests to an OTLP endpoint, byte for byte, and judges its answers as OTLP says.
//!
//! Source: OTLP specification 1.11, "Failures", "Throttling" and "Partial Success".

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Uri;
use http::header::CONTENT_TYPE;
use http::header::RETRY_AFTER;
use http::uri::PathAndQuery;
use http_body_util::BodyExt;
use http_body_util::Full;
use http_body_util::Limited;
use hyper_rustls::HttpsConnector;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioTimer;
use serde_json::json;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic_types::StatusExt;

use gophership::delivery::Endpoint;
use gophership::delivery::EndpointError;
use gophership::delivery::EndpointProtocol;
use gophership::delivery::is_credential;
use gophership::otlp_client::RawCodec;
use gophership::otlp_client::Verdict;
use gophership::tls::ClientTls;
use gophership_otlp::Signal;

use super::Failure;
use super::args::ExportArgs;
use super::args::ExportProtocol;
use crate::complain;

const CONNECT_WITHIN: Duration = Duration::from_secs(3);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// OTLP recommends that a client reads no more of an answer.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// A client of one endpoint; cheap to clone.
#[derive(Clone)]
pub(super) struct ExportClient {
    client: legacy::Client<HttpsConnector<HttpConnector>, Body>,
    uri: Uri,
    headers: HeaderMap,
    protocol: ExportProtocol,
}

impl ExportClient {
    /// Makes a client; it connects when the first request is sent.
    pub(super) fn new(args: &ExportArgs) -> Result<Self, Failure> {
        let headers = headers(&args.headers)?;
        let endpoint = endpoint(args, &headers)?;
        let tls: ClientTls = serde_json::from_value(json!({ "ca": args.ca }))
            .map_err(|error| Failure::usage(format!("--ca cannot be used: {error}")))?;
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_WITHIN));
        tcp.enforce_http(false);
        let tls = tls.load().map_err(|error| Failure::usage(format!("TLS: {error}")))?;
        let tls = HttpsConnectorBuilder::new().with_tls_config(tls);
        let tls = if endpoint.is_tls() { tls.https_only() } else { tls.https_or_http() };
        let is_grpc = args.protocol == ExportProtocol::Grpc;
        let connector = if is_grpc {
            tls.enable_http2().wrap_connector(tcp)
        } else {
            tls.enable_all_versions().wrap_connector(tcp)
        };
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.timer(TokioTimer::new()).pool_timer(TokioTimer::new()).http2_only(is_grpc);
        let client = builder.build(connector);
        Ok(Self { client, uri: endpoint.uri().clone(), headers, protocol: args.protocol })
    }

    /// Sends a request once.
    pub(super) async fn send(&self, signal: Signal, wire: Bytes) -> Verdict {
        let attempt = async {
            match self.protocol {
                ExportProtocol::Grpc => self.send_grpc(signal, wire).await,
                ExportProtocol::Http => self.send_http(signal, wire).await,
            }
        };
        let answer = tokio::time::timeout(ANSWER_WITHIN, attempt).await;
        answer.unwrap_or_else(|_| Verdict::unanswered("no answer in time"))
    }

    async fn send_grpc(&self, signal: Signal, wire: Bytes) -> Verdict {
        let mut grpc = Grpc::with_origin(self.client.clone(), self.uri.clone());
        if let Err(error) = grpc.ready().await {
            return Verdict::unanswered(format!(
                "cannot connect: {}",
                gophership::otlp_client::chain(&error)
            ));
        }
        let mut request = tonic::Request::new(wire);
        request.metadata_mut().as_mut().extend(self.headers.clone());
        let path = PathAndQuery::from_static(signal.grpc_path());
        match grpc.unary::<Bytes, Bytes, _>(request, path, RawCodec).await {
            Ok(response) => Verdict::of_response(response.get_ref()),
            // A status that was made here, because the connection failed, carries its cause.
            Err(status) => {
                if let Some(cause) = std::error::Error::source(&status) {
                    return Verdict::unanswered(gophership::otlp_client::chain(cause));
                }
                let after = status.get_details_retry_info().and_then(|info| info.retry_delay);
                Verdict::of_grpc(status.code(), status.message(), after)
            }
        }
    }

    async fn send_http(&self, signal: Signal, wire: Bytes) -> Verdict {
        let base = self.uri.path().trim_end_matches('/');
        let mut parts = self.uri.clone().into_parts();
        parts.path_and_query = format!("{base}{}", signal.http_path()).parse().ok();
        let Ok(uri) = Uri::from_parts(parts) else {
            return Verdict::Rejected { reason: "cannot make the address".to_owned() };
        };
        let mut request = http::Request::new(Body::new(Full::new(wire)));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = uri;
        request.headers_mut().extend(self.headers.clone());
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        request.headers_mut().insert(CONTENT_TYPE, protobuf);
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) => return Verdict::unanswered(gophership::otlp_client::chain(&error)),
        };
        let status = response.status();
        if status.is_success() {
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            return Verdict::of_response(
                &body.map(http_body_util::Collected::to_bytes).unwrap_or_default(),
            );
        }
        let hint = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let after = hint.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        Verdict::of_http(status, after)
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
        let fault = || Failure::usage("--header must be NAME=VALUE, of what a header may hold");
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
    use tonic::Code;

    use super::*;

    #[test]
    fn only_what_otlp_calls_retryable_is_sent_again() {
        let is_retry = |verdict: &Verdict| matches!(verdict, Verdict::Retry { .. });
        let retried: Vec<i32> = (0..17)
            .filter(|code| is_retry(&Verdict::of_grpc(Code::from_i32(*code), "", None)))
            .collect();
        assert_eq!(retried, [1, 4, 10, 11, 14, 15]);
        assert!(is_retry(&Verdict::of_grpc(Code::ResourceExhausted, "", Some(Duration::ZERO))));
        let status = |code| http::StatusCode::from_u16(code).unwrap();
        let retried: Vec<u16> =
            (400..600).filter(|code| is_retry(&Verdict::of_http(status(*code), None))).collect();
        assert_eq!(retried, [429, 502, 503, 504]);
    }

    #[test]
    fn a_header_is_a_name_and_a_value() {
        let texts = |text: &str| headers(&[text.to_owned()]);
        assert_eq!(texts("a=b=c").unwrap().get("a").unwrap(), "b=c");
        for text in ["a", "=b", "a b=c", "a=b\nc"] {
            assert!(texts(text).is_err(), "{text:?}");
        }
    }
}

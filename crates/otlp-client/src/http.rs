//! One attempt over HTTP, with protobuf or JSON.

use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::Uri;
use http::header::CONTENT_ENCODING;
use http::header::CONTENT_TYPE;
use http::header::PROXY_AUTHORIZATION;
use http::header::RETRY_AFTER;
use http::header::USER_AGENT;
use http_body_util::BodyExt;
use http_body_util::Full;
use http_body_util::Limited;
use hyper::body::Incoming;
use tonic::body::Body;

use gophership_http_client::ANSWER_BYTES_MAX;
use gophership_http_client::Answer;
use gophership_http_client::at_path;
use gophership_http_client::chain;
use gophership_http_client::followed;
use gophership_http_client::redirect_words;
use gophership_http_client::with_connection_error;
use gophership_otlp::Signal;
use gophership_units::excerpt;

use crate::CodeOption;
use crate::Encoding;
use crate::OtlpClient;
use crate::Reply;
use crate::json;
use crate::judge;

/// A request follows so many redirects.
const REDIRECTS_MAX: usize = 3;

pub(super) async fn send(
    client: &OtlpClient,
    endpoint: &Uri,
    headers: &HeaderMap,
    signal: Signal,
    wire: Bytes,
) -> Reply {
    let content = match client.encoding {
        Encoding::Protobuf => Ok(wire),
        Encoding::Json => json::of_wire(signal, wire).await,
    };
    let wire = match content {
        Ok(content) => content,
        Err(reason) => return Reply::none(Answer::Rejected { reason }),
    };
    let made = client.compression.compress(wire).and_then(|(body, encoding)| {
        let path = format!("{}{}", endpoint.path().trim_end_matches('/'), signal.http_path());
        Ok((body, encoding, at_path(endpoint, &path)?))
    });
    let (body, encoding, mut uri) = match made {
        Ok(made) => made,
        Err(error) => {
            let reason = format!("cannot make the request: {error}");
            return Reply::none(Answer::unanswered(reason));
        }
    };
    let mut redirects = 0;
    loop {
        let request = request(client, headers, &uri, body.clone(), encoding);
        let response = match client.http.request(request).await {
            Ok(response) => response,
            Err(error) => {
                let answer = Answer::unanswered(format!("no answer: {}", chain(&error)));
                return Reply::none(with_connection_error(answer, &error));
            }
        };
        match followed(&uri, &response) {
            Some(next) if redirects < REDIRECTS_MAX => uri = next,
            _ => {
                let code = Some(CodeOption::Http(response.status().as_u16()));
                return Reply { code, answer: judge(client, response).await };
            }
        }
        redirects += 1;
    }
}

async fn judge(client: &OtlpClient, response: Response<Incoming>) -> Answer {
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let kind = header(CONTENT_TYPE).unwrap_or_default().to_owned();
    let hint = header(RETRY_AFTER).and_then(|text| judge::retry_after(text, SystemTime::now()));
    let redirects = redirect_words(status, response.headers());
    let redirects = excerpt(&redirects, crate::SAID_BYTES_MAX).into_owned();
    if !status.is_success() {
        let answer = client.codes.of_http(status, judge::of_http(status, hint));
        let answer = answer.reworded(|reason| reason + &redirects);
        if matches!(answer, Answer::Retry { .. }) {
            return answer;
        }
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        return judge::because(answer, &kind, &body);
    }
    match Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await {
        Ok(body) => judge::of_http_response(&kind, &body.to_bytes()),
        // Accepted is what the status says; what else it wanted to say is lost.
        Err(_) => Answer::taken("the answer is unreadable, or longer than the sink reads"),
    }
}

fn request(
    client: &OtlpClient,
    headers: &HeaderMap,
    uri: &Uri,
    body: Bytes,
    encoding: Option<&'static str>,
) -> Request<Body> {
    let mut request = Request::new(Body::new(Full::new(body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.clone();
    request.headers_mut().extend(headers.clone());
    request.headers_mut().entry(USER_AGENT).or_insert(crate::USER_AGENT_TEXT);
    let content_type = match client.encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    };
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(authorization) = client.proxies.authorization(uri) {
        request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
    }
    if let Some(encoding) = encoding {
        request.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    request
}

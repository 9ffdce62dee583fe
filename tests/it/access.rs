//! Who may send to an `otlp` source: credentials over both protocols, web pages, and what probes are told.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use gophership_otlp::Signal;
use http::StatusCode;
use prost::Message;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::HealthCheckResponse;

use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::HttpClient;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually_async;

const SOON: Duration = Duration::from_secs(20);
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
/// `shop:secret`.
const BASIC: &str = "Basic c2hvcDpzZWNyZXQ=";

const AUTH: &str = r#"
sources:
  otlp:
    type: otlp
    grpc: { listen: "$GRPC" }
    http: { listen: "$HTTP" }
    auth: { bearer_token_file: $DIR/tokens, basic_auth_file: $DIR/users }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
"#;

const CORS: &str = r#"
sources:
  otlp:
    type: otlp
    http:
      listen: "$HTTP"
      cors: { origins: ["https://*.example.com"], headers: [x-tenant], max_age: 1h }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
"#;

async fn start(yaml: &str) -> (Backend, Site, Process) {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), yaml);
    fs::write(site.dir().join("tokens"), "first\n").unwrap();
    fs::write(site.dir().join("users"), "shop:secret\n").unwrap();
    let process = site.start().await;
    (backend, site, process)
}

/// Scenario: requests without a credential, with a wrong one and with a right one come over gRPC and HTTP;
/// then a token is replaced in its file, and the file is broken.
/// Guarantees: those without a right one are refused for good with what is asked for, and nothing of them
/// reaches the backend; a new token is taken without a reload, an old one no more, and a broken file changes
/// nothing and is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_those_with_a_credential_may_send() {
    let (backend, site, process) = start(AUTH).await;
    let (traffic, http) = (Traffic::default(), HttpClient::new(site.http()));
    let mut accepted = 0;
    for (header, is_right) in [
        (None, false),
        (Some("Bearer wrong"), false),
        (Some("Basic d3Jvbmc6d3Jvbmc="), false),
        (Some("Bearer first"), true),
        (Some(BASIC), true),
    ] {
        let request = traffic.request(Signal::Logs, 3);
        let client = GrpcClient::new(site.grpc());
        let client = match header {
            Some(header) => client.with("authorization", header),
            None => client,
        };
        let over_grpc = client.send(&request).await;
        let mut headers = vec![PROTOBUF];
        headers.extend(header.map(|header| ("authorization", header)));
        let request = traffic.request(Signal::Traces, 3);
        let over_http = http.post("/v1/traces", &headers, request.wire).await;
        if is_right {
            over_grpc.unwrap();
            assert_eq!(over_http.status, StatusCode::OK);
            accepted += 2;
            continue;
        }
        let refused = over_grpc.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{header:?}");
        assert!(refused.metadata().get("www-authenticate").is_some());
        assert_eq!(over_http.status, StatusCode::UNAUTHORIZED, "{header:?}");
        let challenge = over_http.headers["www-authenticate"].to_str().unwrap();
        assert!(challenge.contains("Bearer") && challenge.contains("Basic"), "{challenge}");
    }
    assert_eq!(backend.requests(), accepted);
    let refused = [("cause", "unauthenticated")];
    let count = process.metrics().await.sum("gophership_source_refused_total", &refused);
    assert_eq!(count, 6);

    let sends = async |token: &'static str| {
        let client = GrpcClient::new(site.grpc()).with("authorization", token);
        client.send(&traffic.request(Signal::Logs, 1)).await.map_err(|status| status.code())
    };
    fs::write(site.dir().join("tokens"), "second\n").unwrap();
    eventually_async(SOON, "the new token is taken", async || sends("Bearer second").await.is_ok())
        .await;
    assert_eq!(sends("Bearer first").await.unwrap_err(), Code::Unauthenticated);
    fs::remove_file(site.dir().join("tokens")).unwrap();
    process.logged(SOON, &["Cannot read a file of `auth`"]).await;
    assert!(sends("Bearer second").await.is_ok());
    assert!(!process.log().contains("second") && !process.log().contains("secret"));
}

/// Scenario: the file with tokens is missing at the start, and credentials would come in plain text.
/// Guarantees: `validate` names the option and the reason for both.
#[tokio::test]
async fn credentials_that_cannot_be_used_are_found_by_validate() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), AUTH);
    let validate = || {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_gophership"))
            .arg("validate")
            .arg(site.config())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let (code, said) = validate();
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("auth.bearer_token_file"), "{said}");
    site.configure(&AUTH.replace("\"$HTTP\"", "\"0.0.0.0:4318\""));
    let (code, said) = validate();
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("plain text") && said.contains("allow_plain_text"), "{said}");
}

/// Scenario: a browser asks whether pages of two sites may send, and pages of both send.
/// Guarantees: the allowed one learns what it may send and can read the answer; the other one cannot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_allowed_origins_may_send() {
    let (_backend, site, _process) = start(CORS).await;
    let http = HttpClient::new(site.http());
    for (origin, is_allowed) in
        [("https://shop.example.com", true), ("https://shop.example.net", false)]
    {
        let asked = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,x-tenant"),
        ];
        let answer = http.request("OPTIONS", "/v1/logs", &asked, Bytes::new()).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        let allowed = answer.headers.get("access-control-allow-origin");
        assert_eq!(allowed.map(|value| value.to_str().unwrap()), is_allowed.then_some(origin));
        if is_allowed {
            let headers = answer.headers["access-control-allow-headers"].to_str().unwrap();
            assert!(headers.contains("x-tenant"), "{headers}");
            assert_eq!(answer.headers["access-control-max-age"], "3600");
        }
        for (body, status) in [("{}", StatusCode::OK), ("{", StatusCode::BAD_REQUEST)] {
            let headers = [("origin", origin), ("content-type", "application/json")];
            let answer = http.post("/v1/logs", &headers, body).await;
            assert_eq!(answer.status, status);
            let is_readable = answer.headers.contains_key("access-control-allow-origin");
            assert_eq!(is_readable, is_allowed, "{origin} {body}");
        }
    }
}

/// Scenario: a probe asks for the health over gRPC, without a credential, before and during a drain.
/// Guarantees: the port serves, then it does not; a service that is not there is not known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_over_grpc_are_told_whether_requests_are_taken() {
    const SERVING: i32 = 1;
    const NOT_SERVING: i32 = 2;
    let (_backend, site, process) = start(AUTH).await;
    let client = GrpcClient::new(site.grpc());
    let ask = async |service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() }.encode_to_vec();
        let answer = client.send_to("/grpc.health.v1.Health/Check", request.into()).await;
        answer.map(|bytes| HealthCheckResponse::decode(bytes).unwrap().status)
    };
    let traces = "opentelemetry.proto.collector.trace.v1.TraceService";
    assert_eq!(ask("").await.unwrap(), SERVING);
    assert_eq!(ask(traces).await.unwrap(), SERVING);
    assert_eq!(ask("other").await.unwrap_err().code(), Code::NotFound);
    let drained = process.control(&["drain", "--yes", "--reason", "test"]);
    assert!(drained.status.success(), "{drained:?}");
    assert_eq!(ask("").await.unwrap(), NOT_SERVING);
}

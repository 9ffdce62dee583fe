//! Viewers see, operators change, and the audit log has every change.

use gophership_control::Client;
use gophership_control::ClientError;
use gophership_control::DESCRIPTORS;
use gophership_control::proto;
use gophership_otlp::Signal;
use http::uri::PathAndQuery;
use prost::Message;
use prost_types::FileDescriptorSet;
use rustix::process::Signal as ProcessSignal;
use tonic::Code;
use tonic::Request;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1;
use tonic_reflection::pb::v1alpha;

use super::port::Port;
use super::port::SOON;
use super::port::yaml;
use crate::harness::Books;
use crate::harness::GrpcClient;
use crate::harness::Traffic;
use crate::harness::audit_lines;
use crate::harness::eventually;

const SERVICE: &str = "gophership.control.v1.Control";
/// The methods that viewers may call.
const VIEWS: [&str; 12] = [
    "Status",
    "Share",
    "Watch",
    "DiffConfig",
    "ShowConfig",
    "ListVaults",
    "ListFlights",
    "ShowFlight",
    "VerifyVault",
    "CountReplay",
    "ListReplays",
    "ListDeadLetters",
];

/// Every method of the service.
fn methods() -> Vec<String> {
    let files = FileDescriptorSet::decode(DESCRIPTORS).unwrap().file;
    let services = files.iter().flat_map(|file| &file.service);
    let methods = services.flat_map(|service| &service.method);
    methods.map(|method| method.name().to_owned()).collect()
}

/// Calls a method with an empty message, and returns what becomes of it.
async fn call(client: &Client, method: &str) -> Code {
    let mut grpc = tonic::client::Grpc::new(client.channel());
    grpc.ready().await.unwrap();
    let path: PathAndQuery = format!("/{SERVICE}/{method}").parse().unwrap();
    let codec = ProstCodec::<(), ()>::default();
    // A method that answers once is a stream of one.
    match grpc.server_streaming(Request::new(()), path, codec).await {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
}

/// Scenario: a viewer and an operator call every method of the service, and one that does not exist.
/// Guarantees: the viewer is refused by each that may change something, with a line in the audit log; the
/// operator by none, and each of his changes has a line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_cannot_change_anything_whatever_the_method() {
    let port = Port::start("").await;
    let (alice, bob) = (port.connect("alice").await.unwrap(), port.connect("bob").await.unwrap());
    let methods = methods();
    assert!(methods.len() > VIEWS.len(), "{methods:?}");
    for method in &methods {
        let is_view = VIEWS.contains(&method.as_str());
        let code = call(&bob, method).await;
        assert_eq!(code != Code::PermissionDenied, is_view, "{method}: {code}");
        let code = call(&alice, method).await;
        assert!(code != Code::PermissionDenied && code != Code::Unimplemented, "{method}: {code}");
        if is_view {
            continue;
        }
        for (event, who) in [("refusal", "cn bob"), ("change", "cn alice")] {
            let is_there = || {
                let lines = audit_lines(port.site.dir(), event);
                lines.iter().any(|line| line["who"] == who && line["action"] == method.as_str())
            };
            eventually(SOON, &format!("{event} of {method}"), is_there).await;
        }
    }
    assert_eq!(call(&bob, "Forgotten").await, Code::PermissionDenied);
    assert_eq!(call(&alice, "Forgotten").await, Code::Unimplemented);
}

/// Scenario: the zone is switched over the port before each single request; a viewer tries, too.
/// Guarantees: the very next request follows, every time; the viewer changes nothing; each change is
/// audited with who, from where, what, why and the outcome.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_override_over_the_port_is_in_force_with_the_very_next_request() {
    let port = Port::start("").await;
    let mut alice = port.connect("alice").await.unwrap();
    let mut bob = port.connect("bob").await.unwrap();
    let (client, traffic) = (GrpcClient::new(port.site.grpc()), Traffic::default());
    let hold = |zone: proto::Zone| proto::OverrideRequest {
        zone: zone.into(),
        ttl_seconds: Some(60),
        reason: "a test\nof lines".to_owned(),
    };
    for round in 1..=10 {
        alice.hold(hold(proto::Zone::Red)).await.unwrap();
        let error = bob.hold(hold(proto::Zone::Green)).await.unwrap_err();
        assert!(matches!(error, ClientError::Denied(_)), "{error}");
        let kept = traffic.request(Signal::Logs, 1);
        client.send(&kept).await.unwrap();
        alice.hold(hold(proto::Zone::Green)).await.unwrap();
        let delivered = traffic.request(Signal::Logs, 1);
        client.send(&delivered).await.unwrap();
        assert_eq!(port.backend.has(&kept.fingerprint), 0);
        assert_eq!(port.backend.has(&delivered.fingerprint), 1);
        let expected =
            Books::of(&[("received", 2 * round), ("delivered", round), ("vaulted", round)]);
        assert_eq!(port.process.metrics().await.books("logs"), expected);
    }
    let changes = audit_lines(port.site.dir(), "change");
    assert_eq!(changes.len(), 20);
    let first = &changes[0];
    assert_eq!(first["who"], "cn alice");
    assert!(first["from"].as_str().unwrap().starts_with("127.0.0.1:"), "{first}");
    assert_eq!((&first["role"], &first["action"]), (&"operator".into(), &"Override".into()));
    assert_eq!(first["detail"], "zone=red ttl=60s");
    assert_eq!(first["reason"], "a test\nof lines");
    assert_eq!(first["outcome"], "zone red");
    assert!(first["time"].as_str().unwrap().ends_with('Z'), "{first}");
}

/// Scenario: a reload gives the rules other names while both clients are connected, then closes the port.
/// Guarantees: the rules count from the next request, on open connections too; without `control.listen`
/// nobody is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_changes_roles_at_once_and_closes_the_port() {
    let port = Port::start("").await;
    let (alice, bob) = (port.connect("alice").await.unwrap(), port.connect("bob").await.unwrap());
    assert_eq!(call(&alice, "Override").await, Code::Ok);
    assert_eq!(call(&bob, "Override").await, Code::PermissionDenied);
    port.site.configure(&yaml(port.address, "", "[{ role: operator, cn: bob }]"));
    port.process.signal(ProcessSignal::HUP);
    port.process.logged(SOON, &["Reloaded the configuration."]).await;
    assert_eq!(call(&alice, "Override").await, Code::PermissionDenied);
    assert_eq!(call(&bob, "Override").await, Code::Ok);

    let text = yaml(port.address, "", "[]");
    let text = text.split("control:").next().unwrap();
    port.site.configure(text);
    port.process.signal(ProcessSignal::HUP);
    let is_closed = || std::net::TcpStream::connect(port.address).is_err();
    eventually(SOON, "the port is closed", is_closed).await;
    assert!(port.process.control(&["status"]).status.success());
}

/// Scenario: a viewer asks the health service and both versions of reflection.
/// Guarantees: the process is serving, another service is not known, and the methods are described.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_reflection_stand_beside_the_service() {
    let port = Port::start("").await;
    let bob = port.connect("bob").await.unwrap();
    let mut health = HealthClient::new(bob.channel());
    for service in ["", SERVICE] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
    let request = HealthCheckRequest { service: "another".to_owned() };
    assert_eq!(health.check(request).await.unwrap_err().code(), Code::NotFound);

    let asked = SERVICE.to_owned();
    let message_request =
        v1::server_reflection_request::MessageRequest::FileContainingSymbol(asked.clone());
    let request =
        v1::ServerReflectionRequest { host: String::new(), message_request: Some(message_request) };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(bob.channel());
    let request = futures_util::stream::iter([request]);
    let mut answers = client.server_reflection_info(request).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    assert!(format!("{answer:?}").contains("FileDescriptorResponse"), "{answer:?}");

    let message_request =
        v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(asked);
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message_request),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(bob.channel());
    let request = futures_util::stream::iter([request]);
    let mut answers = client.server_reflection_info(request).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    assert!(format!("{answer:?}").contains("FileDescriptorResponse"), "{answer:?}");
}

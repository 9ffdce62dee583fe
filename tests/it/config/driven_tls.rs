//! Examples with certificates: each end of a connection is a process of its own.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use gophership_otlp::Signal;

use super::driven::example;
use super::driven::site;
use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually;
use crate::harness::free_address;
use crate::harness::gs_ctl;
use crate::tls::Authority;

const SOON: Duration = Duration::from_secs(30);

/// What speaks TLS in front of a backend that does not.
const FRONT: &str = r#"
sources:
  otlp:
    type: otlp
    grpc: { listen: "$GRPC", tls: { cert: $DIR/server.pem, key: $DIR/server.key $CLIENTS } }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
"#;

/// What has a certificate and sends to a gateway.
const SENDER: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" } }
sinks:
  gateway:
    type: otlp
    inputs: [otlp]
    endpoint: "https://$BACKEND"
    tls: { ca: $DIR/ca.pem, cert: $DIR/client.pem, key: $DIR/client.key }
"#;

/// A site in front of a backend, with what `authority` vouches for.
fn front(authority: &Authority, backend: &Backend, yaml: &str) -> Site {
    let site = Site::new(backend.address(), yaml);
    authority.issue(site.dir(), "server");
    authority.write(site.dir(), "ca.pem");
    site
}

/// The certificates that an example names.
fn certificates(authority: &Authority, dir: &Path) {
    for name in ["server", "client"] {
        authority.issue(dir, name);
    }
    for name in ["clients.pem", "backend-ca.pem"] {
        authority.write(dir, name);
    }
    fs::write(dir.join("token"), "a token\n").unwrap();
}

fn tls_dir(site: &Site) -> (&'static str, String) {
    ("TLS_DIR", site.dir().display().to_string())
}

/// Sends a request of each signal, and waits until the backend has them.
async fn drive(entry: &Site, backend: &Backend) {
    let (client, traffic) = (GrpcClient::new(entry.grpc()), Traffic::default());
    for signal in Signal::ALL {
        let request = traffic.request(signal, 3);
        client.send(&request).await.unwrap();
        eventually(SOON, "it arrives", || backend.has(&request.fingerprint) == 1).await;
    }
}

/// Scenario: a sender with a certificate, the example, and a backend that asks for certificates too.
/// Guarantees: every signal arrives as it was sent, and the metrics show when the certificates expire.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_takes_and_sends_over_mutual_tls() {
    let (authority, backend) = (Authority::new(), Backend::start().await);
    let behind =
        front(&authority, &backend, &FRONT.replace("$CLIENTS", ", client_ca: $DIR/ca.pem"));
    let _behind = behind.start().await;
    let mut gateway = site(&example("gateway-tls.yaml"), &backend);
    certificates(&authority, gateway.dir());
    gateway.env = vec![tls_dir(&gateway), ("BACKEND", format!("https://{}", behind.grpc()))];
    let mut process = gateway.start().await;
    let sender = Site::new(gateway.grpc(), SENDER);
    authority.issue(sender.dir(), "client");
    authority.write(sender.dir(), "ca.pem");
    let _sender = sender.start().await;
    drive(&sender, &backend).await;

    let metrics = process.metrics().await;
    for (component, option) in
        [("otlp", "grpc.tls.cert"), ("otlp", "http.tls.cert"), ("backend", "tls.cert")]
    {
        let labels = [("component", component), ("option", option)];
        let expires = metrics.sum("gophership_certificate_expiry_timestamp_seconds", &labels);
        // The certificates of the tests expire in the year 4096.
        assert_eq!(expires, 67_090_118_400, "{component} {option}");
    }
    process.stop(SOON).await;
}

/// Scenario: the first backend of the example is not there; the second speaks TLS.
/// Guarantees: the second gets everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_region_takes_over() {
    let (authority, backend) = (Authority::new(), Backend::start().await);
    let second = front(&authority, &backend, &FRONT.replace("$CLIENTS", ""));
    let _second = second.start().await;
    let mut failover = site(&example("failover.yaml"), &backend);
    certificates(&authority, failover.dir());
    failover.env = vec![
        tls_dir(&failover),
        ("FIRST", format!("https://{}", free_address())),
        ("SECOND", format!("https://{}", second.grpc())),
    ];
    let mut process = failover.start().await;
    drive(&failover, &backend).await;
    process.stop(SOON).await;
}

/// Runs `gs-ctl` against a control port, as somebody.
fn ask(process: &Process, dir: &Path, endpoint: &str, who: &str, words: &[&str]) -> (i32, String) {
    let _lives = process.id();
    let file = |name: &str| dir.join(name).display().to_string();
    let output = Command::new(gs_ctl())
        .args(["--endpoint", endpoint, "--ca", &file("ca.pem")])
        .args(["--cert", &file(&format!("{who}.pem")), "--key", &file(&format!("{who}.key"))])
        .args(words)
        .output()
        .unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Scenario: the example for operators on other hosts, with certificates that `gs-ctl certs init` made.
/// Guarantees: data passes; an operator may hold a zone, anybody else with a certificate may only look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_manage_it_from_elsewhere() {
    let backend = Backend::start().await;
    let port = free_address();
    let text = example("managed.yaml").replace("127.0.0.1:9092", &port.to_string());
    let mut managed = site(&text, &backend);
    let dir = managed.dir().join("tls");
    let made = Command::new(gs_ctl())
        .args(["certs", "init", "--dir", &dir.display().to_string()])
        .args(["--host", "127.0.0.1", "--client", "operator", "--client", "guest"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    managed.env = vec![
        ("TLS_DIR", dir.display().to_string()),
        ("BACKEND", format!("http://{}", backend.address())),
    ];
    let mut process = managed.start().await;
    drive(&managed, &backend).await;
    let endpoint = port.to_string();
    let (code, said) = ask(&process, &dir, &endpoint, "guest", &["status"]);
    assert_eq!(code, 0, "{said}");
    let hold = ["override", "--zone", "red", "--ttl", "1m"];
    assert_eq!(ask(&process, &dir, &endpoint, "guest", &hold).0, 77);
    assert_eq!(ask(&process, &dir, &endpoint, "operator", &hold).0, 0);
    let labels = [("component", "control"), ("option", "tls.cert")];
    let is_shown = |metrics: &crate::harness::Metrics| {
        0 < metrics.sum("gophership_certificate_expiry_timestamp_seconds", &labels)
    };
    process.measured(SOON, "the certificate of the port is shown", is_shown).await;
    process.stop(SOON).await;
}

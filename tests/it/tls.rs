//! TLS between a sidecar and a gateway: mutual, over both protocols, and what a wrong certificate costs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use gophership_otlp::Signal;
use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use rustix::process::Signal as ProcessSignal;

use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::NumberedRequest;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually;

const SOON: Duration = Duration::from_secs(20);

/// The one that others send to: it asks for a certificate.
const GATEWAY: &str = r#"
sources:
  otlp:
    type: otlp
    grpc: { listen: "$GRPC", tls: { cert: $DIR/server.pem, key: $DIR/server.key, client_ca: $DIR/ca.pem } }
    http: { listen: "$HTTP", tls: { cert: $DIR/server.pem, key: $DIR/server.key, client_ca: $DIR/ca.pem } }
    pivot: vault
  replay: { type: vault_replay, vault: vault }
sinks:
  backend: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

/// The one beside the application.
const SIDECAR: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault, patience: 300ms }
  replay: { type: vault_replay, vault: vault }
sinks:
  gateway: { type: otlp, inputs: [otlp, replay], protocol: $PROTOCOL, endpoint: "https://$BACKEND", tls: $TLS }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

const MUTUAL: &str = "{ ca: $DIR/ca.pem, cert: $DIR/client.pem, key: $DIR/client.key }";

/// An authority, and what it vouches for.
pub(crate) struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self(Issuer::new(params, key), pem)
    }

    /// Writes a certificate for loopback and its key.
    pub(crate) fn issue(&self, dir: &Path, name: &str) {
        self.issue_for(dir, name, "127.0.0.1");
    }

    /// Writes a certificate for a host and its key.
    pub(crate) fn issue_for(&self, dir: &Path, name: &str, host: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        let pem = params.signed_by(&key, &self.0).unwrap().pem();
        fs::write(dir.join(format!("{name}.pem")), pem).unwrap();
        fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// Writes its own certificate.
    pub(crate) fn write(&self, dir: &Path, name: &str) {
        fs::write(dir.join(name), &self.1).unwrap();
    }
}

/// A sidecar, a gateway, a backend.
struct Chain {
    backend: Backend,
    sidecar: Process,
    site: Site,
    protocol: &'static str,
    traffic: Traffic,
    sent: Vec<NumberedRequest>,
    _gateway: (Process, Site),
}

impl Chain {
    async fn start(protocol: &'static str, tls: &str) -> Self {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let backend = Backend::start().await;
        let gateway = Site::new(backend.address(), GATEWAY);
        authority.issue(gateway.dir(), "server");
        authority.write(gateway.dir(), "ca.pem");
        let gateway = (gateway.start().await, gateway);
        let address = if protocol == "grpc" { gateway.1.grpc() } else { gateway.1.http() };
        let site = Site::new(address, &sidecar(protocol, tls));
        authority.issue(site.dir(), "client");
        authority.write(site.dir(), "ca.pem");
        stranger.issue(site.dir(), "stranger");
        stranger.write(site.dir(), "stranger-ca.pem");
        let (sidecar, traffic) = (site.start().await, Traffic::default());
        Self { backend, sidecar, site, protocol, traffic, sent: Vec::new(), _gateway: gateway }
    }

    /// Sends a request of each signal; each is acknowledged.
    async fn send(&mut self) {
        let client = GrpcClient::new(self.site.grpc());
        for signal in Signal::ALL {
            let parcel = self.traffic.request(signal, 3);
            client.send(&parcel).await.unwrap();
            self.sent.push(parcel);
        }
    }

    /// Reads its configuration anew, with this TLS.
    async fn reload(&self, tls: &str) {
        self.site.configure(&sidecar(self.protocol, tls));
        self.sidecar.signal(ProcessSignal::HUP);
        self.sidecar.logged(SOON, &["Reloaded the configuration."]).await;
    }

    /// All that was sent arrives, once each, with the bytes that were sent.
    async fn arrives(&self) {
        let has = |parcel: &NumberedRequest| self.backend.has(&parcel.fingerprint) == 1;
        eventually(SOON, "all arrives once", || self.sent.iter().all(has)).await;
    }
}

fn sidecar(protocol: &str, tls: &str) -> String {
    SIDECAR.replace("$PROTOCOL", protocol).replace("$TLS", tls)
}

/// Scenario: a sidecar sends to a gateway that asks for certificates, over each protocol.
/// Guarantees: every signal arrives as it was sent, and nothing had to wait in a vault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutual_tls_carries_every_signal_over_both_protocols() {
    for protocol in ["grpc", "http"] {
        let mut chain = Chain::start(protocol, MUTUAL).await;
        chain.send().await;
        chain.arrives().await;
        let is_empty =
            |metrics: &Metrics| metrics.sum("gophership_vault_backlog_requests", &[]) == 0;
        chain.sidecar.measured(SOON, &format!("the vault is empty, {protocol}"), is_empty).await;
    }
}

/// Scenario: the sidecar trusts another authority, shows no certificate, or a stranger's; then the
/// configuration is put right.
/// Guarantees: senders have their OK meanwhile, the log says what is wrong with the certificates, no
/// byte reaches the gateway's backend, and after the reload everything arrives once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_certificate_is_told_and_costs_nothing() {
    for (protocol, tls, said) in [
        ("grpc", "{ ca: $DIR/stranger-ca.pem }", "invalid peer certificate"),
        ("grpc", "{ ca: $DIR/ca.pem }", "CertificateRequired"),
        (
            "grpc",
            "{ ca: $DIR/ca.pem, cert: $DIR/stranger.pem, key: $DIR/stranger.key }",
            "received fatal alert",
        ),
        ("http", "{ ca: $DIR/stranger-ca.pem }", "invalid peer certificate"),
        ("http", "{ ca: $DIR/ca.pem }", "CertificateRequired"),
    ] {
        let mut chain = Chain::start(protocol, tls).await;
        chain.send().await;
        chain.sidecar.logged(SOON, &["gateway", said]).await;
        assert_eq!(chain.backend.attempts(), 0, "{protocol} {tls}");
        chain.reload(MUTUAL).await;
        chain.arrives().await;
    }
}

/// Scenario: the certificate of a sidecar is replaced by a stranger's, its authority by a broken file, and
/// both by the right ones again; nobody sends a signal, and nobody changes the configuration.
/// Guarantees: GopherShip uses what is in the files, a broken one changes nothing and is told once, and
/// everything arrives once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewed_certificates_are_used_without_a_signal() {
    const CHANGED: &str = "Files of the configuration changed; GopherShip reloads it.";
    let mut chain = Chain::start("grpc", MUTUAL).await;
    chain.send().await;
    chain.arrives().await;
    let dir = chain.site.dir().to_owned();
    let copy = |from: &str, to: &str| {
        fs::copy(dir.join(from), dir.join(to)).unwrap();
    };
    for file in ["client.pem", "client.key", "ca.pem"] {
        copy(file, &format!("right-{file}"));
    }
    for kind in ["pem", "key"] {
        copy(&format!("stranger.{kind}"), &format!("client.{kind}"));
    }
    chain.sidecar.logged(SOON, &[CHANGED]).await;
    chain.sidecar.logged(SOON, &["Reloaded the configuration."]).await;
    chain.send().await;
    chain.sidecar.logged(SOON, &["gateway", "received fatal alert"]).await;

    fs::write(dir.join("ca.pem"), "broken").unwrap();
    chain.sidecar.logged(SOON, &["Cannot reload the configuration", "ca.pem"]).await;
    for file in ["client.pem", "client.key", "ca.pem"] {
        copy(&format!("right-{file}"), file);
    }
    chain.arrives().await;
    assert_eq!(chain.sidecar.count_in_log("Cannot reload the configuration"), 1);
}

//! Old TLS, plain text to a TLS port, certificates that are not good, and sockets that are not ours.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use gophership_otlp::Signal;
use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use rcgen::date_time_ymd;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;

use super::SOON;
use super::raw;
use crate::harness::Backend;
use crate::harness::Process;
use crate::harness::Site;

const YAML: &str = r#"
sources:
  otlp:
    type: otlp
    grpc: { listen: "$GRPC", tls: { cert: $DIR/server.pem, key: $DIR/server.key } }
    http: { listen: "$HTTP", tls: { cert: $DIR/server.pem, key: $DIR/server.key, client_ca: $DIR/ca.pem } }
    connection: { handshake_timeout: 1s }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
"#;

/// Makes certificates.
struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self(Issuer::new(params, key), pem)
    }

    /// Writes a certificate for loopback and its key.
    fn issue(&self, dir: &Path, name: &str, change: impl Fn(&mut CertificateParams)) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        change(&mut params);
        let pem = params.signed_by(&key, &self.0).unwrap().pem();
        fs::write(dir.join(format!("{name}.pem")), pem).unwrap();
        fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

async fn start() -> (Backend, Site, Process) {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), YAML);
    let (authority, stranger) = (Authority::new(), Authority::new());
    let dir = site.dir();
    fs::write(dir.join("ca.pem"), &authority.1).unwrap();
    authority.issue(dir, "server", |_| {});
    authority.issue(dir, "good", |_| {});
    authority.issue(dir, "expired", |params| {
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
    });
    authority.issue(dir, "future", |params| {
        params.not_before = date_time_ymd(4000, 1, 1);
        params.not_after = date_time_ymd(4001, 1, 1);
    });
    authority.issue(dir, "server-only", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    stranger.issue(dir, "stranger", |_| {});
    let process = site.start().await;
    (backend, site, process)
}

/// The first message of a client that speaks no newer version than this.
fn client_hello(version: u8) -> Vec<u8> {
    let mut body = vec![3, version];
    body.extend([7; 32]);
    body.extend([0, 0, 4, 0xc0, 0x2f, 0xc0, 0x30, 1, 0]);
    // Its signature algorithms and groups.
    body.extend([0, 16, 0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 29]);
    let len = u8::try_from(body.len()).unwrap();
    let hello = [&[1, 0, 0, len], &body[..]].concat();
    [&[0x16, 3, version.min(1), 0, len + 4], &hello[..]].concat()
}

/// Posts a request over TLS with a client certificate; none if the connection is refused.
async fn post(site: &Site, certificate: Option<&str>) -> Option<String> {
    let dir = site.dir();
    let mut roots = RootCertStore::empty();
    let pem = |name: &str| CertificateDer::from_pem_file(dir.join(name)).unwrap();
    roots.add(pem("ca.pem")).unwrap();
    let builder =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
    let config = match certificate {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let key = PrivateKeyDer::from_pem_file(dir.join(format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(vec![pem(&format!("{name}.pem"))], key).unwrap()
        }
    };
    let stream = raw::connect(site.http()).await;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    let request = "POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n\
                   Content-Length: 0\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    let _end = stream.read_to_end(&mut answer).await;
    Some(String::from_utf8_lossy(&answer).into_owned()).filter(|answer| !answer.is_empty())
}

/// Scenario: TLS 1.2, 1.1, 1.0 and SSL 3, HTTP/2 in plain text and junk come to a TLS port.
/// Guarantees: each is refused in the handshake, TLS 1.2 with the alert for its version, and no request
/// comes of it; a client with TLS 1.3 is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_versions_and_plain_text_are_refused_in_the_handshake() {
    let (backend, site, process) = start().await;
    let export = raw::frame(raw::HEADERS, raw::END_HEADERS, 1, &raw::export());
    let plain = [raw::hello(), export].concat();
    for said in
        [client_hello(3), client_hello(2), client_hello(1), client_hello(0), plain, vec![0; 99]]
    {
        for address in [site.grpc(), site.http()] {
            let mut stream = raw::send(address, &said).await;
            let answer = raw::read_to_end(&mut stream, SOON).await.expect("the connection ends");
            assert!(answer.first().is_none_or(|kind| *kind == 0x15), "an alert: {answer:?}");
            if said == client_hello(3) {
                assert_eq!(answer[5..], [2, 70], "the version is not supported");
            }
        }
    }
    assert!(post(&site, Some("good")).await.unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(backend.attempts(), 0);
    let name = "gophership_listener_connections_closed_total";
    assert!(6 <= process.metrics().await.sum(name, &[("cause", "tls")]));
    let books = process.metrics().await.books(Signal::Logs.name());
    assert_eq!(books.imbalance(), 0);
}

/// Scenario: a port that asks for certificates gets none, and those that are expired, not yet valid, for
/// servers only, and of another authority.
/// Guarantees: each is refused; a good one is served before and afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_good_is_refused() {
    let (_backend, site, _process) = start().await;
    assert!(post(&site, Some("good")).await.is_some());
    for bad in [None, Some("expired"), Some("future"), Some("server-only"), Some("stranger")] {
        assert_eq!(post(&site, bad).await, None, "{bad:?}");
    }
    assert!(post(&site, Some("good")).await.unwrap().starts_with("HTTP/1.1 200"));
}

/// Scenario: where the control socket is to be, there is a symbolic link to a file, and one to a socket of
/// somebody else.
/// Guarantees: the process does not start, and follows neither; what they point to is as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_in_place_of_the_control_socket_is_not_followed() {
    let backend = Backend::start().await;
    let yaml = "sources: { otlp: { type: otlp, grpc: { listen: \"$GRPC\" } } }\n\
                sinks: { backend: { type: otlp, inputs: [otlp], endpoint: \"http://$BACKEND\" } }\n";
    for is_socket in [false, true] {
        let site = Site::new(backend.address(), yaml);
        let target = site.dir().join("target");
        let _socket = is_socket.then(|| std::os::unix::net::UnixListener::bind(&target).unwrap());
        if !is_socket {
            fs::write(&target, "precious").unwrap();
        }
        fs::create_dir_all(site.socket().parent().unwrap()).unwrap();
        symlink(&target, site.socket()).unwrap();
        let ended = Command::new(env!("CARGO_BIN_EXE_gophership"))
            .arg("--config")
            .arg(site.config())
            .output()
            .unwrap();
        assert_eq!(ended.status.code(), Some(74), "{ended:?}");
        assert!(fs::symlink_metadata(&target).is_ok());
        assert!(fs::symlink_metadata(site.socket()).unwrap().is_symlink(), "it is left alone");
        if !is_socket {
            assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        }
    }
}

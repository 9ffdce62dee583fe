//! Whoever has no valid certificate is refused, and the audit log says so; whoever has one is let in.

use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;

use gophership_control::ClientError;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::SerialNumber;
use rcgen::date_time_ymd;
use rustls::ClientConfig;
use rustls::ClientConnection;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::authority::Authority;
use super::port::Port;
use super::port::SOON;
use crate::harness::audit_lines;
use crate::harness::eventually;

/// The alert for a protocol version that is not spoken, after its record header.
const PROTOCOL_VERSION: [u8; 7] = [21, 3, 3, 0, 2, 2, 70];

/// The first message of a client that speaks TLS 1.2 at most.
fn hello_of_tls_1_2() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    // No session, two suites of 1.2, no compression.
    body.extend([0, 0, 4, 0xc0, 0x2f, 0xc0, 0x30, 1, 0]);
    // Groups and signature schemes.
    body.extend([0, 22, 0, 10, 0, 4, 0, 2, 0, 29, 0, 13, 0, 10, 0, 8, 8, 4, 4, 1, 4, 3, 8, 7]);
    let len = u16::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 1];
    record.extend((len + 4).to_be_bytes());
    record.extend([1, 0]);
    record.extend(len.to_be_bytes());
    record.extend(body);
    record
}

/// Sends bytes and returns everything that comes back.
fn answer_to(port: &Port, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(port.address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// Shakes hands without a certificate, and returns what the server says to that.
fn without_certificate(port: &Port) -> String {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(port.site.dir().join("ca.pem")).unwrap();
    roots.add(ca).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "127.0.0.1".try_into().unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect(port.address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut tls = rustls::Stream::new(&mut connection, &mut stream);
    tls.read(&mut [0; 16]).unwrap_err().to_string()
}

/// Waits until a refusal says so, and that it came from loopback.
async fn is_audited(port: &Port, words: &str) {
    let is_said = || {
        let lines = audit_lines(port.site.dir(), "refusal");
        lines.iter().any(|line| {
            line["outcome"].as_str().unwrap().contains(words)
                && line["from"].as_str().unwrap().starts_with("127.0.0.1:")
                && line["action"] == "connect"
        })
    };
    eventually(SOON, &format!("the audit log says {words:?}"), is_said).await;
}

/// Scenario: clients with no certificate, one of another authority, one that is over, not yet valid,
/// revoked, or for servers; TLS 1.2, plain HTTP/2 and garbage; then a right one.
/// Guarantees: each is refused in the handshake, not a byte of an answer is sent, the audit log has a line
/// with the cause, and the right one is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_valid_certificate_is_let_in_and_every_refusal_is_audited() {
    let port = Port::start(", crl: $DIR/crl.pem").await;
    let (dir, authority) = (port.site.dir(), &port.authority);
    Authority::new("another CA").client(dir, "stranger", |_| {});
    authority.client(dir, "over", |it| it.not_after = date_time_ymd(2024, 1, 1));
    authority.client(dir, "early", |it| it.not_before = date_time_ymd(2124, 1, 1));
    authority.client(dir, "revoked", |it| it.serial_number = Some(SerialNumber::from(77)));
    authority.client(dir, "server-only", |it| {
        it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    for (name, words) in [
        ("stranger", "invalid peer certificate"),
        ("over", "expired"),
        ("early", "not valid yet"),
        ("revoked", "Revoked"),
        ("server-only", "usage"),
    ] {
        let error = port.connect(name).await.map(|_| ()).unwrap_err();
        let is_forbidden = matches!(error, ClientError::Forbidden { .. });
        assert!(
            is_forbidden && error.to_string().contains("refused the client"),
            "{name}: {error}"
        );
        is_audited(&port, words).await;
    }
    let said = without_certificate(&port);
    assert!(said.contains("CertificateRequired"), "{said}");
    is_audited(&port, "peer sent no certificates").await;
    assert_eq!(answer_to(&port, &hello_of_tls_1_2()), PROTOCOL_VERSION);
    is_audited(&port, "peer is incompatible").await;
    for garbage in [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0; 600]] {
        let answer = answer_to(&port, garbage);
        assert!(answer.len() <= PROTOCOL_VERSION.len(), "{answer:?}");
    }
    is_audited(&port, "corrupt").await;
    assert!(audit_lines(dir, "change").is_empty());

    let status = port.connect("bob").await.unwrap().status().await.unwrap();
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    let log = fs::read_to_string(dir.join("data/audit.log")).unwrap();
    assert!(!log.contains("bob"), "{log}");
    assert_eq!(port.process.count_in_log("panic"), 0);
}

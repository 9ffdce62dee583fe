//! Refusals that come before a request is sent, and connections that stay.

use tokio::io::AsyncWriteExt;

use super::SOON;
use super::Scene;
use super::raw;

const LARGE: usize = 8 << 20;

/// A request in one chunk.
const CHUNKED: &[u8] = b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                         Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";

/// Scenario: a client sends requests in chunks, one after the other.
/// Guarantees: each is answered on the same connection, which is not closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunked_requests_keep_their_connection() {
    let scene = Scene::new(10).await;
    let mut stream = raw::connect(scene.site.http()).await;
    for _ in 0..3 {
        stream.write_all(CHUNKED).await.unwrap();
        let answer = raw::read_answer(&mut stream).await;
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
    }
}

/// Scenario: a client sends 8 MiB with an unknown path, method, content type, or more than is allowed, and
/// reads nothing before it has sent all of it.
/// Guarantees: it gets rid of its request and then sees the answer, and the connection stays; what is over
/// the limit of what is thrown away is told as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_still_sends_sees_why_it_was_refused() {
    let yaml = super::YAML.replace("$CONNECTIONS", "10");
    let limited =
        yaml.replace("read_idle_timeout: 2s", "read_idle_timeout: 2s\n    message_size_max: 1MiB");
    let scene = Scene::with(&limited).await;
    for (line, kind, len, status) in [
        ("POST /nowhere", "application/json", LARGE, 404),
        ("PUT /v1/logs", "application/json", LARGE, 405),
        ("POST /v1/logs", "text/csv", LARGE, 415),
        ("POST /v1/logs", "application/json", LARGE, 413),
        ("POST /nowhere", "application/json", 9 * LARGE, 404),
    ] {
        let mut stream = raw::connect(scene.site.http()).await;
        let head = format!(
            "{line} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\n\r\n"
        );
        let sending = async {
            stream.write_all(head.as_bytes()).await?;
            let piece = vec![b' '; 64 << 10];
            for _ in 0..len / piece.len() {
                stream.write_all(&piece).await?;
            }
            Ok::<_, std::io::Error>(())
        };
        let sent = tokio::time::timeout(SOON, sending).await.expect("it is taken");
        // More than is thrown away may be cut off in the end.
        assert!(sent.is_ok() || LARGE < len, "{line}: {sent:?}");
        if sent.is_ok() {
            let answer = raw::read_answer(&mut stream).await;
            assert!(answer.starts_with(&format!("http/1.1 {status}")), "{answer}");
            if len == LARGE {
                stream.write_all(CHUNKED).await.unwrap();
                let answer = raw::read_answer(&mut stream).await;
                assert!(answer.starts_with("http/1.1 200"), "{answer}");
            }
        }
    }
}

/// Scenario: a client asks for leave to send (`Expect: 100-continue`) what is refused.
/// Guarantees: it is refused without leave, at once, and the connection ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_for_leave_is_refused_without_it() {
    let scene = Scene::new(10).await;
    let head = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\
                 Expect: 100-continue\r\n\r\n";
    let mut stream = raw::send(scene.site.http(), head).await;
    let answer = raw::read_answer(&mut stream).await;
    assert!(answer.starts_with("http/1.1 404"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(raw::read_to_end(&mut stream, SOON).await.is_some());
}

//! The ways of the `otlp` sink to its backend: through proxies, over TLS of other kinds, as JSON, and with
//! headers that a sender set.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use gophership_otlp::Signal;
use rustix::process::Signal as ProcessSignal;
use rustls::ServerConfig;
use rustls::SupportedProtocolVersion;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Mode;
use crate::harness::NumberedRequest;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually;
use crate::tls::Authority;

const SOON: Duration = Duration::from_secs(20);

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, keep_headers: [x-tenant], pivot: vault, patience: 300ms }
sinks:
  backend: { type: otlp, inputs: [otlp], $OPTIONS }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

fn yaml(options: &str) -> String {
    YAML.replace("$OPTIONS", options)
}

/// A task that ends with its test.
struct Peer {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    /// The heads of the requests that came.
    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// An HTTP proxy through which every host is the backend; it wants a password if there is one.
    async fn proxy(backend: SocketAddr, authorization: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, heads) =
            (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let told = Arc::clone(&heads);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(proxied(stream, backend, authorization, Arc::clone(&told)));
            }
        });
        Self { address, heads, task }
    }

    /// Speaks TLS of one version in front of the backend, with the certificate `server` of the directory.
    async fn tls(
        backend: SocketAddr,
        dir: &Path,
        version: &'static SupportedProtocolVersion,
    ) -> Self {
        let certificate = CertificateDer::from_pem_file(dir.join("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(dir.join("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, heads) = (listener.local_addr().unwrap(), Arc::default());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut behind = TcpStream::connect(backend).await.unwrap();
                    let _ended = copy_bidirectional(&mut stream, &mut behind).await;
                });
            }
        });
        Self { address, heads, task }
    }
}

/// Serves a connection as a proxy: a tunnel, or one request after another with the whole address.
async fn proxied(
    stream: TcpStream,
    backend: SocketAddr,
    authorization: Option<&str>,
    heads: Arc<Mutex<Vec<String>>>,
) {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    heads.lock().unwrap().push(head.clone());
    let is_let_in = authorization.is_none_or(|wanted| {
        head.lines().any(|line| {
            line.to_ascii_lowercase().starts_with("proxy-authorization:") && line.ends_with(wanted)
        })
    });
    if !is_let_in {
        let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
        let _sent = stream.write_all(refusal.as_bytes()).await;
        return;
    }
    let mut behind = TcpStream::connect(backend).await.unwrap();
    if head.starts_with("CONNECT ") {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    } else {
        // Only the first request of a connection is looked at: tests send one.
        let (first, rest) = head.split_once("\r\n").unwrap();
        let mut words = first.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let uri: http::Uri = target.parse().unwrap();
        let path = uri.path();
        assert!(uri.host().is_some(), "the whole address: {first}");
        behind.write_all(format!("{method} {path} HTTP/1.1\r\n{rest}").as_bytes()).await.unwrap();
    }
    let _ended = copy_bidirectional(&mut stream, &mut behind).await;
}

/// Sends a request, which is acknowledged.
async fn send(site: &Site, traffic: &Traffic) -> NumberedRequest {
    let request = traffic.request(Signal::Logs, 3);
    GrpcClient::new(site.grpc()).send(&request).await.unwrap();
    request
}

async fn arrives(backend: &Backend, request: &NumberedRequest) {
    eventually(SOON, "the backend has it", || backend.has(&request.fingerprint) == 1).await;
}

/// Scenario: a backend whose name nobody knows is reached through a proxy: over gRPC, HTTP and `https`, by
/// the option and by the environment; with a wrong password; and one on loopback while the environment names
/// a proxy.
/// Guarantees: gRPC and `https` take a tunnel, plain HTTP the proxy itself; each request arrives; a refusal is
/// told with the proxy's name; loopback needs no proxy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_is_reached_through_a_proxy() {
    let traffic = Traffic::default();
    let backend = Backend::start().await;
    for (options, env, head) in [
        (
            "endpoint: 'http://backend.invalid:4317', proxy: 'http://$PROXY'",
            "",
            "CONNECT backend.invalid:4317",
        ),
        (
            "endpoint: 'http://backend.invalid', protocol: http, proxy: 'http://u:p@$PROXY'",
            "",
            "POST http://backend.invalid/v1/logs",
        ),
        ("endpoint: 'http://backend.invalid:4317'", "http_proxy", "CONNECT backend.invalid:4317"),
        ("endpoint: 'http://$BACKEND'", "http_proxy", ""),
    ] {
        let proxy =
            Peer::proxy(backend.address(), options.contains("u:p@").then_some("Basic dTpw")).await;
        let options = options.replace("$PROXY", &proxy.address.to_string());
        let mut site = Site::new(backend.address(), &yaml(&options));
        if !env.is_empty() {
            site.env.push(("http_proxy", format!("http://{}", proxy.address)));
        }
        let _process = site.start().await;
        arrives(&backend, &send(&site, &traffic).await).await;
        let heads = proxy.heads();
        if head.is_empty() {
            assert_eq!(heads, [""; 0], "loopback is reached straight");
        } else {
            assert!(!heads.is_empty() && heads.iter().all(|it| it.starts_with(head)), "{heads:?}");
        }
    }
    let proxy = Peer::proxy(backend.address(), Some("Basic dTpw")).await;
    let options = format!(
        "endpoint: 'http://backend.invalid:4317', proxy: 'http://u:hunter2@{}'",
        proxy.address
    );
    let site = Site::new(backend.address(), &yaml(&options));
    let process = site.start().await;
    send(&site, &traffic).await;
    process
        .logged(SOON, &["the proxy", &proxy.address.to_string(), "authorization required"])
        .await;
    assert!(!process.log().contains("hunter2"));
}

/// Scenario: backends whose certificate has another name than their address, is of nobody, or that speak
/// TLS 1.2 only, without and with the option for it; one of them through a proxy.
/// Guarantees: without the option nothing arrives; with it everything does; a sink that accepts any
/// certificate says so at the start, at each reload, in the metrics and in the status.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_of_other_kinds_is_an_option_each() {
    let traffic = Traffic::default();
    let (v12, v13) = (&rustls::version::TLS12, &rustls::version::TLS13);
    for (name, version, without, with) in [
        (
            "gateway.example.com",
            v13,
            "ca: $DIR/ca.pem",
            "ca: $DIR/ca.pem, server_name: gateway.example.com",
        ),
        ("127.0.0.1", v12, "ca: $DIR/ca.pem", "ca: $DIR/ca.pem, min_version: 1.2"),
        ("127.0.0.1", v13, "ca: $DIR/other.pem", "insecure_skip_verify: true"),
        ("127.0.0.1", v12, "ca: $DIR/other.pem", "insecure_skip_verify: true, min_version: '1.2'"),
    ] {
        let backend = Backend::start().await;
        let authority = Authority::new();
        let site = Site::new(backend.address(), "sources: {}");
        authority.issue_for(site.dir(), "server", name);
        authority.write(site.dir(), "ca.pem");
        Authority::new().write(site.dir(), "other.pem");
        let tls = Peer::tls(backend.address(), site.dir(), version).await;
        let options = |tls_options: &str| {
            yaml(&format!("endpoint: 'https://{}', tls: {{ {tls_options} }}", tls.address))
        };
        site.configure(&options(without));
        let process = site.start().await;
        let request = send(&site, &traffic).await;
        process.logged(SOON, &["Backend is out"]).await;
        assert_eq!(backend.attempts(), 0, "{without}");
        let unverified = [("sink", "backend")];
        let unverified = async |process: &Process| {
            process.metrics().await.sum("gophership_sink_tls_unverified", &unverified)
        };
        assert_eq!(unverified(&process).await, 0);
        site.configure(&options(with));
        process.signal(ProcessSignal::HUP);
        arrives(&backend, &request).await;
        let is_risky = i64::from(with.contains("insecure"));
        assert_eq!(unverified(&process).await, is_risky);
        let status = String::from_utf8(process.control(&["status"]).stdout).unwrap();
        assert_eq!(status.contains("insecure_skip_verify"), is_risky == 1, "{status}");
        let warnings = process.count_in_log("the sink accepts any certificate");
        assert_eq!(warnings, usize::from(is_risky == 1));
    }
}

/// Scenario: requests of each signal go to a backend as JSON.
/// Guarantees: it reads each record that was sent, and the request says that it is JSON.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_go_as_json_if_asked_for() {
    let (backend, traffic) = (Backend::start().await, Traffic::default());
    let options = "endpoint: 'http://$BACKEND', protocol: http, encoding: json, compression: gzip";
    let site = Site::new(backend.address(), &yaml(options));
    let _process = site.start().await;
    for signal in Signal::ALL {
        let request = traffic.request(signal, 3);
        GrpcClient::new(site.grpc()).send(&request).await.unwrap();
        // Not the same bytes: JSON has no order of fields.
        let has_all = || backend.records(signal).into_keys().eq(request.numbers.iter().copied());
        eventually(SOON, "the backend has its records", has_all).await;
        assert_eq!(backend.last_header("content-type").as_deref(), Some("application/json"));
    }
}

/// Scenario: two tenants send while the backend takes requests, and while it is out, over each protocol.
/// Guarantees: each request arrives with the header of its tenant, replayed or not, also where the sink has
/// a header of that name itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_header_of_a_tenant_is_sent_on() {
    for protocol in ["grpc", "http"] {
        let (backend, traffic) = (Backend::start().await, Traffic::default());
        let options = format!(
            "endpoint: 'http://$BACKEND', protocol: {protocol}, forward_headers: [x-tenant], \
             headers: {{ x-tenant: nobody }}, batch_max_bytes: 1MiB"
        );
        let site = Site::new(backend.address(), &yaml(&options));
        let _process = site.start().await;
        let sends = async |tenant: Option<&'static str>| {
            let client = GrpcClient::new(site.grpc());
            let client = match tenant {
                Some(tenant) => client.with("x-tenant", tenant),
                None => client,
            };
            let request = traffic.request(Signal::Logs, 1);
            client.send(&request).await.unwrap();
            request
        };
        for (tenant, expected) in [(Some("a"), "a"), (Some("b"), "b"), (None, "nobody")] {
            arrives(&backend, &sends(tenant).await).await;
            assert_eq!(backend.last_header("x-tenant").as_deref(), Some(expected), "{protocol}");
        }
        backend.set(Mode::Unavailable);
        let late = sends(Some("late")).await;
        backend.set(Mode::Accept);
        arrives(&backend, &late).await;
        assert_eq!(backend.last_header("x-tenant").as_deref(), Some("late"), "{protocol}");
    }
}

/// Scenario: a sink forwards a header that its source does not keep.
/// Guarantees: `validate` and the log of a start warn, with what to write; nothing else changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_that_is_forwarded_and_not_kept_is_told() {
    const WORDS: &str = "no source before this sink keeps the header \"x-team\"";
    let backend = Backend::start().await;
    let options = "endpoint: 'http://$BACKEND', forward_headers: [x-tenant, x-team]";
    let site = Site::new(backend.address(), &yaml(options));
    let mut validate = std::process::Command::new(env!("CARGO_BIN_EXE_gophership"));
    let output = validate.arg("validate").arg(site.config()).output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!((output.status.code(), text.matches("warning: ").count()), (Some(0), 1), "{text}");
    assert!(text.contains(WORDS) && text.contains("`keep_headers` of `otlp`"), "{text}");
    let process = site.start().await;
    process.logged(SOON, &["WARN", WORDS.split('"').next().unwrap(), "x-team"]).await;
    arrives(&backend, &send(&site, &Traffic::default()).await).await;
}

/// Answers every request with a refusal whose text would colour a terminal and forge a line of a log.
async fn refusing() -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, heads) = (listener.local_addr().unwrap(), Arc::default());
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let said = "\x1b[31mred\x1b[0m\r\nFORGED line\x07";
                let answer = format!(
                    "HTTP/1.1 401 Unauthorized\r\nContent-Type: text/plain\r\nConnection: close\r\n\
                     Content-Length: {}\r\n\r\n{said}",
                    said.len()
                );
                stream.readable().await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
                // What was sent is read, so that the answer is not lost with a reset.
                let _read = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            });
        }
    });
    Peer { address, heads, task }
}

/// Scenario: a backend refuses with escape sequences and line ends in its reason, and an operator gives such
/// a reason.
/// Guarantees: neither the log nor what `gs-ctl` prints has one of them; what was said can be read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_of_others_reach_no_terminal_as_they_are() {
    const REASON: &str = "\x1b]0;title\x07 night\nFORGED shift";
    let backend = refusing().await;
    let site = Site::new(backend.address, &yaml("endpoint: 'http://$BACKEND', protocol: http"));
    let process = site.start().await;
    send(&site, &Traffic::default()).await;
    process.logged(SOON, &["red", "FORGED line"]).await;
    for arguments in [
        &["override", "--zone", "yellow", "--reason", REASON][..],
        &["drain", "--yes", "--reason", REASON],
        &["drain", "--undo", "--reason", REASON],
    ] {
        let done = process.control(arguments);
        assert!(done.status.success(), "{done:?}");
    }
    process.logged(SOON, &["night", "FORGED shift"]).await;
    let status = process.control(&["status"]);
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("night"), "{status}");
    for text in [process.log(), status] {
        let is_bad = |letter: char| letter.is_control() && letter != '\n';
        assert!(!text.contains(is_bad), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("FORGED")), "{text}");
    }
}

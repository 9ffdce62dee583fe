//! Where secrets go: not out in plain text, and into no message.

use std::io::Read;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::process::Command;
use std::process::Output;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use gophership_otlp::Signal;

use crate::harness::GrpcClient;
use crate::harness::HttpClient;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually;
use crate::harness::free_address;
use crate::tool::tool;

const SOON: Duration = Duration::from_secs(20);
const TOKEN: &str = "hunter2-token";

/// Somebody who listens in plain text and keeps all that comes.
struct Eavesdropper {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Eavesdropper {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, heard) = (listener.local_addr().unwrap(), Arc::default());
        let shared = Arc::clone(&heard);
        // Ends with the test.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let heard: Arc<Mutex<Vec<u8>>> = Arc::clone(&shared);
                std::thread::spawn(move || {
                    let (mut stream, mut bytes) = (stream, [0; 4096]);
                    while let Ok(len @ 1..) = stream.read(&mut bytes) {
                        heard.lock().unwrap().extend(&bytes[..len]);
                    }
                });
            }
        });
        Self { address, heard }
    }

    fn has_heard_anything(&self) -> bool {
        !self.heard.lock().unwrap().is_empty()
    }

    fn has_heard(&self, text: &str) -> bool {
        let heard = self.heard.lock().unwrap();
        heard.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

const SENDER: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault, patience: 300ms }
sinks:
  backend:
    type: otlp
    inputs: [otlp]
    endpoint: "$ENDPOINT"
    bearer_token_file: "$DIR/token"
    protocol: $PROTOCOL
    tls: { ca: "$DIR/ca.pem" }
  vault: { type: raw_vault, max_size: 99MiB, segment_size: 1MiB }
"#;

/// Scenario: a sink with a token and a `tls` block, whose endpoint has no scheme, has `http`, or has
/// `https`, and a backend that speaks plain text.
/// Guarantees: the first two are mistakes that end the start; nothing but a TLS handshake is sent to the
/// third, and the token is never heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_never_sent_in_plain_text() {
    let authority =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    for (scheme, protocol) in
        [("", "grpc"), ("http://", "http"), ("https://", "grpc"), ("https://", "http")]
    {
        let backend = Eavesdropper::start();
        let yaml = SENDER.replace("$ENDPOINT", &format!("{scheme}$BACKEND"));
        let site = Site::new(backend.address, &yaml.replace("$PROTOCOL", protocol));
        std::fs::write(site.dir().join("token"), TOKEN).unwrap();
        std::fs::write(site.dir().join("ca.pem"), &authority).unwrap();
        let log = if scheme == "https://" {
            let mut process = site.start().await;
            let request = Traffic::default().request(Signal::Logs, 1);
            GrpcClient::new(site.grpc()).send(&request).await.unwrap();
            eventually(SOON, "the sink connects", || backend.has_heard_anything()).await;
            process.stop(SOON).await
        } else {
            let mut process = Process::spawn(&site);
            assert_eq!(process.exit(SOON).await.code(), Some(78), "{scheme}");
            process.log()
        };
        assert!(!backend.has_heard(TOKEN), "{scheme} {protocol}");
        assert!(!log.contains(TOKEN), "{log}");
    }
}

fn validate(yaml: &str) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gophership.yaml");
    std::fs::write(&path, yaml).unwrap();
    let program = Command::new(env!("CARGO_BIN_EXE_gophership"))
        .arg("validate")
        .arg(&path)
        .env("ENDPOINT", "http://user:hunter2@backend:4317")
        .output();
    let Output { status, stderr, .. } = program.unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

/// Scenario: `validate` reads endpoints with mistakes, credentials on loopback and elsewhere, and files
/// in which secrets stand beside mistakes.
/// Guarantees: each mistake is told at its place with what to write instead; on loopback it is a
/// warning; no secret is shown.
#[test]
fn validate_tells_what_would_be_exposed_and_shows_no_secret() {
    let sink = |options: &str| {
        validate(&format!(
            "sources: {{ a: {{ type: demo }} }}\nsinks:\n  b: {{ type: otlp, inputs: [a], {options} }}\n"
        ))
    };
    for (options, words) in [
        ("endpoint: 'backend:4317'", "write `https://backend:4317` or `http://backend:4317`"),
        ("endpoint: 'https://localhost:99999'", "a port that is not from 1 to 65535"),
        ("endpoint: 'http://b:4318/v1/logs', protocol: http", "write `http://b:4318`"),
        ("endpoint: 'http://user:hunter2@b'", "`endpoint` has a user name or a password"),
        ("endpoint: '${ENDPOINT}'", "`endpoint` has a user name or a password"),
        ("endpoint: 'http://b', headers: { authorization: 'Basic hunter2' }", "in plain text"),
        ("endpoint: 'https://b', headers: { authorization: hunter2 }, bad: 1", "unknown option"),
        ("endpoint: 'https://b', headers: Bearer-hunter2", "expected"),
        ("endpoint: 'https://b', headers: { authorization: hunter2-\"", "gophership.yaml"),
    ] {
        let (code, text) = sink(options);
        assert_eq!(code, Some(78), "{options}: {text}");
        assert!(text.contains(words), "{options}: {text}");
        assert!(text.contains(":3:") || text.contains(":4:"), "{options}: {text}");
        assert!(!text.contains("hunter2"), "{options}: {text}");
    }
    let (code, text) = sink("endpoint: 'http://[::1]:1', bearer_token_file: /dev/null");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("warning: `endpoint` begins with") && text.contains(":3:"), "{text}");
    let (code, text) = sink(
        "endpoint: 'http://b', bearer_token_file: /dev/null, allow_credentials_in_plain_text: true",
    );
    assert!(code == Some(0) && !text.contains("warning"), "{text}");
}

/// Scenario: `vault export` to endpoints with mistakes, with a credential or a certificate for plain
/// text.
/// Guarantees: it sends nothing, says what to write instead, and makes no directory of that name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_sends_no_credential_in_plain_text() {
    let site = Site::new(
        free_address(),
        &SENDER.replace("$ENDPOINT", "https://$BACKEND").replace("$PROTOCOL", "grpc"),
    );
    std::fs::write(site.dir().join("token"), TOKEN).unwrap();
    let ca = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    std::fs::write(site.dir().join("ca.pem"), &ca).unwrap();
    let mut process = site.start().await;
    let request = Traffic::default().request(Signal::Logs, 1);
    GrpcClient::new(site.grpc()).send(&request).await.unwrap();
    process.stop(SOON).await;
    let vault = site.dir().join("data/vault").display().to_string();
    let ca = site.dir().join("ca.pem").display().to_string();
    let header = "authorization=Bearer hunter2";
    for (arguments, words) in [
        (vec!["--to", "backend:4317"], "write `https://backend:4317`"),
        (vec!["--to", "http://a:b@backend:4317"], "has a user name or a password"),
        (vec!["--to", "http://backend.invalid:4317", "--ca", &ca], "`--ca` is for TLS"),
        (vec!["--to", "http://backend.invalid:4317", "--header", header], "in plain text"),
    ] {
        let output = tool(&[&["export"][..], &arguments, &[&vault]].concat());
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {text}");
        assert!(text.contains(words) && !text.contains("hunter2"), "{arguments:?}: {text}");
    }
}

const REDACTED: &str = r#"
sources:
  otlp: { type: otlp, http: { listen: "$HTTP" }, ack: journaled, pivot: vault }
transforms:
  hide: { type: redact, inputs: [otlp], patterns: [email] }
  quiet: { type: filter, inputs: [hide], drop: [{ attribute: noise, exists: true }] }
  joined: { type: batch, inputs: [quiet], timeout: 10ms }
sinks:
  backend: { type: otlp, inputs: [joined], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 99MiB, segment_size: 1MiB, replay: off }
"#;

/// Scenario: a vault with mail addresses, and a configuration whose `redact` takes them out, is exported
/// through the transforms, as it is, and by its path alone.
/// Guarantees: through them no address gets out, and nothing that is filtered; what goes past them is told
/// with their names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_tells_what_no_transform_saw_or_sends_it_through_them() {
    let site = Site::new(free_address(), REDACTED);
    let mut process = site.start().await;
    process.hold("red");
    let client = HttpClient::new(site.http());
    let attributes = r#"[{"key":"noise","value":{"stringValue":"x"}}]"#;
    for record in [
        r#"{"body":{"stringValue":"from jo@example.com"}}"#.to_owned(),
        format!(r#"{{"attributes":{attributes}}}"#),
    ] {
        let body = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}"#);
        let kind = [("content-type", "application/json")];
        assert_eq!(client.post("/v1/logs", &kind, body).await.status, 200);
    }
    process.stop(SOON).await;
    let vault = site.dir().join("data/vault").display().to_string();
    let config = site.config().display().to_string();
    let export = |name: &str, arguments: &[&str]| {
        let to = site.dir().join(name).display().to_string();
        let output = tool(&[&["export", "--to", &to][..], arguments].concat());
        let files = std::fs::read_dir(&to).into_iter().flatten();
        let lines = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        let text = String::from_utf8([output.stderr, output.stdout].concat()).unwrap();
        (output.status.code(), text, lines.collect::<String>())
    };

    let (code, text, lines) = export("a", &["--config", &config, "--through", "backend"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("as they were received"), "{text}");
    assert!(
        text.contains("1 request exported") && text.contains("1 request dropped by transforms"),
        "{text}"
    );
    assert!(lines.contains("from ****") && !lines.contains("example.com"), "{lines}");
    assert_eq!(lines.lines().count(), 1, "{lines}");

    let (code, text, lines) = export("b", &["--config", &config]);
    assert!(code == Some(0) && lines.contains("jo@example.com"), "{text} {lines}");
    assert_eq!(lines.lines().count(), 2, "{lines}");
    for words in
        ["warning: ", "as they were received", "`hide` (personal data", "`quiet`", "--through"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let (code, text, _) = export("c", &[&vault]);
    assert!(code == Some(0) && text.contains("note: ") && text.contains("--through"), "{text}");
    let (code, text, _) = export("d", &["--config", &config, "--through", "bakcend"]);
    assert!(code == Some(64) && text.contains("there are: backend"), "{text}");
}

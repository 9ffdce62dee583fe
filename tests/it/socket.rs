//! The control socket: its owner and root are heard, nobody else.

use std::fs;
use std::fs::Permissions;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::process::Output;
use std::time::Duration;

use rustix::process::Signal as ProcessSignal;

use crate::harness::Backend;
use crate::harness::Site;
use crate::harness::audit_lines;
use crate::harness::eventually;
use crate::harness::gs_ctl;
use crate::harness::report;

const SOON: Duration = Duration::from_secs(10);
/// `nobody`.
const SOMEBODY_ELSE: u32 = 65_534;
const SOCKET_OF_HELPER: &str = "GOPHERSHIP_TEST_SOCKET";
/// What an HTTP/2 client says first; a server answers with its settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" } }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
"#;

/// Talks to the socket and returns how many bytes came back, or why it could not.
fn bytes_answered(socket: &Path) -> Result<usize, ErrorKind> {
    let mut stream = UnixStream::connect(socket).map_err(|error| error.kind())?;
    stream.set_read_timeout(Some(SOON)).unwrap();
    // It may have hung up by now.
    let _hung_up = stream.write_all(PREFACE);
    let mut answer = [0; 9];
    let mut len = 0;
    while len < answer.len() {
        match stream.read(&mut answer[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => return Err(error.kind()),
        }
    }
    Ok(len)
}

/// Not a test of its own: what `a_peer_of_another_user_is_refused_before_it_is_answered` runs as
/// somebody else.
#[test]
fn helper_that_talks_to_the_socket() {
    let Some(socket) = std::env::var_os(SOCKET_OF_HELPER) else { return };
    report(&format!("<<{:?}>>", bytes_answered(Path::new(&socket))));
}

/// Runs this test binary's helper as another user, from a copy that everybody may execute.
fn talk_as_somebody_else(dir: &Path, socket: &Path) -> Output {
    let copy = dir.join("helper");
    if !copy.exists() {
        fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        fs::set_permissions(&copy, Permissions::from_mode(0o755)).unwrap();
    }
    Command::new(&copy)
        .args(["--exact", "socket::helper_that_talks_to_the_socket", "--nocapture"])
        .env(SOCKET_OF_HELPER, socket)
        .current_dir("/")
        .uid(SOMEBODY_ELSE)
        .gid(SOMEBODY_ELSE)
        .output()
        .unwrap()
}

/// Scenario: the socket as it is made.
/// Guarantees: mode 0600, in a directory of mode 0700; its owner is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_socket_is_for_its_owner() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), YAML);
    let process = site.start().await;
    let mode = fs::metadata(site.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    let mode = fs::metadata(site.dir().join("data")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "{mode:o}");
    assert_eq!(bytes_answered(&site.socket()), Ok(9));
    assert!(process.control(&["status"]).status.success());
}

/// Scenario: another user talks to the socket, first as it is, then with every file permission.
/// Guarantees: refused by the system, then by the check of the peer before a byte is answered, with a
/// line in the audit log that names the user; the owner is answered still; a rule lets the user in. Needs root to become another
/// user.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_of_another_user_is_refused_before_it_is_answered() {
    if !untested::can_run("it socket::a_peer_of_another_user_is_refused_before_it_is_answered") {
        return;
    }
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), YAML);
    let process = site.start().await;
    fs::set_permissions(site.dir(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(site.dir().join("data"), Permissions::from_mode(0o755)).unwrap();

    let output = talk_as_somebody_else(site.dir(), &site.socket());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("<<Err(PermissionDenied)>>"), "{output:?}");

    fs::set_permissions(site.socket(), Permissions::from_mode(0o666)).unwrap();
    let output = talk_as_somebody_else(site.dir(), &site.socket());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("<<Ok(0)>>"), "{output:?}");
    process.logged(SOON, &["WARN", "Audit: refusal.", "uid 65534", "the user has no role"]).await;
    assert_eq!(bytes_answered(&site.socket()), Ok(9));
    let refused = || audit_lines(site.dir(), "refusal");
    eventually(SOON, "the refusal is audited", || refused().len() == 1).await;
    let refused = refused();
    assert_eq!(refused[0]["who"], "uid 65534");
    assert!(refused[0]["from"].as_str().unwrap().starts_with("process "), "{refused:?}");

    site.configure(&format!("{YAML}\ncontrol: {{ roles: [{{ role: viewer, uid: 65534 }}] }}"));
    process.signal(ProcessSignal::HUP);
    process.logged(SOON, &["Reloaded the configuration."]).await;
    let mode = fs::metadata(site.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666, "{mode:o}");
    let output = talk_as_somebody_else(site.dir(), &site.socket());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("<<Ok(9)>>"), "{output:?}");
}

/// Scenario: a data directory whose path is longer than the address of a socket, with and without a socket
/// elsewhere.
/// Guarantees: the error names the option; with the option the process starts and is reached.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_is_too_long_is_told_and_the_socket_may_be_elsewhere() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), YAML);
    let text = fs::read_to_string(site.config()).unwrap();
    let long = site.dir().join("d".repeat(110)).display().to_string();
    let text = text.replace(&site.dir().join("data").display().to_string(), &long);
    fs::write(site.config(), &text).unwrap();
    let tried = Command::new(env!("CARGO_BIN_EXE_gophership"))
        .arg("--config")
        .arg(site.config())
        .output()
        .unwrap();
    assert_eq!(tried.status.code(), Some(78), "{tried:?}");
    let said = String::from_utf8_lossy(&tried.stderr).into_owned();
    assert!(said.contains("control.socket") && said.contains("allows 107"), "{said}");

    let socket = site.dir().join("run/s.sock");
    let control = format!("\ncontrol: {{ socket: {} }}\n", socket.display());
    fs::write(site.config(), format!("{text}{control}")).unwrap();
    let _process = site.start().await;
    let output =
        Command::new(gs_ctl()).arg("--socket").arg(&socket).arg("status").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mode = fs::metadata(socket.parent().unwrap()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "{mode:o}");
}

/// Scenario: a second process on the same data directory, and a socket file left by a killed one.
/// Guarantees: the second one says why it cannot start; what a killed one left is replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_in_use_is_kept_and_one_left_behind_is_replaced() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), YAML);
    let mut process = site.start().await;
    let second = Command::new(env!("CARGO_BIN_EXE_gophership"))
        .arg("--config")
        .arg(site.config())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(74), "{second:?}");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("is GopherShip already running?"), "{said}");
    assert!(process.control(&["status"]).status.success());
    process.kill();
    assert!(site.socket().exists());
    let process = site.start().await;
    assert!(process.control(&["status"]).status.success());
}

//! A place to run: a directory, free ports and a configuration.

use std::fs;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering;

use tempfile::TempDir;

use super::process::Process;

/// Ports are taken from below the range from which the system gives ports to clients, so that no
/// connection of another test can sit on one between two starts.
const PORTS_FROM: u16 = 10_000;
const PORTS: u16 = 20_000;
/// Between the first ports of two processes that were started one after the other; a prime.
const PORTS_APART: u32 = 7_919;

/// A directory with a configuration, and the ports that are named in it.
pub(crate) struct Site {
    dir: TempDir,
    grpc: SocketAddr,
    http: SocketAddr,
    metrics: SocketAddr,
    backend: String,
    pub(crate) env: Vec<(&'static str, String)>,
    /// The program and its arguments that start the process; it must become the process.
    pub(crate) before: Vec<String>,
}

impl Site {
    /// Makes a site; in `yaml`, `$GRPC`, `$HTTP`, `$BACKEND` and `$DIR` stand for its places.
    pub(crate) fn new(backend: SocketAddr, yaml: &str) -> Self {
        let site = Self {
            dir: tempfile::tempdir().unwrap(),
            grpc: free_address(),
            http: free_address(),
            metrics: free_address(),
            backend: backend.to_string(),
            env: Vec::new(),
            before: Vec::new(),
        };
        site.configure(yaml);
        site
    }

    /// Replaces the configuration; a running process reads it at its next reload.
    pub(crate) fn configure(&self, yaml: &str) {
        let head = "data_dir: $DIR/data\nmetrics: { listen: \"$METRICS\" }\n";
        let text = format!("{head}{}", without_the_disk(yaml))
            .replace("$DIR", &self.dir.path().display().to_string())
            .replace("$GRPC", &self.grpc.to_string())
            .replace("$HTTP", &self.http.to_string())
            .replace("$METRICS", &self.metrics.to_string())
            .replace("$BACKEND", &self.backend);
        // At once: a process that is being reloaded reads the old text or the new one.
        let fresh = self.dir.path().join("gophership.yaml.new");
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, self.config()).unwrap();
    }

    /// Starts the process and waits until it is ready.
    pub(crate) async fn start(&self) -> Process {
        Process::start(self).await
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("gophership.yaml")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("data/control.sock")
    }

    pub(crate) const fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    pub(crate) const fn http(&self) -> SocketAddr {
        self.http
    }

    pub(crate) const fn metrics(&self) -> SocketAddr {
        self.metrics
    }
}

/// Says in a configuration that a full disk changes no zone, unless it has thresholds of its own: the disk of the
/// machine that runs the test may be full, and the zones that a test waits for are not to depend on it.
///
/// A text without the section gets it as its last lines, so that places in messages stay as the test has them.
fn without_the_disk(yaml: &str) -> String {
    const THRESHOLDS: &str = "thresholds: { disk: {} }";
    if yaml.contains("thresholds:") {
        return yaml.to_owned();
    }
    let section = |line: &str| match line.strip_prefix("somatic:")?.trim_start() {
        "" => Some(format!("somatic:\n  {THRESHOLDS}\n")),
        flow => Some(format!("somatic: {{ {THRESHOLDS}, {}", flow.strip_prefix('{')?)),
    };
    let mut has_section = false;
    let mut text: String = yaml
        .split_inclusive('\n')
        .map(|line| {
            section(line).inspect(|_| has_section = true).unwrap_or_else(|| line.to_owned())
        })
        .collect();
    if !has_section {
        text = format!("{text}\nsomatic: {{ {THRESHOLDS} }}\n");
    }
    text
}

/// An address on loopback that nobody uses, and that no other test of this process is given.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = std::process::id().wrapping_mul(PORTS_APART);
    let first = u16::try_from(spread % u32::from(PORTS)).unwrap_or(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS_FROM + (first + step % PORTS) % PORTS;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

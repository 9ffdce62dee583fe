//! A service manager hears when the process is ready, reloads, stops, and that it is alive.

use std::time::Duration;

use rustix::process::Signal as ProcessSignal;
use tokio::net::UnixDatagram;

use crate::bare::site;
use crate::bare::with_vault;
use crate::harness::Site;

const SOON: Duration = Duration::from_secs(20);

/// The other end of `NOTIFY_SOCKET`.
struct Manager(UnixDatagram);

impl Manager {
    /// Listens at a path, or with `@` in front of it at an abstract address, and tells the process.
    fn start(site: &mut Site, name: &str) -> Self {
        let address = match name.strip_prefix('@') {
            Some(name) => {
                use std::os::linux::net::SocketAddrExt;
                std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap()
            }
            None => std::os::unix::net::SocketAddr::from_pathname(name).unwrap(),
        };
        let socket = std::os::unix::net::UnixDatagram::bind_addr(&address).unwrap();
        socket.set_nonblocking(true).unwrap();
        site.env.push(("NOTIFY_SOCKET", name.to_owned()));
        site.env.push(("WATCHDOG_USEC", "1000000".to_owned()));
        Self(UnixDatagram::from_std(socket).unwrap())
    }

    /// The next message, as its lines.
    async fn next(&self) -> Vec<String> {
        let mut message = [0; 1024];
        let len = tokio::time::timeout(SOON, self.0.recv(&mut message)).await;
        let len = len.expect("the manager is told something").unwrap();
        let text = std::str::from_utf8(&message[..len]).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits for a message with a line that begins so, and returns how many times the process said before
    /// that it is alive.
    async fn hears(&self, line: &str) -> usize {
        let mut pings = 0;
        loop {
            let message = self.next().await;
            if message.iter().any(|said| said.starts_with(line)) {
                return pings;
            }
            pings += usize::from(message == ["WATCHDOG=1"]);
        }
    }
}

/// Scenario: a start, a held zone, a reload, a reload of a file with a mistake, and SIGTERM, under a service
/// manager with a watchdog.
/// Guarantees: each is told in the words of `sd_notify`; the process says all the time that it is alive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_manager_hears_of_every_state() {
    let yaml = with_vault("type: blackhole");
    let mut site = site(&yaml);
    let path = site.dir().join("notify").display().to_string();
    let manager = Manager::start(&mut site, &path);
    let mut process = site.start().await;
    manager.hears("READY=1").await;
    manager.hears("STATUS=Zone ").await;
    process.hold("red");
    manager.hears("STATUS=Zone red: ").await;
    for text in [yaml.as_str(), "sources: { otlp: { type: olpt } }"] {
        site.configure(text);
        process.signal(ProcessSignal::HUP);
        manager.hears("RELOADING=1").await;
        manager.hears("READY=1").await;
    }
    assert!(!process.has_ended());
    for _ in 0..3 {
        manager.hears("WATCHDOG=1").await;
    }
    process.signal(ProcessSignal::TERM);
    manager.hears("STOPPING=1").await;
    assert!(process.exit(SOON).await.success());
}

/// Scenario: the socket has an abstract address; or nobody listens at it.
/// Guarantees: the first is told; without a listener the process runs and stops as always.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abstract_socket_is_told_and_a_dead_one_does_no_harm() {
    let mut site = site(&with_vault("type: blackhole"));
    let name = format!("@gophership-test-{}", site.grpc().port());
    let manager = Manager::start(&mut site, &name);
    let mut process = site.start().await;
    let first = manager.next().await;
    assert!(first == ["READY=1"] || first == ["WATCHDOG=1"], "{first:?}");
    drop(manager);
    process.logged(SOON, &["Cannot notify the service manager"]).await;
    process.stop(SOON).await;
}

//! The real server in a control group of little memory, and what is seen of it meanwhile.

use std::io::Read as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use untested::ControlGroup;

use crate::harness::Process;

use super::disk::Place;
use super::server;
use super::server::Scene;

pub(super) const MIB: u64 = 1 << 20;

/// A server that may use so much memory and no more.
pub(super) struct Squeezed {
    pub(super) scene: Scene,
    pub(super) process: Process,
    group: Arc<ControlGroup>,
    limit: u64,
    _place: Place,
}

/// What was seen of it for a while.
pub(super) struct Watched {
    /// The most memory it used.
    pub(super) most: u64,
    /// The slowest answer about its health.
    pub(super) slowest: Duration,
    /// How often it was not well.
    pub(super) sick: u64,
}

impl Squeezed {
    /// Starts a server on this configuration, in which `$VAULT` is a directory on the disk.
    pub(super) async fn start(yaml: &str, limit: u64) -> Self {
        let group = ControlGroup::with_memory(limit).expect("it was tried before");
        let place = Place::on_disk();
        let vault = place.dir().join("vault").display().to_string();
        let mut scene = Scene::new(&yaml.replace("$VAULT", &vault)).await;
        scene.site.before = group.before();
        let process = scene.start().await;
        Self { scene, process, group: Arc::new(group), limit, _place: place }
    }

    /// Looks at the process for a while, on a thread of its own.
    pub(super) async fn watch(&self, lasts: Duration) -> Watched {
        let (pid, address) = (self.process.id(), self.scene.site.metrics());
        let group = Arc::clone(&self.group);
        let watched = tokio::task::spawn_blocking(move || watch(pid, address, &group, lasts));
        watched.await.expect("the watcher does not panic")
    }

    /// What must not be, whatever was done to it: that it ended, was killed, was not well or used all
    /// that it may.
    pub(super) fn violations(&mut self, watched: &Watched) -> Vec<String> {
        let killed = self.group.oom_kills();
        let Watched { most, sick, .. } = watched;
        let checks = [
            (self.process.has_ended(), "the server ended".to_owned()),
            (*sick > 0, format!("{sick} times not healthy while everything was full")),
            (killed > 0, format!("{killed} OOM kills")),
            (
                self.limit * 95 / 100 < *most,
                format!("{} of {} MiB used", most / MIB, self.limit / MIB),
            ),
        ];
        checks.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, what)| what).collect()
    }
}

fn watch(pid: u32, address: SocketAddr, group: &ControlGroup, lasts: Duration) -> Watched {
    let begun = Instant::now();
    let (mut most, mut slowest, mut sick) = (0, Duration::ZERO, 0);
    while begun.elapsed() < lasts && server::open_files(pid) > 0 {
        // Pages of files, the program's own among them, are no use of memory: the kernel can take them back
        // at any time, and whoever reads a file first has them in his group.
        most = most.max(group.anonymous_bytes());
        let asked = Instant::now();
        let is_well = is_well(address).unwrap_or(false);
        slowest = slowest.max(asked.elapsed());
        sick += u64::from(!is_well);
        super::pause(Duration::from_millis(50));
    }
    Watched { most, slowest, sick }
}

fn is_well(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}

//! What tests of outputs share: a process whose outputs are theirs, and a sink with a vault beside it.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;

use gophership_otlp::Signal;
use rustix::process::Pid;
use rustix::process::Signal as ProcessSignal;

use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually;
use crate::harness::eventually_async;
use crate::harness::get;
use crate::harness::program;

pub(crate) const SOON: Duration = Duration::from_secs(20);
/// Nothing is to wait for the grace of half a minute.
const GRACE_SECONDS: u64 = 30;
pub(crate) const WELL_BEFORE: Duration = Duration::from_secs(15);

/// With a vault beside a sink.
pub(crate) fn with_vault(sink: &str) -> String {
    format!(
        r#"
shutdown: {{ grace: {GRACE_SECONDS}s }}
sources:
  otlp: {{ type: otlp, grpc: {{ listen: "$GRPC" }}, patience: 300ms, pivot: vault }}
  replay: {{ type: vault_replay, vault: vault }}
sinks:
  out: {{ {sink}, inputs: [otlp, replay] }}
  vault: {{ type: raw_vault, max_size: 128MiB, segment_size: 1MiB }}
"#
    )
}

/// A process whose outputs are ours; killed when dropped.
pub(crate) struct Bare(Child);

impl Bare {
    pub(crate) fn spawn(
        site: &Site,
        log: &str,
        stdout: impl Into<Stdio>,
        stderr: impl Into<Stdio>,
    ) -> Self {
        let program = program().display().to_string();
        let mut words = site.before.iter().chain(std::iter::once(&program));
        let child = Command::new(words.next().unwrap())
            .args(words)
            .args(["--threads", "2", "--log", log, "--config"])
            .arg(site.config())
            .env("GOPHERSHIP_LOG_BUFFER", "16KiB")
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn();
        Self(child.unwrap())
    }

    pub(crate) async fn ready(&mut self, site: &Site) {
        eventually_async(SOON, "the process is ready", async || {
            let ended = self.0.try_wait().unwrap();
            assert!(ended.is_none(), "ended with {ended:?} instead");
            matches!(get(site.metrics(), "/readyz").await, Some((200, _)))
        })
        .await;
    }

    pub(crate) fn signal(&self, signal: ProcessSignal) {
        let pid = Pid::from_raw(self.0.id().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) async fn exit(&mut self, within: Duration) -> ExitStatus {
        let mut status = None;
        eventually(within, "the process has ended", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It may have ended.
        let _ended = self.0.kill();
        self.0.wait().unwrap();
    }
}

pub(crate) fn pipe() -> (File, OwnedFd) {
    let (reader, writer) = io::pipe().unwrap();
    (File::from(OwnedFd::from(reader)), writer.into())
}

pub(crate) async fn metrics(site: &Site) -> Metrics {
    Metrics::new(get(site.metrics(), "/metrics").await.expect("metrics are served").1)
}

pub(crate) fn site(yaml: &str) -> Site {
    Site::new("127.0.0.1:9".parse().unwrap(), yaml)
}

pub(crate) async fn send(site: &Site, traffic: &Traffic, times: usize) {
    let client = GrpcClient::new(site.grpc());
    for _ in 0..times {
        client.send(&traffic.request(Signal::Logs, 1)).await.unwrap();
    }
}

pub(crate) fn fifo(path: &Path) {
    let mode = rustix::fs::Mode::from_bits_truncate(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

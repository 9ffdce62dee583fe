//! The server under drill: this very program, or another one, as a child, so that its memory and its death
//! are real.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;

use gophership_testbed::page;
use rustix::process::Pid;
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::peer::PeerProgram;

const LOOK_EVERY: Duration = Duration::from_millis(20);
const PAGE_WITHIN: Duration = Duration::from_secs(2);
/// The series with a change of zone each.
const TRANSITIONS: &str = "gophership_somatic_transitions_total{";

/// A running server; killed when dropped.
pub(super) struct Server {
    child: Child,
    program: ServerProgram,
}

/// What is started.
#[derive(Clone, Debug)]
pub(super) enum ServerProgram {
    /// This program with a configuration, and where it will show its metrics.
    Own(PathBuf, SocketAddr),
    /// Another one.
    Peer(PeerProgram),
}

impl ServerProgram {
    /// Where it shows its metrics; nowhere if it is another program.
    pub(super) const fn metrics(&self) -> Option<SocketAddr> {
        match self {
            Self::Own(_, metrics) => Some(*metrics),
            Self::Peer(_) => None,
        }
    }

    fn command(&self) -> io::Result<Command> {
        match self {
            Self::Own(config, _) => {
                let mut command = Command::new(std::env::current_exe()?);
                command
                    .args(["run", "--log", "info", "--log-format", "text", "--config"])
                    .arg(config);
                Ok(command)
            }
            Self::Peer(peer) => Ok(peer.command()),
        }
    }

    /// Whether it takes requests: another program does when it listens.
    async fn is_ready(&self) -> bool {
        match self {
            Self::Own(_, metrics) => {
                matches!(page(*metrics, "/readyz", PAGE_WITHIN).await, Some((200, _)))
            }
            Self::Peer(peer) => TcpStream::connect(peer.ingest).await.is_ok(),
        }
    }
}

/// Resident memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Resident {
    /// The most there ever was.
    pub(super) peak: u64,
    /// Now, of its own: without the pages of the program and of files.
    pub(super) anonymous: u64,
}

impl Server {
    /// Starts the server; what it logs is added to `log`.
    pub(super) fn start(program: &ServerProgram, log: &Path) -> io::Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let child = program
            .command()?
            // An interrupt from the terminal is for the drill, which ends the server itself.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self { child, program: program.clone() })
    }

    /// Waits until it is ready; returns whether it was in time and still runs.
    pub(super) async fn ready(&mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline && self.ended().is_none() {
            if self.program.is_ready().await {
                return true;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        false
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Ends it as `kill -9` does.
    pub(super) fn kill(&mut self) {
        let _may_have_ended = self.child.kill();
        let _status = self.child.wait();
    }

    /// Asks it to stop, and kills it if it has not within this time.
    pub(super) async fn stop(mut self, within: Duration) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _may_have_ended = rustix::process::kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + within;
        while Instant::now() < deadline && self.ended().is_none() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Its memory; nothing once it has ended.
    ///
    /// Source: `proc_pid_status(5)`, `VmHWM` and `RssAnon`.
    pub(super) fn resident(&self) -> Resident {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        Resident { peak: field(&status, "VmHWM:"), anonymous: field(&status, "RssAnon:") }
    }

    /// How often it went from which zone to which, and why.
    pub(super) async fn transitions(&self) -> BTreeMap<String, u64> {
        let Some(address) = self.program.metrics() else { return BTreeMap::new() };
        transitions(&metrics(address).await.unwrap_or_default())
    }
}

/// Gets the page of metrics; `None` while there is no server.
pub(super) async fn metrics(address: SocketAddr) -> Option<String> {
    page(address, "/metrics", PAGE_WITHIN).await.map(|(_, page)| page)
}

/// The sum of all series of a metric; those with a fraction do not count.
pub(super) fn total(page: &str, name: &str) -> u64 {
    let value = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let value = rest
            .strip_prefix('{')
            .map_or(rest, |rest| rest.rsplit_once('}').map_or("", |(_, value)| value));
        value.strip_prefix(' ')?.trim().parse::<u64>().ok()
    };
    page.lines().filter_map(value).sum()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A field of a status page, in bytes; 0 without it.
fn field(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = value.and_then(|value| value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Reads series like `name{from="green",reason="edge",to="red"} 1`.
fn transitions(page: &str) -> BTreeMap<String, u64> {
    let series = page.lines().filter_map(|line| line.strip_prefix(TRANSITIONS));
    let read = |line: &str| {
        let (labels, value) = line.rsplit_once("} ")?;
        let labels: BTreeMap<&str, &str> =
            labels.split(',').filter_map(|label| label.split_once('=')).collect();
        let label = |name: &str| labels.get(name).map(|value| value.trim_matches('"'));
        let others = labels.keys().find(|name| !["from", "to"].contains(name));
        let why = others.and_then(|name| label(name)).unwrap_or_default();
        let count = value.trim().parse().ok().filter(|count| *count > 0)?;
        Some((format!("{} to {} ({why})", label("from")?, label("to")?), count))
    };
    series.filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read() {
        let status = "Name:\tgophership\nVmHWM:\t   44032 kB\nRssAnon:\t 20 kB\n";
        assert_eq!((field(status, "VmHWM:"), field(status, "RssFile:")), (44_032 << 10, 0));
        let page = "# HELP x\ngophership_somatic_transitions_total{from=\"green\",sense=\"edge\",to=\"red\"} 2\n\
            gophership_somatic_transitions_total{from=\"red\",sense=\"edge\",to=\"green\"} 0\nother 1\n";
        let expected = BTreeMap::from([("green to red (edge)".to_owned(), 2)]);
        assert_eq!(transitions(page), expected);
        let page = "x{v=\"a\"} 3\nx{v=\"b\"} 4\nx_more{v=\"a\"} 9\nx 1\n";
        assert_eq!((total(page, "x"), total(page, "y")), (8, 0));
    }
}

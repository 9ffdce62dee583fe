//! The real process: started, asked, signalled, killed.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Output;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use gophership_otlp::Signal;
use gophership_testbed::page;
use rustix::process::Pid;
use rustix::process::Signal as ProcessSignal;

use super::eventually;
use super::eventually_async;
use super::metrics::Books;
use super::metrics::Metrics;
use super::site::Site;

/// Starting a debug build beside other tests takes its time.
const READY_WITHIN: Duration = Duration::from_secs(20);
const BOOKED_WITHIN: Duration = Duration::from_secs(15);

/// The server under test: that of this build, or another one that the variable `GOPHERSHIP_BIN` names.
pub(crate) fn program() -> PathBuf {
    let named = std::env::var_os("GOPHERSHIP_BIN").filter(|path| !path.is_empty());
    named.map_or_else(|| env!("CARGO_BIN_EXE_gophership").into(), PathBuf::from)
}

/// The program `gs-ctl`, which `cargo test` makes beside the server.
pub(crate) fn gs_ctl() -> PathBuf {
    let program = program().with_file_name("gs-ctl");
    assert!(program.exists(), "{} is missing: run `cargo build -p gs-ctl`", program.display());
    program
}

/// A running `gophership`; killed when dropped.
pub(crate) struct Process {
    child: Child,
    metrics: SocketAddr,
    socket: PathBuf,
    log: Arc<Mutex<String>>,
    out: Arc<Mutex<String>>,
}

impl Process {
    /// Starts the process and waits until it is ready.
    pub(crate) async fn start(site: &Site) -> Self {
        let mut process = Self::spawn(site);
        process.ready().await;
        process
    }

    /// Starts the process.
    pub(crate) fn spawn(site: &Site) -> Self {
        let program = program().display().to_string();
        let mut words = site.before.iter().chain(std::iter::once(&program));
        let mut child = Command::new(words.next().unwrap())
            .args(words)
            .args(["--threads", "2", "--config"])
            .arg(site.config())
            .envs(site.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = collect(child.stderr.take().unwrap());
        let out = collect(child.stdout.take().unwrap());
        Self { child, metrics: site.metrics(), socket: site.socket(), log, out }
    }

    /// Waits until `/readyz` says yes.
    pub(crate) async fn ready(&mut self) {
        let metrics = self.metrics;
        eventually_async(READY_WITHIN, "the process is ready", async || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "ended with {ended:?} instead:\n{}", self.log());
            matches!(get(metrics, "/readyz").await, Some((200, _)))
        })
        .await;
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// What it has written to standard output so far.
    pub(crate) fn out(&self) -> String {
        self.out.lock().unwrap().clone()
    }

    /// Waits until a line of the log holds all of `words`.
    pub(crate) async fn logged(&self, within: Duration, words: &[&str]) {
        let is_said = || {
            let log = self.log.lock().unwrap();
            log.lines().any(|line| words.iter().all(|word| line.contains(word)))
        };
        eventually(within, &format!("the log says {words:?}"), is_said).await;
    }

    /// How often the log holds `words`.
    pub(crate) fn count_in_log(&self, words: &str) -> usize {
        self.log.lock().unwrap().matches(words).count()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: ProcessSignal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end, with everything it had to say.
    pub(crate) async fn exit(&mut self, within: Duration) -> ExitStatus {
        let what = "the process has ended";
        let log = Arc::clone(&self.log);
        let mut status = None;
        eventually(within, what, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        // The collector holds the other handle until it has read everything.
        eventually(within, "the log is complete", || Arc::strong_count(&log) == 2).await;
        status.unwrap()
    }

    /// Asks it to stop and waits until it has drained and ended well.
    pub(crate) async fn stop(&mut self, within: Duration) -> String {
        self.signal(ProcessSignal::TERM);
        let status = self.exit(within).await;
        assert!(status.success(), "{status}:\n{}", self.log());
        self.log()
    }

    /// Runs `gs-ctl` on its socket.
    pub(crate) fn control(&self, arguments: &[&str]) -> Output {
        Command::new(gs_ctl()).arg("--socket").arg(&self.socket).args(arguments).output().unwrap()
    }

    /// Holds a zone, or follows the sensors again with `auto`.
    pub(crate) fn hold(&self, zone: &str) {
        let output = self.control(&["override", "--zone", zone]);
        assert!(output.status.success(), "{output:?}");
    }

    /// Its metrics now.
    pub(crate) async fn metrics(&self) -> Metrics {
        let (status, text) = get(self.metrics, "/metrics").await.expect("metrics are served");
        assert_eq!(status, 200);
        Metrics::new(text)
    }

    /// Waits until the books of a signal are as expected, and fails with the difference if not.
    pub(crate) async fn books_become(&self, signal: Signal, expected: &Books, act: &str) {
        let deadline = Instant::now() + BOOKED_WITHIN;
        loop {
            let books = self.metrics().await.books(signal.name());
            if books == *expected || Instant::now() >= deadline {
                assert_eq!(books, *expected, "{act}, {signal}");
                return assert_eq!(books.imbalance(), 0, "{act}, {signal}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until its metrics say so.
    pub(crate) async fn measured(
        &self,
        within: Duration,
        what: &str,
        is_so: impl Fn(&Metrics) -> bool,
    ) {
        eventually_async(within, what, async || is_so(&self.metrics().await)).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.kill();
        }
        if std::thread::panicking() {
            super::report(&format!("---- log of the process ----\n{}", self.log()));
        }
    }
}

/// Reads a stream on a thread of its own, so that the process never waits for us.
fn collect(stream: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&text);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { return };
            let mut sink = sink.lock().unwrap();
            sink.push_str(&line);
            sink.push('\n');
        }
    });
    text
}

/// Gets a page; `None` if nobody answers.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    page(address, path, READY_WITHIN).await
}

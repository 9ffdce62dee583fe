//! `gs-ctl top` in a real terminal.

use std::path::PathBuf;
use std::process::Command;

use gophership_otlp::Signal;

use super::port::SOON;
use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually;
use crate::harness::gs_ctl;

const PIPELINE: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB, replay: off }
"#;

/// A terminal, with a shell in it.
struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    fn open(site: &Site, width: u16, height: u16) -> Self {
        let terminal = Self { socket: site.dir().join(format!("tmux-{width}")) };
        let dimensions = ["-x", &width.to_string(), "-y", &height.to_string()].map(str::to_owned);
        let status = terminal
            .tmux()
            .args(["-f", "/dev/null", "new-session", "-d"])
            .args(dimensions)
            .args(["env", "-u", "NO_COLOR", "PS1=READY> ", "sh"])
            .status();
        let status = status.expect("tmux was there before");
        assert!(status.success());
        terminal
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        command.env_remove("TMUX").env("TERM", "xterm-256color").arg("-S").arg(&self.socket);
        command
    }

    fn keys(&self, keys: &[&str]) {
        assert!(self.tmux().arg("send-keys").args(keys).status().unwrap().success());
    }

    /// What is on the screen, with its colours if `is_raw`.
    fn screen(&self, is_raw: bool) -> String {
        let arguments: &[&str] =
            if is_raw { &["capture-pane", "-p", "-e"] } else { &["capture-pane", "-p"] };
        let output = self.tmux().args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    async fn shows(&self, words: &[&str]) -> String {
        let mut screen = String::new();
        let is_shown = || {
            screen = self.screen(false);
            words.iter().all(|word| screen.contains(word))
        };
        eventually(SOON, &format!("the screen shows {words:?}"), is_shown).await;
        screen
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _gone = self.tmux().arg("kill-server").status();
    }
}

/// Scenario: `gs-ctl top` in terminals of 80x24 and 200x60, with a process that delivers, turns red, and is killed;
/// it is driven by keys and ended by a key and by a signal.
/// Guarantees: the screen has zone, rates, pressures, memory, vault and sinks; every key does what the help says;
/// a lost connection is shown and made again; the shell has its terminal back afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_screen_follows_the_process_and_the_keys() {
    if !untested::can_run("it control::top::the_screen_follows_the_process_and_the_keys") {
        return;
    }
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), PIPELINE);
    let mut process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    client.send(&traffic.request(Signal::Logs, 6)).await.unwrap();
    let small = Terminal::open(&site, 80, 24);
    small.shows(&["READY>"]).await;
    let program = format!("{} --socket {}", gs_ctl().display(), site.socket().display());
    small.keys(&[&format!("{program} top --interval 100ms"), "Enter"]);
    let words =
        ["zone GREEN", "records/s", "PRESSURE", "MEMORY", "VAULT", "CIRCUIT", "closed", "q quit"];
    let screen = small.shows(&words).await;
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    assert!(!screen.contains("READY>"), "the shell is hidden:\n{screen}");
    assert!(small.screen(true).contains("\u{1b}[38;5;2mGREEN"), "green is green");

    process.hold("red");
    client.send(&traffic.request(Signal::Logs, 6)).await.unwrap();
    small.shows(&["zone RED", "operator override", "held at red", "#"]).await;
    small.keys(&["p"]);
    small.shows(&["PAUSED"]).await;
    process.hold("green");
    small.keys(&["2"]);
    small.shows(&["PAUSED", "zone RED", "COMPONENT", "raw_vault"]).await;
    small.keys(&["p"]);
    small.shows(&["zone GREEN"]).await;
    small.keys(&["s"]);
    small.shows(&["s sort: name"]).await;
    small.keys(&["Tab"]);
    small.shows(&["SINK", "ENDPOINT", "http://"]).await;
    small.keys(&["?"]);
    small.shows(&["switch panels"]).await;
    small.keys(&["Escape"]);

    let large = Terminal::open(&site, 200, 60);
    large.shows(&["READY>"]).await;
    large.keys(&[&format!("NO_COLOR=1 {program} top --interval 100ms"), "Enter"]);
    let screen = large.shows(&["zone GREEN", "COMPONENT", "backend", "raw_vault"]).await;
    assert!(screen.lines().any(|line| 180 < line.chars().count()), "{screen}");
    let coloured = large.screen(true);
    assert!(!coloured.contains("\u{1b}[38;5;"), "{coloured:?}");

    process.kill();
    small.shows(&["NO CONNECTION, trying again"]).await;
    let process = site.start().await;
    let is_back = || !small.screen(false).contains("NO CONNECTION");
    eventually(SOON, "the connection is back", is_back).await;
    small.keys(&["q"]);
    let screen = small.shows(&["READY>"]).await;
    assert!(!screen.contains("records/s"), "the terminal is as it was:\n{screen}");
    small.keys(&["echo still $((40+2))", "Enter"]);
    small.shows(&["still 42"]).await;

    let found = Command::new("pgrep").args(["-f", &format!("{program} top")]).output().unwrap();
    let pid = String::from_utf8(found.stdout).unwrap();
    let pid = rustix::process::Pid::from_raw(pid.lines().next().unwrap().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    large.shows(&["READY>"]).await;
    large.keys(&["echo still $((40+2))", "Enter"]);
    large.shows(&["still 42"]).await;
    drop(process);
}

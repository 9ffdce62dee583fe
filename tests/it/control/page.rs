//! The page about the control port is a transcript that works.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::process::Output;

use rustix::process::Pid;
use rustix::process::Signal;

use super::port::SOON;
use crate::harness::eventually;
use crate::harness::free_address;
use crate::harness::gs_ctl;

/// The blocks of one kind on the page, with ports that nobody uses.
struct Page {
    text: String,
}

impl Page {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("website/control.md");
        let mut text = fs::read_to_string(path).unwrap();
        for port in [":4317", ":9091", ":9092"] {
            text = text.replace(port, &format!(":{}", free_address().port()));
        }
        Self { text }
    }

    fn blocks(&self, kind: &str) -> Vec<&str> {
        let start = format!("```{kind}\n");
        let blocks = self.text.split(&start).skip(1);
        blocks.map(|rest| rest.split("```").next().unwrap()).collect()
    }
}

/// Runs a command of the page where it is meant to run.
fn shell(dir: &Path, command: &str) -> Output {
    let programs = gs_ctl();
    let programs = programs.parent().unwrap().display();
    Command::new("sh")
        .args(["-c", command])
        .current_dir(dir)
        .env("PATH", format!("{programs}:{}", std::env::var("PATH").unwrap()))
        .env("HOME", dir)
        .output()
        .unwrap()
}

/// The server that a command has left in the background; ended when dropped.
struct Server(Pid);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = rustix::process::kill_process(self.0, Signal::KILL);
    }
}

/// Scenario: the commands of the page, one after the other, with the configuration of the page.
/// Guarantees: three commands lead to an answer over mutual TLS; what follows works too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_a_transcript_that_works() {
    let page = Page::read();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("gophership.yaml"), page.blocks("yaml")[0]).unwrap();
    let commands: Vec<&str> = page.blocks("sh").into_iter().flat_map(str::lines).collect();
    assert!(commands[1].ends_with(" &"), "the second command is the server: {}", commands[1]);

    let made = shell(dir.path(), commands[0]);
    assert!(made.status.success(), "{made:?}");
    let started =
        shell(dir.path(), &format!("{} echo $!", commands[1].replace(" &", " 2>log >&2 &")));
    let pid = String::from_utf8(started.stdout).unwrap().trim().parse::<i32>().unwrap();
    let server = Server(Pid::from_raw(pid).unwrap());
    let mut status = None;
    eventually(SOON, "the third command is answered", || {
        let output = shell(dir.path(), commands[2]);
        let is_answered = output.status.success();
        status = Some(output);
        is_answered
    })
    .await;
    let table = String::from_utf8(status.unwrap().stdout).unwrap();
    assert!(table.starts_with("gophership ") && table.contains("zone "), "{table}");
    for command in &commands[3..] {
        let output = shell(dir.path(), command);
        assert!(output.status.success(), "{command}: {output:?}");
    }
    let audit = fs::read_to_string(dir.path().join("gophership-data/audit.log")).unwrap();
    assert!(audit.contains("\"who\":\"cn admin\""), "{audit}");
    drop(server);
}

//! The vault tools beside the server.

use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::server::Server;

/// A vault tool that is run again and again, and what it has read.
pub(crate) struct Tool {
    is_over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<u64>,
}

impl Tool {
    pub(crate) fn start(server: &Server, command: &'static str) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, dir) = (Arc::clone(&is_over), server.dir.path().to_owned());
        let run = move || {
            let mut read = 0;
            while !over.load(Ordering::Relaxed) {
                let out = tempfile::tempdir_in(&dir).unwrap();
                let mut tool = Command::new(env!("CARGO_BIN_EXE_gophership"));
                tool.args(["vault", command, "--quiet"]);
                if command == "export" {
                    tool.arg("--to").arg(out.path());
                }
                tool.arg(dir.join("vault")).stdout(Stdio::null());
                read += read_by(tool.spawn().unwrap(), &over);
            }
            read
        };
        Self { is_over, thread: std::thread::spawn(run) }
    }

    /// Ends it, and returns the bytes that it read.
    pub(crate) fn stop(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// What a process reads until it ends, or has to.
fn read_by(mut process: Child, is_over: &AtomicBool) -> u64 {
    let io = format!("/proc/{}/io", process.id());
    let mut read = 0;
    while process.try_wait().unwrap().is_none() {
        if is_over.load(Ordering::Relaxed) {
            process.kill().unwrap();
        }
        let text = std::fs::read_to_string(&io).unwrap_or_default();
        let now = text.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok());
        read = now.unwrap_or(read);
        std::thread::park_timeout(Duration::from_millis(20));
    }
    read
}

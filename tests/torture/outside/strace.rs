//! System calls of a process, disturbed by `strace`, and the log of what they answered.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// Groups of system calls that mean the same to a vault.
pub(super) const GROUPS: [&str; 5] = [
    "pwrite64",
    "fdatasync,fsync",
    "rename,renameat,renameat2",
    "unlink,unlinkat",
    "fallocate,ftruncate",
];

/// The words before a program that kill it at its `number`-th call of `calls` in one thread.
pub(super) fn killed_at(calls: &str, number: u64) -> Vec<String> {
    // Without a filter in the kernel: with one, no signal is injected.
    let mut words = ["strace", "-f", "-q", "-o", "/dev/null"].map(str::to_owned).to_vec();
    words.push(format!("--trace={calls}"));
    words.push(format!("--inject={calls}:signal=KILL:when={number}"));
    words
}

/// The words before a program that disturb the system calls `calls` as `how`, and log them with
/// every sync and every end of a file.
pub(super) fn disturbed(calls: &str, how: &str, log: &Path) -> Vec<String> {
    let words = ["strace", "-f", "-q", "--seccomp-bpf", "-o"].map(str::to_owned);
    let mut words: Vec<String> = words.into_iter().chain([log.display().to_string()]).collect();
    words.push(format!("--trace=close,fdatasync,fsync,{calls}"));
    words.push(format!("--inject={calls}:{how}"));
    words
}

/// The same, for a program that must be the child of whoever starts it; without a log.
pub(super) fn beside(calls: &str, how: &str) -> Vec<String> {
    let words = ["strace", "-D", "-f", "-q", "--seccomp-bpf", "-o", "/dev/null"].map(str::to_owned);
    let mut words = words.to_vec();
    words.push(format!("--trace={calls}"));
    words.push(format!("--inject={calls}:{how}"));
    words
}

/// The same, for the calls on some files alone; `how` begins with their names.
pub(super) fn of_files(files: &[PathBuf], how: &str) -> Vec<String> {
    let calls = how.split(':').next().unwrap_or_default();
    let words = ["strace", "-D", "-f", "-q", "-o", "/dev/null"].map(str::to_owned);
    let mut words = words.to_vec();
    words.extend(files.iter().map(|file| format!("--trace-path={}", file.display())));
    words.push(format!("--trace={calls}"));
    words.push(format!("--inject={how}"));
    words
}

/// What a log says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Calls that were disturbed.
    pub(super) injected: u64,
    /// Syncs of a file on which a sync had failed before.
    pub(super) resynced: Vec<String>,
}

/// Reads a log.
pub(super) fn heard(log: &Path) -> Heard {
    heard_in(&fs::read_to_string(log).unwrap_or_default())
}

fn heard_in(log: &str) -> Heard {
    let mut heard = Heard::default();
    // Calls that another thread interrupted, by thread.
    let mut begun: HashMap<&str, (&str, &str)> = HashMap::new();
    let mut failed: BTreeSet<&str> = BTreeSet::new();
    for line in log.lines() {
        heard.injected += u64::from(line.contains("(INJECTED)"));
        let Some((thread, rest)) = line.split_once(char::is_whitespace) else { continue };
        let rest = rest.trim_start();
        let (call, file, answer) = if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some((call, file)) = begun.remove(thread) else { continue };
            (call, file, resumed)
        } else {
            let Some((call, arguments)) = rest.split_once('(') else { continue };
            let file = arguments.split([',', ')', ' ']).next().unwrap_or_default();
            if is_sync(call) && failed.contains(file) {
                heard.resynced.push(line.to_owned());
            }
            if call == "close" {
                failed.remove(file);
            }
            if rest.ends_with("<unfinished ...>") {
                begun.insert(thread, (call, file));
                continue;
            }
            (call, file, arguments)
        };
        if is_sync(call) && answer.contains("= -1 ") {
            failed.insert(file);
        }
    }
    heard
}

fn is_sync(call: &str) -> bool {
    matches!(call, "fdatasync" | "fsync")
}

/// Shows that the reading of logs would notice what it is there for.
pub(super) fn notices_a_second_sync() -> bool {
    let honest = "7 fdatasync(5) = -1 EIO (Input/output error) (INJECTED)\n\
                  7 close(5) = 0\n8 fdatasync(5) = 0\n";
    let split = "7 fdatasync(5 <unfinished ...>\n8 close(9) = 0\n\
                 7 <... fdatasync resumed>) = -1 EIO (Input/output error) (INJECTED)\n\
                 8 fsync(5) = 0\n";
    let quiet = heard_in(honest);
    let loud = heard_in(split);
    quiet.resynced.is_empty() && quiet.injected == 1 && loud.resynced == ["8 fsync(5) = 0"]
}

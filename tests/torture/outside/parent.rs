//! The parent of a process under torture: what it was told, and whether the vault agrees.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io::Read as _;
use std::process::Child;
use std::process::ChildStdin;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use gophership_vault::AppendError;
use gophership_vault::Durability;
use gophership_vault::Reader;
use gophership_vault::Receipt;
use gophership_vault::Writer;
use rustix::process::Pid;
use rustix::process::Signal;

use super::child;
use super::child::CURSOR;
use super::child::MESSAGE_LEN;
use super::child::Message;
use super::child::Task;

/// What one child told.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) pid: Option<u64>,
    /// How long its recovery took, in microseconds.
    pub(super) recovery_us: u64,
    /// By seq; the id of the record.
    pub(super) acknowledged: BTreeMap<u64, u64>,
    pub(super) delivered: BTreeSet<u64>,
    pub(super) failed: u64,
    pub(super) refused: u64,
    /// Refusals that did not say when to come again.
    pub(super) unhinted: u64,
    pub(super) altered: Vec<u64>,
    /// Acknowledged records that recovery said were gone.
    pub(super) lost: u64,
    /// A message that was told twice, or for two records.
    pub(super) contradictions: u64,
}

impl Told {
    fn hear(&mut self, message: Message, first: u64, second: u64) {
        match message {
            Message::Ready => (self.pid, self.recovery_us) = (Some(first), second),
            Message::Acknowledged => {
                let is_known = self.acknowledged.insert(second, first).is_some();
                self.contradictions += u64::from(is_known);
            }
            Message::Delivered => {
                self.delivered.insert(first);
            }
            Message::Failed => self.failed += 1,
            Message::Refused => {
                self.refused += 1;
                self.unhinted += u64::from(second == 0);
            }
            Message::Altered => self.altered.push(first),
            Message::Lost => self.lost += first,
        }
    }
}

#[derive(Default)]
struct Heard {
    told: Mutex<Told>,
    changed: Condvar,
}

/// A child at work; killed when dropped.
pub(super) struct Working {
    child: Child,
    stdin: Option<ChildStdin>,
    heard: Arc<Heard>,
    listener: Option<JoinHandle<()>>,
}

impl Working {
    /// Starts a child, under another program if `before` names one.
    pub(super) fn start(task: &Task, before: &[String]) -> Self {
        let itself = std::env::current_exe().expect("a running program has a path");
        let itself = itself.display().to_string();
        let mut words = before.iter().chain(std::iter::once(&itself));
        let program = words.next().expect("there is at least the program itself");
        let mut child = Command::new(program)
            .args(words)
            .args(task.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child starts");
        let mut stdout = child.stdout.take().expect("it was asked for");
        let heard = Arc::new(Heard::default());
        let listening = Arc::clone(&heard);
        let listener = std::thread::spawn(move || {
            let mut bytes = [0; MESSAGE_LEN];
            while stdout.read_exact(&mut bytes).is_ok() {
                let (message, first, second) = Message::from_bytes(bytes);
                listening.told.lock().expect("nobody panics with it").hear(message, first, second);
                listening.changed.notify_all();
            }
        });
        let stdin = child.stdin.take();
        Self { child, stdin, heard, listener: Some(listener) }
    }

    /// Waits until what it told so far is enough, it has ended, or the time is up.
    pub(super) fn wait(&mut self, within: Duration, is_enough: impl Fn(&Told) -> bool) -> bool {
        let deadline = Instant::now() + within;
        loop {
            let told = self.heard.told.lock().expect("nobody panics with it");
            if is_enough(&told) {
                return true;
            }
            let pause = Duration::from_millis(5);
            drop(self.heard.changed.wait_timeout(told, pause).expect("nobody panics with it"));
            if self.has_ended() || deadline <= Instant::now() {
                return is_enough(&self.heard.told.lock().expect("nobody panics with it"));
            }
        }
    }

    /// Whether it has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// A copy of what it told so far.
    pub(super) fn so_far(&self) -> Told {
        self.heard.told.lock().expect("nobody panics with it").clone()
    }

    /// Ends it as `kill -9` does, and whoever started it.
    pub(super) fn kill(mut self) -> Told {
        self.end_hard();
        self.listened()
    }

    /// Lets it end well; kills it when it does not within the time.
    pub(super) fn stop(mut self, within: Duration) -> (Option<ExitStatus>, Told) {
        drop(self.stdin.take());
        let deadline = Instant::now() + within;
        let mut status = None;
        while status.is_none() && Instant::now() < deadline {
            status = self.child.try_wait().ok().flatten();
            super::pause(Duration::from_millis(1));
        }
        if status.is_none() {
            self.end_hard();
        }
        (status, self.listened())
    }

    fn end_hard(&mut self) {
        let pid = self.so_far().pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let (Some(pid), false) = (pid, self.has_ended()) {
            // Under another program the child is not the one that was started.
            let _gone = rustix::process::kill_process(pid, Signal::KILL);
        } else {
            let _gone = self.child.kill();
        }
        drop(self.stdin.take());
        let _status = self.child.wait();
    }

    /// Everything it told; it has ended.
    fn listened(&mut self) -> Told {
        if let Some(listener) = self.listener.take() {
            listener.join().expect("the listener only reads");
        }
        self.so_far()
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.end_hard();
        }
    }
}

/// The audit appends nothing.
type Forgotten = fn(Result<Receipt, AppendError>);

/// What must be in a vault, over any number of children.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Acknowledged and not known to be delivered: id and seq.
    owed: BTreeMap<u64, u64>,
}

/// What an audit found.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// Sentences about what must not be.
    pub(super) violations: Vec<String>,
    /// Acknowledged records that were there.
    pub(super) kept: u64,
    /// Acknowledged records that are missing.
    pub(super) missing: u64,
    /// How long it took to open the vault.
    pub(super) opened_in: Duration,
}

impl Ledger {
    /// Adds what a child told. Returns what must not have been told.
    pub(super) fn note(&mut self, task: &Task, told: &Told) -> Vec<String> {
        self.owed.extend(told.acknowledged.iter().map(|(seq, id)| (*id, *seq)));
        self.owed.retain(|id, _| !told.delivered.contains(id));
        let mut violations = Vec::new();
        let mut check = |is_so: bool, what: String| {
            if is_so {
                violations.push(what);
            }
        };
        check(!told.altered.is_empty(), format!("altered records were read: {:?}", told.altered));
        check(told.contradictions > 0, format!("{} seqs given twice", told.contradictions));
        let is_loss = told.lost > 0 && task.durability == Durability::Synced;
        check(is_loss, format!("recovery reports {} acknowledged records lost", told.lost));
        check(told.unhinted > 0, format!("{} refusals without a hint", told.unhinted));
        violations
    }

    /// What is owed now.
    pub(super) fn owed(&self) -> usize {
        self.owed.len()
    }

    /// Recovers the vault, compares it with what is owed, and delivers everything.
    pub(super) fn audit(&mut self, task: &Task, may_lose_a_suffix: bool) -> Audit {
        let mut audit = Audit::default();
        let begun = Instant::now();
        let options =
            gophership_vault::Options { durability: Durability::Synced, ..task.options() };
        let (writer, report) = match Writer::<Forgotten>::open(options) {
            Ok(opened) => opened,
            Err(error) => {
                audit.violations.push(format!("the vault does not open: {error}"));
                return audit;
            }
        };
        audit.opened_in = begun.elapsed();
        let found = match read_all(&writer, &mut audit) {
            Ok(found) => found,
            Err(error) => {
                audit.violations.push(format!("the vault cannot be read: {error}"));
                return audit;
            }
        };
        if let Err(error) = writer.close() {
            audit.violations.push(format!("the vault does not close: {error}"));
        }
        self.compare(&found, may_lose_a_suffix, &mut audit);
        if !report.acknowledged_lost.is_empty() && audit.missing == 0 {
            let lost = &report.acknowledged_lost;
            audit.violations.push(format!("recovery reports {lost:?} lost, and all is there"));
        }
        audit
    }

    /// `found` has the ids by seq.
    fn compare(&mut self, found: &BTreeMap<u64, u64>, may_lose_a_suffix: bool, audit: &mut Audit) {
        let ids: BTreeSet<u64> = found.values().copied().collect();
        if ids.len() < found.len() {
            let copies = found.len() - ids.len();
            audit
                .violations
                .push(format!("{copies} records were appended once and are there twice"));
        }
        let (kept, missing): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.owed).into_iter().partition(|(id, _)| ids.contains(id));
        audit.kept = kept.len() as u64;
        audit.missing = missing.len() as u64;
        let moved = kept.iter().filter(|(id, seq)| found.get(seq) != Some(id)).count();
        if moved > 0 {
            audit.violations.push(format!("{moved} records lie under another seq than was told"));
        }
        let Some(first_missing) = missing.iter().map(|(_, seq)| *seq).min() else { return };
        let last_kept = kept.iter().map(|(_, seq)| *seq).max().unwrap_or(0);
        if !may_lose_a_suffix {
            let what = format!("{} acknowledged records are lost", missing.len());
            audit.violations.push(format!("{what}, the first is seq {first_missing}"));
        } else if first_missing < last_kept {
            let what = format!("seq {first_missing} is lost although seq {last_kept} is there");
            audit.violations.push(what);
        }
    }
}

/// Reads, checks and acknowledges everything; returns the ids by seq.
fn read_all<C: gophership_vault::Completion>(
    writer: &Writer<C>,
    audit: &mut Audit,
) -> Result<BTreeMap<u64, u64>, gophership_vault::VaultError> {
    let mut found = BTreeMap::new();
    let mut reader = Reader::open(&writer.log(), CURSOR)?;
    while let Some(record) = reader.next()? {
        match child::id_of(&record.payload) {
            Some(id) if record.attrs == b"torture" && record.received_unix_ns == id => {
                if found.insert(record.seq, id).is_some() {
                    audit.violations.push(format!("seq {} came twice", record.seq));
                }
            }
            _ => audit.violations.push(format!("seq {} has other bytes", record.seq)),
        }
        reader.ack(record.seq);
    }
    reader.save()?;
    Ok(found)
}

//! Tests of the places of sinks, on a real vault.

use std::path::Path;
use std::sync::mpsc;

use gophership_vault::AppendError;
use gophership_vault::Completion;
use gophership_vault::NewRecord;
use gophership_vault::Options;
use gophership_vault::Receipt;
use gophership_vault::Writer;

use super::*;

struct Stored(mpsc::Sender<Result<Receipt, AppendError>>);

impl Completion for Stored {
    fn complete(self, result: Result<Receipt, AppendError>) {
        self.0.send(result).unwrap();
    }
}

/// A vault whose requests have one record each, with its places and its books.
struct Rig {
    writer: Writer<Stored>,
    cursors: SinkCursors,
    ledger: &'static Ledger,
    dir: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (writer, _) = Writer::open(Options::new(dir.path())).unwrap();
        let cursors = SinkCursors::new(writer.log(), Duration::ZERO);
        Self { writer, cursors, ledger: Ledger::leak(), dir }
    }

    fn store(&self) -> u64 {
        let (to, answer) = mpsc::channel();
        let record = NewRecord { signal: 1, received_unix_ns: 0, attrs: &[], payload: b"request" };
        assert!(self.writer.try_append(record, Stored(to)).is_ok());
        answer.recv().unwrap().unwrap();
        self.ledger.conclude(Signal::Logs, Bucket::Vaulted, 1);
        self.cursors.log.durable_seq()
    }

    /// Another configuration is prepared, and in force.
    fn change(&self, owners: &[CursorOwner]) {
        self.cursors.prepare(owners).unwrap();
        self.cursors.settle();
    }

    fn cursor(&self, sink: &str) -> CursorHandle {
        let name = CursorOwner::name_for(&"replay".parse().unwrap(), sink);
        self.cursors.log.cursor(&name).unwrap()
    }

    fn ack(&self, sink: &str, seq: u64) {
        self.cursors.ack(&self.cursor(sink), seq, self.ledger, (Signal::Logs, 1));
    }

    fn give_up(&self, sink: &str, seq: u64) -> bool {
        let booked = (Signal::Logs, 1);
        self.cursors.give_up(&self.cursor(sink), seq, self.ledger, booked, true)
    }

    fn vaulted(&self) -> i64 {
        self.ledger.count(Signal::Logs, Bucket::Vaulted)
    }

    fn heirs(&self, replay: &str) -> Vec<Heir> {
        let stale = self.cursors.stale(&replay.parse().unwrap());
        stale.into_iter().map(|stale| stale.heir).collect()
    }
}

fn owner(replay: &str, sink: &str, formerly: &[&str]) -> CursorOwner {
    let formerly = formerly.iter().map(ToString::to_string).collect();
    CursorOwner { replay: replay.parse().unwrap(), sink: sink.to_owned(), formerly }
}

#[test]
fn what_is_read_twice_for_a_renamed_sink_leaves_the_books_once() {
    let rig = Rig::new();
    rig.change(&[owner("replay", "a", &[])]);
    let before = rig.store();
    rig.change(&[owner("replay", "b", &["a"])]);
    let after = rig.store();
    rig.ack("b", before);
    rig.ack("b", after);
    assert_eq!(rig.vaulted(), 1, "the former name still needs the first");
    rig.ack("a", after);
    assert_eq!(rig.vaulted(), 1, "the former name never needed the second");
    rig.ack("a", before);
    rig.ack("a", before);
    assert_eq!(rig.vaulted(), 0);
}

#[test]
fn a_sink_that_comes_back_needs_nothing_that_all_were_done_with() {
    let rig = Rig::new();
    let (a, b) = (owner("replay", "a", &[]), owner("replay", "b", &[]));
    rig.change(&[a.clone(), b.clone()]);
    rig.change(std::slice::from_ref(&a));
    let meanwhile = rig.store();
    rig.ack("a", meanwhile);
    assert_eq!(rig.vaulted(), 0);
    rig.change(&[a, b]);
    assert!(rig.cursor("b").has(meanwhile));
    rig.ack("b", meanwhile);
    assert_eq!(rig.vaulted(), 0);
}

#[test]
fn a_sink_that_comes_back_in_place_of_another_needs_what_that_one_missed() {
    let rig = Rig::new();
    let (a, b) = (owner("replay", "a", &[]), owner("replay", "b", &[]));
    rig.change(&[a.clone(), b.clone()]);
    let both = rig.store();
    rig.ack("a", both);
    rig.change(std::slice::from_ref(&b));
    let (missed, had) = (rig.store(), rig.store());
    rig.ack("b", had);
    let a = CursorOwner { formerly: vec!["b".to_owned()], ..a };
    rig.change(std::slice::from_ref(&a));
    let has = |seq| rig.cursor("a").has(seq);
    assert_eq!([both, missed, had].map(has), [true, false, true]);
    rig.ack("a", missed);
    rig.change(&[a]);
    assert!(has(missed), "once it is there, nothing is needed again");
}

#[test]
fn a_sink_that_left_in_a_reload_that_failed_needs_nothing_again() {
    let rig = Rig::new();
    let (a, b) = (owner("replay", "a", &["b"]), owner("replay", "b", &[]));
    rig.change(&[a.clone(), b.clone()]);
    let had = rig.store();
    rig.ack("a", had);
    rig.cursors.prepare(&[b]).unwrap();
    // What was prepared is not put in force: the old configuration is prepared again.
    rig.change(&[a]);
    assert!(rig.cursor("a").has(had));
}

#[test]
fn what_an_earlier_process_left_for_a_former_name_is_needed() {
    let rig = Rig::new();
    rig.change(&[owner("replay", "a", &[]), owner("replay", "b", &[])]);
    rig.change(&[owner("replay", "b", &[])]);
    let missed = rig.store();
    rig.cursors.rest().unwrap();
    assert!(rig.cursor("a").has(missed));
    let cursors = SinkCursors::new(Arc::clone(&rig.cursors.log), Duration::ZERO);
    let rig = Rig { cursors, ..rig };
    rig.change(&[owner("replay", "a", &["b"])]);
    assert!(!rig.cursor("a").has(missed));
}

#[test]
fn a_place_catches_up_with_those_that_it_begins_like() {
    let rig = Rig::new();
    rig.change(&[owner("replay", "a", &[])]);
    let (first, second) = (rig.store(), rig.store());
    let likes = ["replay.TO.a".to_owned()];
    assert!(rig.cursors.log.copy_cursor(&likes, "replay.TO.b").unwrap());
    rig.ack("a", second);
    assert!(!rig.cursor("b").has(second));
    rig.cursors.log.catch_up(&likes, "replay.TO.b");
    assert!(rig.cursor("b").has(second) && !rig.cursor("b").has(first));
    assert!(!rig.cursors.log.copy_cursor(&likes, "replay.TO.b").unwrap());
}

#[test]
fn an_heir_is_told_of_when_it_is_there_and_to_the_replay_that_leads_to_it() {
    let rig = Rig::new();
    let (a, c) = (owner("replay", "a", &[]), owner("replay", "c", &[]));
    rig.change(&[a, c.clone()]);
    let missed = rig.store();
    rig.change(std::slice::from_ref(&c));
    assert_eq!(rig.heirs("replay"), [Heir::Nobody]);

    let b = owner("other", "b", &["a"]);
    rig.cursors.prepare(&[c, b.clone()]).unwrap();
    assert_eq!(rig.heirs("replay"), [], "it is not in force yet");
    assert_eq!(rig.heirs("other"), []);
    assert!(!rig.give_up("a", missed), "somebody takes over");
    rig.cursors.settle();
    assert_eq!(rig.heirs("replay"), []);
    assert_eq!(rig.heirs("other"), [Heir::sink(&b)]);
}

#[test]
fn what_nobody_takes_over_is_given_up_once() {
    let rig = Rig::new();
    let (a, b) = (owner("replay", "a", &[]), owner("replay", "b", &[]));
    rig.change(&[a.clone(), b]);
    let missed = rig.store();
    rig.change(&[a]);
    rig.ack("a", missed);
    assert!(rig.give_up("b", missed));
    let dropped = rig.ledger.count(Signal::Logs, Bucket::Dropped);
    assert_eq!((rig.vaulted(), dropped), (0, 1));
}

#[test]
fn places_are_on_disk_before_they_are_in_force() {
    let rig = Rig::new();
    rig.cursors.prepare(&[owner("replay", "a", &[])]).unwrap();
    let Rig { writer, cursors, dir, .. } = rig;
    drop((writer, cursors));
    assert!(Path::new(dir.path()).join("cursors/replay.TO.a").exists());
}

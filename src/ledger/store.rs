//! Keeps the books of one process: what it finds at its start, a page a second, and the last one.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use gophership_units::unix_ns;
use gophership_vault::Known;

use super::Kill;
use super::LedgerRows;
use super::LedgerSnapshot;
use super::Standing;
use super::count::count_all;
use super::count::has_losses;
use super::file::LedgerFile;
use super::file::StoredLedger;
use super::holdings::Holdings;
use super::holdings::RecordCounts;
use super::holdings::Store;
use super::marks::AskVaults;
use super::name_of;
use super::rows::at_hand;
use super::totals::INTERRUPTED;
use super::totals::LedgerTotals;
use super::totals::MISSING;
use super::totals::SignalTotals;
use super::totals::UNWRITTEN;
use crate::event::Bucket;
use crate::event::Ledgers;
use crate::event::Signal;
use crate::event::SinkBucket;

const WRITE_EVERY: Duration = Duration::from_secs(1);
/// A start waits for this long at most until the vaults are counted.
const COUNT_WITHIN: Duration = Duration::from_secs(1);

/// Keeps the books on a thread of its own. Dropped, it writes a page and no word of an end: whoever
/// ends at once goes on to move records after that.
pub struct LedgerStore {
    messages: Option<mpsc::Sender<Message>>,
    thread: Option<JoinHandle<()>>,
    known: BTreeMap<PathBuf, Known>,
}

/// What its thread is told.
enum Message {
    /// These vaults are there.
    Know(Vec<PathBuf>),
    /// No record moves any more.
    Close,
}

impl LedgerStore {
    /// Opens the books of a data folder before its vaults are opened, and begins to write. Blocks.
    ///
    /// # Errors
    ///
    /// When no thread can be had. Books that cannot be read or written are told of in the log, and
    /// stop no start.
    pub fn start(
        data_dir: &Path,
        vaults: Vec<PathBuf>,
        ledgers: &'static Ledgers,
        ask: Box<AskVaults>,
    ) -> io::Result<Self> {
        let opened = Books::open(data_dir, vaults, Instant::now() + COUNT_WITHIN);
        let books = opened.inspect_err(|error| {
            let dir = data_dir.display();
            tracing::error!(%error, %dir, "Cannot keep a ledger; GopherShip runs without one.");
        });
        let (sender, messages) = mpsc::channel();
        let mut known = BTreeMap::new();
        if let Ok(books) = &books {
            books.seat(ledgers);
            known = books.snapshot.known(data_dir);
        }
        let keep = move || {
            if let Ok(books) = books {
                books.keep(ledgers, &messages, &ask);
            }
        };
        let thread = std::thread::Builder::new().name("books".to_owned()).spawn(keep)?;
        Ok(Self { messages: Some(sender), thread: Some(thread), known })
    }

    /// What the process before knew of each vault, by its directory.
    #[must_use]
    pub const fn known(&self) -> &BTreeMap<PathBuf, Known> {
        &self.known
    }

    /// Tells of the vaults that there are after a reload.
    pub fn know(&self, vaults: Vec<PathBuf>) {
        if let Some(messages) = &self.messages {
            // Without books nobody listens.
            let _unheard = messages.send(Message::Know(vaults));
        }
    }

    /// Writes the last page: nothing moves any more. Blocks.
    pub fn close(self) {
        if let Some(messages) = &self.messages {
            let _unheard = messages.send(Message::Close);
        }
    }
}

impl Drop for LedgerStore {
    fn drop(&mut self) {
        drop(self.messages.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it has been logged.
            let _ended = thread.join();
        }
    }
}

struct Books {
    data_dir: PathBuf,
    file: LedgerFile,
    snapshot: LedgerSnapshot,
    /// Whether the last writing failed.
    has_failed: bool,
}

impl Books {
    fn open(data_dir: &Path, vaults: Vec<PathBuf>, deadline: Instant) -> io::Result<Self> {
        let (file, found) = LedgerFile::open(data_dir)?;
        let now = unix_ns();
        let mut snapshot = match found {
            StoredLedger::Snapshot(_, snapshot) => *snapshot,
            StoredLedger::Nothing => {
                LedgerSnapshot { begun_unix_ns: now, ..LedgerSnapshot::default() }
            }
            StoredLedger::Damaged => {
                tracing::error!(
                    file = %file.path().display(),
                    "The ledger is damaged. GopherShip moved it away and starts a new one."
                );
                LedgerSnapshot { begun_unix_ns: now, ..LedgerSnapshot::default() }
            }
        };
        let is_first = snapshot.starts == 0;
        if !is_first {
            let known: Vec<PathBuf> =
                snapshot.vaults.iter().map(|name| data_dir.join(name)).collect();
            let mut held = count_all(&known, &snapshot.known(data_dir), deadline);
            if let Some(held) = &mut held {
                held.has_losses = has_losses(&snapshot, data_dir, &known);
            }
            snapshot = turn(snapshot, held.as_ref(), now);
            tell(&snapshot, now);
        }
        snapshot.starts += 1;
        let mut books = Self { data_dir: data_dir.to_owned(), file, snapshot, has_failed: false };
        books.admit(vaults, deadline);
        books.write(LedgerRows::default(), Standing::Moving);
        Ok(books)
    }

    /// Gives everybody who has a row in the books the first rows of this process too, so that a name has
    /// its own in either, or in neither.
    fn seat(&self, ledgers: &Ledgers) {
        let LedgerRows { sources, sinks } = &self.snapshot.before;
        for source in sources.keys() {
            let _seated = ledgers.source(source);
        }
        for sink in sinks.keys() {
            let _seated = ledgers.sink(sink);
        }
    }

    /// Makes vaults known: what is in one that is new to the books comes from somewhere else.
    fn admit(&mut self, vaults: Vec<PathBuf>, deadline: Instant) {
        for dir in vaults {
            let name = name_of(&self.data_dir, &dir);
            if self.snapshot.vaults.contains(&name) {
                continue;
            }
            match count_all(&[dir], &BTreeMap::new(), deadline) {
                Some(held) => {
                    self.recover(&held.vaulted, Bucket::Vaulted);
                    self.recover(&held.dead_letters, Bucket::DeadLettered);
                }
                None => self.snapshot.is_unsettled = true,
            }
            self.snapshot.vaults.insert(name);
        }
    }

    /// Books what a store holds that was not known.
    fn recover(&mut self, store: &Store, bucket: Bucket) {
        for (source, tally) in self.snapshot.before.held(store) {
            let all_totals = self.snapshot.before.sources.entry(source).or_default();
            for signal in Signal::ALL {
                all_totals.of_mut(signal).add(Bucket::Recovered.name(), tally.of(signal));
                all_totals.of_mut(signal).add(bucket.name(), tally.of(signal));
            }
        }
    }

    fn keep(mut self, ledgers: &Ledgers, messages: &mpsc::Receiver<Message>, ask: &AskVaults) {
        let standing = loop {
            match messages.recv_timeout(WRITE_EVERY) {
                Ok(Message::Know(vaults)) => {
                    self.admit(vaults, Instant::now() + COUNT_WITHIN);
                    self.snapshot.standing = Standing::Moving;
                }
                Ok(Message::Close) => break Standing::Ended,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break Standing::Moving,
            }
            let (process, is_lost) = (LedgerRows::of(ledgers), self.mark(ask));
            let is_still = process == self.snapshot.process;
            if is_still
                && !is_lost
                && self.file.is_in_place()
                && self.snapshot.standing == Standing::Quiet
                && !self.has_failed
            {
                continue;
            }
            let standing = if is_still { Standing::Quiet } else { Standing::Moving };
            self.write(process, standing);
        };
        self.mark(ask);
        self.write(LedgerRows::of(ledgers), standing);
    }

    /// Notes what the vaults tell; returns whether one has lost something since. One that is closed told
    /// its last word before.
    fn mark(&mut self, ask: &AskVaults) -> bool {
        let mut is_lost = false;
        for (dir, mark) in ask() {
            let before = self.snapshot.marks.entry(name_of(&self.data_dir, &dir)).or_default();
            is_lost |= before.lost_requests != mark.lost_requests;
            *before = mark;
        }
        is_lost
    }

    fn write(&mut self, process: LedgerRows, standing: Standing) {
        let snapshot = &mut self.snapshot;
        (snapshot.process, snapshot.standing, snapshot.written_unix_ns) =
            (process, standing, unix_ns());
        let written = self.file.write(snapshot);
        if let Err(error) = &written
            && !self.has_failed
        {
            let file = self.file.path().display();
            tracing::error!(%error, %file, "Cannot write the ledger; GopherShip retries.");
        }
        self.has_failed = written.is_err();
    }
}

/// Ends the page of a former process, given what the vaults hold now.
fn turn(snapshot: LedgerSnapshot, held: Option<&Holdings>, now_unix_ns: u64) -> LedgerSnapshot {
    let was_killed = snapshot.standing != Standing::Ended;
    // Numbers of one page are of slightly different moments while records move.
    let is_torn = was_killed && snapshot.standing == Standing::Moving;
    let (mut rows, known) = (snapshot.rows(), snapshot.before.total());
    if let Some(held) = held {
        rows.attribute(held);
    }
    let mut booked = SignalTotals::default();
    let knows_losses = held.is_some_and(|held| held.has_losses);
    let of_vaults = held.map(|held| (rows.held(&held.vaulted), rows.held(&held.dead_letters)));
    // An operator took letters out after the last page.
    let were_removed = |held: &Holdings| snapshot.written_unix_ns < held.letters_removed_unix_ns;
    let may_be_less = MayBeLess {
        vaulted: was_killed && !knows_losses,
        letters: was_killed && held.is_some_and(were_removed),
    };
    for name in rows.names(held) {
        let all_totals = rows.sources.entry(name.clone()).or_default();
        for signal in Signal::ALL {
            let totals = all_totals.of_mut(signal);
            let in_flight = totals.take(Bucket::InFlight.name());
            totals.add(INTERRUPTED, in_flight);
            booked.of_mut(signal).add(INTERRUPTED, in_flight);
            if let Some((vaulted, dead_lettered)) = &of_vaults {
                let of = |held: &BTreeMap<String, RecordCounts>| {
                    held.get(&name).map_or(0, |tally| tally.of(signal))
                };
                settle(totals, of(vaulted), of(dead_lettered), may_be_less);
            }
            if is_torn {
                let apart = totals.imbalance();
                totals.add(UNWRITTEN, -apart);
            }
        }
    }
    for signal in Signal::ALL {
        // One that was cut short had some too. What only sinks have stays there, to be found.
        if was_killed || 0 < booked.of_signal(signal).get(INTERRUPTED) {
            interrupt_sinks(&mut rows, held.filter(|_| was_killed), signal);
        }
    }
    if was_killed {
        let total = rows.total();
        for signal in Signal::ALL {
            let unwritten = |all_totals: &SignalTotals| all_totals.of_signal(signal).get(UNWRITTEN);
            booked.of_mut(signal).add(UNWRITTEN, unwritten(&total) - unwritten(&known));
        }
    }
    if is_torn {
        rows.level();
    }
    let kill =
        Kill { written_unix_ns: snapshot.written_unix_ns, found_unix_ns: now_unix_ns, booked };
    LedgerSnapshot {
        kills: snapshot.kills + u64::from(was_killed),
        last_kill: if was_killed { Some(kill) } else { snapshot.last_kill },
        is_unsettled: held.is_none(),
        before: rows,
        process: LedgerRows::default(),
        ..snapshot
    }
}

/// Of what a start may find less than was booked, because it went after the last word.
#[derive(Clone, Copy)]
struct MayBeLess {
    vaulted: bool,
    letters: bool,
}

/// Books what vaults hold of a source, and the difference to what was booked. More can only have come
/// after the last word; less can have gone then, if it may.
fn settle(totals: &mut LedgerTotals, vaulted: i64, dead_lettered: i64, may_be_less: MayBeLess) {
    let more = vaulted - totals.get(Bucket::Vaulted.name());
    totals.add(Bucket::Vaulted.name(), more);
    let letters = dead_lettered - totals.get(Bucket::DeadLettered.name());
    // Who deletes files of the store does not take its letters out of the books.
    let removed = if may_be_less.letters { letters.min(0) } else { 0 };
    totals.add(Bucket::DeadLettered.name(), letters.max(removed));
    totals.add(UNWRITTEN, removed);
    let difference = more + letters.max(0);
    let is_late = 0 < difference || may_be_less.vaulted;
    let (line, sign) = if is_late { (UNWRITTEN, 1) } else { (MISSING, -1) };
    totals.add(line, sign * difference);
}

/// Books what the sinks of a former process had, and the dead letters that nobody had booked for them.
fn interrupt_sinks(rows: &mut LedgerRows, held: Option<&Holdings>, signal: Signal) {
    for (sink, all_totals) in &mut rows.sinks {
        let dead_lettered =
            held.and_then(|held| held.dead_letters.by_sink.get(&Some(sink.clone())));
        let totals = all_totals.of_mut(signal);
        totals.add(INTERRUPTED, at_hand(totals));
        let known = totals.get(SinkBucket::DeadLettered.name());
        let dead_lettered = dead_lettered.map_or(0, |tally| tally.of(signal) - known);
        totals.add(SinkBucket::DeadLettered.name(), dead_lettered.max(0));
    }
}

/// Says what a start has booked for its predecessor.
fn tell(snapshot: &LedgerSnapshot, now_unix_ns: u64) {
    let total = snapshot.before.total();
    let kill = snapshot.last_kill.as_ref().filter(|kill| kill.found_unix_ns == now_unix_ns);
    for signal in Signal::ALL {
        let signal_name = signal.name();
        let missing = total.of_signal(signal).get(MISSING);
        if missing != 0 {
            tracing::error!(
                signal = signal_name,
                missing,
                "Records are missing from the vaults, according to the ledger. See `gophership \
                 audit`."
            );
        }
        let Some(totals) = kill.map(|kill| kill.booked.of_signal(signal)) else { continue };
        let (interrupted, unwritten) = (totals.get(INTERRUPTED), totals.get(UNWRITTEN));
        if interrupted != 0 || unwritten != 0 {
            tracing::warn!(
                signal = signal_name,
                interrupted,
                unwritten,
                "Reconciled the ledger with the vaults, because the previous GopherShip process \
                 was killed."
            );
        }
    }
    if snapshot.is_unsettled {
        tracing::warn!(
            "Did not compare the ledger with the vaults: they are too large to count at start."
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGS: Signal = Signal::Logs;

    fn snapshot(standing: Standing, lines: &[(&str, i64)]) -> LedgerSnapshot {
        let mut snapshot = LedgerSnapshot { standing, starts: 1, ..LedgerSnapshot::default() };
        for (line, records) in lines {
            let row = snapshot.process.sources.entry("in".to_owned()).or_default();
            row.of_mut(LOGS).add(line, *records);
        }
        snapshot.process.level();
        snapshot
    }

    fn held(records: i64) -> Holdings {
        let mut held = Holdings::default();
        held.vaulted.records.add(LOGS, records);
        held.vaulted.by_source.entry("in".to_owned()).or_default().add(LOGS, records);
        held
    }

    fn lines(snapshot: &LedgerSnapshot) -> [i64; 4] {
        let totals = snapshot.before.sources["in"].of_signal(LOGS);
        assert_eq!(snapshot.totals().of_signal(LOGS), totals);
        assert_eq!(totals.imbalance(), 0);
        ["vaulted", INTERRUPTED, UNWRITTEN, MISSING].map(|line| totals.get(line))
    }

    #[test]
    fn a_kill_is_settled_by_what_the_vault_holds() {
        let left = [("received", 30), ("delivered", 5), ("in_flight", 5), ("vaulted", 20)];
        let more = turn(snapshot(Standing::Moving, &left), Some(&held(26)), 9);
        assert_eq!((lines(&more), more.kills), ([26, 5, 6, 0], 1));
        assert_eq!(more.last_kill.unwrap().booked.of_signal(LOGS).get(UNWRITTEN), 6);
        let less = turn(snapshot(Standing::Quiet, &left), Some(&held(12)), 9);
        assert_eq!(lines(&less), [12, 5, -8, 0]);
        let torn = [("received", 30), ("delivered", 5), ("vaulted", 20)];
        assert_eq!(
            lines(&turn(snapshot(Standing::Moving, &torn), Some(&held(20)), 9)),
            [20, 0, -5, 0]
        );
        let uncounted = turn(snapshot(Standing::Quiet, &left), None, 9);
        assert!(uncounted.is_unsettled);
        assert_eq!(lines(&uncounted), [20, 5, 0, 0]);
    }

    #[test]
    fn after_an_end_in_order_a_difference_is_missing_and_an_imbalance_stays() {
        let left = [("received", 30), ("delivered", 10), ("vaulted", 20)];
        let lost = turn(snapshot(Standing::Ended, &left), Some(&held(12)), 9);
        assert_eq!((lines(&lost), lost.kills), ([12, 0, 0, 8], 0));
        let bug = [("received", 30), ("delivered", 11), ("vaulted", 20)];
        let bug = turn(snapshot(Standing::Ended, &bug), Some(&held(20)), 9);
        assert_eq!(bug.totals().of_signal(LOGS).imbalance(), -1);
        let quiet = [("received", 30), ("delivered", 11), ("vaulted", 20)];
        let quiet = turn(snapshot(Standing::Quiet, &quiet), Some(&held(20)), 9);
        assert_eq!(quiet.totals().of_signal(LOGS).imbalance(), -1, "a kill hides no bug");
    }

    #[test]
    fn letters_that_were_taken_out_after_the_last_word_are_unwritten_and_others_stay_booked() {
        let left = [("received", 30), ("vaulted", 20), ("dead_lettered", 10)];
        for (written_unix_ns, removed_unix_ns, letters) in [(5, 6, 4), (5, 4, 10), (5, 0, 10)] {
            let mut left = snapshot(Standing::Quiet, &left);
            left.written_unix_ns = written_unix_ns;
            let mut held = Holdings { letters_removed_unix_ns: removed_unix_ns, ..held(20) };
            held.dead_letters.records.add(LOGS, 4);
            held.dead_letters.by_source.entry("in".to_owned()).or_default().add(LOGS, 4);
            let totals = turn(left, Some(&held), 9).before.sources["in"].of_signal(LOGS).clone();
            let lines = ["dead_lettered", UNWRITTEN, "vaulted"].map(|line| totals.get(line));
            assert_eq!(lines, [letters, letters - 10, 20]);
            assert_eq!(totals.imbalance(), 0);
        }
    }

    #[test]
    fn what_is_known_to_be_missing_is_booked_so_after_a_kill_too() {
        let left = [("received", 30), ("delivered", 10), ("vaulted", 20)];
        let held = Holdings { has_losses: true, ..held(12) };
        for standing in [Standing::Moving, Standing::Quiet, Standing::Ended] {
            assert_eq!(lines(&turn(snapshot(standing, &left), Some(&held), 9)), [12, 0, 0, 8]);
        }
    }

    #[test]
    fn what_came_after_the_last_word_is_never_missing() {
        let left = [("received", 30), ("delivered", 10), ("vaulted", 20)];
        for standing in [Standing::Quiet, Standing::Ended] {
            assert_eq!(lines(&turn(snapshot(standing, &left), Some(&held(23)), 9)), [23, 0, 3, 0]);
        }
    }

    fn no_vaults() -> Box<AskVaults> {
        Box::new(BTreeMap::new)
    }

    /// As above, with a sink that has taken ten and delivered six.
    fn with_sink(standing: Standing, in_flight: i64) -> LedgerSnapshot {
        let lines = [("received", 6 + in_flight), ("delivered", 6), ("in_flight", in_flight)];
        let mut snapshot = snapshot(standing, &lines);
        snapshot.process.sinks.clear();
        let totals = snapshot.process.sinks.entry("out".to_owned()).or_default().of_mut(LOGS);
        totals.add(SinkBucket::Taken.name(), 10);
        totals.add(SinkBucket::Delivered.name(), 6);
        snapshot
    }

    #[test]
    fn what_a_sink_had_is_interrupted_with_the_process_and_what_only_it_has_stays_to_be_found() {
        let sink = |snapshot: LedgerSnapshot| {
            let snapshot = turn(snapshot, Some(&held(0)), 9);
            let totals = snapshot.before.sinks["out"].of_signal(LOGS).clone();
            (totals.get(INTERRUPTED), at_hand(&totals), snapshot.before.is_balanced())
        };
        assert_eq!(sink(with_sink(Standing::Quiet, 4)), (4, 0, true));
        assert_eq!(sink(with_sink(Standing::Moving, 5)), (4, 0, true));
        assert_eq!(sink(with_sink(Standing::Ended, 4)), (4, 0, true), "cut short");
        assert_eq!(sink(with_sink(Standing::Ended, 0)), (0, 4, false), "a bug");
    }

    #[test]
    fn each_source_is_settled_by_what_the_vault_holds_of_it() {
        let mut snapshot = snapshot(Standing::Moving, &[("received", 20), ("vaulted", 20)]);
        let other = snapshot.process.sources.entry("other".to_owned()).or_default().of_mut(LOGS);
        other.add("received", 8);
        other.add("vaulted", 8);
        let mut held = held(25);
        held.vaulted.by_source.entry("other".to_owned()).or_default().add(LOGS, 3);
        held.vaulted.by_source.entry("new".to_owned()).or_default().add(LOGS, 2);
        let snapshot = turn(snapshot, Some(&held), 9);
        let row = |name: &str| {
            let totals = snapshot.before.sources[name].of_signal(LOGS);
            [totals.get("vaulted"), totals.get(UNWRITTEN)]
        };
        assert_eq!([row("in"), row("other"), row("new")], [[25, 5], [3, -5], [2, 2]]);
        assert!(snapshot.before.is_balanced());
        assert_eq!(snapshot.last_kill.unwrap().booked.of_signal(LOGS).get(UNWRITTEN), 2);
    }

    /// Scenario: one process after the other keeps the books of a folder.
    /// Guarantees: every name keeps its row, also one that the later process has nothing of.
    #[test]
    fn rows_go_on_from_process_to_process() {
        let dir = tempfile::tempdir().unwrap();
        for (source, sink) in [("a", "x"), ("b", "x"), ("a", "y")] {
            let ledgers = Ledgers::leak();
            let store = LedgerStore::start(dir.path(), Vec::new(), ledgers, no_vaults()).unwrap();
            ledgers.source(source).book(LOGS, Bucket::Received, 5);
            ledgers.source(source).book(LOGS, Bucket::Filtered, 5);
            let _row = ledgers.sink(sink);
            store.close();
        }
        let StoredLedger::Snapshot(_, snapshot) = super::super::read(dir.path()).unwrap() else {
            panic!("there is a page")
        };
        let rows = snapshot.rows();
        let received = |name: &str| rows.sources[name].of_signal(LOGS).get("received");
        assert_eq!([received("a"), received("b")], [10, 5]);
        assert_eq!(rows.sinks.keys().collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!((snapshot.starts, snapshot.kills, snapshot.standing), (3, 0, Standing::Ended));
    }

    /// Scenario: a process ends at once while its vault goes on to give what it holds.
    /// Guarantees: the next one books the difference for one that was killed, and misses nothing.
    #[test]
    fn a_keeper_that_is_dropped_tells_of_no_end() {
        let dir = tempfile::tempdir().unwrap();
        let ledgers = Ledgers::leak();
        let store = LedgerStore::start(dir.path(), Vec::new(), ledgers, no_vaults()).unwrap();
        ledgers.source("in").book(LOGS, Bucket::Received, 5);
        ledgers.source("in").book(LOGS, Bucket::Vaulted, 5);
        drop(store);
        LedgerStore::start(dir.path(), Vec::new(), Ledgers::leak(), no_vaults()).unwrap().close();
        let StoredLedger::Snapshot(_, snapshot) = super::super::read(dir.path()).unwrap() else {
            panic!("there is a page")
        };
        assert_eq!((snapshot.starts, snapshot.kills, snapshot.standing), (2, 1, Standing::Ended));
        assert_eq!(lines(&snapshot), [0, 0, -5, 0]);
    }
}

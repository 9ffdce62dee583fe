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
use std::time::SystemTime;

use gophership_vault::Known;

use super::Kill;
use super::Page;
use super::Rows;
use super::Standing;
use super::count::count_all;
use super::count::has_losses;
use super::file::BookFile;
use super::file::Found;
use super::holdings::Holdings;
use super::holdings::Store;
use super::holdings::Tally;
use super::marks::AskVaults;
use super::name_of;
use super::rows::at_hand;
use super::sheet::INTERRUPTED;
use super::sheet::MISSING;
use super::sheet::Sheet;
use super::sheet::Sheets;
use super::sheet::UNWRITTEN;
use crate::event::Bucket;
use crate::event::Ledgers;
use crate::event::Signal;
use crate::event::Taking;

const WRITE_EVERY: Duration = Duration::from_secs(1);
/// A start waits for this long at most until the vaults are counted.
const COUNT_WITHIN: Duration = Duration::from_secs(1);

/// Keeps the books on a thread of its own. Dropped, it writes a page and no word of an end: whoever
/// ends at once goes on to move records after that.
pub struct BookKeeper {
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

impl BookKeeper {
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
            tracing::error!(%error, %dir, "The ledger cannot be kept; this process goes on without.");
        });
        let (sender, messages) = mpsc::channel();
        let mut known = BTreeMap::new();
        if let Ok(books) = &books {
            books.seat(ledgers);
            known = books.page.known(data_dir);
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

impl Drop for BookKeeper {
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
    file: BookFile,
    page: Page,
    /// Whether the last writing failed.
    has_failed: bool,
}

impl Books {
    fn open(data_dir: &Path, vaults: Vec<PathBuf>, deadline: Instant) -> io::Result<Self> {
        let (file, found) = BookFile::open(data_dir)?;
        let now = now_unix_ns();
        let mut page = match found {
            Found::Page(_, page) => *page,
            Found::Nothing => Page { begun_unix_ns: now, ..Page::default() },
            Found::Damaged => {
                tracing::error!(
                    file = %file.path().display(),
                    "The ledger was damaged and is set aside; it begins anew."
                );
                Page { begun_unix_ns: now, ..Page::default() }
            }
        };
        let is_first = page.starts == 0;
        if !is_first {
            let known: Vec<PathBuf> = page.vaults.iter().map(|name| data_dir.join(name)).collect();
            let mut held = count_all(&known, &page.known(data_dir), deadline);
            if let Some(held) = &mut held {
                held.has_losses = has_losses(&page, data_dir, &known);
            }
            page = turn(page, held.as_ref(), now);
            tell(&page, now);
        }
        page.starts += 1;
        let mut books = Self { data_dir: data_dir.to_owned(), file, page, has_failed: false };
        books.admit(vaults, deadline);
        books.write(Rows::default(), Standing::Moving);
        Ok(books)
    }

    /// Gives everybody who has a row in the books the first rows of this process too, so that a name has
    /// its own in either, or in neither.
    fn seat(&self, ledgers: &Ledgers) {
        let Rows { sources, sinks } = &self.page.before;
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
            if self.page.vaults.contains(&name) {
                continue;
            }
            match count_all(&[dir], &BTreeMap::new(), deadline) {
                Some(held) => {
                    self.recover(&held.vaulted, Bucket::Vaulted);
                    self.recover(&held.dead_letters, Bucket::DeadLettered);
                }
                None => self.page.is_unsettled = true,
            }
            self.page.vaults.insert(name);
        }
    }

    /// Books what a store holds that was not known.
    fn recover(&mut self, store: &Store, bucket: Bucket) {
        for (source, tally) in self.page.before.held(store) {
            let sheets = self.page.before.sources.entry(source).or_default();
            for signal in Signal::ALL {
                sheets.of_mut(signal).add(Bucket::Recovered.name(), tally.of(signal));
                sheets.of_mut(signal).add(bucket.name(), tally.of(signal));
            }
        }
    }

    fn keep(mut self, ledgers: &Ledgers, messages: &mpsc::Receiver<Message>, ask: &AskVaults) {
        let standing = loop {
            match messages.recv_timeout(WRITE_EVERY) {
                Ok(Message::Know(vaults)) => {
                    self.admit(vaults, Instant::now() + COUNT_WITHIN);
                    self.page.standing = Standing::Moving;
                }
                Ok(Message::Close) => break Standing::Ended,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break Standing::Moving,
            }
            let (process, is_lost) = (Rows::of(ledgers), self.mark(ask));
            let is_still = process == self.page.process;
            if is_still
                && !is_lost
                && self.file.is_in_place()
                && self.page.standing == Standing::Quiet
                && !self.has_failed
            {
                continue;
            }
            let standing = if is_still { Standing::Quiet } else { Standing::Moving };
            self.write(process, standing);
        };
        self.mark(ask);
        self.write(Rows::of(ledgers), standing);
    }

    /// Notes what the vaults tell; returns whether one has lost something since. One that is closed told
    /// its last word before.
    fn mark(&mut self, ask: &AskVaults) -> bool {
        let mut is_lost = false;
        for (dir, mark) in ask() {
            let before = self.page.marks.entry(name_of(&self.data_dir, &dir)).or_default();
            is_lost |= before.lost_requests != mark.lost_requests;
            *before = mark;
        }
        is_lost
    }

    fn write(&mut self, process: Rows, standing: Standing) {
        let page = &mut self.page;
        (page.process, page.standing, page.written_unix_ns) = (process, standing, now_unix_ns());
        let written = self.file.write(page);
        if let Err(error) = &written
            && !self.has_failed
        {
            let file = self.file.path().display();
            tracing::error!(%error, %file, "The ledger cannot be written; it is tried again.");
        }
        self.has_failed = written.is_err();
    }
}

/// Ends the page of a former process, given what the vaults hold now.
fn turn(page: Page, held: Option<&Holdings>, now_unix_ns: u64) -> Page {
    let was_killed = page.standing != Standing::Ended;
    // Numbers of one page are of slightly different moments while records move.
    let is_torn = was_killed && page.standing == Standing::Moving;
    let (mut rows, known) = (page.rows(), page.before.total());
    if let Some(held) = held {
        rows.attribute(held);
    }
    let mut booked = Sheets::default();
    let knows_losses = held.is_some_and(|held| held.has_losses);
    let of_vaults = held.map(|held| (rows.held(&held.vaulted), rows.held(&held.dead_letters)));
    for name in rows.names(held) {
        let sheets = rows.sources.entry(name.clone()).or_default();
        for signal in Signal::ALL {
            let sheet = sheets.of_mut(signal);
            let in_flight = sheet.take(Bucket::InFlight.name());
            sheet.add(INTERRUPTED, in_flight);
            booked.of_mut(signal).add(INTERRUPTED, in_flight);
            if let Some((vaulted, buried)) = &of_vaults {
                let of = |held: &BTreeMap<String, Tally>| {
                    held.get(&name).map_or(0, |tally| tally.of(signal))
                };
                settle(sheet, of(vaulted), of(buried), was_killed && !knows_losses);
            }
            if is_torn {
                let apart = sheet.imbalance();
                sheet.add(UNWRITTEN, -apart);
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
            let unwritten = |sheets: &Sheets| sheets.of_signal(signal).get(UNWRITTEN);
            booked.of_mut(signal).add(UNWRITTEN, unwritten(&total) - unwritten(&known));
        }
    }
    if is_torn {
        rows.level();
    }
    let kill = Kill { written_unix_ns: page.written_unix_ns, found_unix_ns: now_unix_ns, booked };
    Page {
        kills: page.kills + u64::from(was_killed),
        last_kill: if was_killed { Some(kill) } else { page.last_kill },
        is_unsettled: held.is_none(),
        before: rows,
        process: Rows::default(),
        ..page
    }
}

/// Books what vaults hold of a source, and the difference to what was booked. More can only have come
/// after the last word; less can have gone then, if `may_be_less`.
fn settle(sheet: &mut Sheet, vaulted: i64, dead_lettered: i64, may_be_less: bool) {
    let more = vaulted - sheet.get(Bucket::Vaulted.name());
    sheet.add(Bucket::Vaulted.name(), more);
    // Who empties the store of dead letters does not take them out of the books.
    let buried = (dead_lettered - sheet.get(Bucket::DeadLettered.name())).max(0);
    sheet.add(Bucket::DeadLettered.name(), buried);
    let difference = more + buried;
    let is_late = 0 < difference || may_be_less;
    let (line, sign) = if is_late { (UNWRITTEN, 1) } else { (MISSING, -1) };
    sheet.add(line, sign * difference);
}

/// Books what the sinks of a former process had, and what was buried for them unsaid.
fn interrupt_sinks(rows: &mut Rows, held: Option<&Holdings>, signal: Signal) {
    for (sink, sheets) in &mut rows.sinks {
        let buried = held.and_then(|held| held.dead_letters.by_sink.get(&Some(sink.clone())));
        let sheet = sheets.of_mut(signal);
        sheet.add(INTERRUPTED, at_hand(sheet));
        let known = sheet.get(Taking::DeadLettered.name());
        let buried = buried.map_or(0, |tally| tally.of(signal) - known);
        sheet.add(Taking::DeadLettered.name(), buried.max(0));
    }
}

/// Says what a start has booked for its predecessor.
fn tell(page: &Page, now_unix_ns: u64) {
    let total = page.before.total();
    let kill = page.last_kill.as_ref().filter(|kill| kill.found_unix_ns == now_unix_ns);
    for signal in Signal::ALL {
        let signal_name = signal.name();
        let missing = total.of_signal(signal).get(MISSING);
        if missing != 0 {
            tracing::error!(
                signal = signal_name,
                missing,
                "Records are in no vault any more that the ledger says are there; see `gophership audit`."
            );
        }
        let Some(sheet) = kill.map(|kill| kill.booked.of_signal(signal)) else { continue };
        let (interrupted, unwritten) = (sheet.get(INTERRUPTED), sheet.get(UNWRITTEN));
        if interrupted != 0 || unwritten != 0 {
            tracing::warn!(
                signal = signal_name,
                interrupted,
                unwritten,
                "The process before was killed: what was in flight, and what its vaults took or gave \
                 after its last word, is booked."
            );
        }
    }
    if page.is_unsettled {
        tracing::warn!(
            "The vaults are too large to be counted at a start: the ledger is not compared with them."
        );
    }
}

fn now_unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGS: Signal = Signal::Logs;

    fn page(standing: Standing, lines: &[(&str, i64)]) -> Page {
        let mut page = Page { standing, starts: 1, ..Page::default() };
        for (line, records) in lines {
            let row = page.process.sources.entry("in".to_owned()).or_default();
            row.of_mut(LOGS).add(line, *records);
        }
        page.process.level();
        page
    }

    fn held(records: i64) -> Holdings {
        let mut held = Holdings::default();
        held.vaulted.records.add(LOGS, records);
        held.vaulted.by_source.entry("in".to_owned()).or_default().add(LOGS, records);
        held
    }

    fn lines(page: &Page) -> [i64; 4] {
        let sheet = page.before.sources["in"].of_signal(LOGS);
        assert_eq!(page.totals().of_signal(LOGS), sheet);
        assert_eq!(sheet.imbalance(), 0);
        ["vaulted", INTERRUPTED, UNWRITTEN, MISSING].map(|line| sheet.get(line))
    }

    #[test]
    fn a_kill_is_settled_by_what_the_vault_holds() {
        let left = [("received", 30), ("delivered", 5), ("in_flight", 5), ("vaulted", 20)];
        let more = turn(page(Standing::Moving, &left), Some(&held(26)), 9);
        assert_eq!((lines(&more), more.kills), ([26, 5, 6, 0], 1));
        assert_eq!(more.last_kill.unwrap().booked.of_signal(LOGS).get(UNWRITTEN), 6);
        let less = turn(page(Standing::Quiet, &left), Some(&held(12)), 9);
        assert_eq!(lines(&less), [12, 5, -8, 0]);
        let torn = [("received", 30), ("delivered", 5), ("vaulted", 20)];
        assert_eq!(lines(&turn(page(Standing::Moving, &torn), Some(&held(20)), 9)), [20, 0, -5, 0]);
        let uncounted = turn(page(Standing::Quiet, &left), None, 9);
        assert!(uncounted.is_unsettled);
        assert_eq!(lines(&uncounted), [20, 5, 0, 0]);
    }

    #[test]
    fn after_an_end_in_order_a_difference_is_missing_and_an_imbalance_stays() {
        let left = [("received", 30), ("delivered", 10), ("vaulted", 20)];
        let lost = turn(page(Standing::Ended, &left), Some(&held(12)), 9);
        assert_eq!((lines(&lost), lost.kills), ([12, 0, 0, 8], 0));
        let bug = [("received", 30), ("delivered", 11), ("vaulted", 20)];
        let bug = turn(page(Standing::Ended, &bug), Some(&held(20)), 9);
        assert_eq!(bug.totals().of_signal(LOGS).imbalance(), -1);
        let quiet = [("received", 30), ("delivered", 11), ("vaulted", 20)];
        let quiet = turn(page(Standing::Quiet, &quiet), Some(&held(20)), 9);
        assert_eq!(quiet.totals().of_signal(LOGS).imbalance(), -1, "a kill hides no bug");
    }

    #[test]
    fn what_is_known_to_be_missing_is_booked_so_after_a_kill_too() {
        let left = [("received", 30), ("delivered", 10), ("vaulted", 20)];
        let held = Holdings { has_losses: true, ..held(12) };
        for standing in [Standing::Moving, Standing::Quiet, Standing::Ended] {
            assert_eq!(lines(&turn(page(standing, &left), Some(&held), 9)), [12, 0, 0, 8]);
        }
    }

    #[test]
    fn what_came_after_the_last_word_is_never_missing() {
        let left = [("received", 30), ("delivered", 10), ("vaulted", 20)];
        for standing in [Standing::Quiet, Standing::Ended] {
            assert_eq!(lines(&turn(page(standing, &left), Some(&held(23)), 9)), [23, 0, 3, 0]);
        }
    }

    fn no_vaults() -> Box<AskVaults> {
        Box::new(BTreeMap::new)
    }

    /// As above, with a sink that has taken ten and delivered six.
    fn with_sink(standing: Standing, in_flight: i64) -> Page {
        let lines = [("received", 6 + in_flight), ("delivered", 6), ("in_flight", in_flight)];
        let mut page = page(standing, &lines);
        page.process.sinks.clear();
        let sheet = page.process.sinks.entry("out".to_owned()).or_default().of_mut(LOGS);
        sheet.add(Taking::Taken.name(), 10);
        sheet.add(Taking::Delivered.name(), 6);
        page
    }

    #[test]
    fn what_a_sink_had_is_interrupted_with_the_process_and_what_only_it_has_stays_to_be_found() {
        let sink = |page: Page| {
            let page = turn(page, Some(&held(0)), 9);
            let sheet = page.before.sinks["out"].of_signal(LOGS).clone();
            (sheet.get(INTERRUPTED), at_hand(&sheet), page.before.is_balanced())
        };
        assert_eq!(sink(with_sink(Standing::Quiet, 4)), (4, 0, true));
        assert_eq!(sink(with_sink(Standing::Moving, 5)), (4, 0, true));
        assert_eq!(sink(with_sink(Standing::Ended, 4)), (4, 0, true), "cut short");
        assert_eq!(sink(with_sink(Standing::Ended, 0)), (0, 4, false), "a bug");
    }

    #[test]
    fn each_source_is_settled_by_what_the_vault_holds_of_it() {
        let mut page = page(Standing::Moving, &[("received", 20), ("vaulted", 20)]);
        let other = page.process.sources.entry("other".to_owned()).or_default().of_mut(LOGS);
        other.add("received", 8);
        other.add("vaulted", 8);
        let mut held = held(25);
        held.vaulted.by_source.entry("other".to_owned()).or_default().add(LOGS, 3);
        held.vaulted.by_source.entry("new".to_owned()).or_default().add(LOGS, 2);
        let page = turn(page, Some(&held), 9);
        let row = |name: &str| {
            let sheet = page.before.sources[name].of_signal(LOGS);
            [sheet.get("vaulted"), sheet.get(UNWRITTEN)]
        };
        assert_eq!([row("in"), row("other"), row("new")], [[25, 5], [3, -5], [2, 2]]);
        assert!(page.before.is_balanced());
        assert_eq!(page.last_kill.unwrap().booked.of_signal(LOGS).get(UNWRITTEN), 2);
    }

    /// Scenario: one process after the other keeps the books of a folder.
    /// Guarantees: every name keeps its row, also one that the later process has nothing of.
    #[test]
    fn rows_go_on_from_process_to_process() {
        let dir = tempfile::tempdir().unwrap();
        for (source, sink) in [("a", "x"), ("b", "x"), ("a", "y")] {
            let ledgers = Ledgers::leak();
            let keeper = BookKeeper::start(dir.path(), Vec::new(), ledgers, no_vaults()).unwrap();
            ledgers.source(source).book(LOGS, Bucket::Received, 5);
            ledgers.source(source).book(LOGS, Bucket::Filtered, 5);
            let _row = ledgers.sink(sink);
            keeper.close();
        }
        let Found::Page(_, page) = super::super::read(dir.path()).unwrap() else {
            panic!("there is a page")
        };
        let rows = page.rows();
        let received = |name: &str| rows.sources[name].of_signal(LOGS).get("received");
        assert_eq!([received("a"), received("b")], [10, 5]);
        assert_eq!(rows.sinks.keys().collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!((page.starts, page.kills, page.standing), (3, 0, Standing::Ended));
    }

    /// Scenario: a process ends at once while its vault goes on to give what it holds.
    /// Guarantees: the next one books the difference for one that was killed, and misses nothing.
    #[test]
    fn a_keeper_that_is_dropped_tells_of_no_end() {
        let dir = tempfile::tempdir().unwrap();
        let ledgers = Ledgers::leak();
        let keeper = BookKeeper::start(dir.path(), Vec::new(), ledgers, no_vaults()).unwrap();
        ledgers.source("in").book(LOGS, Bucket::Received, 5);
        ledgers.source("in").book(LOGS, Bucket::Vaulted, 5);
        drop(keeper);
        BookKeeper::start(dir.path(), Vec::new(), Ledgers::leak(), no_vaults()).unwrap().close();
        let Found::Page(_, page) = super::super::read(dir.path()).unwrap() else {
            panic!("there is a page")
        };
        assert_eq!((page.starts, page.kills, page.standing), (2, 1, Standing::Ended));
        assert_eq!(lines(&page), [0, 0, -5, 0]);
    }
}

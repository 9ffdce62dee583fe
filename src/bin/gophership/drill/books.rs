//! Both ends' books: what the clients sent and were told, what the backends took.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use super::bits::Bits;
use super::delay::Delays;
use super::delay::Sends;
use super::delay::Sent;
use super::phase::Phase;
use super::records;
use super::records::Intact;
use super::records::Shapes;

/// Reasons of refusals that are told apart.
const REASONS_MAX: usize = 8;

/// An answer other than OK, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) begun: Instant,
    pub(super) ended: Instant,
    /// Whether it did not say that sending again helps.
    pub(super) is_final: bool,
}

/// What one client did and saw.
#[derive(Debug, Default)]
pub(super) struct ClientBook {
    /// Records that came so far.
    pub(super) offered: u32,
    /// Every record below this one was sent or dropped.
    pub(super) sent: u32,
    pub(super) dropped_by_queue: u64,
    pub(super) dropped_after_export: u64,
    pub(super) acknowledged: Bits,
    /// Every record below this one was acknowledged or dropped.
    pub(super) settled: u32,
    /// How long each answer took, in microseconds, and in which part of the drill it came.
    pub(super) answers: Vec<(Phase, u32)>,
    pub(super) refused: u64,
    pub(super) reasons: BTreeMap<String, u64>,
    pub(super) refusals: Vec<Refusal>,
    /// Attempts whose connection broke or could not be made.
    pub(super) unanswered: u64,
}

impl ClientBook {
    /// Notes a refusal.
    pub(super) fn refuse(&mut self, reason: String) {
        self.refused += 1;
        if self.reasons.len() < REASONS_MAX || self.reasons.contains_key(&reason) {
            *self.reasons.entry(reason).or_default() += 1;
        }
    }

    /// Notes an answer's time.
    pub(super) fn answer(&mut self, phase: Phase, took: Duration) {
        self.answers.push((phase, u32::try_from(took.as_micros()).unwrap_or(u32::MAX)));
    }
}

/// What one backend took.
#[derive(Debug)]
pub(super) struct SinkBook {
    /// By client.
    pub(super) taken: Vec<Bits>,
    pub(super) repeated: u64,
    pub(super) altered: u64,
    /// Records that none of the clients sent.
    pub(super) strangers: u64,
    /// Requests that could not be read.
    pub(super) unreadable: u64,
    /// Requests that came while it was out.
    pub(super) turned_away: u64,
    /// Of each client, the records below this one were sent before the backend's return.
    marks: Vec<u32>,
    pub(super) delays: Delays,
    /// When the last of those was taken.
    pub(super) backlog_end: Option<Instant>,
}

/// All books.
pub(super) struct Books {
    pub(super) shapes: Vec<Shapes>,
    clients: Vec<Mutex<ClientBook>>,
    /// By client.
    sends: Vec<Mutex<Sends>>,
    sinks: Vec<Mutex<SinkBook>>,
    /// Of each client, the backends that are to get its records.
    routes: Vec<Vec<usize>>,
    /// Records that were hit on purpose, and need not come: client and number.
    excused: Mutex<Vec<(u32, u32)>>,
    intact: Intact,
    phase: Mutex<Phase>,
}

impl Books {
    /// Opens the books of clients with these routes.
    pub(super) fn new(routes: Vec<Vec<usize>>, sinks: usize, intact: Intact) -> Self {
        let count = routes.len();
        let sink = |_| {
            Mutex::new(SinkBook {
                taken: vec![Bits::default(); count],
                repeated: 0,
                altered: 0,
                strangers: 0,
                unreadable: 0,
                turned_away: 0,
                marks: vec![0; count],
                delays: Delays::default(),
                backlog_end: None,
            })
        };
        Self {
            shapes: (0..).take(count).map(Shapes::new).collect(),
            clients: (0..count).map(|_| Mutex::default()).collect(),
            sends: (0..count).map(|_| Mutex::default()).collect(),
            sinks: (0..sinks).map(sink).collect(),
            routes,
            excused: Mutex::default(),
            intact,
            phase: Mutex::default(),
        }
    }

    pub(super) fn clients(&self) -> impl Iterator<Item = MutexGuard<'_, ClientBook>> {
        self.clients.iter().map(lock)
    }

    pub(super) fn sinks(&self) -> impl Iterator<Item = MutexGuard<'_, SinkBook>> {
        self.sinks.iter().map(lock)
    }

    pub(super) fn client(&self, idx: usize) -> MutexGuard<'_, ClientBook> {
        lock(&self.clients[idx])
    }

    pub(super) fn sink(&self, idx: usize) -> MutexGuard<'_, SinkBook> {
        lock(&self.sinks[idx])
    }

    pub(super) fn phase(&self) -> Phase {
        *lock(&self.phase)
    }

    /// Begins a part of the drill.
    pub(super) fn begin(&self, phase: Phase) {
        *lock(&self.phase) = phase;
    }

    /// Notes an export that a client is about to send for the first time.
    pub(super) fn send(&self, client: usize, seqs: Range<u32>) {
        let phase = self.phase();
        lock(&self.sends[client]).note(Sent { seqs, at: Instant::now(), phase });
    }

    /// Notes a request that a backend takes now.
    pub(super) fn take(&self, sink: usize, wire: &[u8]) {
        let now = Instant::now();
        let mut guard = self.sink(sink);
        let book = &mut *guard;
        // The records of an export come together.
        let mut last: Option<(usize, Sent)> = None;
        let strangers = records::find(wire, |found| {
            let client = found.client as usize;
            let Some(shapes) = self.shapes.get(client) else {
                book.strangers += 1;
                return;
            };
            if !shapes.is_intact(&found, self.intact) {
                book.altered += 1;
            }
            if !book.taken[client].insert(found.seq) {
                book.repeated += 1;
                return;
            }
            if found.seq < book.marks[client] {
                book.backlog_end = Some(now);
            }
            let is_of_last =
                |(other, sent): &(usize, Sent)| *other == client && sent.seqs.contains(&found.seq);
            if !last.as_ref().is_some_and(is_of_last) {
                last = lock(&self.sends[client]).of(found.seq).map(|sent| (client, sent.clone()));
            }
            if let Some((_, sent)) = &last {
                book.delays.add(sent.phase, now.saturating_duration_since(sent.at));
            }
        });
        match strangers {
            Some(strangers) => book.strangers += strangers,
            None => book.unreadable += 1,
        }
    }

    /// The backend returns: what was sent until now is the backlog. Returns how much of it is
    /// acknowledged and still to be delivered.
    pub(super) fn mark(&self) -> u64 {
        let marks: Vec<u32> = self.clients().map(|book| book.sent).collect();
        for mut sink in self.sinks() {
            sink.marks.clone_from(&marks);
        }
        self.outstanding(true)
    }

    /// Records that were acknowledged and that a backend still has to get; of the backlog, or all.
    pub(super) fn outstanding(&self, is_backlog: bool) -> u64 {
        let excused = lock(&self.excused).clone();
        let missing = |(idx, client): (usize, MutexGuard<'_, ClientBook>)| {
            let route = self.routes[idx].iter().map(|sink| self.sink(*sink));
            let missing = route.map(|sink| {
                let end = if is_backlog { sink.marks[idx] } else { client.offered };
                let excused = excused.iter().filter(|(of, seq)| {
                    let is_sent = *of as usize == idx && *seq < end;
                    is_sent && client.acknowledged.has(*seq) && !sink.taken[idx].has(*seq)
                });
                client.acknowledged.missing_in(&sink.taken[idx], end) - excused.count() as u64
            });
            missing.sum::<u64>()
        };
        self.clients().enumerate().map(missing).sum()
    }

    /// These need not come.
    pub(super) fn excuse(&self, records: &[(u32, u32)]) {
        lock(&self.excused).extend_from_slice(records);
    }

    /// How many of those that need not come are missing at a backend.
    pub(super) fn excused_missing(&self) -> u64 {
        let is_missing = |(client, seq): &&(u32, u32)| {
            let route = self.routes.get(*client as usize).into_iter().flatten();
            route.clone().any(|sink| !self.sink(*sink).taken[*client as usize].has(*seq))
        };
        lock(&self.excused).iter().filter(is_missing).count() as u64
    }

    /// Records that came to clients, and that were acknowledged, so far.
    pub(super) fn progress(&self) -> (u64, u64) {
        let add = |(offered, acknowledged), book: MutexGuard<'_, ClientBook>| {
            (offered + u64::from(book.offered), acknowledged + book.acknowledged.len())
        };
        self.clients().fold((0, 0), add)
    }

    /// Whether every record of the backlog was acknowledged or dropped, and what was acknowledged
    /// is delivered.
    pub(super) fn is_backlog_delivered(&self) -> bool {
        let marks = self.sinks().next().map(|sink| sink.marks.clone()).unwrap_or_default();
        let is_settled = self.clients().zip(marks).all(|(client, mark)| mark <= client.settled);
        is_settled && self.outstanding(true) == 0
    }

    /// How many records every backend got that was to get them.
    pub(super) fn delivered(&self) -> u64 {
        let count = |(idx, route): (usize, &Vec<usize>)| {
            let mut sinks = route.iter().map(|sink| self.sink(*sink).taken[idx].clone());
            let first = sinks.next().unwrap_or_default();
            let both = |mut all: Bits, other: Bits| {
                all.intersect(&other);
                all
            };
            sinks.fold(first, both).len()
        };
        self.routes.iter().enumerate().map(count).sum()
    }

    /// The first runs of records that were acknowledged and not delivered: client, first, last.
    pub(super) fn missing(&self, runs_max: usize) -> Vec<(usize, u32, u32)> {
        let mut runs = Vec::new();
        for (idx, client) in self.clients().enumerate() {
            for sink in &self.routes[idx] {
                let sink = self.sink(*sink);
                let found = client.acknowledged.runs_missing_in(&sink.taken[idx], runs_max);
                runs.extend(found.into_iter().map(|(first, last)| (idx, first, last)));
            }
        }
        runs.truncate(runs_max);
        runs
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "an export is a list of ranges, often of one")]
mod tests {
    use super::*;

    /// Client 0 goes to the first backend, client 1 to both.
    fn books() -> Books {
        Books::new(vec![vec![0], vec![0, 1]], 2, Intact::Bytes)
    }

    fn acknowledge(books: &Books, client: usize, seqs: Range<u32>) {
        let mut book = books.client(client);
        book.offered = seqs.end;
        book.sent = seqs.end;
        book.settled = seqs.end;
        for seq in seqs {
            book.acknowledged.insert(seq);
        }
    }

    #[test]
    fn a_record_is_delivered_when_each_of_its_backends_has_it() {
        let books = books();
        acknowledge(&books, 0, 0..600);
        acknowledge(&books, 1, 0..100);
        assert_eq!(books.mark(), 800);
        books.take(0, &books.shapes[0].request(&[0..600]));
        books.take(0, &books.shapes[1].request(&[0..100]));
        assert_eq!((books.delivered(), books.outstanding(true)), (600, 100));
        assert!(!books.is_backlog_delivered());
        books.take(1, &books.shapes[1].request(&[0..40, 50..100]));
        assert_eq!((books.delivered(), books.outstanding(false)), (690, 10));
        assert_eq!(books.missing(9), [(1, 40, 49)]);
        books.take(1, &books.shapes[1].request(&[40..50]));
        assert!(books.is_backlog_delivered() && books.missing(9).is_empty());
    }

    #[test]
    fn what_was_hit_on_purpose_need_not_come_and_all_else_must() {
        let books = books();
        acknowledge(&books, 0, 0..100);
        books.excuse(&[(0, 10), (0, 11), (0, 500)]);
        books.take(0, &books.shapes[0].request(&[0..10, 12..99]));
        assert_eq!((books.outstanding(false), books.excused_missing()), (1, 3));
        books.take(0, &books.shapes[0].request(&[11..12]));
        assert_eq!((books.outstanding(false), books.excused_missing()), (1, 2));
        assert_eq!(books.progress(), (100, 100));
    }

    #[test]
    fn copies_strangers_and_alterations_are_counted() {
        let books = books();
        let wire = books.shapes[0].request(&[0..10]);
        books.take(0, &wire);
        books.take(0, &wire);
        let mut altered = books.shapes[0].request(&[10..11]).to_vec();
        // The last bytes of a record are its span's id.
        *altered.last_mut().unwrap() ^= 1;
        books.take(0, &altered);
        books.take(0, &Shapes::new(9).request(&[0..3]));
        books.take(0, &wire[1..]);
        let book = books.sink(0);
        let counts = (book.repeated, book.altered, book.strangers, book.unreadable);
        assert_eq!(counts, (10, 1, 3, 1));
    }
}

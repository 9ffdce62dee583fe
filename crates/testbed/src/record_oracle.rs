//! The oracle of records: what the clients sent and were told, and what the backends took of it, whatever
//! requests it came in.

use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;

use bytes::Bytes;
use gophership_otlp::Signal;
use http::HeaderMap;
use tokio::time::Instant;

use crate::backend::RequestRecorder;
use crate::bits::Bits;
use crate::delay::Sends;
use crate::delay::Sent;
use crate::kinds::Expectation;
use crate::kinds::Kinds;
use crate::lock;
use crate::phase::Phase;
use crate::records;
use crate::records::Intact;
use crate::records::Shapes;
use crate::tally::BackendTally;
use crate::tally::ClientTally;

/// Compares what clients sent with what backends took, record by record.
pub struct RecordOracle {
    shapes: Vec<Shapes>,
    clients: Vec<Mutex<ClientTally>>,
    /// By client.
    sends: Vec<Mutex<Sends>>,
    sinks: Vec<Mutex<BackendTally>>,
    /// Of each client, the backends that are to get its records, and which of them.
    routes: Vec<Vec<(usize, Expectation)>>,
    /// Records that were hit on purpose, and need not come: client and number.
    excused: Mutex<Vec<(u32, u32)>>,
    intact: Intact,
    phase: Mutex<Phase>,
}

impl RecordOracle {
    /// For clients with these routes, and so many backends.
    #[must_use]
    pub fn new(routes: Vec<Vec<usize>>, sinks: usize, intact: Intact) -> Self {
        let count = routes.len();
        let everything = |route: Vec<usize>| {
            route.into_iter().map(|sink| (sink, Expectation::EVERYTHING)).collect()
        };
        let routes = routes.into_iter().map(everything).collect();
        Self {
            shapes: (0..).take(count).map(Shapes::new).collect(),
            clients: (0..count).map(|_| Mutex::default()).collect(),
            sends: (0..count).map(|_| Mutex::default()).collect(),
            sinks: (0..sinks).map(|_| Mutex::new(BackendTally::new(count))).collect(),
            routes,
            excused: Mutex::default(),
            intact,
            phase: Mutex::default(),
        }
    }

    /// A backend is to get only these of a client's records.
    pub fn expect(&mut self, client: usize, sink: usize, expectation: Expectation) {
        let route = self.routes.get_mut(client).into_iter().flatten();
        for (_, expected) in route.filter(|(of, _)| *of == sink) {
            *expected = expectation;
        }
    }

    /// What a backend is to get of a client's records; nothing is known of one that is not on their way.
    #[must_use]
    pub fn expectation(&self, client: usize, sink: usize) -> Option<Expectation> {
        let mut route = self.routes.get(client)?.iter();
        route.find(|(of, _)| *of == sink).map(|(_, expected)| *expected)
    }

    /// What each client did and saw.
    pub fn clients(&self) -> impl Iterator<Item = MutexGuard<'_, ClientTally>> {
        self.clients.iter().map(lock)
    }

    /// What each backend took.
    pub fn sinks(&self) -> impl Iterator<Item = MutexGuard<'_, BackendTally>> {
        self.sinks.iter().map(lock)
    }

    pub(crate) fn client(&self, idx: usize) -> MutexGuard<'_, ClientTally> {
        lock(&self.clients[idx])
    }

    fn sink(&self, idx: usize) -> MutexGuard<'_, BackendTally> {
        lock(&self.sinks[idx])
    }

    pub(crate) fn phase(&self) -> Phase {
        *lock(&self.phase)
    }

    /// Begins a part of the drill.
    pub fn begin(&self, phase: Phase) {
        *lock(&self.phase) = phase;
    }

    /// Makes the request with these records of a client.
    #[must_use]
    pub fn request(&self, client: usize, seqs: &[Range<u32>]) -> Bytes {
        self.shapes[client].request(seqs)
    }

    /// Who notes what a backend takes.
    #[must_use]
    pub fn recorder(self: &Arc<Self>, sink: usize) -> Arc<dyn RequestRecorder> {
        Arc::new(Keeper { sink, oracle: Arc::clone(self) })
    }

    /// Notes an export that a client is about to send for the first time.
    pub(crate) fn send(&self, client: usize, seqs: Range<u32>) {
        let phase = self.phase();
        lock(&self.sends[client]).note(Sent { seqs, at: Instant::now(), phase });
    }

    /// Notes a request that a backend takes now.
    fn take(&self, sink: usize, wire: &[u8]) {
        let now = Instant::now();
        let mut guard = self.sink(sink);
        let tally = &mut *guard;
        // The records of an export come together.
        let mut last: Option<(usize, Sent)> = None;
        let strangers = records::find(wire, |found| {
            let client = found.client as usize;
            let Some(shapes) = self.shapes.get(client) else {
                tally.arrived.strangers += 1;
                return;
            };
            if !shapes.is_intact(&found, self.intact) {
                tally.arrived.altered += 1;
            }
            if !self.may_take(client, sink, found.seq) {
                tally.misrouted += 1;
            }
            if !tally.arrived.add(client, found.seq, 1) {
                return;
            }
            if found.seq < tally.marks[client] {
                tally.backlog_end = Some(now);
            }
            let is_of_last =
                |(other, sent): &(usize, Sent)| *other == client && sent.seqs.contains(&found.seq);
            if !last.as_ref().is_some_and(is_of_last) {
                last = lock(&self.sends[client]).of(found.seq).map(|sent| (client, sent.clone()));
            }
            if let Some((_, sent)) = &last {
                tally.delays.add(sent.phase, now.saturating_duration_since(sent.at));
            }
        });
        match strangers {
            Some(strangers) => tally.arrived.strangers += strangers,
            None => tally.arrived.unreadable += 1,
        }
    }

    fn may_take(&self, client: usize, sink: usize, seq: u32) -> bool {
        let mut route = self.routes[client].iter();
        route.any(|(of, expected)| *of == sink && expected.may.has(seq))
    }

    /// The backend returns: what was sent until now is the backlog. Returns how much of it is
    /// acknowledged and still to be delivered.
    pub fn mark(&self) -> u64 {
        let marks: Vec<u32> = self.clients().map(|tally| tally.sent).collect();
        for mut sink in self.sinks() {
            sink.marks.clone_from(&marks);
        }
        self.outstanding(true)
    }

    /// Records that were acknowledged and that a backend still has to get; of the backlog, or all.
    pub fn outstanding(&self, is_backlog: bool) -> u64 {
        let excused = lock(&self.excused).clone();
        let missing = |(idx, client): (usize, MutexGuard<'_, ClientTally>)| {
            let route =
                self.routes[idx].iter().map(|(sink, expected)| (self.sink(*sink), expected.must));
            let missing = route.map(|(sink, must)| {
                let end = if is_backlog { sink.marks[idx] } else { client.offered };
                let excused = excused.iter().filter(|(of, seq)| {
                    let is_sent = *of as usize == idx && *seq < end && must.has(*seq);
                    is_sent && client.acknowledged.has(*seq) && !sink.arrived.of(idx).has(*seq)
                });
                let missing = client.acknowledged.missing_in(sink.arrived.of(idx), &must, end);
                missing - excused.count() as u64
            });
            missing.sum::<u64>()
        };
        self.clients().enumerate().map(missing).sum()
    }

    /// These need not come.
    pub fn excuse(&self, records: &[(u32, u32)]) {
        lock(&self.excused).extend_from_slice(records);
    }

    /// How many of those that need not come are missing at a backend.
    pub fn excused_missing(&self) -> u64 {
        let is_missing = |(client, seq): &&(u32, u32)| {
            let route = self.routes.get(*client as usize).into_iter().flatten();
            route.clone().any(|(sink, expected)| {
                let arrived = &self.sink(*sink).arrived;
                expected.must.has(*seq) && !arrived.of(*client as usize).has(*seq)
            })
        };
        lock(&self.excused).iter().filter(is_missing).count() as u64
    }

    /// Records that came to clients, and that were acknowledged, so far.
    pub fn progress(&self) -> (u64, u64) {
        let add = |(offered, acknowledged), tally: MutexGuard<'_, ClientTally>| {
            (offered + u64::from(tally.offered), acknowledged + tally.acknowledged.len())
        };
        self.clients().fold((0, 0), add)
    }

    /// Whether every record of the backlog was acknowledged or dropped, and what was acknowledged
    /// is delivered.
    pub fn is_backlog_delivered(&self) -> bool {
        let marks = self.sinks().next().map(|sink| sink.marks.clone()).unwrap_or_default();
        let is_settled = self.clients().zip(marks).all(|(client, mark)| mark <= client.settled);
        is_settled && self.outstanding(true) == 0
    }

    /// How many records every backend got that must get them.
    pub fn delivered(&self) -> u64 {
        let count = |(idx, route): (usize, &Vec<(usize, Expectation)>)| {
            let arrived: Vec<(Bits, Kinds)> = route
                .iter()
                .map(|(sink, of)| (self.sink(*sink).arrived.of(idx).clone(), of.must))
                .collect();
            let mut delivered = Bits::united(arrived.iter().map(|(arrived, _)| arrived));
            for (arrived, must) in &arrived {
                delivered.intersect(arrived, must);
            }
            delivered.len_of(&self.wanted(idx).must)
        };
        self.routes.iter().enumerate().map(count).sum()
    }

    /// What some backend must get of a client's records, and what some backend may.
    fn wanted(&self, client: usize) -> Expectation {
        let route = self.routes[client].iter().map(|(_, expected)| expected);
        route.fold(Expectation::NOTHING, |all, one| Expectation {
            must: all.must.or(one.must),
            may: all.may.or(one.may),
        })
    }

    /// How many acknowledged records no backend is to get, and how many others none must get.
    pub fn not_wanted(&self) -> (u64, u64) {
        let count = |(removed, unjudged), (idx, client): (usize, MutexGuard<'_, ClientTally>)| {
            let (wanted, all) = (self.wanted(idx), client.acknowledged.len());
            let may = client.acknowledged.len_of(&wanted.may);
            let must = client.acknowledged.len_of(&wanted.must);
            (removed + all - may, unjudged + may - must)
        };
        self.clients().enumerate().fold((0, 0), count)
    }

    /// The first runs of records that were acknowledged and not delivered: client, first, last.
    pub fn missing(&self, runs_max: usize) -> Vec<(usize, u32, u32)> {
        let mut runs = Vec::new();
        for (idx, client) in self.clients().enumerate() {
            for (sink, expected) in &self.routes[idx] {
                let (sink, must) = (self.sink(*sink), &expected.must);
                let arrived = sink.arrived.of(idx);
                let found = client.acknowledged.runs_missing_in(arrived, must, runs_max);
                runs.extend(found.into_iter().map(|(first, last)| (idx, first, last)));
            }
        }
        runs.truncate(runs_max);
        runs
    }
}

/// Notes what one backend takes.
struct Keeper {
    sink: usize,
    oracle: Arc<RecordOracle>,
}

impl RequestRecorder for Keeper {
    fn taken(&self, signal: Signal, wire: Bytes, _: HeaderMap) {
        if signal == Signal::Logs {
            self.oracle.take(self.sink, &wire);
        }
    }

    fn unreadable(&self) {
        self.oracle.sink(self.sink).arrived.unreadable += 1;
    }

    fn turned_away(&self) {
        self.oracle.sink(self.sink).turned_away += 1;
    }
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "an export is a list of ranges, often of one")]
mod tests {
    use super::*;

    /// Client 0 goes to the first backend, client 1 to both.
    fn oracle() -> RecordOracle {
        RecordOracle::new(vec![vec![0], vec![0, 1]], 2, Intact::Bytes)
    }

    fn acknowledge(oracle: &RecordOracle, client: usize, seqs: Range<u32>) {
        let mut tally = oracle.client(client);
        tally.offered = seqs.end;
        tally.sent = seqs.end;
        tally.settled = seqs.end;
        for seq in seqs {
            tally.acknowledged.insert(seq);
        }
    }

    #[test]
    fn a_record_is_delivered_when_each_of_its_backends_has_it() {
        let oracle = oracle();
        acknowledge(&oracle, 0, 0..600);
        acknowledge(&oracle, 1, 0..100);
        assert_eq!(oracle.mark(), 800);
        oracle.take(0, &oracle.shapes[0].request(&[0..600]));
        oracle.take(0, &oracle.shapes[1].request(&[0..100]));
        assert_eq!((oracle.delivered(), oracle.outstanding(true)), (600, 100));
        assert!(!oracle.is_backlog_delivered());
        oracle.take(1, &oracle.shapes[1].request(&[0..40, 50..100]));
        assert_eq!((oracle.delivered(), oracle.outstanding(false)), (690, 10));
        assert_eq!(oracle.missing(9), [(1, 40, 49)]);
        oracle.take(1, &oracle.shapes[1].request(&[40..50]));
        assert!(oracle.is_backlog_delivered() && oracle.missing(9).is_empty());
    }

    #[test]
    fn what_was_hit_on_purpose_need_not_come_and_all_else_must() {
        let oracle = oracle();
        acknowledge(&oracle, 0, 0..100);
        oracle.excuse(&[(0, 10), (0, 11), (0, 500)]);
        oracle.take(0, &oracle.shapes[0].request(&[0..10, 12..99]));
        assert_eq!((oracle.outstanding(false), oracle.excused_missing()), (1, 3));
        oracle.take(0, &oracle.shapes[0].request(&[11..12]));
        assert_eq!((oracle.outstanding(false), oracle.excused_missing()), (1, 2));
        assert_eq!(oracle.progress(), (100, 100));
    }

    #[test]
    fn only_what_is_expected_is_missed_and_all_else_is_misrouted() {
        let mut oracle = oracle();
        let (mut even, mut few) = (Kinds::NONE, Kinds::NONE);
        (0..512).step_by(2).for_each(|seq| even.insert(seq));
        (0..4).for_each(|seq| few.insert(seq));
        // The first backend gets the even ones, the second perhaps four more.
        oracle.expect(1, 0, Expectation { must: even, may: even });
        oracle.expect(1, 1, Expectation { must: Kinds::NONE, may: few });
        acknowledge(&oracle, 1, 0..1024);
        assert_eq!((oracle.mark(), oracle.not_wanted()), (512, (1024 - 512 - 4, 4)));
        oracle.take(0, &oracle.shapes[1].request(&[0..1, 2..3]));
        assert_eq!((oracle.outstanding(false), oracle.delivered()), (510, 2));
        oracle.take(1, &oracle.shapes[1].request(&[0..4, 512..513]));
        assert_eq!((oracle.outstanding(false), oracle.delivered()), (510, 2));
        assert_eq!(oracle.sink(1).misrouted, 0);
        oracle.take(0, &oracle.shapes[1].request(&[1..2, 4..5]));
        oracle.take(1, &oracle.shapes[0].request(&[0..1]));
        let misrouted = [0, 1].map(|sink| oracle.sink(sink).misrouted);
        assert_eq!((oracle.outstanding(false), misrouted), (509, [1, 1]));
        assert_eq!(oracle.missing(1), [(1, 6, 6)]);
    }

    #[test]
    fn copies_strangers_and_alterations_are_counted() {
        let oracle = oracle();
        let wire = oracle.shapes[0].request(&[0..10]);
        oracle.take(0, &wire);
        oracle.take(0, &wire);
        let mut altered = oracle.shapes[0].request(&[10..11]).to_vec();
        // The last bytes of a record are its span's id.
        *altered.last_mut().unwrap() ^= 1;
        oracle.take(0, &altered);
        oracle.take(0, &Shapes::new(9).request(&[0..3]));
        oracle.take(0, &wire[1..]);
        let tally = oracle.sink(0);
        let counts = (
            tally.arrived.repeated,
            tally.arrived.altered,
            tally.arrived.strangers,
            tally.arrived.unreadable,
        );
        assert_eq!(counts, (10, 1, 3, 1));
    }
}

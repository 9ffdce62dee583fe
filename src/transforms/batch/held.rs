//! What waits to be joined: open batches by key, within limits. Pure: the time is passed in.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use gophership_otlp::MergeLimits;

use crate::event::Batch;

/// What may be held.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldLimits {
    /// Of one joined request.
    pub(super) request: MergeLimits,
    /// How long the first one waits.
    pub(super) wait: Duration,
    /// Keys at the same time.
    pub(super) keys: usize,
    /// Bytes of all together.
    pub(super) bytes: u64,
}

/// Why requests do not wait any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlushCause {
    /// They are as large as they may be together.
    Size,
    /// The first of them has waited long enough.
    Timeout,
    /// Others needed the room.
    Room,
    /// There is nothing to wait for any more.
    End,
}

impl FlushCause {
    pub(super) const ALL: [Self; 4] = [Self::Size, Self::Timeout, Self::Room, Self::End];

    /// The name in metrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Timeout => "timeout",
            Self::Room => "room",
            Self::End => "end",
        }
    }
}

/// Requests that go on together.
#[derive(Debug)]
pub(super) struct Joint {
    pub(super) batches: Vec<Batch>,
    pub(super) cause: FlushCause,
}

/// Requests of one key that wait for more.
#[derive(Debug)]
struct Open {
    key: u64,
    due: Instant,
    bytes: u64,
    records: u64,
    batches: Vec<Batch>,
}

/// All that waits.
pub(super) struct HeldRequests {
    limits: HeldLimits,
    /// In the order in which they were opened, which is that in which they are due.
    open: BTreeMap<u64, Open>,
    number_by_key: HashMap<u64, u64>,
    /// The number of the next one to be opened.
    next: u64,
    bytes: u64,
}

impl HeldRequests {
    pub(super) fn new(limits: HeldLimits) -> Self {
        Self { limits, open: BTreeMap::new(), number_by_key: HashMap::new(), next: 0, bytes: 0 }
    }

    /// When the first of them is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.open.values().next().map(|open| open.due)
    }

    /// Adds a batch to those of its key; hands out what has to go on because of that.
    pub(super) fn put(
        &mut self,
        key: u64,
        batch: Batch,
        now: Instant,
        out: &mut impl FnMut(Joint),
    ) {
        let (bytes, records) = (batch.cost_bytes(), batch.records());
        let limits = self.limits;
        if let Some(open) = self.number_by_key.get(&key).and_then(|number| self.open.get(number))
            && !limits.request.allow(open.bytes + bytes, open.records + records)
        {
            self.close(key, FlushCause::Size, out);
        }
        while self.bytes + bytes > limits.bytes && self.close_first(FlushCause::Room, out) {}
        let number = match self.number_by_key.get(&key) {
            Some(number) => *number,
            None => self.begin(key, now, out),
        };
        let Some(open) = self.open.get_mut(&number) else { return };
        open.bytes += bytes;
        open.records += records;
        open.batches.push(batch);
        self.bytes += bytes;
        if open.bytes >= limits.request.bytes || open.records >= limits.request.records {
            self.close(key, FlushCause::Size, out);
        }
    }

    fn begin(&mut self, key: u64, now: Instant, out: &mut impl FnMut(Joint)) -> u64 {
        while self.open.len() >= self.limits.keys && self.close_first(FlushCause::Room, out) {}
        let number = self.next;
        self.next += 1;
        self.number_by_key.insert(key, number);
        let due = now + self.limits.wait;
        self.open.insert(number, Open { key, due, bytes: 0, records: 0, batches: Vec::new() });
        number
    }

    /// Hands out what belongs to a key, if anything does.
    pub(super) fn close(&mut self, key: u64, cause: FlushCause, out: &mut impl FnMut(Joint)) {
        let Some(number) = self.number_by_key.remove(&key) else { return };
        let Some(open) = self.open.remove(&number) else { return };
        self.bytes -= open.bytes;
        out(Joint { batches: open.batches, cause });
    }

    /// Hands out what has waited for long enough.
    pub(super) fn close_due(&mut self, now: Instant, out: &mut impl FnMut(Joint)) {
        while self.due().is_some_and(|due| due <= now) {
            self.close_first(FlushCause::Timeout, out);
        }
    }

    /// Hands out everything.
    pub(super) fn close_all(&mut self, out: &mut impl FnMut(Joint)) {
        while self.close_first(FlushCause::End, out) {}
    }

    /// Hands out what waits longest; returns whether there was anything.
    fn close_first(&mut self, cause: FlushCause, out: &mut impl FnMut(Joint)) -> bool {
        let Some(key) = self.open.values().next().map(|open| open.key) else { return false };
        self.close(key, cause, out);
        true
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::event::Bucket;
    use crate::event::Ledger;
    use crate::event::Provenance;
    use crate::event::Request;
    use crate::event::Signal;

    const WAIT: Duration = Duration::from_millis(200);

    fn held(keys: usize, bytes: u64) -> HeldRequests {
        let request = MergeLimits { bytes: 100, records: 10 };
        HeldRequests::new(HeldLimits { request, wait: WAIT, keys, bytes })
    }

    fn batch(ledger: &'static Ledger, bytes: usize, records: u64) -> Batch {
        let provenance = Provenance::default();
        let wire = Bytes::from(vec![0; bytes]);
        let request =
            Request { signal: Signal::Logs, wire, records, received_unix_ns: 0, provenance };
        Batch::received(&request, None, ledger)
    }

    /// The causes and sizes in records of what is handed out.
    fn put(held: &mut HeldRequests, key: u64, bytes: usize, records: u64, now: Instant) -> String {
        let batch = batch(Ledger::leak(), bytes, records);
        shown(|out| held.put(key, batch, now, &mut |joint| out(joint)))
    }

    fn shown(act: impl FnOnce(&mut dyn FnMut(Joint))) -> String {
        let mut shown = Vec::new();
        act(&mut |joint: Joint| {
            let records: Vec<String> =
                joint.batches.iter().map(|batch| batch.records().to_string()).collect();
            shown.push(format!("{} {}", joint.cause.name(), records.join("+")));
        });
        shown.join(", ")
    }

    #[test]
    fn requests_of_a_key_wait_until_they_are_large_enough_together() {
        let (mut held, now) = (held(9, 1_000), Instant::now());
        assert_eq!(put(&mut held, 1, 10, 4, now), "");
        assert_eq!(put(&mut held, 2, 10, 5, now), "");
        assert_eq!(put(&mut held, 1, 10, 6, now), "size 4+6", "as many as may be");
        assert_eq!(put(&mut held, 1, 10, 7, now), "");
        assert_eq!(put(&mut held, 1, 10, 8, now), "size 7", "more than may be");
        assert_eq!(put(&mut held, 2, 95, 1, now), "size 5", "too many bytes");
        assert_eq!(put(&mut held, 3, 500, 1, now), "size 1", "too large for itself");
        assert_eq!(shown(|out| held.close_all(&mut |joint| out(joint))), "end 8, end 1");
        assert_eq!((held.due(), held.bytes), (None, 0));
    }

    #[test]
    fn the_first_of_a_key_is_due_after_the_wait_whatever_comes_after_it() {
        let (mut held, start) = (held(9, 1_000), Instant::now());
        put(&mut held, 1, 10, 1, start);
        put(&mut held, 2, 10, 2, start + WAIT / 2);
        put(&mut held, 1, 10, 3, start + WAIT / 2);
        assert_eq!(held.due(), Some(start + WAIT));
        let mut at = |now| shown(|out| held.close_due(now, &mut |joint| out(joint)));
        assert_eq!(at(start + WAIT / 2), "");
        assert_eq!(at(start + WAIT), "timeout 1+3");
        assert_eq!(at(start + WAIT * 2), "timeout 2");
    }

    #[test]
    fn what_waits_longest_makes_room_for_keys_and_for_bytes() {
        let (mut held, now) = (held(2, 150), Instant::now());
        put(&mut held, 1, 50, 1, now);
        put(&mut held, 2, 50, 2, now);
        assert_eq!(put(&mut held, 3, 10, 3, now), "room 1", "too many keys");
        assert_eq!(put(&mut held, 3, 80, 4, now), "", "140 of 150 bytes");
        assert_eq!(put(&mut held, 3, 20, 1, now), "size 3+4");
        assert_eq!(put(&mut held, 4, 95, 5, now), "room 2", "165 of 150 bytes");
        assert_eq!(put(&mut held, 2, 60, 6, now), "room 1, room 5", "175, then 155");
    }

    proptest! {
        /// Guarantees: whatever comes, the limits hold, every batch is handed out once, and none
        /// waits for longer than it should.
        #[test]
        fn the_limits_hold(steps in prop::collection::vec((0..5_u64, 0..150_usize, 1..15_u64, 0..150_u64), 1..80)) {
            let (mut held, ledger) = (held(3, 250), Ledger::leak());
            let mut now = Instant::now();
            let mut put_in = 0;
            for (key, bytes, records, millis) in steps {
                now += Duration::from_millis(millis);
                let check = |joint: Joint| {
                    let bytes: u64 = joint.batches.iter().map(Batch::cost_bytes).sum();
                    let records: u64 = joint.batches.iter().map(Batch::records).sum();
                    assert!(joint.batches.len() == 1 || (bytes <= 100 && records <= 10));
                    joint.batches.into_iter().for_each(Batch::delivered);
                };
                held.close_due(now, &mut { check });
                held.put(key, batch(ledger, bytes, records), now, &mut { check });
                put_in += records;
                let inside: u64 = held.open.values().map(|open| open.bytes).sum();
                prop_assert_eq!(inside, held.bytes);
                prop_assert!(held.bytes <= 250 && held.open.len() <= 3);
                prop_assert_eq!(held.number_by_key.len(), held.open.len());
                prop_assert!(held.open.values().all(|open| open.due > now));
            }
            held.close_all(&mut |joint| joint.batches.into_iter().for_each(Batch::delivered));
            prop_assert_eq!(ledger.total(Bucket::Delivered).unsigned_abs(), put_in);
        }
    }
}

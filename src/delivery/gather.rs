//! Several batches in one request: only those that had to wait anyway, and only as many as fit.

use std::collections::VecDeque;

use super::batch_group::BatchGroup;
use crate::event::Batch;
use crate::event::Origin;
use crate::flow::EdgeReceiver;

/// No request has more records, unless a single batch has.
const RECORDS_MAX: u64 = 8192;
/// No more batches are put together or set aside: empty ones count for no bytes.
const BATCHES_MAX: usize = 1024;

/// Takes batches out of an edge.
pub(super) struct Gatherer {
    /// The most bytes of batches that are put together, and of those that are set aside.
    bytes_max: u64,
    /// Only batches with the same headers go together.
    same_headers_only: bool,
    /// Taken out, but of another kind than those that went, or too large to go with them.
    aside: VecDeque<Batch>,
}

/// Batches that go together.
struct Group {
    batches: Vec<Batch>,
    bytes: u64,
    records: u64,
    bytes_max: u64,
    same_headers_only: bool,
}

/// What a batch is to a group.
enum Fit {
    Goes,
    IsOther,
    IsTooMuch,
}

impl Gatherer {
    pub(super) const fn new(bytes_max: u64, same_headers_only: bool) -> Self {
        Self { bytes_max, same_headers_only, aside: VecDeque::new() }
    }

    /// The next batch group; `None` when the edge is closed and empty. An idle sink sends each batch at once:
    /// only when it `has_waited`, those that wait behind it go with it. May be dropped at any time.
    pub(super) async fn next(
        &mut self,
        input: &mut EdgeReceiver,
        has_waited: bool,
    ) -> Option<BatchGroup> {
        let first = match self.aside.pop_front() {
            Some(batch) => batch,
            None => input.recv().await?,
        };
        let mut group = Group::new(first, self.bytes_max, self.same_headers_only);
        if has_waited && self.gather_aside(&mut group) {
            self.gather(&mut group, input);
        }
        Some(BatchGroup::of(group.batches))
    }

    /// Takes out what has a vault to go to, and lets it fail: there is nobody to send it to now, and no room
    /// for it to wait here. Stops at a batch that has none, which is next then.
    pub(super) fn pass_by(&mut self, input: &mut EdgeReceiver) {
        let aside = std::mem::take(&mut self.aside);
        self.aside = aside.into_iter().filter_map(unless_backed).collect();
        while self.aside.iter().all(|batch| batch.origin() == Origin::Vault) {
            let Some(batch) = input.try_recv_live() else { return };
            self.aside.extend(unless_backed(batch));
        }
    }

    /// Adds what was set aside; returns whether there may be room for more.
    fn gather_aside(&mut self, group: &mut Group) -> bool {
        let mut is_open = true;
        for batch in std::mem::take(&mut self.aside) {
            match group.fit(&batch) {
                Fit::Goes if is_open => group.push(batch),
                Fit::IsTooMuch => {
                    // Those behind it do not pass it.
                    is_open = false;
                    self.aside.push_back(batch);
                }
                Fit::Goes | Fit::IsOther => self.aside.push_back(batch),
            }
        }
        is_open
    }

    fn gather(&mut self, group: &mut Group, input: &mut EdgeReceiver) {
        let mut aside: u64 = self.aside.iter().map(Batch::cost_bytes).sum();
        while group.bytes < self.bytes_max
            && group.batches.len() < BATCHES_MAX
            && aside < self.bytes_max
            && self.aside.len() < BATCHES_MAX
        {
            let Some(batch) = input.try_recv() else { return };
            let fit = group.fit(&batch);
            if matches!(fit, Fit::Goes) {
                group.push(batch);
                continue;
            }
            aside += batch.cost_bytes();
            self.aside.push_back(batch);
            if matches!(fit, Fit::IsTooMuch) {
                return;
            }
        }
    }
}

/// Fails a batch that has a vault to go to, or that the vault has.
fn unless_backed(batch: Batch) -> Option<Batch> {
    if batch.is_claimed() {
        batch.superseded();
        return None;
    }
    if batch.is_backed() {
        batch.failed();
        return None;
    }
    Some(batch)
}

impl Group {
    fn new(first: Batch, bytes_max: u64, same_headers_only: bool) -> Self {
        let (bytes, records) = (first.cost_bytes(), first.records());
        Self { batches: vec![first], bytes, records, bytes_max, same_headers_only }
    }

    fn fit(&self, batch: &Batch) -> Fit {
        let kind = |batch: &Batch| (batch.signal(), batch.origin());
        // What comes from a vault arrives as it came to it, byte for byte, and goes alone.
        let is_alike = batch.origin() == Origin::Source
            && self.batches.last().is_some_and(|last| {
                let has_other_headers =
                    self.same_headers_only && last.provenance() != batch.provenance();
                kind(last) == kind(batch) && !has_other_headers
            });
        if !is_alike {
            return Fit::IsOther;
        }
        let bytes = self.bytes + batch.cost_bytes();
        let records = self.records + batch.records();
        if bytes <= self.bytes_max && records <= RECORDS_MAX { Fit::Goes } else { Fit::IsTooMuch }
    }

    fn push(&mut self, batch: Batch) {
        self.bytes += batch.cost_bytes();
        self.records += batch.records();
        self.batches.push(batch);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::event::Ledger;
    use crate::event::Provenance;
    use crate::event::Request;
    use crate::event::Signal;
    use crate::flow::Destination;
    use crate::flow::EdgeLimits;
    use crate::flow::Output;
    use crate::flow::RouteTable;
    use crate::flow::Routes;
    use crate::flow::edge::edge;

    fn batch(signal: Signal, len: usize, records: u64) -> Batch {
        let wire = Bytes::from(vec![0; len]);
        let provenance = Provenance::default();
        let request = Request { signal, wire, records, received_unix_ns: 0, provenance };
        Batch::received(&request, None, Ledger::leak())
    }

    /// The sizes of the batches of each batch group.
    async fn gathered(bytes_max: u64, has_waited: bool, batches: Vec<Batch>) -> Vec<Vec<u64>> {
        let (sender, mut receiver) = edge(EdgeLimits { batches: 2048, bytes: 1 << 20 });
        let routes = std::sync::Arc::<Routes>::default();
        let all_routes = vec![Destination::Edge(sender).into()];
        routes.put(RouteTable { routes: all_routes, ..RouteTable::default() });
        for batch in batches {
            Output::new(std::sync::Arc::clone(&routes), None).try_send(batch).unwrap();
        }
        routes.put(RouteTable::default());
        let mut gatherer = Gatherer::new(bytes_max, true);
        let mut groups = Vec::new();
        while let Some(group) = gatherer.next(&mut receiver, has_waited).await {
            groups.push(group.batches().iter().map(Batch::cost_bytes).collect());
            group.delivered_except(0);
        }
        groups
    }

    #[tokio::test]
    async fn only_what_had_to_wait_goes_together_and_only_what_fits() {
        let (logs, traces) = (Signal::Logs, Signal::Traces);
        let make = || {
            vec![
                batch(logs, 10, 1),
                batch(traces, 6, 1),
                batch(logs, 20, 1),
                batch(logs, 80, 1),
                batch(traces, 7, 1),
                batch(logs, 5, 1),
                batch(traces, 200, 1),
                batch(traces, 1, 8192),
                batch(traces, 2, 1),
            ]
        };
        let sizes = [10, 6, 20, 80, 7, 5, 200, 1, 2];
        let alone: Vec<Vec<u64>> = sizes.map(|len| vec![len]).into();
        assert_eq!(gathered(100, false, make()).await, alone);
        assert_eq!(gathered(0, true, make()).await, alone);
        let expected: [&[u64]; 6] = [&[10, 20], &[6, 7], &[80, 5], &[200], &[1], &[2]];
        assert_eq!(gathered(100, true, make()).await, expected);
    }

    #[tokio::test]
    async fn batches_of_two_tenants_do_not_go_together() {
        let of = |tenant: &str, len| {
            let headers = [("x-tenant", tenant.as_bytes())];
            let provenance = Provenance::with_headers("in", headers.into_iter());
            let wire = Bytes::from(vec![0; len]);
            let signal = Signal::Logs;
            let request = Request { signal, wire, records: 1, received_unix_ns: 0, provenance };
            Batch::received(&request, None, Ledger::leak())
        };
        let batches = vec![of("a", 1), of("b", 2), of("a", 3), of("b", 4)];
        assert_eq!(gathered(100, true, batches).await, [[1, 3], [2, 4]]);
    }

    #[tokio::test]
    async fn empty_batches_go_together_in_bounded_number() {
        let empty = |signal| (0..BATCHES_MAX + 5).map(move |_| batch(signal, 0, 0));
        let together = gathered(100, true, empty(Signal::Logs).collect()).await;
        assert_eq!(together.iter().map(Vec::len).collect::<Vec<_>>(), [BATCHES_MAX, 5]);
        let others = std::iter::once(batch(Signal::Logs, 1, 1)).chain(empty(Signal::Traces));
        let apart = gathered(100, true, others.collect()).await;
        assert_eq!(apart.iter().map(Vec::len).collect::<Vec<_>>(), [1, BATCHES_MAX, 5]);
    }
}

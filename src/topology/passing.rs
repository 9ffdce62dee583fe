//! Takes batches through a transform: from the edge before it to the outputs behind it.

use std::time::Duration;
use std::time::Instant;

use super::processing::Processing;
use super::run::Run;
use crate::component::RunError;
use crate::component::Transform;
use crate::event::Batch;
use crate::event::Origin;
use crate::event::Pieces;
use crate::event::SinkSet;
use crate::flow::EdgeReceiver;
use crate::flow::Full;
use crate::flow::Output;

/// The further parts of a request from the vault wait so long for room, or it would never get through a
/// queue that does not hold all of them.
const PART_WITHIN: Duration = Duration::from_secs(1);

/// Where a transform's batches go.
#[derive(Clone)]
pub(super) enum Outlets {
    /// To its only output.
    One(Output),
    /// To those that it has, in the order of its ports.
    Several(Vec<Output>),
}

/// Runs a transform until its edge is closed and empty.
pub(super) async fn run_transform(
    transform: Box<dyn Transform>,
    input: EdgeReceiver,
    outlets: Outlets,
    processing: Processing,
) -> Result<(), RunError> {
    match outlets {
        Outlets::One(output) => pass_on(transform, input, output, processing).await,
        Outlets::Several(outputs) => share_out(transform, input, outputs, processing).await,
    }
    Ok(())
}

async fn pass_on(
    mut transform: Box<dyn Transform>,
    mut input: EdgeReceiver,
    output: Output,
    processing: Processing,
) {
    let mut run = Run::of(input.limits());
    loop {
        run.pause().await;
        let received = match transform.due() {
            None => Ok(input.recv().await),
            Some(due) => tokio::time::timeout_at(due.into(), input.recv()).await,
        };
        let is_end = matches!(received, Ok(None));
        match received {
            Ok(Some(batch)) => {
                run.add(&batch);
                apply(&mut transform, batch, &output, &processing).await;
            }
            Ok(None) => transform.finish(),
            Err(_due) => {}
        }
        while let Some(batch) = transform.ready(Instant::now()) {
            send_on(&output, batch, PART_WITHIN).await;
        }
        if is_end {
            return;
        }
    }
}

/// Takes a batch through a transform with one output, in pieces if need be.
async fn apply(
    transform: &mut Box<dyn Transform>,
    batch: Batch,
    output: &Output,
    processing: &Processing,
) {
    let mut pieces = Pieces::of(batch);
    let mut within = Duration::ZERO;
    while let Some(batch) = processing.next(&mut pieces) {
        let need = transform.need_bytes(batch.cost_bytes(), batch.records());
        let mut work = |batch, room| transform.apply_within(batch, room);
        if let Some(batch) = processing.on(batch, need, &mut pieces, &mut work).await.flatten() {
            send_on(output, batch, within).await;
        }
        within = PART_WITHIN;
        if pieces.is_empty() {
            return;
        }
        // What a piece makes ready goes on before the next one, or all of it would be held.
        while let Some(batch) = transform.ready(Instant::now()) {
            send_on(output, batch, PART_WITHIN).await;
        }
    }
}

async fn share_out(
    mut transform: Box<dyn Transform>,
    mut input: EdgeReceiver,
    outputs: Vec<Output>,
    processing: Processing,
) {
    let mut reach: Vec<SinkSet> = Vec::with_capacity(outputs.len());
    let mut parts = Vec::new();
    let mut run = Run::of(input.limits());
    while let Some(batch) = input.recv().await {
        run.add(&batch);
        reach.clear();
        reach.extend(outputs.iter().map(Output::behind));
        let mut pieces = Pieces::of(batch);
        let mut is_first = true;
        while let Some(batch) = processing.next(&mut pieces) {
            let need = transform.need_bytes(batch.cost_bytes(), batch.records());
            let mut work = |batch, room| transform.share_out(batch, &reach, &mut parts, room);
            processing.on(batch, need, &mut pieces, &mut work).await;
            let within = if is_first && parts.len() == 1 { Duration::ZERO } else { PART_WITHIN };
            is_first = false;
            send_parts(&outputs, &mut parts, within).await;
        }
        run.pause().await;
    }
}

/// Sends each part to its output; what finds room there waits for nobody.
async fn send_parts(outputs: &[Output], parts: &mut Vec<(usize, Batch)>, within: Duration) {
    let mut late: Vec<(&Output, Batch)> = Vec::new();
    for (idx, batch) in parts.drain(..) {
        // A part for an output that is not there would fail.
        let Some(output) = outputs.get(idx) else { continue };
        if let Err(Full(batch)) = output.try_send(batch) {
            late.push((output, batch));
        }
    }
    for (output, batch) in late {
        if batch.origin() == Origin::Source && output.has_backing() {
            // Its source gives the vault what this output should have had. To wait would hold up all
            // that comes behind, whatever output it is for.
            batch.failed();
        } else {
            send_on(output, batch, within).await;
        }
    }
}

/// Sends a batch on; one from the vault only if it finds room within a time.
async fn send_on(output: &Output, batch: Batch, within: Duration) {
    match batch.origin() {
        Origin::Source => {
            output.send(batch).await;
        }
        // It is safe in the vault: it does not hold up the live one behind it.
        Origin::Vault => {
            if let Err(Full(batch)) = output.try_send(batch) {
                // Dropped half-way the batch has failed.
                let _late = tokio::time::timeout(within, output.send(batch)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::Bucket;
    use crate::event::Ledger;
    use crate::event::Outcome;
    use crate::event::Provenance;
    use crate::event::Request;
    use crate::event::Signal;
    use crate::event::ack;
    use crate::flow::Destination;
    use crate::flow::EdgeLimits;
    use crate::flow::RouteTable;
    use crate::flow::Routes;
    use crate::flow::edge::edge;
    use crate::pool::Budget;

    const RECORDS: u8 = 40;
    const RECORD_BYTES: u64 = 1000;
    /// A batch of all records takes more than three times what there is for one.
    const SHARE_BYTES: u64 = 24 * RECORD_BYTES;

    /// Sends all that it gets to its only output, and needs much memory for it.
    struct Greedy;

    impl Transform for Greedy {
        fn apply(&mut self, batch: Batch) -> Option<Batch> {
            Some(batch)
        }

        fn need_bytes(&self, _bytes: u64, records: u64) -> u64 {
            records * RECORD_BYTES
        }
    }

    fn edge_of(batches: u32) -> (Output, EdgeReceiver) {
        let (sender, receiver) = edge(EdgeLimits { batches, bytes: 1 << 20 });
        let (routes, all_routes) =
            (Arc::<Routes>::default(), vec![Destination::Edge(sender).into()]);
        routes.put(RouteTable { routes: all_routes, ..RouteTable::default() });
        (Output::new(routes, None), receiver)
    }

    /// Takes a replayed request through a transform, in more pieces than the edge behind it holds; returns
    /// the records of those that came.
    async fn replay(outlets: fn(Output) -> Outlets) -> Vec<u64> {
        let ledger = Ledger::leak();
        let records: Vec<u8> = (0..RECORDS).flat_map(|_| [0x12, 0]).collect();
        let scope = [vec![0x12, 2 * RECORDS], records].concat();
        let request = Request {
            signal: Signal::Logs,
            wire: [vec![0x0a, 2 * RECORDS + 2], scope].concat().into(),
            records: u64::from(RECORDS),
            received_unix_ns: 0,
            provenance: Provenance::default(),
        };
        let (ticket, waiter) = ack::channel();
        let batch = Batch::replayed(&request, SinkSet::ALL, ticket, ledger);
        let (before, input) = edge_of(1);
        let (output, mut behind) = edge_of(1);
        assert!(before.try_send(batch).is_ok());
        drop(before);
        let processing =
            Processing::new("t".parse().unwrap(), Budget::new("processing", SHARE_BYTES));
        let read = async {
            let mut came = Vec::new();
            while let Some(batch) = behind.recv().await {
                came.push(batch.records());
                batch.delivered();
                // Who waits for no time at all is gone by then.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            came
        };
        let run = run_transform(Box::new(Greedy), input, outlets(output), processing);
        let (ran, came) = tokio::join!(run, read);
        assert!(ran.is_ok());
        assert_eq!(waiter.outcome(), Some(Outcome::Delivered), "{came:?}");
        assert_eq!(ledger.total(Bucket::InFlight), 0);
        came
    }

    /// Scenario: the vault sends a request again that a transform takes in pieces, and the queue behind it
    /// holds one of them.
    /// Guarantees: each further piece waits for room there, or the request would fail at every replay.
    #[tokio::test]
    async fn a_replayed_request_gets_through_a_queue_that_does_not_hold_all_its_pieces() {
        for outlets in [Outlets::One, |output| Outlets::Several(vec![output])] {
            let came = replay(outlets).await;
            assert!(3 < came.len(), "{came:?}");
            assert_eq!(came.iter().sum::<u64>(), u64::from(RECORDS), "{came:?}");
        }
    }
}

//! What all replays do alike: they let live requests go first, and when they are stopped, what is on its
//! way has a moment to arrive.

use std::time::Duration;

use crate::component::running::Stop;
use crate::event::AckWaiter;
use crate::event::Batch;
use crate::event::Outcome;
use crate::event::SinkSet;
use crate::flow::Output;
use crate::flow::TopologyView;

/// Live traffic comes first: nothing is added while any edge on the way is as full as this. It is well
/// below the mark at which the zone changes.
const CALM_PERMILLE: u32 = 250;
const CALM_CHECK: Duration = Duration::from_millis(5);
/// When a replay is stopped, what is on its way has this long to arrive. What does not is delivered again
/// after the next start.
const ARRIVES_WITHIN: Duration = Duration::from_millis(250);

/// Waits until the edges on the way to these sinks have drained enough that live traffic keeps most of
/// them. May be dropped at any time.
pub async fn calm(topology: &dyn TopologyView, replay: &str, sinks: SinkSet) {
    while CALM_PERMILLE <= topology.occupancy_permille(replay, sinks) {
        tokio::time::sleep(CALM_CHECK).await;
    }
}

/// Sends a batch and waits for its end; `None` when the replay was stopped, and it did not arrive soon:
/// whoever holds it then does not send it any more.
pub async fn send_unless_stopped(
    output: &Output,
    batch: Batch,
    waiter: &mut AckWaiter,
    stop: &Stop,
) -> Option<Outcome> {
    let sent = async {
        output.send(batch).await;
        (&mut *waiter).await
    };
    tokio::select! {
        outcome = sent => return Some(outcome),
        () = stopped_for_long(stop) => {}
    }
    waiter.claim();
    None
}

/// Waits until a replay was stopped and what is on its way should have arrived.
pub async fn stopped_for_long(stop: &Stop) {
    stop.cancelled().await;
    tokio::time::sleep(ARRIVES_WITHIN).await;
}

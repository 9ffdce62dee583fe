//! Keeps the history: once a second the figures, and every change of the zone.

use std::time::Duration;
use std::time::Instant;

use tokio::time::MissedTickBehavior;

use super::history::RoundTrips;
use super::state::ControlService;
use crate::component::Stop;

/// Between two samples of the figures.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

impl ControlService {
    /// Keeps the history until stopped. A zone that begins and ends while no worker thread is free may be missing
    /// from it.
    pub async fn keep_history(self, stop: Stop) {
        let mut zone = self.zones.watch();
        let mut tick = tokio::time::interval(SAMPLE_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => self.sample(),
                Ok(()) = zone.changed() => {
                    let zone = *zone.borrow_and_update();
                    self.history.lock().note_zone(Instant::now(), zone);
                }
                () = stop.cancelled() => return,
            }
        }
    }

    fn sample(&self) {
        let (zone, status) = (self.zones.report().zone, self.figures());
        let with_counts = |sink: String| {
            let counts = self.metrics.delivery(&sink).round_trips();
            (sink, counts)
        };
        let round_trips: RoundTrips = self.delivering_sinks().map(with_counts).collect();
        let (now, mut history) = (Instant::now(), self.history.lock());
        history.note_zone(now, zone);
        history.note_figures(now, &status, round_trips);
    }
}

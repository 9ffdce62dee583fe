//! What the status says of a moment ago: rates, estimates, round trips and the zones before.

use gophership_control::Degraded;
use gophership_control::proto;

use super::history::Rates;
use super::history::ZoneSpan;
use super::state::ControlService;
use super::status::wire_zone;
use crate::event::Signal;
use crate::metrics::BacklogFigures;
use crate::metrics::ROUND_TRIP_BOUNDS;

impl ControlService {
    /// Returns what the process is doing now.
    #[must_use]
    pub fn status_now(&self) -> proto::StatusResponse {
        let mut status = self.figures();
        self.add_history(&mut status);
        status
    }

    /// Adds what follows from the history to the figures of now.
    fn add_history(&self, status: &mut proto::StatusResponse) {
        let history = self.history.lock();
        let rates = history.rates();
        let of = |span: &ZoneSpan| proto::ZoneSpan {
            zone: wire_zone(Some(span.zone)),
            seconds: u32::try_from(span.seconds).unwrap_or(u32::MAX),
        };
        status.zone_history = history.zones().iter().map(of).collect();
        for delivery in &mut status.deliveries {
            let counts = history.round_trips(&delivery.id);
            delivery.answered = counts.iter().sum();
            delivery.p50_seconds = quantile(&counts, 0.5);
            delivery.p99_seconds = quantile(&counts, 0.99);
        }
        drop(history);
        for component in &mut status.components {
            let by_id = match component.section.as_str() {
                "source" => &rates.sources,
                "sink" => &rates.sinks,
                _ => continue,
            };
            component.records_per_second = Some(by_id.get(&component.id).copied().unwrap_or(0.0));
        }
        for vault in &mut status.vaults {
            let of_it = rates.vaults.get(&vault.id).copied().unwrap_or_default();
            vault.replayed_requests_per_second = of_it.replayed;
            vault.drain_seconds = of_it.drain_seconds;
        }
        for backlog in &mut status.sink_backlogs {
            backlog.drain_seconds = rates.drains.get(&backlog.sink).copied().flatten();
        }
        let Rates { seconds: over_seconds, received, delivered, rejected, .. } = rates;
        status.rates = Some(proto::Rates { over_seconds, received, delivered, rejected });
    }

    /// What vaults keep for each sink.
    pub(super) fn sink_backlogs(&self) -> Vec<proto::SinkBacklog> {
        let wire = |(sink, of_it): (String, BacklogFigures)| proto::SinkBacklog {
            sink,
            requests: of_it.requests,
            records: of_it.records,
            bytes: of_it.bytes,
            seconds: of_it.age.as_secs(),
            oldest_seconds: of_it.oldest.as_secs(),
            drain_seconds: None,
            began_unix_ms: of_it.began_unix_ms,
            ended_unix_ms: of_it.ended_unix_ms,
        };
        self.metrics.sink_backlogs().into_iter().map(wire).collect()
    }

    /// Which sinks do not deliver all that they get.
    pub(super) fn degraded(&self) -> Vec<Degraded> {
        let mut status = proto::StatusResponse {
            outages: self.outages(),
            deliveries: self.deliveries(),
            sink_backlogs: self.sink_backlogs(),
            ..proto::StatusResponse::default()
        };
        self.add_history(&mut status);
        gophership_control::degraded(&status)
    }

    /// The sinks that deliver to a network backend.
    pub(super) fn delivering_sinks(&self) -> impl Iterator<Item = String> {
        let places = self.zones.backends();
        let config = self.config.borrow().1.clone();
        let is_one = move |sink: &str| {
            let prefix = format!("{sink} ");
            places.iter().any(|(place, _)| place.starts_with(&prefix))
        };
        let sinks: Vec<String> = config.sinks.keys().map(ToString::to_string).collect();
        sinks.into_iter().filter(move |sink| is_one(sink))
    }

    /// How each sink with a network backend does now.
    pub(super) fn deliveries(&self) -> Vec<proto::Delivery> {
        let places = self.zones.backends();
        let delivery = |id: String| {
            let (metrics, prefix) = (self.metrics.delivery(&id), format!("{id} "));
            let endpoint = |name: &str, is_out: bool| {
                let is_denied = self.metrics.endpoint(&id, name).denied.get() != 0;
                let circuit = match (is_out, is_denied) {
                    (false, _) => "closed",
                    (true, false) => "open",
                    (true, true) => "denied",
                };
                proto::DeliveryEndpoint { name: name.to_owned(), circuit: circuit.to_owned() }
            };
            let endpoints = places.iter().filter_map(|(place, is_out)| {
                Some(endpoint(place.strip_prefix(&prefix)?, *is_out))
            });
            let size = |value: i64| u64::try_from(value).unwrap_or(0);
            proto::Delivery {
                endpoints: endpoints.collect(),
                in_flight: size(metrics.in_flight.get()),
                limit: size(metrics.limit.get()),
                ..proto::Delivery { id, ..proto::Delivery::default() }
            }
        };
        self.delivering_sinks().map(delivery).collect()
    }

    /// By how much the ledger does not balance, over all signals.
    pub(super) fn imbalance(&self) -> u64 {
        let signals = Signal::ALL.into_iter();
        signals.map(|signal| self.ledgers.imbalance(signal).unsigned_abs()).sum()
    }
}

/// The time within which a share of the answers came, by linear interpolation between the bounds; the last bound for
/// answers that took longer. `None` without answers.
fn quantile(counts: &[u64], share: f64) -> Option<f64> {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    let rank = real(total) * share;
    let (mut below, mut from) = (0.0, 0.0);
    for (count, bound) in counts.iter().zip(ROUND_TRIP_BOUNDS) {
        let count = real(*count);
        if 0.0 < count && rank <= below + count {
            return Some(from + (bound - from) * (rank - below) / count);
        }
        (below, from) = (below + count, bound);
    }
    Some(from)
}

#[expect(clippy::cast_precision_loss, reason = "a quantile is shown with three digits")]
const fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_the_bounds_that_their_answers_came_within() {
        let is = |shown: Option<f64>, wanted: f64| (shown.unwrap() - wanted).abs() < 1e-9;
        let mut counts = vec![0; ROUND_TRIP_BOUNDS.len() + 1];
        assert_eq!(quantile(&counts, 0.5), None);
        counts[1] = 100;
        let (low, high) = (ROUND_TRIP_BOUNDS[0], ROUND_TRIP_BOUNDS[1]);
        assert!(is(quantile(&counts, 0.5), f64::midpoint(low, high)));
        *counts.last_mut().unwrap() = 100;
        assert!(is(quantile(&counts, 0.5), high));
        assert!(is(quantile(&counts, 0.99), *ROUND_TRIP_BOUNDS.last().unwrap()));
    }
}

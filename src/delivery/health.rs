//! How the backend does: the share of attempts that fail, and how long answers take.

use std::time::Duration;

use parking_lot::Mutex;
use parking_lot::MutexGuard;
use tokio::time::Instant;

use crate::somatic::Gauges;
use crate::somatic::PressureGauge;
use crate::somatic::PressureKind;

/// The weight of the newest attempt in the running averages: the last ten or so count.
const NEWEST: f64 = 0.2;
/// After this long without an attempt nothing is known any more.
const FORGET_AFTER: Duration = Duration::from_secs(10);

/// Running averages over attempts, shown to the controller.
pub struct Health {
    errors: PressureGauge,
    latency: PressureGauge,
    averages: Mutex<Averages>,
}

#[derive(Default)]
struct Averages {
    errors: f64,
    latency: f64,
    last: Option<Instant>,
}

impl Averages {
    /// Adds an attempt; both are shares of 1.
    fn add(&mut self, error: f64, latency: f64, now: Instant) {
        let weight = if self.last.is_none() { 1.0 } else { NEWEST };
        self.errors += (error - self.errors) * weight;
        self.latency += (latency - self.latency) * weight;
        self.last = Some(now);
    }
}

impl Health {
    /// Registers the gauges of a sink.
    #[must_use]
    pub fn new(gauges: &Gauges, sink: &str) -> Self {
        Self {
            errors: gauges.register(PressureKind::SinkErrors, sink),
            latency: gauges.register(PressureKind::SinkLatency, sink),
            averages: Mutex::default(),
        }
    }

    /// Counts an attempt that ends now, and what it was given of time.
    pub fn count(&self, is_error: bool, started: Instant, limit: Duration) {
        self.count_at(Instant::now(), is_error, started, limit);
    }

    fn count_at(&self, now: Instant, is_error: bool, started: Instant, limit: Duration) {
        let took = now.saturating_duration_since(started);
        let mut averages = self.lock();
        let latency = took.as_secs_f64() / limit.as_secs_f64().max(f64::MIN_POSITIVE);
        averages.add(f64::from(u8::from(is_error)), latency.min(1.0), now);
        self.errors.set_share(averages.errors);
        self.latency.set_share(averages.latency);
    }

    /// Forgets averages that are too old to say anything.
    pub fn age(&self, now: Instant) {
        let mut averages = self.lock();
        let is_old = |last: Instant| FORGET_AFTER <= now.saturating_duration_since(last);
        if averages.last.is_some_and(is_old) {
            *averages = Averages::default();
            self.errors.forget();
            self.latency.forget();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Averages> {
        self.averages.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::somatic::Readings;
    use crate::somatic::Sensor as _;

    #[test]
    fn averages_follow_the_attempts_and_are_forgotten() {
        let gauges = Arc::new(Gauges::default());
        let mut sensor = gauges.sensor();
        let health = Health::new(&gauges, "backend");
        let mut read = |kind| {
            let mut readings = Readings::default();
            sensor.read(std::time::Instant::now(), &mut readings);
            readings.highest(kind).map(|pressure| pressure.permille)
        };
        let (start, limit) = (Instant::now(), Duration::from_secs(10));
        assert_eq!(read(PressureKind::SinkErrors), None);
        health.count_at(start + limit, true, start, limit);
        assert_eq!(
            (read(PressureKind::SinkErrors), read(PressureKind::SinkLatency)),
            (Some(1000), Some(1000))
        );
        for _ in 0..20 {
            health.count_at(start + limit / 10, false, start, limit);
        }
        assert!(read(PressureKind::SinkErrors).unwrap() < 20);
        assert!((100..120).contains(&read(PressureKind::SinkLatency).unwrap()));
        health.age(start + FORGET_AFTER);
        assert_ne!(read(PressureKind::SinkErrors), None);
        health.age(start + limit / 10 + FORGET_AFTER);
        assert_eq!(read(PressureKind::SinkErrors), None);
    }
}

//! How late tasks run: a probe on the runtime that sleeps, and measures how late it woke.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::somatic::kind::PressureKind;
use crate::somatic::reading::Place;
use crate::somatic::reading::Readings;
use crate::somatic::reading::Sensor;
use crate::somatic::rest::Rest;

/// How long the probe sleeps each time.
const NAP: Duration = Duration::from_millis(10);
/// How late is 1,000 thousandths: see [`PressureKind::Lag`].
const FULL: Duration = Duration::from_millis(100);
/// The probe does not run.
const NEVER: u64 = u64::MAX;

/// Reads [`PressureKind::Lag`] at the place `runtime`: how late the probe woke at worst since the last
/// look, or how late it is by now.
///
/// A timer of the runtime is up to a millisecond late at the best of times. Nothing is read before
/// the probe runs and after it has ended.
#[derive(Debug)]
pub struct LagSensor {
    place: Place,
    nap: Arc<Nap>,
}

/// What the probe tells the sensor.
#[derive(Debug)]
struct Nap {
    start: Instant,
    /// When the probe should wake, in microseconds since the start; or [`NEVER`].
    due_us: AtomicU64,
    /// How late it woke at worst since the last look.
    worst_us: AtomicU64,
}

impl LagSensor {
    /// Makes the sensor, and its probe, which whoever calls runs on the runtime to be sensed.
    ///
    /// The probe ends when it is told to stop. It may be dropped at any time.
    pub fn new(
        stop: CancellationToken,
        rest: Arc<Rest>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (due_us, worst_us) = (AtomicU64::new(NEVER), AtomicU64::new(0));
        let nap = Arc::new(Nap { start: Instant::now(), due_us, worst_us });
        let napper = Napper { nap: Arc::clone(&nap), rest };
        let probe = async move {
            // Nothing is left over when it is cancelled.
            let _cancelled = stop.run_until_cancelled(napper.run()).await;
        };
        (Self { place: Place::from("runtime"), nap }, probe)
    }
}

impl Sensor for LagSensor {
    fn read(&mut self, now: Instant, readings: &mut Readings) {
        let late_us = self.nap.worst_us.swap(0, Ordering::Relaxed);
        let due_us = self.nap.due_us.load(Ordering::Relaxed);
        if due_us != NEVER {
            // A runtime that is blocked cannot tell that it is.
            let overdue_us = self.nap.micros(now).saturating_sub(due_us);
            let late = Duration::from_micros(late_us.max(overdue_us));
            let (late, full) = (late.as_secs_f64(), FULL.as_secs_f64());
            readings.push_share(PressureKind::Lag, &self.place, late, full);
        }
    }
}

impl Nap {
    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_micros()).unwrap_or(NEVER)
    }

    fn begin(&self, due: Instant) {
        self.due_us.store(self.micros(due), Ordering::Relaxed);
    }

    fn end(&self, late: Duration) {
        let late_us = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        self.worst_us.fetch_max(late_us, Ordering::Relaxed);
    }
}

/// The probe's end of it: however the probe ends, the sensor learns that it has.
struct Napper {
    nap: Arc<Nap>,
    rest: Arc<Rest>,
}

impl Napper {
    async fn run(&self) {
        loop {
            // Longer at rest; how late it is then shows as well while it lasts.
            let (is_to_the_end, due) = self.rest.sleep(NAP, |due| self.nap.begin(due)).await;
            if is_to_the_end {
                self.nap.end(due.elapsed());
            }
        }
    }
}

impl Drop for Napper {
    fn drop(&mut self) {
        self.nap.due_us.store(NEVER, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time;

    use super::*;

    fn look(sensor: &mut LagSensor, now: Instant) -> Option<u32> {
        let mut readings = Readings::default();
        sensor.read(now, &mut readings);
        readings.iter().next().map(|at| at.permille)
    }

    #[test]
    fn the_worst_since_the_last_look_counts_or_what_is_overdue() {
        let (mut sensor, _probe) = LagSensor::new(CancellationToken::new(), Arc::default());
        let (nap, start) = (Arc::clone(&sensor.nap), sensor.nap.start);
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(look(&mut sensor, at(0)), None, "the probe does not run yet");
        nap.begin(at(10));
        assert_eq!(look(&mut sensor, at(10)), Some(0));
        assert_eq!(look(&mut sensor, at(60)), Some(500), "overdue");
        assert_eq!(look(&mut sensor, at(5010)), Some(50_000), "overdue for long");
        nap.end(Duration::from_millis(30));
        nap.end(Duration::from_millis(70));
        nap.end(Duration::from_millis(5));
        nap.begin(at(6000));
        assert_eq!(look(&mut sensor, at(5995)), Some(700));
        assert_eq!(look(&mut sensor, at(5995)), Some(0), "it was read already");
        let before = start.checked_sub(Duration::from_secs(1)).unwrap();
        assert_eq!(look(&mut sensor, before), Some(0), "the clock went backward");
    }

    #[test]
    fn a_blocked_runtime_is_seen_while_it_is_blocked_and_afterwards() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let stop = CancellationToken::new();
        let (mut sensor, probe) = LagSensor::new(stop.clone(), Arc::default());
        runtime.block_on(async {
            let probe = tokio::spawn(probe);
            tokio::task::yield_now().await;
            assert_ne!(sensor.nap.due_us.load(Ordering::Relaxed), NEVER);
            let blocked = Instant::now();
            while blocked.elapsed() < Duration::from_millis(80) {
                std::hint::spin_loop();
            }
            let seen = look(&mut sensor, Instant::now()).unwrap();
            assert!(seen >= 700, "blocked for 80 ms of which 10 ms were sleep: {seen}");
            assert_eq!(sensor.nap.worst_us.load(Ordering::Relaxed), 0, "it has not run");
            time::timeout(Duration::from_mins(1), async {
                while sensor.nap.worst_us.load(Ordering::Relaxed) == 0 {
                    tokio::task::yield_now().await;
                }
            })
            .await
            .unwrap();
            let start = sensor.nap.start;
            let seen = look(&mut sensor, start).unwrap();
            assert!(seen >= 700, "it woke late: {seen}");
            assert_eq!(look(&mut sensor, start), Some(0));
            stop.cancel();
            probe.await.unwrap();
            assert_eq!(look(&mut sensor, Instant::now()), None, "it has ended");
        });
    }

    #[test]
    fn a_probe_that_was_dropped_is_silent() {
        let (mut sensor, probe) = LagSensor::new(CancellationToken::new(), Arc::default());
        drop(probe);
        assert_eq!(look(&mut sensor, Instant::now()), None);
        let (mut sensor, probe) = LagSensor::new(CancellationToken::new(), Arc::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.spawn(probe);
        runtime.block_on(tokio::task::yield_now());
        assert!(look(&mut sensor, Instant::now()).is_some());
        drop(runtime);
        assert_eq!(look(&mut sensor, Instant::now()), None);
    }
}

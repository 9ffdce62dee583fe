//! What components know best themselves: they put their numbers here, which the controller reads, and
//! their work, which the watchdog reads.

use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parking_lot::Mutex;
use parking_lot::MutexGuard;

use super::kind::PressureKind;
use super::reading::Place;
use super::reading::Readings;
use super::reading::Sensor;
use super::reading::permille;
use super::rest::Rest;
use super::trouble::Troubles;
use super::work::WorkProbes;

/// A number that is not known.
const UNKNOWN: u32 = u32::MAX;

/// One number of a component; it is forgotten when this is dropped. Cheap to set.
#[derive(Debug)]
pub struct PressureGauge(Arc<AtomicU32>);

impl PressureGauge {
    /// Tells the number, in thousandths of what its [`PressureKind`] says.
    pub fn set(&self, permille: u32) {
        self.0.store(permille.min(UNKNOWN - 1), Ordering::Relaxed);
    }

    /// Tells the number as a share of 1; what is no number is not known.
    pub fn set_share(&self, share: f64) {
        match permille(share, 1.0) {
            Some(permille) => self.set(permille),
            None => self.forget(),
        }
    }

    /// Says that it is not known now.
    pub fn forget(&self) {
        self.0.store(UNKNOWN, Ordering::Relaxed);
    }
}

struct Entry {
    kind: PressureKind,
    place: Place,
    number: Weak<AtomicU32>,
}

/// The numbers of all components. Shared; a [`Sensor`] by [`Gauges::sensor`].
#[derive(Default)]
pub struct Gauges {
    numbers: Mutex<Vec<Entry>>,
    /// What they have to do.
    pub work_probes: WorkProbes,
    /// Why what is out is out.
    pub troubles: Troubles,
    /// Whether nobody sends anything, so that the zone is looked at less often.
    pub rest: Arc<Rest>,
}

impl Gauges {
    /// Makes a number known, still without a value.
    #[must_use]
    pub fn register(&self, kind: PressureKind, place: &str) -> PressureGauge {
        let number = Arc::new(AtomicU32::new(UNKNOWN));
        let entry = Entry { kind, place: place.into(), number: Arc::downgrade(&number) };
        self.lock().push(entry);
        PressureGauge(number)
    }

    /// The sensor that reads them.
    #[must_use]
    pub fn sensor(self: &Arc<Self>) -> impl Sensor + 'static {
        GaugesSensor(Arc::clone(self))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.numbers.lock()
    }
}

struct GaugesSensor(Arc<Gauges>);

impl Sensor for GaugesSensor {
    fn read(&mut self, _now: Instant, readings: &mut Readings) {
        self.0.lock().retain(|entry| {
            let Some(number) = entry.number.upgrade() else { return false };
            let permille = number.load(Ordering::Relaxed);
            if permille != UNKNOWN {
                readings.push(entry.kind, &entry.place, permille);
            }
            true
        });
    }
}

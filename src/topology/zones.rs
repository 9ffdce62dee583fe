//! The zone in force: reads the sensors, asks the controller, and lets the wiring follow.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use gophership_units::seconds_of;
use gophership_units::unix_ns;
use parking_lot::Mutex;
use parking_lot::MutexGuard;

use super::builder::SharedParts;
use super::flight;
use super::flight::FlightDir;
use super::watch::Watch;
use super::wiring::Wiring;
use crate::component::Stop;
use crate::config::SomaticConfig;
use crate::event::Bucket;
use crate::event::Ledgers;
use crate::metrics::Metrics;
use crate::somatic::BackendOutage;
use crate::somatic::Brake;
use crate::somatic::Calm;
use crate::somatic::Governor;
use crate::somatic::OverrideCommand;
use crate::somatic::Place;
use crate::somatic::Pressure;
use crate::somatic::PressureKind;
use crate::somatic::Readings;
use crate::somatic::Recorder;
use crate::somatic::Rest;
use crate::somatic::Sensors;
use crate::somatic::Somatic;
use crate::somatic::Stall;
use crate::somatic::Transition;
use crate::somatic::Weights;
use crate::somatic::Zone;
use crate::somatic::ZoneReport;
use crate::somatic::ZoneWatch;

/// How often is looked when nobody raises the alarm; less often at rest.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A look takes some ten microseconds; it comes before the work that causes the pressure.
const NICE: i32 = -10;

/// What reads, and what was read.
struct Senses {
    sensors: Sensors,
    readings: Readings,
    /// What is read of circuits while the controller only observes.
    nothing: Readings,
    recorder: Recorder,
    weights: Weights,
    /// Records received by the look before.
    received: i64,
    calm: Calm,
}

/// Keeps the zone. Cheap to clone.
#[derive(Clone)]
pub struct Zones {
    somatic: Arc<Somatic>,
    wiring: Arc<Wiring>,
    metrics: Arc<Metrics>,
    sensing: Arc<Mutex<Senses>>,
    flights: Arc<FlightDir>,
    governor: Arc<Governor>,
    brake: Arc<Brake>,
    watch: Arc<Watch>,
    rest: Arc<Rest>,
    ledgers: &'static Ledgers,
    /// How often was looked.
    looks: Arc<AtomicU64>,
}

impl Zones {
    /// Connects the controller with what it senses, beside the wiring, and with those who follow. When
    /// Red begins, what was read before is written into `flights`.
    #[must_use]
    pub fn new(
        somatic: Arc<Somatic>,
        shared: &SharedParts,
        sensors: Sensors,
        flights: FlightDir,
    ) -> Self {
        let sensing = Senses {
            sensors,
            readings: Readings::default(),
            nothing: Readings::default(),
            recorder: Recorder::default(),
            weights: Weights::default(),
            received: 0,
            calm: Calm::default(),
        };
        // Shown from the start, so that the first change is a rise and no new series.
        for zone in [Zone::Green, Zone::Yellow, Zone::Red] {
            let _series = shared.metrics.somatic.reaction.with_label_values(&[zone.name()]);
        }
        let (sensing, flights) = (Arc::new(Mutex::new(sensing)), Arc::new(flights));
        let watch = Arc::new(Watch::new(shared));
        let rest = Arc::clone(&shared.gauges.rest);
        let SharedParts { wiring, metrics, governor, brake, ledgers, .. } = shared.clone();
        Self {
            somatic,
            wiring,
            metrics,
            sensing,
            flights,
            governor,
            brake,
            watch,
            rest,
            ledgers,
            looks: Arc::default(),
        }
    }

    /// Follows the configuration; counts from the next look.
    pub fn configure(&self, config: &SomaticConfig) {
        self.somatic.configure(config.policy());
        self.brake.configure(config.slow_answers.max.0);
        self.watch.configure(config.watchdog.after());
    }

    /// Looks again and again until stopped; at once when the alarm is raised. On a thread of its own:
    /// the busier the workers are, the less may the zone wait for one of them.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn drive(self, stop: Stop) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let run = move || {
            // Linux keeps the nice value by thread.
            if let Err(error) = rustix::process::setpriority_process(None, NICE) {
                tracing::debug!(%error, "Cannot raise the priority of the zone's thread.");
            }
            runtime.block_on(self.look_until(stop));
        };
        std::thread::Builder::new().name("somatic".to_owned()).spawn(run).map(drop)
    }

    async fn look_until(self, stop: Stop) {
        let alarm = self.somatic.alarm();
        loop {
            tokio::select! {
                _slept = self.rest.sleep(LOOK_EVERY, |_| ()) => {}
                () = alarm.notified() => {}
                () = stop.cancelled() => return,
            }
            self.look();
            self.watch.look(Instant::now());
        }
    }

    /// Takes the operator's command; routes follow it before this returns.
    #[must_use]
    pub fn command(&self, command: OverrideCommand) -> ZoneReport {
        match &command {
            OverrideCommand::Hold { zone, ttl, reason } => tracing::info!(
                %zone, ttl_seconds = ttl.map(seconds_of), reason,
                "Operator holds the zone."
            ),
            OverrideCommand::Auto => tracing::info!("Operator ended the hold of the zone."),
        }
        self.look_and(|somatic, _, readings| somatic.command(command, readings));
        self.somatic.report()
    }

    /// The zone with its reason.
    #[must_use]
    pub fn report(&self) -> ZoneReport {
        self.somatic.report()
    }

    /// Follows the zone in force.
    #[must_use]
    pub fn watch(&self) -> ZoneWatch {
        self.somatic.watch()
    }

    /// Pauses all replays, or lets them go on; they follow within their next request.
    pub fn pause_replay(&self, is_paused: bool) {
        self.governor.pause_replay(is_paused);
    }

    /// Whether an operator has paused all replays.
    #[must_use]
    pub fn is_replay_paused(&self) -> bool {
        self.governor.is_replay_paused()
    }

    /// The records of the flight recorder.
    #[must_use]
    pub fn flights(&self) -> Arc<FlightDir> {
        Arc::clone(&self.flights)
    }

    /// What the flight recorder has of the last two minutes.
    #[must_use]
    pub fn flight_now(&self) -> String {
        self.lock().recorder.render()
    }

    /// The share of the time that background work has, in millionths.
    #[must_use]
    pub fn background_millionths(&self) -> u32 {
        self.governor.millionths()
    }

    /// What was read at the last look.
    #[must_use]
    pub fn pressures(&self) -> Vec<Pressure> {
        self.lock().readings.iter().cloned().collect()
    }

    /// What stands still although there is work.
    #[must_use]
    pub fn stalls(&self) -> Vec<Stall> {
        self.watch.stalls()
    }

    /// What is out, and why.
    #[must_use]
    pub fn outages(&self) -> Vec<BackendOutage> {
        self.watch.outages()
    }

    /// The backends of all sinks, as `sink endpoint`, and whether each is out.
    #[must_use]
    pub fn backends(&self) -> Vec<(Place, bool)> {
        self.watch.backends()
    }

    /// Whether a way in stands still.
    #[must_use]
    pub fn is_intake_stuck(&self) -> bool {
        self.watch.is_intake_stuck()
    }

    /// How often the zone was looked at; more each time while the driver is alive.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }

    /// Evaluates once: reads every sensor, decides, follows, notes.
    pub fn look(&self) {
        self.look_and(Somatic::step);
        self.looks.fetch_add(1, Ordering::Relaxed);
    }

    fn look_and(&self, decide: impl FnOnce(&Somatic, Instant, &Readings) -> Option<Transition>) {
        let now = Instant::now();
        let mut sensing = self.lock();
        let Senses { sensors, readings, nothing, recorder, weights, received, calm } =
            &mut *sensing;
        sensors.read_all(now, readings);
        self.wiring.kind(readings);
        // While observing nobody is passed by, whoever was out when that began.
        let circuits = if self.somatic.is_observing() { &*nothing } else { &*readings };
        self.wiring.follow_circuits(circuits);
        let transition = decide(&self.somatic, now, readings);
        self.governor.hold_zone(self.somatic.is_held());
        let stall =
            readings.highest(PressureKind::CpuStall).map_or(0, |pressure| pressure.permille);
        let before = std::mem::replace(received, self.ledgers.total(Bucket::Received));
        let moved = *received + self.ledgers.total(Bucket::Delivered);
        if !calm.look(now, moved, self.somatic.is_easy()) {
            self.rest.wake();
        } else if !self.rest.is_resting() {
            self.rest.begin();
        }
        weights.look(&self.governor, self.somatic.zone(), stall, before != *received);
        self.somatic.with_policy(|policy| self.brake.look(self.somatic.zone(), policy, readings));
        let Some(transition) = transition else {
            return recorder.note(now, unix_ms(), self.somatic.sensed(), readings);
        };
        recorder.note_now(now, unix_ms(), self.somatic.sensed(), readings);
        // First of all the routes; what was read is written down when they are in force.
        self.follow(&transition, now);
        let record = (transition.to == Zone::Red).then(|| recorder.render());
        drop(sensing);
        if let Some(record) = record {
            flight::keep(&self.flights, unix_ms(), record);
        }
    }

    /// Puts a zone in force that follows from what was read at `read`, and tells everybody.
    fn follow(&self, transition: &Transition, read: Instant) {
        let Transition { from, to, cause, is_in_force } = transition;
        self.metrics.somatic.sensed_zone.set(number(self.somatic.sensed()));
        if !is_in_force {
            tracing::info!(%from, %to, reason = %cause, "Zone would change, but somatic.mode is observe.");
            return;
        }
        let shedding = self.wiring.follow(|| self.somatic.zone());
        // The log, which comes last, may have to wait for whoever reads it.
        let reaction = self.metrics.somatic.reaction.with_label_values(&[to.name()]);
        reaction.observe(read.elapsed().as_secs_f64());
        self.metrics.somatic.zone.set(number(self.somatic.zone()));
        self.metrics
            .somatic
            .transitions
            .with_label_values(&[from.name(), to.name(), cause.name()])
            .inc();
        if to > from {
            tracing::warn!(%from, %to, reason = %cause, "Zone changed.");
        } else {
            tracing::info!(%from, %to, reason = %cause, "Zone changed.");
        }
        shedding.log();
    }

    fn lock(&self) -> MutexGuard<'_, Senses> {
        self.sensing.lock()
    }
}

const fn number(zone: Zone) -> i64 {
    match zone {
        Zone::Green => 0,
        Zone::Yellow => 1,
        Zone::Red => 2,
    }
}

fn unix_ms() -> u64 {
    unix_ns() / 1_000_000
}

//! What the service manager (systemd) is told: ready, reloading, stopping, the zone, and that the process is
//! alive.
//!
//! The protocol is one datagram for each message, to the socket that `NOTIFY_SOCKET` names. A name that begins
//! with `@` is an abstract one. Without the variable nobody is told anything. Source: `sd_notify(3)`.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::ClockId;
use rustix::time::clock_gettime;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;

use crate::component::Stop;
use crate::topology::Zones;

/// A service manager that does not read holds the process up for no longer.
const SENT_WITHIN: Duration = Duration::from_millis(200);
/// A change of the zone is told within this time.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// For a shorter `WatchdogSec` there is no time.
const PING_EVERY_MIN: Duration = Duration::from_millis(100);

/// The service manager that started the process, if one did.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceManager {
    socket: Option<Arc<Connected>>,
    /// The process counts as hung if it says nothing for so long.
    watchdog: Option<Duration>,
}

#[derive(Debug)]
struct Connected {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl ServiceManager {
    /// Takes the socket and the watchdog from the environment.
    pub(super) fn from_env() -> Self {
        let Ok(name) = env::var("NOTIFY_SOCKET") else { return Self::default() };
        match Connected::to(&name) {
            Ok(connected) => Self { socket: Some(Arc::new(connected)), watchdog: watchdog() },
            Err(error) => {
                tracing::warn!(%error, socket = name, "Cannot use NOTIFY_SOCKET; GopherShip does not report to the service manager.");
                Self::default()
            }
        }
    }

    /// Says that requests are taken, at start and after each reload, successful or not.
    pub(super) fn ready(&self) {
        self.tell("READY=1");
    }

    /// Says that a reload begins; [`ready`](Self::ready) ends it.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1_000);
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    /// Says that the process ends.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Stopping: delivering or storing what was taken.");
    }

    /// Tells the zone, and that the process is alive, until stopped. It is alive if the zone was looked at since
    /// the last time, and if a worker of the runtime runs this task.
    pub(super) fn keep_told(&self, zones: Zones, stop: Stop) {
        if self.socket.is_some() {
            tokio::spawn(self.clone().tell_until(zones, stop));
        }
    }

    async fn tell_until(self, zones: Zones, stop: Stop) {
        let ping_every = self.watchdog.map(|within| (within / 2).max(PING_EVERY_MIN));
        let mut ticks = interval(ping_every.unwrap_or(TELL_EVERY).min(TELL_EVERY));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut looks, mut told) = (zones.looks(), String::new());
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            let before = std::mem::replace(&mut looks, zones.looks());
            if before == looks {
                continue;
            }
            if ping_every.is_some() {
                self.tell("WATCHDOG=1");
            }
            let report = zones.report();
            let status =
                format!("STATUS=Zone {}: {}.", report.zone, report.reason).replace('\n', " ");
            if status != told {
                self.tell(&status);
                told = status;
            }
        }
    }

    fn tell(&self, message: &str) {
        let Some(connected) = &self.socket else { return };
        let Connected { socket, address } = &**connected;
        if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
            tracing::warn!(%error, message, "Cannot notify the service manager.");
        }
    }
}

impl Connected {
    fn to(name: &str) -> io::Result<Self> {
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SENT_WITHIN))?;
        Ok(Self { socket, address })
    }
}

/// The time of the watchdog, if it is meant for this process.
fn watchdog() -> Option<Duration> {
    let is_ours =
        env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
    let microseconds: u64 = env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    (is_ours && 0 < microseconds).then(|| Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixDatagram as Receiver;

    use super::*;
    use crate::component::OnLoss;
    use crate::pool::Memory;
    use crate::pool::MemoryLimits;
    use crate::somatic::Policy;
    use crate::somatic::Sensors;
    use crate::somatic::Somatic;
    use crate::topology::FlightDir;
    use crate::topology::SharedParts;

    const SOON: Duration = Duration::from_secs(20);

    /// Scenario: nobody looks at the zone, because its thread hangs; then it goes on.
    /// Guarantees: the watchdog of the service manager hears nothing meanwhile, and hears again.
    #[tokio::test]
    async fn a_process_that_does_not_look_at_its_zone_is_not_called_alive() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let receiver = Receiver::bind(&path).unwrap();
        let connected = Connected::to(path.to_str().unwrap()).unwrap();
        let watchdog = Some(2 * PING_EVERY_MIN);
        let manager = ServiceManager { socket: Some(Arc::new(connected)), watchdog };
        let somatic = Arc::new(Somatic::new(Policy::default()));
        let memory = Memory::new(&MemoryLimits::NONE);
        let shared = SharedParts::new(somatic.watch(), memory, OnLoss::default());
        let flights = FlightDir::new(dir.path().join("flight"));
        let zones = Zones::new(somatic, &shared, Sensors::default(), flights);
        let stop = Stop::new();
        manager.keep_told(zones.clone(), stop.clone());
        let mut message = [0; 256];
        let pings = 5 * PING_EVERY_MIN;
        assert!(tokio::time::timeout(pings, receiver.recv(&mut message)).await.is_err());
        for heard in [["WATCHDOG=1", "STATUS=Zone green: start."].as_slice(), &["WATCHDOG=1"]] {
            zones.look();
            for heard in heard {
                let len = tokio::time::timeout(SOON, receiver.recv(&mut message)).await;
                assert_eq!(message.get(..len.unwrap().unwrap()), Some(heard.as_bytes()));
            }
        }
        assert!(tokio::time::timeout(pings, receiver.recv(&mut message)).await.is_err());
        stop.cancel();
    }
}

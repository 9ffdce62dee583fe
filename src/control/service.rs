//! The answers to `gs-ctl`.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::watch;
use tonic::Request;
use tonic::Response;
use tonic::Status;

use super::proto;
use super::proto::control_server::Control;
use crate::config::Config;
use crate::event::Bucket;
use crate::event::Ledger;
use crate::event::Signal;
use crate::metrics::Metrics;
use crate::somatic::Lease;
use crate::somatic::OverrideCommand;
use crate::somatic::Pressure;
use crate::somatic::Zone;
use crate::topology::Wiring;
use crate::topology::Zones;

/// The longest reason of an override, in bytes.
const REASON_LEN_MAX: usize = 1024;

/// What is running, as the management plane sees it.
#[derive(Clone)]
pub struct Plant {
    /// Since when.
    pub started: Instant,
    /// The configuration in force, and how many there have been.
    pub config: watch::Receiver<(u64, Arc<Config>)>,
    /// The zone.
    pub zones: Zones,
    /// The wiring.
    pub wiring: Arc<Wiring>,
    /// The books.
    pub ledger: &'static Ledger,
    /// The figures.
    pub metrics: Arc<Metrics>,
}

impl Plant {
    /// Returns what the process is doing now.
    #[must_use]
    pub fn status(&self) -> proto::StatusResponse {
        let report = self.zones.report();
        let (generation, config) = self.config.borrow().clone();
        proto::StatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.started.elapsed().as_secs(),
            zone: wire_zone(Some(report.zone)),
            zone_reason: report.reason,
            zone_seconds: report.since.elapsed().as_secs(),
            sensed: wire_zone(Some(report.sensed)),
            held: wire_zone(report.held.as_ref().map(|lease| lease.zone)),
            held_seconds_left: report.held.as_ref().and_then(seconds_left),
            held_reason: report.held.map(|lease| lease.reason).unwrap_or_default(),
            observing: report.is_observing,
            pressures: self.pressures(),
            generation,
            components: self.components(&config),
            ledger: self.ledger(),
            vaults: self.vaults(&config),
        }
    }

    fn pressures(&self) -> Vec<proto::Pressure> {
        let wire = |pressure: Pressure| proto::Pressure {
            sense: pressure.sense.name().to_owned(),
            place: pressure.place.to_string(),
            permille: pressure.permille,
        };
        self.zones.pressures().into_iter().map(wire).collect()
    }

    fn components(&self, config: &Config) -> Vec<proto::Component> {
        let edges = self.wiring.edges();
        let component = |id: &str, section: &str, kind: &str| {
            let edge = edges.iter().find(|edge| edge.id.as_str() == id);
            proto::Component {
                id: id.to_owned(),
                section: section.to_owned(),
                r#type: kind.to_owned(),
                edge_batches: edge.map_or(0, |edge| edge.batches),
                edge_bytes: edge.map_or(0, |edge| edge.bytes),
                edge_permille: edge.map_or(0, |edge| edge.occupancy_permille),
            }
        };
        let sources =
            config.sources.iter().map(|(id, e)| component(id.as_str(), "source", &e.kind));
        let transforms =
            config.transforms.iter().map(|(id, e)| component(id.as_str(), "transform", &e.kind));
        let sinks = config.sinks.iter().map(|(id, e)| component(id.as_str(), "sink", &e.kind));
        sources.chain(transforms).chain(sinks).collect()
    }

    fn ledger(&self) -> Vec<proto::Bucket> {
        let bucket = |signal: Signal, bucket: Bucket| proto::Bucket {
            signal: signal.name().to_owned(),
            bucket: bucket.name().to_owned(),
            records: self.ledger.count(signal, bucket),
        };
        let of = |signal: &Signal| Bucket::ALL.map(|name| bucket(*signal, name));
        Signal::ALL.iter().flat_map(of).collect()
    }

    fn vaults(&self, config: &Config) -> Vec<proto::Vault> {
        let vaults = config.sinks.iter().filter(|(_, sink)| sink.config.is_vault());
        let size = |value: i64| u64::try_from(value).unwrap_or(0);
        vaults
            .map(|(id, _)| {
                let metrics = self.metrics.vault(id.as_str());
                proto::Vault {
                    id: id.to_string(),
                    used_bytes: size(metrics.used_bytes.get()),
                    backlog_requests: size(metrics.backlog.get()),
                    failed: metrics.failed.get() != 0,
                    full: metrics.full.get() != 0,
                }
            })
            .collect()
    }

    /// Brings the figures that are only counted elsewhere up to date, and renders all of them.
    ///
    /// # Errors
    ///
    /// When a metric family is malformed.
    pub fn render_metrics(&self) -> Result<String, prometheus::Error> {
        for signal in Signal::ALL {
            for bucket in Bucket::ALL {
                let gauge = self.metrics.ledger.with_label_values(&[signal.name(), bucket.name()]);
                gauge.set(self.ledger.count(signal, bucket));
            }
        }
        self.metrics.pressure.reset();
        for Pressure { sense, place, permille } in self.zones.pressures() {
            let gauge = self.metrics.pressure.with_label_values(&[sense.name(), &*place]);
            gauge.set(permille.into());
        }
        self.metrics.edge_batches.reset();
        self.metrics.edge_bytes.reset();
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        for edge in self.wiring.edges() {
            let id = edge.id.as_str();
            self.metrics.edge_batches.with_label_values(&[id]).set(gauge(edge.batches));
            self.metrics.edge_bytes.with_label_values(&[id]).set(gauge(edge.bytes));
        }
        self.metrics.render()
    }
}

#[tonic::async_trait]
impl Control for Plant {
    async fn status(
        &self,
        _request: Request<proto::StatusRequest>,
    ) -> Result<Response<proto::StatusResponse>, Status> {
        Ok(Response::new(Self::status(self)))
    }

    async fn r#override(
        &self,
        request: Request<proto::OverrideRequest>,
    ) -> Result<Response<proto::OverrideResponse>, Status> {
        let proto::OverrideRequest { zone, ttl_seconds, reason } = request.into_inner();
        if REASON_LEN_MAX < reason.len() {
            return Err(Status::invalid_argument("the reason is longer than 1024 bytes"));
        }
        let hold = |zone| {
            let ttl = ttl_seconds.map(Duration::from_secs);
            OverrideCommand::Hold { zone, ttl, reason }
        };
        let command = match proto::Zone::try_from(zone) {
            Ok(proto::Zone::Unspecified) => OverrideCommand::Auto,
            Ok(proto::Zone::Green) => hold(Zone::Green),
            Ok(proto::Zone::Yellow) => hold(Zone::Yellow),
            Ok(proto::Zone::Red) => hold(Zone::Red),
            Err(_) => return Err(Status::invalid_argument("there is no such zone")),
        };
        let report = self.zones.command(command);
        let zone = wire_zone(Some(report.zone));
        Ok(Response::new(proto::OverrideResponse { zone, reason: report.reason }))
    }
}

fn seconds_left(lease: &Lease) -> Option<u64> {
    lease.until.map(|until| until.saturating_duration_since(Instant::now()).as_secs())
}

fn wire_zone(zone: Option<Zone>) -> i32 {
    let zone = match zone {
        None => proto::Zone::Unspecified,
        Some(Zone::Green) => proto::Zone::Green,
        Some(Zone::Yellow) => proto::Zone::Yellow,
        Some(Zone::Red) => proto::Zone::Red,
    };
    zone as i32
}

//! What the process is doing now, as `gs-ctl status` and `/metrics` show it.

use std::sync::atomic::Ordering;
use std::time::Instant;

use gophership_control::proto;

use super::state::ControlService;
use super::state::LastReload;
use super::state::LeftVault;
use crate::config::Config;
use crate::event::Bucket;
use crate::event::Signal;
use crate::event::SinkBucket;
use crate::metrics::ReplayState;
use crate::pool::Budget;
use crate::somatic::BackendOutage;
use crate::somatic::Pressure;
use crate::somatic::Stall;
use crate::somatic::Zone;
use crate::somatic::ZoneHold;

impl ControlService {
    /// Returns the figures of now, without what follows from those before.
    pub(super) fn figures(&self) -> proto::StatusResponse {
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
            sources: self.source_rows(),
            sinks: self.sink_rows(),
            vaults: self.vaults(&config),
            left_vaults: self.left_vaults(),
            s3_sinks: self.s3_sinks(&config),
            s3_replays: self.s3_replays(&config),
            sink_backlogs: self.sink_backlogs(),
            stalls: self.stalls(),
            outages: self.outages(),
            warnings: config
                .warnings
                .iter()
                .map(|it| format!("{}: {}", it.path, it.problem))
                .collect(),
            stuck: self.zones.is_intake_stuck(),
            background_millionths: self.zones.background_millionths(),
            ready: self.ready.load(Ordering::Acquire) && !self.maintenance.drain.is_draining(),
            draining: self.draining(),
            memory: self.memory_shares(),
            replay_paused: self.zones.is_replay_paused(),
            log_filter: self.log_filter.text(),
            last_reload: self.last_reload.borrow().as_ref().map(wire_reload),
            tasks: tasks(),
            deliveries: self.deliveries(),
            imbalance_records: self.imbalance(),
            ..proto::StatusResponse::default()
        }
    }

    fn memory_shares(&self) -> Vec<proto::MemoryShare> {
        let bytes: u64 = self.wiring.edges().iter().map(|edge| edge.bytes).sum();
        let wire = |share: &Budget| {
            // Edges count for themselves, within their parts of the share.
            let is_edges = share.name() == self.memory.edges.name();
            proto::MemoryShare {
                name: share.name().to_owned(),
                used_bytes: if is_edges { bytes } else { share.used() },
                limit_bytes: share.limit(),
            }
        };
        self.memory.each().map(|share| wire(share)).collect()
    }

    fn left_vaults(&self) -> Vec<proto::LeftVault> {
        let wire = |left: &LeftVault| proto::LeftVault {
            dir: left.dir.display().to_string(),
            requests: left.requests,
            dead_letters: left.dead_letters,
        };
        self.left_vaults.borrow().iter().map(wire).collect()
    }

    fn stalls(&self) -> Vec<proto::Stall> {
        let wire = |stall: Stall| proto::Stall {
            component: stall.place.to_string(),
            waits: stall.waits.to_owned(),
            waiting: stall.waiting,
            seconds: stall.lasts.as_secs(),
        };
        self.zones.stalls().into_iter().map(wire).collect()
    }

    pub(super) fn outages(&self) -> Vec<proto::Outage> {
        let wire = |outage: BackendOutage| proto::Outage {
            place: outage.place.to_string(),
            seconds: outage.lasts.as_secs(),
            reason: outage.reason,
        };
        self.zones.outages().into_iter().map(wire).collect()
    }

    fn pressures(&self) -> Vec<proto::Pressure> {
        let wire = |pressure: Pressure| proto::Pressure {
            kind: pressure.kind.name().to_owned(),
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
                records_per_second: None,
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
            records: self.ledgers.count(signal, bucket),
        };
        let of = |signal: &Signal| Bucket::ALL.map(|name| bucket(*signal, name));
        Signal::ALL.iter().flat_map(of).collect()
    }

    fn source_rows(&self) -> Vec<proto::LedgerRow> {
        let mut rows = Vec::new();
        self.each_source_line(|id, signal, line, records| {
            row(&mut rows, id, signal, line, records);
        });
        rows
    }

    fn sink_rows(&self) -> Vec<proto::LedgerRow> {
        let mut rows = Vec::new();
        self.each_sink_line(|id, signal, line, records| row(&mut rows, id, signal, line, records));
        rows
    }

    /// Hands on what is booked for each source, line by line.
    fn each_source_line(&self, mut take: impl FnMut(&str, Signal, &'static str, i64)) {
        for (id, ledger) in self.ledgers.sources() {
            for (signal, bucket) in pairs(&Bucket::ALL) {
                take(id, signal, bucket.name(), ledger.count(signal, bucket));
            }
        }
    }

    /// Hands on what is booked for each sink, line by line, and what it has now.
    fn each_sink_line(&self, mut take: impl FnMut(&str, Signal, &'static str, i64)) {
        for (id, sink_ledger) in self.ledgers.sinks() {
            for (signal, bucket) in pairs(&SinkBucket::ALL) {
                take(id, signal, bucket.name(), sink_ledger.count(signal, bucket));
            }
            for signal in Signal::ALL {
                take(id, signal, Bucket::InFlight.name(), sink_ledger.in_flight(signal));
            }
        }
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
                    max_bytes: size(metrics.max_bytes.get()),
                    replayed_requests: metrics.replayed.get(),
                    dead_lettered_requests: metrics.dead_lettered.get(),
                    lost_requests: metrics.lost.get(),
                    dropped_requests: metrics.dropped.get(),
                    segments: size(metrics.segments.get()),
                    backlog_bytes: size(metrics.backlog_bytes.get()),
                    oldest_seconds: metrics.oldest_age().as_secs(),
                    compression_ratio: metrics.compression_ratio.get(),
                    holds: self.holds_of(id.as_str()),
                    ..proto::Vault::default()
                }
            })
            .collect()
    }

    fn s3_sinks(&self, config: &Config) -> Vec<proto::S3Sink> {
        let size = |value: i64| u64::try_from(value).unwrap_or(0);
        let sinks = config.sinks.iter().filter(|(_, sink)| sink.kind == "s3");
        let wire = |id: &str| {
            let metrics = self.metrics.s3(id);
            let alarms = metrics.alarms().into_iter();
            proto::S3Sink {
                id: id.to_owned(),
                waiting_segments: size(metrics.lag_segments.get()),
                waiting_bytes: size(metrics.lag_bytes.get()),
                oldest_seconds: metrics.oldest_age().as_secs(),
                archived_segments: metrics.segments.get(),
                alarms: alarms.map(|(reason, count)| proto::S3Alarm { reason, count }).collect(),
                out: metrics.is_out.get() != 0,
                uploading_bytes: size(metrics.uploading_bytes.get()),
                uploading_sent_bytes: size(metrics.uploading_sent_bytes.get()),
            }
        };
        sinks.map(|(id, _)| wire(id.as_str())).collect()
    }

    fn s3_replays(&self, config: &Config) -> Vec<proto::S3Replay> {
        let sources = config.sources.iter().filter(|(_, source)| source.kind == "s3_replay");
        let wire = |id: &str| {
            let metrics = self.metrics.s3_replay(id);
            let of = |state| metrics.segments(state);
            proto::S3Replay {
                id: id.to_owned(),
                segments: ReplayState::ALL.map(of).into_iter().sum(),
                claimed_segments: of(ReplayState::Claimed),
                done_segments: of(ReplayState::Done),
                segments_by_others: of(ReplayState::ByOthers),
                unusable_segments: of(ReplayState::Unusable),
                delivered_requests: metrics.delivered.get(),
                rejected_requests: metrics.rejected.get(),
                dead_lettered_requests: metrics.dead_lettered.get(),
            }
        };
        sources.map(|(id, _)| wire(id.as_str())).collect()
    }

    /// Brings the figures that are only counted elsewhere up to date, and renders all of them.
    ///
    /// # Errors
    ///
    /// When a metric family is malformed.
    pub fn render_metrics(&self) -> Result<String, prometheus::Error> {
        for signal in Signal::ALL {
            for bucket in Bucket::ALL {
                let gauge =
                    self.metrics.ledger.total.with_label_values(&[signal.name(), bucket.name()]);
                gauge.set(self.ledgers.count(signal, bucket));
            }
        }
        let (of_source, of_sink) = (&self.metrics.ledger.sources, &self.metrics.ledger.sinks);
        self.each_source_line(|id, signal, line, records| {
            of_source.with_label_values(&[id, signal.name(), line]).set(records);
        });
        self.each_sink_line(|id, signal, line, records| {
            of_sink.with_label_values(&[id, signal.name(), line]).set(records);
        });
        self.metrics.somatic.pressure.reset();
        for Pressure { kind, place, permille } in self.zones.pressures() {
            let gauge = self.metrics.somatic.pressure.with_label_values(&[kind.name(), &*place]);
            gauge.set(f64::from(permille) / 1e3);
        }
        let share = f64::from(self.zones.background_millionths()) / 1e6;
        self.metrics.somatic.background.set(share);
        self.metrics.runtime_tasks.set(i64::try_from(tasks()).unwrap_or(i64::MAX));
        self.metrics.edge_batches.reset();
        self.metrics.edge_bytes.reset();
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let mut edge_bytes = 0;
        for edge in self.wiring.edges() {
            edge_bytes += edge.bytes;
            let id = edge.id.as_str();
            self.metrics.edge_batches.with_label_values(&[id]).set(gauge(edge.batches));
            self.metrics.edge_bytes.with_label_values(&[id]).set(gauge(edge.bytes));
        }
        for share in self.memory.each() {
            let metrics = self.metrics.memory(share.name());
            metrics.used.set(gauge(share.used()));
            metrics.limit.set(gauge(share.limit()));
        }
        // Edges count for themselves, within their parts of the share.
        self.metrics.memory(self.memory.edges.name()).used.set(gauge(edge_bytes));
        self.metrics.memory_idle.set(gauge(self.memory.pool.idle_bytes()));
        self.metrics.render()
    }
}

/// The tasks of the runtime.
fn tasks() -> u64 {
    let runtime = tokio::runtime::Handle::try_current();
    runtime.map_or(0, |runtime| runtime.metrics().num_alive_tasks() as u64)
}

/// Every line of every signal.
fn pairs<T: Copy>(lines: &[T]) -> impl Iterator<Item = (Signal, T)> {
    Signal::ALL.into_iter().flat_map(|signal| lines.iter().map(move |line| (signal, *line)))
}

/// Adds a line that is not zero.
fn row(rows: &mut Vec<proto::LedgerRow>, id: &str, signal: Signal, line: &str, records: i64) {
    if records != 0 {
        let (id, signal) = (id.to_owned(), signal.name().to_owned());
        rows.push(proto::LedgerRow { id, signal, line: line.to_owned(), records });
    }
}

fn wire_reload(reload: &LastReload) -> proto::LastReload {
    let (ok, error) = match &reload.error {
        None => (true, String::new()),
        Some(error) => (false, error.clone()),
    };
    proto::LastReload { ok, seconds_ago: reload.at.elapsed().as_secs(), error }
}

fn seconds_left(lease: &ZoneHold) -> Option<u64> {
    lease.until.map(|until| until.saturating_duration_since(Instant::now()).as_secs())
}

/// A zone as the protocol has it.
pub(super) fn wire_zone(zone: Option<Zone>) -> i32 {
    let zone = match zone {
        None => proto::Zone::Unspecified,
        Some(Zone::Green) => proto::Zone::Green,
        Some(Zone::Yellow) => proto::Zone::Yellow,
        Some(Zone::Red) => proto::Zone::Red,
    };
    zone as i32
}

//! The figures of a source. Every request counts in some of them, so they are striped: each thread
//! counts for itself, and who shows them adds up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use parking_lot::MutexGuard;
use prometheus::Opts;
use prometheus::core::Collector;
use prometheus::core::Desc;
use prometheus::core::Describer;
use prometheus::proto;

use crate::metrics::Builder;
use crate::metrics::Metrics;
use crate::metrics::placement::PlacedIn;
use crate::metrics::times::Bounds;
use crate::metrics::times::Times;
use crate::stripes::Stripes;

/// Why a request went to the vault instead of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum PivotCause {
    /// Everything goes there now: the zone is Red, or the source is journaled.
    Diverted,
    /// An edge was full.
    EdgeFull,
    /// For some of its sinks only: their edge was full, or their backend is out.
    Split,
    /// It was not delivered within the source's patience.
    Patience,
    /// A component failed to deliver it.
    Failed,
}

impl PivotCause {
    const ALL: [Self; 5] =
        [Self::Diverted, Self::EdgeFull, Self::Split, Self::Patience, Self::Failed];

    const fn name(self) -> &'static str {
        match self {
            Self::Diverted => "diverted",
            Self::EdgeFull => "edge_full",
            Self::Split => "split",
            Self::Patience => "patience",
            Self::Failed => "failed",
        }
    }
}

/// Why a request was refused before it was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum RefusalCause {
    /// Not OTLP, or not decodable.
    Invalid,
    /// Over a limit of size, compression ratio, records or resources.
    TooLarge,
    /// Wrong content type, encoding, method or path.
    Unsupported,
    /// No credential that the source accepts.
    Unauthenticated,
    /// Nobody had room.
    Busy,
    /// GopherShip drains.
    Draining,
    /// The sender went silent in the middle of it.
    Stalled,
    /// The time that the sender gave it was over.
    Late,
    /// A backend refused it for good.
    Rejected,
}

impl RefusalCause {
    const ALL: [Self; 9] = [
        Self::Invalid,
        Self::TooLarge,
        Self::Unsupported,
        Self::Unauthenticated,
        Self::Busy,
        Self::Draining,
        Self::Stalled,
        Self::Late,
        Self::Rejected,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::Unauthenticated => "unauthenticated",
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::Stalled => "stalled",
            Self::Late => "late",
            Self::Rejected => "rejected",
        }
    }
}

/// The figures of one source, on one stripe.
#[derive(Debug, Default)]
struct Figures {
    accepted: AtomicU64,
    bytes: AtomicU64,
    partial: AtomicU64,
    malformed: AtomicU64,
    refused: [AtomicU64; RefusalCause::ALL.len()],
    pivots: [AtomicU64; PivotCause::ALL.len()],
    placements: [Times; PlacedIn::ALL.len()],
    answers: Times,
}

/// Counts for one source. Cheap to clone; counting writes no line that another worker writes.
#[derive(Clone, Debug, Default)]
pub struct SourceMetrics(Arc<Stripes<Figures>>);

impl SourceMetrics {
    /// Counts a request that was acknowledged.
    pub fn accept(&self) {
        self.0.mine().accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that was acknowledged with a `partial_success`, and its records that were rejected.
    pub fn accept_partially(&self, rejected: u64) {
        let figures = self.0.mine();
        figures.partial.fetch_add(1, Ordering::Relaxed);
        figures.malformed.fetch_add(rejected, Ordering::Relaxed);
    }

    /// Counts bytes of protobuf taken in.
    pub fn receive(&self, bytes: u64) {
        self.0.mine().bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a refused request.
    pub fn refuse(&self, cause: RefusalCause) {
        self.0.mine().refused[cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that went to the vault.
    pub fn pivot(&self, cause: PivotCause) {
        self.0.mine().pivots[cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that found its place so long after its last byte had arrived.
    pub fn place(&self, placed_in: PlacedIn, taken: Duration) {
        self.0.mine().placements[placed_in as usize].count(&Bounds::PLACEMENT, taken);
    }

    /// Counts a request whose sender gets its OK so long after its last byte had arrived.
    pub fn acknowledge(&self, taken: Duration) {
        self.0.mine().answers.count(&Bounds::ANSWER, taken);
    }

    fn total(&self, figure: impl Fn(&Figures) -> &AtomicU64) -> u64 {
        self.0.iter().map(|figures| figure(figures).load(Ordering::Relaxed)).sum()
    }
}

/// The figures of all sources, added up when they are shown.
#[derive(Clone)]
pub(super) struct SourceFamilies {
    known: Arc<Mutex<BTreeMap<String, SourceMetrics>>>,
    descs: Arc<[Desc; 8]>,
}

impl SourceFamilies {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, SourceMetrics>> {
        self.known.lock()
    }

    /// One family: for each source what `metrics` makes of it.
    fn family(
        &self,
        idx: usize,
        kind: proto::MetricType,
        metrics: impl Fn(&str, &SourceMetrics) -> Vec<proto::Metric>,
    ) -> proto::MetricFamily {
        let mut family = proto::MetricFamily::default();
        family.set_name(self.descs[idx].fq_name.clone());
        family.set_help(self.descs[idx].help.clone());
        family.set_field_type(kind);
        let known = self.lock();
        family.set_metric(known.iter().flat_map(|(id, source)| metrics(id, source)).collect());
        family
    }
}

impl Collector for SourceFamilies {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let of = |idx, metrics: fn(&str, &SourceMetrics) -> Vec<proto::Metric>| {
            self.family(idx, proto::MetricType::COUNTER, metrics)
        };
        vec![
            of(0, |id, source| vec![counter(&[id], source.total(|of| &of.accepted))]),
            of(1, |id, source| vec![counter(&[id], source.total(|of| &of.bytes))]),
            of(2, |id, source| {
                let of = |cause: RefusalCause| {
                    counter(&[id, cause.name()], source.total(|of| &of.refused[cause as usize]))
                };
                RefusalCause::ALL.map(of).to_vec()
            }),
            of(3, |id, source| {
                let of = |cause: PivotCause| {
                    counter(&[id, cause.name()], source.total(|of| &of.pivots[cause as usize]))
                };
                PivotCause::ALL.map(of).to_vec()
            }),
            self.family(4, proto::MetricType::HISTOGRAM, |id, source| {
                let of = |placed_in: PlacedIn| {
                    let stripes = source.0.iter().map(|of| &of.placements[placed_in as usize]);
                    let labels = labels(&[("source", id), ("in", placed_in.name())]);
                    let mut metric = proto::Metric::from_label(labels);
                    metric.set_histogram(Times::total(&Bounds::PLACEMENT, stripes));
                    metric
                };
                PlacedIn::ALL.map(of).to_vec()
            }),
            of(5, |id, source| vec![counter(&[id], source.total(|of| &of.partial))]),
            of(6, |id, source| vec![counter(&[id], source.total(|of| &of.malformed))]),
            self.family(7, proto::MetricType::HISTOGRAM, |id, source| {
                let mut metric = proto::Metric::from_label(labels(&[("source", id)]));
                let stripes = source.0.iter().map(|of| &of.answers);
                metric.set_histogram(Times::total(&Bounds::ANSWER, stripes));
                vec![metric]
            }),
        ]
    }
}

/// Values of the labels `source` and `cause`, as far as given, and the count.
fn counter(values: &[&str], count: u64) -> proto::Metric {
    let pairs: Vec<_> = ["source", "cause"].into_iter().zip(values.iter().copied()).collect();
    let mut metric = proto::Metric::from_label(labels(&pairs));
    let mut value = proto::Counter::default();
    // As every Prometheus client has it: exact up to 2^53.
    #[expect(clippy::cast_precision_loss, reason = "the format knows nothing else")]
    value.set_value(count as f64);
    metric.set_counter(value);
    metric
}

/// Labels in the order of their names.
fn labels(pairs: &[(&str, &str)]) -> Vec<proto::LabelPair> {
    let mut pairs = pairs.to_vec();
    pairs.sort_unstable();
    let pair = |(name, value): (&str, &str)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    pairs.into_iter().map(pair).collect()
}

impl Builder {
    pub(super) fn sources(&self) -> SourceFamilies {
        let desc = |name: &str, labels: &[&str], help: &str| {
            let opts = Opts::new(name, help).namespace("gophership");
            let opts = opts.variable_labels(labels.iter().map(|&label| label.to_owned()).collect());
            opts.describe().expect("the names and labels in this file are valid")
        };
        let cause = &["source", "cause"];
        let families = SourceFamilies {
            known: Arc::default(),
            descs: Arc::new([
                desc("source_requests_total", &["source"], "Requests acknowledged."),
                desc("source_received_bytes_total", &["source"], "Protobuf bytes received."),
                desc("source_refused_total", cause, "Requests refused, by cause."),
                desc(
                    "somatic_pivots_total",
                    cause,
                    "Requests that were diverted to the vault, by cause.",
                ),
                desc(
                    "source_placement_seconds",
                    &["source", "in"],
                    "Time from the last byte of a request until it is queued in edges or in a \
                     vault.",
                ),
                desc(
                    "source_partial_success_total",
                    &["source"],
                    "Requests acknowledged with a partial_success: malformed records were rejected, \
                     or nothing in the request was known.",
                ),
                desc(
                    "source_malformed_records_total",
                    &["source"],
                    "Malformed records rejected from requests whose other records were accepted.",
                ),
                desc(
                    "source_acknowledgement_seconds",
                    &["source"],
                    "Time from the last byte of a request until its sender gets OK.",
                ),
            ]),
        };
        self.0.register(Box::new(families.clone())).expect("each name in this file is used once");
        families
    }
}

impl Metrics {
    /// The figures of a source.
    #[must_use]
    pub fn source(&self, id: &str) -> SourceMetrics {
        self.sources.lock().entry(id.to_owned()).or_default().clone()
    }
}

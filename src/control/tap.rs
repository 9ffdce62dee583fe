//! A tap: a client is shown a sample of the requests that pass a component.
//!
//! ```text
//!   Tap (in the route tables) -> the records that the filter wants, a few of each request -> the client
//! ```
//!
//! Each request is looked at only when the client has taken the one before, and looking takes a share of the time
//! of one processor. What passes meanwhile is counted.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use futures_util::Stream;
use futures_util::stream;
use gophership_control::filter::Filter;
use gophership_control::proto;
use gophership_otlp::retain;
use tokio::time::Instant as TokioInstant;
use tonic::Status;

use super::state::ControlService;
use super::tap_filter::is_wanted;
use crate::component::ComponentId;
use crate::config::Config;
use crate::config::nearest;
use crate::flow::Sample;
use crate::flow::Tap;
use crate::topology::TAPS_MAX;
use crate::topology::TapPlace;
use crate::topology::TapRefusal;
use crate::topology::Tapping;

/// The most records of a request that are shown.
const RECORDS_MAX: u64 = 100;
/// The most bytes of a request that are sent.
const REQUEST_BYTES_MAX: usize = 3 << 20;
/// A tap rests so many times as long as it has worked: it takes a tenth of a processor.
const REST_TIMES: u32 = 9;
/// A filter is noted in the audit log up to this many bytes.
const DETAIL_LEN_MAX: usize = 256;
/// How often the client is told how much passed unseen.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What a client that taps is sent.
pub(super) type TapStream = Pin<Box<dyn Stream<Item = Result<proto::TapResponse, Status>> + Send>>;

/// Begins a tap, which is in force when this returns.
pub(super) fn begin(
    service: &ControlService,
    request: proto::TapRequest,
) -> Result<TapStream, Status> {
    let proto::TapRequest { component, filter, limit_records } = request;
    let filter: Filter =
        filter.parse().map_err(|error| Status::invalid_argument(format!("{error}")))?;
    let place = match component.as_str() {
        "" => TapPlace::Sources,
        name => TapPlace::Component(name.parse().map_err(|_| unknown(service, name))?),
    };
    let tap = Tap::new(&service.memory.ingest);
    let tapping = Tapping::begin(&service.wiring, place, tap).map_err(|refusal| match refusal {
        TapRefusal::Unknown => unknown(service, &component),
        TapRefusal::TooMany => Status::resource_exhausted(format!(
            "there are {TAPS_MAX} taps already, which is the limit"
        )),
    })?;
    let left = (limit_records != 0).then_some(limit_records);
    let viewer = Viewer {
        tapping,
        filter,
        left,
        left_out: 0,
        told: (0, 0),
        tell_at: TokioInstant::now() + TELL_EVERY,
        rest_until: TokioInstant::now(),
    };
    let next = |viewer: Option<Viewer>| async {
        let mut viewer = viewer?;
        match viewer.next().await? {
            Ok(response) => Some((Ok(response), Some(viewer))),
            Err(status) => Some((Err(status), None)),
        }
    };
    Ok(Box::pin(stream::unfold(Some(viewer), next)))
}

/// What is tapped, for the audit log.
pub(super) fn detail(request: &proto::TapRequest) -> String {
    let proto::TapRequest { component, filter, .. } = request;
    let component = if component.is_empty() { "all sources" } else { component };
    let end = filter.floor_char_boundary(DETAIL_LEN_MAX);
    match filter.get(..end).unwrap_or_default() {
        "" => format!("component={component}"),
        filter => format!("component={component} filter={filter}"),
    }
}

/// The error for a component that does not exist, with the one that was meant.
fn unknown(service: &ControlService, name: &str) -> Status {
    let config = service.config.borrow().1.clone();
    let names = names(&config);
    let meant = nearest(name, names.iter().map(ComponentId::as_str));
    let help = meant.map_or_else(
        || {
            let names: Vec<&str> = names.iter().map(ComponentId::as_str).collect();
            format!("the components are {}", names.join(", "))
        },
        |meant| format!("did you mean `{meant}`?"),
    );
    Status::not_found(format!("there is no component `{name}`; {help}"))
}

fn names(config: &Arc<Config>) -> Vec<ComponentId> {
    let (sources, transforms) = (config.sources.keys(), config.transforms.keys());
    sources.chain(transforms).chain(config.sinks.keys()).cloned().collect()
}

/// One client, and what it has seen.
struct Viewer {
    tapping: Tapping,
    filter: Filter,
    /// Records until the end, if there is one.
    left: Option<u64>,
    /// Records of requests that have too many.
    left_out: u64,
    /// What the client was told last.
    told: (u64, u64),
    tell_at: TokioInstant,
    rest_until: TokioInstant,
}

impl Viewer {
    /// What the client is sent next; `None` at the end.
    async fn next(&mut self) -> Option<Result<proto::TapResponse, Status>> {
        if self.left == Some(0) {
            return None;
        }
        loop {
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(self.tell_at) => {
                    self.tell_at = TokioInstant::now() + TELL_EVERY;
                    if self.told != self.unseen() {
                        return Some(Ok(self.response(proto::TapResponse::default())));
                    }
                }
                sample = sample(&self.tapping, self.rest_until) => {
                    let Some(sample) = sample else {
                        return Some(Err(Status::aborted("a reload removed the component")));
                    };
                    if let Some(shown) = self.show(&sample) {
                        return Some(Ok(self.response(shown)));
                    }
                }
            }
        }
    }

    /// What passed and is not shown.
    fn unseen(&self) -> (u64, u64) {
        (self.tapping.tap().dropped(), self.left_out)
    }

    fn response(&mut self, shown: proto::TapResponse) -> proto::TapResponse {
        self.told = self.unseen();
        let (dropped_requests, left_out_records) = self.told;
        proto::TapResponse { dropped_requests, left_out_records, ..shown }
    }

    /// The records of a request that are shown, if there are any.
    fn show(&mut self, sample: &Sample) -> Option<proto::TapResponse> {
        let began = Instant::now();
        let records_max = self.left.unwrap_or(u64::MAX).min(RECORDS_MAX);
        let (mut wanted, mut bytes) = (0_u64, 0);
        let retained = retain(sample.signal, &sample.wire, |record| {
            if !is_wanted(&self.filter, record) {
                return false;
            }
            wanted += 1;
            bytes += record.wire().len();
            wanted <= records_max && bytes <= REQUEST_BYTES_MAX
        });
        self.rest_until = TokioInstant::now() + began.elapsed() * REST_TIMES;
        // What cannot be read is for whoever delivers it.
        let retained = retained.ok().filter(|retained| retained.bytes.len() <= REQUEST_BYTES_MAX);
        let records = retained.as_ref().map_or(0, |retained| retained.kept);
        if self.left.is_none_or(|left| records < left) {
            self.left_out += wanted - records;
        }
        self.left = self.left.map(|left| left - records);
        let request = retained.filter(|_| 0 < records)?.bytes.to_vec();
        Some(proto::TapResponse {
            component: sample.component.to_string(),
            signal: sample.signal.name().to_owned(),
            received_unix_ms: sample.received_unix_ns / 1_000_000,
            request,
            records,
            ..proto::TapResponse::default()
        })
    }
}

/// The next request, not before the time for it.
async fn sample(tapping: &Tapping, rest_until: TokioInstant) -> Option<Sample> {
    tokio::time::sleep_until(rest_until).await;
    tapping.tap().next().await
}

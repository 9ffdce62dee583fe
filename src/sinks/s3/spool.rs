//! Requests on their way to the bucket: kept in a spool on disk, which is a vault of the sink's own, and
//! acknowledged when they are there; then made into objects, segment by segment.

use std::sync::Arc;

use async_trait::async_trait;
use gophership_archive::Prefix;
use gophership_otlp::DecodeLimits;
use gophership_otlp::JsonLine;
use gophership_vault::AppendError;
use gophership_vault::Completion;
use gophership_vault::NewRecord;
use gophership_vault::Pacer;
use gophership_vault::Receipt;
use gophership_vault::RefusalReason;
use gophership_vault::Refused;
use gophership_vault::SegmentInfo;
use gophership_vault::Throttle;
use gophership_vault::Writer;

use super::follow::Ship;
use super::follow::Shipped;
use super::objects::Found;
use super::objects::ObjectError;
use super::objects::Partition;
use super::objects::SharedObjectOptions;
use super::objects::SpoolSegment;
use super::options::ObjectEncoding;
use super::upload::Ending;
use super::upload::Upload;
use super::upload::Uploader;
use super::upload::remove;
use crate::component::Stop;
use crate::event::Batch;
use crate::event::NoteSpace;
use crate::flow::EdgeReceiver;
use crate::metrics::SinkMetrics;

/// As deep as decoders go.
const JSON_LIMITS: DecodeLimits = DecodeLimits { decoded_bytes_max: u64::MAX, depth_max: 96 };

/// A request that the spool is about to have.
pub(super) struct Spooling {
    batch: Batch,
    metrics: SinkMetrics,
}

impl Completion for Spooling {
    fn complete(self, result: Result<Receipt, AppendError>) {
        let Self { batch, metrics } = self;
        if result.is_err() {
            metrics.retries.inc();
            return batch.failed();
        }
        let received = [batch.received_unix_ns()];
        metrics.deliver(batch.records(), batch.cost_bytes(), received);
        batch.delivered();
    }
}

/// Takes requests into the spool.
pub(super) struct SpoolWriter {
    pub(super) writer: Arc<Writer<Spooling>>,
    pub(super) metrics: SinkMetrics,
    pub(super) encoding: ObjectEncoding,
}

impl SpoolWriter {
    /// Takes what comes until the edge is closed, or it is asked to stop.
    pub(super) async fn run(&self, input: &mut EdgeReceiver, stop: &Stop) {
        loop {
            let batch = tokio::select! {
                () = stop.cancelled() => return,
                batch = input.recv() => batch,
            };
            let Some(batch) = batch else { return };
            let is_json = self.encoding == ObjectEncoding::OtlpJson;
            if is_json && JsonLine::of(batch.signal(), batch.wire(), &JSON_LIMITS).is_err() {
                self.metrics.rejected.inc();
                batch.rejected();
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.keep(batch) => {}
            }
        }
    }

    /// Waits until the spool has taken a request. What the vault can take instead is given back at once.
    async fn keep(&self, mut batch: Batch) {
        loop {
            let Some(refused) = self.try_keep(batch) else { return };
            let (reason, after) = (refused.reason, refused.retry_after);
            batch = refused.done.batch;
            if matches!(reason, RefusalReason::TooLarge { .. }) {
                self.metrics.rejected.inc();
                return batch.rejected();
            }
            if reason != RefusalReason::StagingFull && batch.is_backed() {
                self.metrics.retries.inc();
                return batch.failed();
            }
            tokio::time::sleep(after).await;
        }
    }

    /// Appends a request; returns it if the spool has no room.
    fn try_keep(&self, batch: Batch) -> Option<Refused<Spooling>> {
        let wire = batch.wire().clone();
        let mut space = NoteSpace::default();
        let record = NewRecord {
            signal: batch.signal() as u8,
            received_unix_ns: batch.received_unix_ns(),
            attrs: batch.provenance().note(batch.records(), std::iter::empty(), &mut space),
            payload: &wire,
        };
        let spooling = Spooling { batch, metrics: self.metrics.clone() };
        self.writer.try_append_shared(record, &wire, spooling).err()
    }
}

/// Ships segments of the spool as objects.
pub(super) struct ObjectShip {
    pub(super) uploader: Arc<Uploader>,
    pub(super) throttle: Throttle,
    pub(super) prefix: Prefix,
    pub(super) options: SharedObjectOptions,
    pub(super) vault_id: u128,
    pub(super) stop: Stop,
}

#[async_trait]
impl Ship for ObjectShip {
    async fn ship(&self, info: SegmentInfo, next_seq: Option<u64>, is_doubtful: bool) -> Shipped {
        let last = next_seq.map_or(info.last_seq, |next| info.last_seq.min(next - 1));
        let segment = SpoolSegment {
            path: info.path.clone(),
            vault_id: self.vault_id,
            segment: info.id.get(),
            seqs: (info.first_seq, last),
        };
        let found = match self.partitions(segment.clone()).await {
            Ok(found) => found,
            Err(error) => return fate(&error, &info),
        };
        if 0 < found.damaged {
            self.uploader.figures.failure("damaged_requests");
            tracing::error!(
                segment = %info.id, requests = found.damaged,
                "Spooled requests are damaged and cannot be uploaded."
            );
        }
        for partition in &found.partitions {
            let shipped = self.partition(&segment, &found, partition, is_doubtful).await;
            if shipped != Shipped::Done {
                return shipped;
            }
        }
        Shipped::Done
    }
}

impl ObjectShip {
    /// A function that rests as the governor says, and tells whether to stop.
    fn rest(&self) -> impl FnMut() -> bool + Send + use<> {
        let (pacer, stop) = (Pacer::new(self.throttle.clone()), self.stop.clone());
        move || {
            pacer.rest(|| stop.is_cancelled());
            stop.is_cancelled()
        }
    }

    async fn partitions(&self, segment: SpoolSegment) -> Result<Found, ObjectError> {
        let (options, rest) = (Arc::clone(&self.options), self.rest());
        let found = tokio::task::spawn_blocking(move || options.partitions(&segment, rest)).await;
        found.unwrap_or(Err(ObjectError::Stopped))
    }

    async fn partition(
        &self,
        segment: &SpoolSegment,
        found: &Found,
        partition: &Partition,
        is_doubtful: bool,
    ) -> Shipped {
        let file = self.uploader.spool_file();
        let (options, rest) = (Arc::clone(&self.options), self.rest());
        let (of, all, one) = (segment.clone(), found.partitions.clone(), partition.clone());
        let target = file.clone();
        let write = move || options.write(&of, &all, &one, &target, rest);
        let written = tokio::task::spawn_blocking(write).await;
        let facts = match written.unwrap_or(Err(ObjectError::Stopped)) {
            Ok(facts) => facts,
            Err(ObjectError::Stopped) => return Shipped::Stopped,
            Err(error) => {
                tracing::warn!(segment = segment.segment, %error, "Cannot make an object; the sink retries.");
                return Shipped::Later;
            }
        };
        let upload = Upload {
            key: self.prefix.join(&self.options.key(segment, partition)),
            file,
            facts,
            content_type: self.options.content_type(),
            manifest: None,
        };
        let ending = self.uploader.see_through(&upload, is_doubtful).await;
        remove(&upload.file).await;
        match ending {
            Ending::Confirmed => Shipped::Done,
            Ending::Alarm(reason) => Shipped::Alarm(reason),
            Ending::NoFile => Shipped::Later,
            Ending::Stopped => Shipped::Stopped,
        }
    }
}

fn fate(error: &ObjectError, info: &SegmentInfo) -> Shipped {
    if matches!(error, ObjectError::Stopped) {
        return Shipped::Stopped;
    }
    tracing::warn!(segment = %info.id, %error, "Cannot read a spooled segment; the sink retries.");
    Shipped::Later
}

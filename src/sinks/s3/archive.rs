//! A segment of a vault, on its way to the bucket: verified, compressed into the spool, uploaded, described.

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use gophership_archive::ArchiveError;
use gophership_archive::FrameOptions;
use gophership_archive::Manifest;
use gophership_archive::Meaning;
use gophership_archive::ObjectFacts;
use gophership_archive::Origin;
use gophership_archive::Prefix;
use gophership_archive::Summary;
use gophership_archive::encode;
use gophership_vault::Pacer;
use gophership_vault::RecordNote;
use gophership_vault::SealedSegment;
use gophership_vault::SegmentInfo;
use gophership_vault::SegmentState;
use gophership_vault::Throttle;
use gophership_vault::VaultError;

use super::follow::Ship;
use super::follow::Shipped;
use super::upload::Ending;
use super::upload::ManifestUpload;
use super::upload::Upload;
use super::upload::Uploader;
use super::upload::remove;
use crate::component::Stop;
use crate::event::Note;
use crate::event::Signal;

/// Ships segments as they are.
pub(super) struct SegmentShip {
    pub(super) uploader: Arc<Uploader>,
    pub(super) throttle: Throttle,
    pub(super) prefix: Prefix,
    pub(super) origin: Origin,
    pub(super) frame: FrameOptions,
    pub(super) stop: Stop,
}

/// A segment that lies compressed in the spool.
struct Spooled {
    segment: SealedSegment,
    summary: Summary,
    facts: ObjectFacts,
}

#[async_trait]
impl Ship for SegmentShip {
    async fn ship(&self, info: SegmentInfo, _next_seq: Option<u64>, is_doubtful: bool) -> Shipped {
        if info.state == SegmentState::Quarantined {
            // It stays where it is until an operator looks at it, and its good records are replayed.
            return Shipped::Skip("quarantined");
        }
        let file = self.uploader.spool_file();
        let shipped = match self.spooled(&info, &file).await {
            Ok(spooled) => self.upload(spooled, file.clone(), is_doubtful).await,
            Err(error) => fate(&error, &info),
        };
        remove(&file).await;
        shipped
    }
}

impl SegmentShip {
    /// Compresses a segment into the spool, on a blocking thread that gives way to live requests.
    async fn spooled(
        &self,
        info: &SegmentInfo,
        file: &std::path::Path,
    ) -> Result<Spooled, ArchiveError> {
        let (path, file, frame) = (info.path.clone(), file.to_owned(), self.frame);
        let (pacer, stop) = (Pacer::new(self.throttle.clone()), self.stop.clone());
        let work = move || {
            let segment = SealedSegment::open(&path)?;
            let rest = || {
                pacer.rest(|| stop.is_cancelled());
                if stop.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let summary = Summary::of(&segment, meaning)?;
            let encoded = encode(&segment, &file, frame, rest)?;
            let facts = ObjectFacts::of_segment(&encoded, &summary);
            Ok(Spooled { segment, summary, facts })
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or(Err(ArchiveError::Stopped))
    }

    async fn upload(&self, spooled: Spooled, file: PathBuf, is_doubtful: bool) -> Shipped {
        let Spooled { segment, summary, facts } = spooled;
        let key = Manifest::key_of(&segment);
        let origin = self.origin.clone();
        let make = move |facts: &ObjectFacts| Manifest::new(&segment, &summary, facts, &origin);
        let manifest =
            ManifestUpload { key: key.manifest().key(&self.prefix), make: Box::new(make) };
        let upload = Upload {
            key: key.key(&self.prefix),
            file,
            facts,
            content_type: "application/zstd",
            manifest: Some(manifest),
        };
        match self.uploader.see_through(&upload, is_doubtful).await {
            Ending::Confirmed => Shipped::Done,
            Ending::Alarm(reason) => Shipped::Alarm(reason),
            Ending::NoFile => Shipped::Later,
            Ending::Stopped => Shipped::Stopped,
        }
    }
}

/// What a stored request means.
fn meaning(note: &RecordNote<'_>) -> Meaning {
    let signal = Signal::from_u8(note.signal).map_or("unknown", Signal::name);
    let beside = Note::read(note.attrs);
    let source = beside.source_name().to_owned();
    Meaning { signal, records: beside.records, source }
}

/// What becomes of a segment that could not be compressed.
fn fate(error: &ArchiveError, info: &SegmentInfo) -> Shipped {
    match error {
        ArchiveError::Stopped => Shipped::Stopped,
        ArchiveError::Io { source, .. } | ArchiveError::Vault(VaultError::Io { source, .. })
            if source.kind() == io::ErrorKind::NotFound =>
        {
            // It moved into quarantine, or was dropped: the next look knows.
            Shipped::Later
        }
        error if error.is_damage() => {
            tracing::error!(segment = %info.id, %error, "Segment is damaged.");
            Shipped::Alarm("damaged")
        }
        error => {
            tracing::warn!(segment = %info.id, %error, "Cannot compress a segment; the sink retries.");
            Shipped::Later
        }
    }
}

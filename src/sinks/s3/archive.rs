//! A segment of a vault, on its way to the bucket: verified, compressed into the spool, uploaded, described.

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use gophership_archive::ArchiveError;
use gophership_archive::Archiver;
use gophership_archive::FrameOptions;
use gophership_archive::Manifest;
use gophership_archive::ObjectFacts;
use gophership_archive::Prefix;
use gophership_archive::RequestInfo;
use gophership_archive::SegmentSummary;
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
use crate::background;
use crate::component::Stop;
use crate::event::Note;
use crate::event::Signal;

/// From here on a vault is filling up: only what is archived can be deleted from it.
const FILLING_PERMILLE: u32 = 600;

/// Compression that is slower than this, rests included, had a machine without time to spare.
const STARVED_BYTES_PER_SECOND: u64 = 2 << 20;

/// A segment tells nothing that was compressed in less.
const LASTED_MIN: Duration = Duration::from_secs(1);

/// How compression gives way to requests.
///
/// It is calm as long as the vault has room and the machine has time to spare: then it is on a thread that gives the
/// processor up to any other. Else it is hurried, on a thread that does not: a machine that is saturated for hours would
/// never come to it.
pub(super) struct Haste {
    /// How full the vault is, in thousandths.
    pub(super) fill_permille: Box<dyn Fn() -> u32 + Send + Sync>,
    pub(super) calm: Throttle,
    pub(super) hurried: Throttle,
    /// The segment before was compressed calmly, and too slowly.
    pub(super) is_starved: AtomicBool,
}

impl Haste {
    fn is_calm(&self) -> bool {
        (self.fill_permille)() < FILLING_PERMILLE && !self.is_starved.load(Ordering::Relaxed)
    }

    /// Takes how long the compression of so many bytes lasted.
    fn compressed(&self, is_calm: bool, bytes: u64, lasted: Duration) {
        let fast = u128::from(STARVED_BYTES_PER_SECOND) * lasted.as_millis() / 1000;
        let is_slow = u128::from(bytes) < fast;
        self.is_starved.store(is_calm && is_slow && LASTED_MIN < lasted, Ordering::Relaxed);
    }
}

/// Ships segments as they are.
pub(super) struct SegmentShip {
    pub(super) uploader: Arc<Uploader>,
    pub(super) haste: Haste,
    pub(super) prefix: Prefix,
    pub(super) origin: Archiver,
    pub(super) frame: FrameOptions,
    pub(super) stop: Stop,
}

/// A segment that lies compressed in the spool.
struct Spooled {
    segment: SealedSegment,
    summary: SegmentSummary,
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
    /// Compresses a segment into the spool, beside live requests.
    async fn spooled(
        &self,
        info: &SegmentInfo,
        file: &std::path::Path,
    ) -> Result<Spooled, ArchiveError> {
        let (path, file, frame) = (info.path.clone(), file.to_owned(), self.frame);
        let (is_calm, began) = (self.haste.is_calm(), Instant::now());
        let throttle = if is_calm { &self.haste.calm } else { &self.haste.hurried };
        let (pacer, stop) = (Pacer::new(throttle.clone()), self.stop.clone());
        let work = move || {
            let segment = SealedSegment::open(&path)?;
            let rest = || {
                pacer.rest(|| stop.is_cancelled());
                if stop.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let summary = SegmentSummary::of(&segment, meaning)?;
            let encoded = encode(&segment, &file, frame, rest)?;
            let facts = ObjectFacts::of_segment(&encoded, &summary);
            Ok(Spooled { segment, summary, facts })
        };
        let path = info.path.clone();
        let failed = |source| ArchiveError::Io { operation: "compress", path, source };
        let done = if is_calm {
            background::run(work).await
        } else {
            tokio::task::spawn_blocking(work).await.map_err(Into::into)
        };
        self.haste.compressed(is_calm, info.data_end, began.elapsed());
        done.map_err(failed)?
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
fn meaning(note: &RecordNote<'_>) -> RequestInfo {
    let signal = Signal::from_u8(note.signal).map_or("unknown", Signal::name);
    let beside = Note::read(note.attrs);
    let source = beside.source_name().to_owned();
    RequestInfo { signal, records: beside.records, source }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_hurried_while_the_vault_fills_up_and_after_a_segment_that_starved() {
        let fill = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let seen = Arc::clone(&fill);
        let haste = Haste {
            fill_permille: Box::new(move || seen.load(Ordering::Relaxed)),
            calm: Throttle::default(),
            hurried: Throttle::default(),
            is_starved: AtomicBool::new(false),
        };
        assert!(haste.is_calm());
        haste.compressed(true, 64 << 20, Duration::from_secs(30));
        haste.compressed(true, 10, LASTED_MIN);
        assert!(haste.is_calm(), "fast enough, or too short to tell");
        haste.compressed(true, 64 << 20, Duration::from_secs(35));
        assert!(!haste.is_calm());
        haste.compressed(false, 64 << 20, Duration::from_secs(35));
        assert!(haste.is_calm(), "the next one tries again");
        fill.store(FILLING_PERMILLE, Ordering::Relaxed);
        assert!(!haste.is_calm());
    }
}

//! The requests a command is about, one after the other, with what is damaged said on the way.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use gophership::ledger::RemovedLetters;
use gophership_otlp::Signal;
use gophership_vault::FaultKind;
use gophership_vault::OfflineItem;
use gophership_vault::OfflineReader;
use gophership_vault::Pacer;
use gophership_vault::RecordSelection;
use gophership_vault::StoredRecord;
use gophership_vault::Throttle;
use gophership_vault::VaultError;

use super::Failure;
use super::archive_reader::ArchiveReader;
use super::args::FilterArgs;
use super::exit;
use super::place::VaultTarget;
use super::progress::Progress;
use super::through::Through;
use crate::complain;

/// Segments that cannot be opened before it is given up.
const ERRORS_MAX: u64 = 1000;

/// The next request or damage, nothing at the end, or a segment that cannot be opened.
type NextItem = Result<Option<OfflineItem>, VaultError>;

/// Number of a segment, and an offset in it.
pub(super) type Spot = (u64, u64);

/// Where requests come from.
enum RecordReader {
    Vault(Box<OfflineReader>),
    Archive(Box<ArchiveReader>),
}

impl RecordReader {
    /// The next request or damage; draws progress.
    fn next(&mut self, progress: &mut Progress) -> Result<NextItem, Failure> {
        match self {
            Self::Vault(reader) => {
                let (done, left) = reader.progress_bytes();
                progress.show(done, done + left);
                Ok(reader.next())
            }
            Self::Archive(reader) => reader.next(progress).map(Ok),
        }
    }

    fn place(&self) -> Spot {
        match self {
            Self::Vault(reader) => reader.place(),
            Self::Archive(reader) => reader.place(),
        }
    }

    /// Damage that no item tells of.
    fn faults(&self) -> u64 {
        match self {
            Self::Vault(_) => 0,
            Self::Archive(reader) => reader.faults(),
        }
    }
}

/// Reads what a filter selects.
pub(super) struct Records {
    reader: RecordReader,
    filter: FilterArgs,
    taken: u64,
    faults: u64,
    pacer: Pacer,
    is_interrupted: Arc<AtomicBool>,
    /// What requests go through, if they do.
    through: Option<Through>,
    /// Of a dead-letter store: what is there no more.
    removed: RemovedLetters,
}

impl Records {
    /// Opens a vault or a segment.
    pub(super) fn open(target: &VaultTarget, filter: &FilterArgs) -> Result<Self, Failure> {
        let selection = RecordSelection {
            segments: filter.segment,
            seqs: filter.seq,
            cursor: filter.cursor.clone(),
        };
        let reader = if let Some(archive) = &target.archive {
            RecordReader::Archive(Box::new(ArchiveReader::open(archive, filter)?))
        } else {
            RecordReader::Vault(Box::new(OfflineReader::open_selected(&target.path, &selection)?))
        };
        let (filter, pacer) = (filter.clone(), Pacer::default());
        let is_interrupted = Arc::default();
        let (taken, faults, through) = (0, 0, None);
        let removed = match target.archive {
            Some(_) => RemovedLetters::default(),
            None => RemovedLetters::read(&target.dir)?,
        };
        Ok(Self { reader, filter, taken, faults, pacer, is_interrupted, through, removed })
    }

    /// Rests between requests as `throttle` says, unless interrupted.
    pub(super) fn give_way(mut self, throttle: Throttle, is_interrupted: &Arc<AtomicBool>) -> Self {
        self.pacer = Pacer::new(throttle);
        self.is_interrupted = Arc::clone(is_interrupted);
        self
    }

    /// Takes each request through the transforms of a configuration.
    pub(super) fn through(self, through: Option<Through>) -> Self {
        Self { through, ..self }
    }

    /// The next request, or what transforms leave of it; damage is reported and passed.
    pub(super) fn next(
        &mut self,
        progress: &mut Progress,
    ) -> Result<Option<StoredRecord>, Failure> {
        while let Some((record, _)) = self.next_placed(progress)? {
            let (Some(through), Some(signal)) = (&mut self.through, signal(&record)) else {
                return Ok(Some(record));
            };
            match through.apply(signal, &record) {
                Ok(Some(left)) => return Ok(Some(left)),
                Ok(None) => {}
                // It must not go on as it is.
                Err(reason) => self.complain_of(&record, &reason),
            }
        }
        Ok(None)
    }

    /// Requests of which transforms left nothing; `None` if they go through none.
    pub(super) fn filtered(&self) -> Option<u64> {
        self.through.as_ref().map(|through| through.filtered)
    }

    /// The next request, and the segment and offset it stands at.
    pub(super) fn next_placed(
        &mut self,
        progress: &mut Progress,
    ) -> Result<Option<(StoredRecord, Spot)>, Failure> {
        loop {
            if self.filter.limit.is_some_and(|limit| limit <= self.taken) {
                return Ok(None);
            }
            self.pacer.rest(|| self.is_interrupted.load(Ordering::Acquire));
            match self.reader.next(progress)? {
                Ok(None) => return Ok(None),
                Ok(Some(OfflineItem::Record(record))) => {
                    if self.filter.wants(&record) && !self.removed.has(record.seq) {
                        self.taken += 1;
                        let place = self.reader.place();
                        return Ok(Some((record, place)));
                    }
                }
                Ok(Some(OfflineItem::Fault(fault))) => {
                    if fault.kind != FaultKind::TornTail {
                        self.faults += 1;
                        let lost = fault.lost.map_or_else(String::new, |(first, last)| {
                            if first == last {
                                return format!(", seq {first}");
                            }
                            format!(", seqs {first} to {last}")
                        });
                        let (segment, start, end) = (fault.segment, fault.start, fault.end);
                        complain(&format!(
                            "damaged: segment {segment}, bytes {start}..{end}: {}{lost}",
                            fault.kind.meaning()
                        ));
                    }
                }
                Err(error) => {
                    self.faults += 1;
                    if ERRORS_MAX < self.faults {
                        return Err(error.into());
                    }
                    complain(&format!("damaged: {}", gophership_http_client::chain(&error)));
                }
            }
        }
    }

    /// Requests given out so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Counts a request that is stored well but cannot be used.
    pub(super) fn complain_of(&mut self, record: &StoredRecord, reason: &str) {
        self.faults += 1;
        complain(&format!("seq {}: {reason}", record.seq));
    }

    /// The exit code: whether anything was damaged.
    pub(super) fn code(&self) -> u8 {
        if self.faults + self.reader.faults() == 0 { 0 } else { exit::FAULTS }
    }
}

impl FilterArgs {
    fn wants(&self, record: &StoredRecord) -> bool {
        let is_signal = self.signal.is_none_or(|signal| signal as u8 == record.signal);
        let is_since = self.since.is_none_or(|since| since.0 <= record.received_unix_ns);
        let is_until = self.until.is_none_or(|until| record.received_unix_ns < until.0);
        is_signal && is_since && is_until
    }
}

/// The signal of a request; `None` if this program does not know it.
pub(super) fn signal(record: &StoredRecord) -> Option<Signal> {
    Signal::from_u8(record.signal)
}

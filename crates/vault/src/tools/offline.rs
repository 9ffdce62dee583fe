//! Reads a directory or one segment without its lock: for tools, on a copy or beside a running writer.
//!
//! Beside a writer the end of the open segment is being written: damage there is believed only when
//! it is still there some moments later, and what is incomplete at the end is not there yet.

use std::collections::VecDeque;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::error::VaultError;
use crate::fs::FileSystem;
use crate::log::cursor;
use crate::log::cursor::Acks;
use crate::segment::examine;
use crate::segment::examine::Candidate;
use crate::segment::examine::Examined;
use crate::segment::examine::SegmentVerdict;
use crate::segment::fault::DamagedRange;
use crate::segment::fault::FaultKind;
use crate::segment::id;
use crate::segment::id::SegmentId;
use crate::segment::scan::Located;
use crate::segment::scan::ScanItem;
use crate::segment::scan::Scanner;
use crate::segment::stored;
use crate::segment::stored::StoredRecord;
use crate::state::lock;
use crate::system::SystemFileSystem;
use crate::tools::path;
use crate::tools::survey;
use crate::tools::survey::WriterPresence;

/// One thing found by an [`OfflineReader`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfflineItem {
    /// A good record.
    Record(StoredRecord),
    /// A damaged range; a record it names as lost is not among the records.
    Fault(DamagedRange),
}

/// Which records are read; everything by default.
#[derive(Debug, Clone, Default)]
pub struct RecordSelection {
    /// Numbers of the first and the last segment.
    pub segments: Option<(u64, u64)>,
    /// First and last seq.
    pub seqs: Option<(u64, u64)>,
    /// Only what the cursor of this name has not acknowledged.
    pub cursor: Option<String>,
}

/// Reads every selected record and every fault, oldest segment first, without changing anything.
pub struct OfflineReader {
    files: Arc<dyn FileSystem>,
    dir: PathBuf,
    vault_id: u128,
    left: VecDeque<Candidate>,
    current: Option<Current>,
    queued: VecDeque<OfflineItem>,
    seqs: (u64, u64),
    acknowledged: Option<Acks>,
    is_live: bool,
    /// Looks at the same damage so far.
    looks: u32,
    gone: u64,
    done_bytes: u64,
    place: (u64, u64),
}

struct Current {
    id: SegmentId,
    scanner: Scanner,
    /// Records from this seq on stand again, and count, in the next segment.
    limit: u64,
    end: u64,
    /// Bytes may still be added.
    is_open: bool,
    file_bytes: u64,
}

/// Beside a writer damage is looked at this often before it is believed.
const LOOKS_MAX: u32 = 10;
/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(40);

impl OfflineReader {
    /// Opens a vault directory, or one segment file.
    ///
    /// # Errors
    ///
    /// [`VaultError::Io`], or [`VaultError::Foreign`] when no file contains the vault's id.
    pub fn open(path: &Path) -> Result<Self, VaultError> {
        Self::open_on(Arc::new(SystemFileSystem), path)
    }

    /// As [`OfflineReader::open`], but reads only what is selected.
    ///
    /// # Errors
    ///
    /// As [`OfflineReader::open`], and [`VaultError::CursorName`] for a cursor that is not there.
    pub fn open_selected(path: &Path, selection: &RecordSelection) -> Result<Self, VaultError> {
        let mut reader = Self::open(path)?;
        if let Some((first, last)) = selection.segments {
            reader.left.retain(|candidate| (first..=last).contains(&candidate.id.get()));
        }
        reader.seqs = selection.seqs.unwrap_or(reader.seqs);
        if let Some(name) = &selection.cursor {
            cursor::check_name(name)?;
            let (dir, id) = (&reader.dir, reader.vault_id);
            let Some((cursor, _)) = survey::read_cursor(&reader.files, dir, name, id)? else {
                return Err(VaultError::CursorName { name: name.clone() });
            };
            let acks = lock(&cursor.acks).clone();
            reader.seqs.0 = reader.seqs.0.max(acks.low() + 1);
            reader.acknowledged = Some(acks);
        }
        Ok(reader)
    }

    /// As [`OfflineReader::open`], on a file system of the caller's.
    ///
    /// # Errors
    ///
    /// As [`OfflineReader::open`].
    pub fn open_on(files: Arc<dyn FileSystem>, path: &Path) -> Result<Self, VaultError> {
        let (dir, single) = path::split_path(path);
        let mut left: VecDeque<Candidate> = survey::candidates(&*files, &dir)?.into();
        if let Some(id) = single {
            left.retain(|candidate| candidate.id == id);
        }
        left.retain(|candidate| candidate.extension != id::EXTENSION_NEW);
        let vault_id = match survey::known_id(&files, &dir, left.make_contiguous())? {
            Some(id) => id,
            None if left.is_empty() => 0,
            None => {
                let problem = "no file contains the vault's id".to_owned();
                return Err(VaultError::Foreign { path: path.to_path_buf(), problem });
            }
        };
        let is_live = survey::writer_presence(&dir)? != WriterPresence::Absent;
        Ok(Self {
            files,
            dir,
            vault_id,
            left,
            current: None,
            queued: VecDeque::new(),
            seqs: (0, u64::MAX),
            acknowledged: None,
            is_live,
            looks: 0,
            gone: 0,
            done_bytes: 0,
            place: (0, 0),
        })
    }

    /// Segments that were deleted by the running writer before they could be read.
    #[must_use]
    pub fn gone(&self) -> u64 {
        self.gone
    }

    /// Number of the segment and offset in it of the last record that was returned.
    #[must_use]
    pub fn place(&self) -> (u64, u64) {
        self.place
    }

    /// Bytes of files that were dealt with, and those that are left.
    #[must_use]
    pub fn progress_bytes(&self) -> (u64, u64) {
        let (at, rest) = self.current.as_ref().map_or((0, 0), |current| {
            let at = current.scanner.offset().min(current.file_bytes);
            (at, current.file_bytes - at)
        });
        let left: u64 = self.left.iter().map(|candidate| candidate.bytes).sum();
        (self.done_bytes + at, rest + left)
    }

    /// Returns the next record or fault, or `None` at the end.
    ///
    /// # Errors
    ///
    /// [`VaultError::Io`] when a segment cannot be opened, [`VaultError::Foreign`] for another vault's;
    /// the next call goes on with the segment after it.
    #[expect(clippy::should_implement_trait, reason = "errors do not end the sequence")]
    pub fn next(&mut self) -> Result<Option<OfflineItem>, VaultError> {
        loop {
            if let Some(item) = self.queued.pop_front() {
                return Ok(Some(item));
            }
            let Some(current) = &mut self.current else {
                let Some(candidate) = self.left.pop_front() else { return Ok(None) };
                self.open_segment(candidate)?;
                continue;
            };
            let at = (current.scanner.offset(), current.scanner.last_seq());
            match current.scanner.next() {
                ScanItem::Record(record) if record.header.seq < current.limit => {
                    if let Some(item) = self.take(&record, at)? {
                        return Ok(Some(item));
                    }
                }
                ScanItem::Watermark(_) => {}
                ScanItem::Fault(fault) => {
                    if !self.look_again(at)? && self.is_wanted(fault.lost) {
                        return Ok(Some(OfflineItem::Fault(fault)));
                    }
                }
                ScanItem::Torn => {
                    let fault = current.scanner.tail_fault(FaultKind::TornTail, None);
                    let is_growing = current.is_open && self.is_live;
                    if !self.look_again(at)? {
                        self.leave();
                        if !is_growing {
                            return Ok(Some(OfflineItem::Fault(fault)));
                        }
                    }
                }
                ScanItem::Record(_) | ScanItem::End => {
                    if !self.finish(at)? {
                        self.leave();
                    }
                }
            }
        }
    }

    /// At the end of a segment that was still open: if a later one has been begun since, it is
    /// complete only now, and is read on once more. Returns whether there may be more.
    fn finish(&mut self, at: (u64, Option<u64>)) -> Result<bool, VaultError> {
        let is_growing = self.current.as_ref().is_some_and(|current| current.is_open);
        if !self.is_live || !is_growing {
            return Ok(false);
        }
        let mut is_followed = false;
        for candidate in &self.left {
            let candidate = candidate.clone();
            let next = survey::examine_moving(&*self.files, &self.dir, candidate, self.vault_id)?;
            is_followed |= next.is_some_and(|next| next.verdict != SegmentVerdict::Blank);
        }
        let is_back = is_followed && self.go_back(at)?;
        if let Some(current) = &mut self.current {
            current.is_open = false;
        }
        Ok(is_back)
    }

    /// Reads a record that was found, if it is selected.
    fn take(
        &mut self,
        record: &Located,
        at: (u64, Option<u64>),
    ) -> Result<Option<OfflineItem>, VaultError> {
        let Some(current) = &mut self.current else { return Ok(None) };
        let seq = record.header.seq;
        if self.seqs.1 < seq {
            self.left.clear();
            self.leave();
            return Ok(None);
        }
        let is_acknowledged = self.acknowledged.as_ref().is_some_and(|acks| acks.contains(seq));
        if seq < self.seqs.0 || is_acknowledged {
            return Ok(None);
        }
        let mut body = Vec::new();
        let is_read = current.scanner.read_body(record, &mut body).is_ok();
        let decoded = if is_read { stored::decode(&record.header, &body) } else { None };
        let fault = current.scanner.body_fault(record);
        match decoded {
            Some(decoded) => {
                self.looks = 0;
                self.place = (current.id.get(), record.offset);
                let record = decoded;
                Ok(Some(OfflineItem::Record(record)))
            }
            None if self.look_again(at)? => Ok(None),
            None => Ok(Some(OfflineItem::Fault(fault))),
        }
    }

    /// Whether damage concerns what is selected.
    fn is_wanted(&self, lost: Option<(u64, u64)>) -> bool {
        lost.is_none_or(|(first, last)| self.seqs.0 <= last && first <= self.seqs.1)
    }

    /// Beside a writer, goes back to where the damage was found after a moment, as it may only be a
    /// write under way. Returns whether it did.
    fn look_again(&mut self, at: (u64, Option<u64>)) -> Result<bool, VaultError> {
        let Some(current) = &mut self.current else { return Ok(false) };
        if !self.is_live || !current.is_open || LOOKS_MAX <= self.looks {
            self.looks = 0;
            return Ok(false);
        }
        std::thread::park_timeout(LOOK_EVERY);
        self.looks += 1;
        self.go_back(at)
    }

    /// Reads anew from where the scan was before.
    fn go_back(&mut self, at: (u64, Option<u64>)) -> Result<bool, VaultError> {
        let Some(current) = &mut self.current else { return Ok(false) };
        let id = current.id;
        let located = survey::locate(&*self.files, &self.dir, id)
            .map_err(VaultError::io("open", &self.dir))?;
        let Some((candidate, file)) = located else { return Ok(false) };
        let end = current.end.min(candidate.bytes);
        let mut scanner = Scanner::new(file.into(), id, self.vault_id, end, at.1)
            .map_err(VaultError::io("read", &candidate.path))?;
        if let Some(last_seq) = at.1 {
            scanner.seek(at.0, last_seq);
        }
        current.scanner = scanner;
        Ok(true)
    }

    fn leave(&mut self) {
        self.done_bytes += self.current.take().map_or(0, |current| current.file_bytes);
        self.looks = 0;
    }

    fn open_segment(&mut self, candidate: Candidate) -> Result<(), VaultError> {
        let (id, path, file_bytes) = (candidate.id, candidate.path.clone(), candidate.bytes);
        let examined = survey::examine_moving(&*self.files, &self.dir, candidate, self.vault_id)?;
        let Some(one) = examined else {
            self.gone += 1;
            self.done_bytes += file_bytes;
            return Ok(());
        };
        let is_sealed = one.verdict == SegmentVerdict::Sealed;
        let is_before = is_sealed && one.trailer.last_seq < self.seqs.0;
        if one.verdict == SegmentVerdict::Blank || is_before {
            self.done_bytes += file_bytes;
            return Ok(());
        }
        // Faults of records are found again, in their place among the records.
        let of_segment = |kind| matches!(kind, FaultKind::SegmentHeader | FaultKind::Footer);
        let faults = one.faults.iter().filter(|fault| of_segment(fault.kind)).cloned();
        self.queued.extend(faults.map(OfflineItem::Fault));
        let limit = self.limit(&one);
        let before = one.trailer.first_seq.checked_sub(1);
        let end = if is_sealed { one.trailer.data_end } else { one.candidate.bytes };
        let located =
            survey::locate(&*self.files, &self.dir, id).map_err(VaultError::io("open", &path))?;
        let Some((_, file)) = located else {
            self.gone += 1;
            return Ok(());
        };
        let index = if is_sealed { examine::read_index(&*file, &one.trailer) } else { None };
        let mut scanner = Scanner::new(file.into(), id, self.vault_id, end, before)
            .map_err(VaultError::io("read", &path))?;
        let from = self.seqs.0;
        let entry = index.unwrap_or_default().into_iter().rfind(|entry| entry.seq <= from);
        if let Some(entry) = entry {
            scanner.seek(entry.offset, entry.seq - 1);
        }
        let is_open = !is_sealed && one.candidate.extension == id::EXTENSION_OPEN;
        self.current = Some(Current { id, scanner, limit, end, is_open, file_bytes });
        Ok(())
    }

    fn limit(&self, one: &Examined) -> u64 {
        let next = self.left.iter().find_map(|candidate| {
            let candidate = candidate.clone();
            let next = survey::examine_moving(&*self.files, &self.dir, candidate, self.vault_id);
            let next = next.ok()??;
            let first_seq = next.trailer.first_seq;
            (next.verdict != SegmentVerdict::Blank && 0 < first_seq).then_some(first_seq)
        });
        let own = match one.verdict {
            SegmentVerdict::Sealed => one.trailer.last_seq + 1,
            _ => u64::MAX,
        };
        own.min(next.unwrap_or(u64::MAX))
    }
}

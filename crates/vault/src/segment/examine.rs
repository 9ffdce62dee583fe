//! Looks at one segment after a restart and says what it holds. Changes nothing.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use crate::buffer::AlignedBuffer;
use crate::buffer::ReadBuffer;
use crate::error::VaultError;
use crate::format;
use crate::format::BLOCK_BYTES;
use crate::format::BLOCK_LEN;
use crate::format::IndexEntry;
use crate::format::RECORD_HEADER_BYTES;
use crate::format::SegmentHeader;
use crate::format::SegmentHeaderError;
use crate::format::Trailer;
use crate::fs::Access;
use crate::fs::File;
use crate::fs::FileSystem;
use crate::fs::is_shortage;
use crate::segment::fault::DamagedRange;
use crate::segment::fault::FaultKind;
use crate::segment::id::EXTENSION_SEALED;
use crate::segment::id::SegmentId;
use crate::segment::scan::Located;
use crate::segment::scan::ScanItem;
use crate::segment::scan::Scanner;
use crate::segment::sums;

/// A segment's file as found in a directory.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) id: SegmentId,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) extension: String,
    pub(crate) is_quarantined: bool,
}

/// How a segment came to its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SegmentVerdict {
    /// All zero: a spare.
    Blank,
    /// Has a valid footer; nothing else was read.
    Sealed,
    /// Read record by record.
    Scanned,
}

/// What was found. Holds no open file: a vault may have more segments than a process may have files.
pub(crate) struct Examined {
    pub(crate) candidate: Candidate,
    pub(crate) verdict: SegmentVerdict,
    pub(crate) header: Option<SegmentHeader>,
    /// Contents; `data_end` is where the last good record's group ends, not always at a block.
    pub(crate) trailer: Trailer,
    pub(crate) index: Vec<IndexEntry>,
    pub(crate) faults: Vec<DamagedRange>,
    /// The records at the end that have a header but no good body.
    pub(crate) bad_tail: Option<Located>,
    /// Whether damage without a valid record behind it reaches to the end.
    pub(crate) is_torn: bool,
    /// Behind this block there are only zeros; of a scanned segment.
    pub(crate) used_end: u64,
    /// Highest durable seq any record here tells of.
    pub(crate) durable_seq: u64,
}

/// Faults of one segment that are told apart even if one goes on from the other.
const FAULTS_APART_MAX: usize = 1024;
/// Faults of one segment that are kept.
const FAULTS_MAX: usize = 16 * 1024;

/// Segments are examined on this many threads: each waits for the disk most of the time, and a vault
/// may have thousands.
const THREADS: usize = 8;
/// Fewer segments than this are not worth a thread.
const SEGMENTS_PER_THREAD_MIN: usize = 16;

/// Examines many segments; the answers come in their order.
pub(crate) fn examine_all(
    files: &dyn FileSystem,
    candidates: Vec<Candidate>,
    vault_id: u128,
) -> Result<Vec<Examined>, VaultError> {
    let threads = THREADS.min(candidates.len() / SEGMENTS_PER_THREAD_MIN);
    if threads < 2 {
        let examine = |candidate| examine(files, candidate, vault_id);
        return candidates.into_iter().map(examine).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while let Some((idx, candidate)) = take(&next, &candidates) {
            found.push((idx, examine(files, candidate, vault_id)));
        }
        found
    };
    let mut found = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let found = threads.into_iter().map(|thread| match thread.join() {
            Ok(found) => found,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        found.flatten().collect::<Vec<_>>()
    });
    found.sort_by_key(|(idx, _)| *idx);
    found.into_iter().map(|(_, examined)| examined).collect()
}

fn take(next: &AtomicUsize, candidates: &[Candidate]) -> Option<(usize, Candidate)> {
    let idx = next.fetch_add(1, Ordering::Relaxed);
    candidates.get(idx).map(|candidate| (idx, candidate.clone()))
}

/// Examines one segment.
pub(crate) fn examine(
    files: &dyn FileSystem,
    candidate: Candidate,
    vault_id: u128,
) -> Result<Examined, VaultError> {
    let path = candidate.path.clone();
    let read = VaultError::io("read", &path);
    let file: Arc<dyn File> = match files.open(&path, Access::Direct) {
        Ok(file) => file.into(),
        // Beside a writer it may have another name by now.
        Err(error) if is_shortage(&error) || error.kind() == io::ErrorKind::NotFound => {
            return Err(VaultError::io("open", &path)(error));
        }
        Err(error) => {
            tracing::error!(%error, path = %path.display(), "Cannot open a segment.");
            return Ok(Examined::unreadable(candidate, vault_id));
        }
    };
    let header = match read_header(&*file) {
        Ok(header) if header.vault_id != vault_id => {
            return Err(VaultError::Foreign {
                path,
                problem: "the segment belongs to another vault".to_owned(),
            });
        }
        Ok(header) => Some(header).filter(|header| header.segment == candidate.id.get()),
        Err(SegmentHeaderError::UnknownVersion(version)) => {
            let problem = format!("the segment has the unknown version {version}");
            return Err(VaultError::Foreign { path, problem });
        }
        Err(SegmentHeaderError::Corrupt) => None,
    };
    let first_seq = header.as_ref().map_or(0, |header| header.first_seq);
    let mut examined = Examined::new(candidate, vault_id, header, first_seq);
    let is_sealed_name = examined.candidate.extension == EXTENSION_SEALED;
    if header.is_none() && !is_sealed_name && is_blank(&*file, examined.candidate.bytes) {
        examined.verdict = SegmentVerdict::Blank;
        return Ok(examined);
    }
    if header.is_none() {
        examined.push_fault(FaultKind::SegmentHeader, 0, BLOCK_BYTES);
    }
    if let Some(trailer) = read_trailer(&*file, &examined.candidate, vault_id) {
        examined.verdict = SegmentVerdict::Sealed;
        examined.durable_seq = trailer.last_seq;
        examined.trailer = trailer;
        return Ok(examined);
    }
    if is_sealed_name {
        let bytes = examined.candidate.bytes;
        examined.push_fault(FaultKind::Footer, bytes.saturating_sub(BLOCK_BYTES), bytes);
    }
    examined.scan(file, vault_id).map_err(read)?;
    if is_sealed_name {
        // It got its name after everything in it was synced: nothing here is a torn tail.
        let bad = examined.bad_tail.map_or(0, |record| record.header.seq);
        let last = examined.trailer.last_seq.max(bad);
        examined.durable_seq = examined.durable_seq.max(last);
    }
    Ok(examined)
}

impl Examined {
    fn new(
        candidate: Candidate,
        vault_id: u128,
        header: Option<SegmentHeader>,
        first_seq: u64,
    ) -> Self {
        Self {
            trailer: sums::empty_trailer(vault_id, candidate.id, first_seq),
            used_end: candidate.bytes,
            candidate,
            verdict: SegmentVerdict::Scanned,
            header,
            index: Vec::new(),
            faults: Vec::new(),
            bad_tail: None,
            is_torn: false,
            durable_seq: 0,
        }
    }

    /// One whose file the disk does not give: what it held is known from its neighbours only.
    fn unreadable(candidate: Candidate, vault_id: u128) -> Self {
        let bytes = candidate.bytes;
        let mut examined = Self::new(candidate, vault_id, None, 0);
        examined.push_fault(FaultKind::Unreadable, 0, bytes);
        examined
    }

    /// How many records there may be in what could not be read, at most.
    pub(crate) fn unreadable_records_max(&self) -> u64 {
        let is_unreadable = |fault: &&DamagedRange| fault.kind == FaultKind::Unreadable;
        let bytes = self.faults.iter().filter(is_unreadable).map(|fault| fault.end - fault.start);
        bytes.sum::<u64>() / RECORD_HEADER_BYTES
    }

    fn push_fault(&mut self, kind: FaultKind, start: u64, end: u64) {
        let segment = self.candidate.id;
        self.faults.push(DamagedRange { segment, kind, start, end, lost: None });
    }

    /// Adds a fault. In a segment of very many, one that goes on from the last is no new one, and in
    /// the end the last one stands for all that follow: they are kept in memory.
    fn push(&mut self, fault: DamagedRange) {
        let count = self.faults.len();
        let Some(before) = self.faults.last_mut().filter(|_| FAULTS_APART_MAX <= count) else {
            return self.faults.push(fault);
        };
        let is_next = before.lost.zip(fault.lost).is_some_and(|(old, new)| old.1 + 1 == new.0);
        let goes_on =
            is_next && before.kind == fault.kind && fault.start <= format::align_block(before.end);
        if count < FAULTS_MAX && !goes_on {
            return self.faults.push(fault);
        }
        before.end = before.end.max(fault.end);
        before.lost = match (before.lost, fault.lost) {
            (Some((first, _)), Some((_, end))) => Some((first, end)),
            (lost, other) => lost.or(other),
        };
    }

    fn scan(&mut self, file: Arc<dyn File>, vault_id: u128) -> io::Result<()> {
        let before = self.header.map(|header| header.first_seq.saturating_sub(1));
        let id = self.candidate.id;
        let mut scanner = Scanner::new(file, id, vault_id, self.candidate.bytes, before)?;
        loop {
            match scanner.next() {
                ScanItem::Record(record) => self.note(&mut scanner, record),
                ScanItem::Watermark(header) => {
                    self.durable_seq = self.durable_seq.max(header.durable_seq);
                    self.trailer.data_end = scanner.offset();
                }
                ScanItem::Fault(fault) => self.push(fault),
                found @ (ScanItem::End | ScanItem::Torn) => {
                    self.is_torn = matches!(found, ScanItem::Torn);
                    self.used_end = scanner.used_end();
                    return Ok(());
                }
            }
        }
    }

    fn note(&mut self, scanner: &mut Scanner, record: Located) {
        let header = &record.header;
        self.durable_seq = self.durable_seq.max(header.durable_seq);
        if scanner.check_body(&record).is_err() {
            self.push(scanner.body_fault(&record));
            self.bad_tail.get_or_insert(record);
            return;
        }
        if self.trailer.record_count == 0 && self.header.is_none() {
            self.trailer.first_seq = header.seq;
        }
        if let Some(bad) = self.bad_tail.take() {
            // A good record follows: the bad one was no torn tail.
            self.trailer.bad_record_count += 1;
            tracing::debug!(seq = bad.header.seq, "Found a damaged record between intact ones.");
        }
        sums::note_record(&mut self.trailer, &mut self.index, header, record.offset);
        self.trailer.data_end = scanner.offset();
    }
}

fn read_header(file: &dyn File) -> Result<SegmentHeader, SegmentHeaderError> {
    let mut block = ReadBuffer::new().map_err(|_| SegmentHeaderError::Corrupt)?;
    // An unreadable header block is a damaged one: the records can be read without it.
    let count = file.read_at(&mut block[..BLOCK_LEN], 0).unwrap_or(0);
    SegmentHeader::decode(&block[..count])
}

/// Reads the trailer from the file's last block; `None` when there is no valid one.
pub(crate) fn read_trailer(
    file: &dyn File,
    candidate: &Candidate,
    vault_id: u128,
) -> Option<Trailer> {
    let start = candidate.bytes.checked_sub(BLOCK_BYTES)?;
    if !start.is_multiple_of(BLOCK_BYTES) {
        return None;
    }
    let mut block = ReadBuffer::new().ok()?;
    let count = file.read_at(&mut block[..BLOCK_LEN], start).ok()?;
    let trailer = Trailer::decode(&block[..count])?;
    let is_ours = trailer.segment == candidate.id.get() && trailer.vault_id == vault_id;
    let is_sound = trailer.data_end <= start && trailer.data_end.is_multiple_of(BLOCK_BYTES);
    (is_ours && is_sound).then_some(trailer)
}

/// Reads the index of a sealed segment; `None` when it is damaged, which only costs time.
pub(crate) fn read_index(file: &dyn File, trailer: &Trailer) -> Option<Vec<IndexEntry>> {
    let bytes = format::index_bytes(u64::from(trailer.index_entries));
    if file.bytes().ok()? < trailer.data_end + bytes {
        return None;
    }
    let len = usize::try_from(format::align_block(bytes)).ok()?;
    let mut buffer = AlignedBuffer::new(len).ok()?;
    let count = file.read_at(&mut buffer, trailer.data_end).ok()?;
    format::decode_index(&buffer[..count], trailer.index_entries)
}

/// Whether the whole file is zero; an unreadable one is not.
fn is_blank(file: &dyn File, bytes: u64) -> bool {
    let Ok(mut buffer) = ReadBuffer::new() else { return false };
    let mut offset = 0;
    while offset < bytes {
        match file.read_at(&mut buffer, offset) {
            Ok(0) | Err(_) => return false,
            Ok(count) if !format::is_zero(&buffer[..count]) => return false,
            Ok(count) => offset += count as u64,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost_by(count: u64, step: u64) -> Vec<DamagedRange> {
        let candidate = Candidate {
            id: SegmentId(1),
            path: PathBuf::new(),
            bytes: 1 << 30,
            extension: String::new(),
            is_quarantined: false,
        };
        let mut examined = Examined::new(candidate, 1, None, 1);
        for seq in (1..=count).map(|number| number * step) {
            let (kind, start) = (FaultKind::Body, BLOCK_BYTES + seq * 80);
            let lost = Some((seq, seq));
            let fault = DamagedRange { segment: SegmentId(1), kind, start, end: start + 80, lost };
            examined.push(fault);
        }
        examined.faults
    }

    #[test]
    fn faults_of_a_segment_that_is_all_damage_are_bounded() {
        let in_a_row = lost_by(50_000, 1);
        assert_eq!(in_a_row.len(), FAULTS_APART_MAX);
        assert_eq!(in_a_row.last().unwrap().lost, Some((FAULTS_APART_MAX as u64, 50_000)));
        let apart = lost_by(50_000, 2);
        assert_eq!(apart.len(), FAULTS_MAX);
        assert_eq!(apart.last().unwrap().lost, Some((2 * FAULTS_MAX as u64, 100_000)));
        assert_eq!(lost_by(100, 1).len(), 100, "an ordinary number is told one by one");
    }
}

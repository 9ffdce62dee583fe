//! Walks every byte of a sealed segment once: records, sums, digest, index and padding.

use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::buffer::AlignedBuffer;
use crate::format;
use crate::format::BLOCK_BYTES;
use crate::format::SegmentHeader;
use crate::format::Trailer;
use crate::fs::File;
use crate::fs::FileIdentity;
use crate::segment::examine;
use crate::segment::examine::Candidate;
use crate::segment::fault::FaultKind;
use crate::segment::id::SegmentId;
use crate::segment::scan::ScanItem;
use crate::segment::scan::Scanner;
use crate::segment::sums;
use crate::state::lock;
use crate::throttle::CancellablePacer;
use crate::tools::finding::Finding;
use crate::tools::finding::FindingKind;

/// Size of the reads.
const PIECE_BYTES: usize = 1 << 20;
/// Findings kept for each segment; a segment with more is beyond telling them apart.
pub(crate) const FINDINGS_MAX: usize = 1000;

/// Walks a sealed segment and says what is wrong with it by itself; rests between pieces as `pacer` is
/// told to.
pub(crate) fn walk(
    file: Box<dyn File>,
    candidate: &Candidate,
    header: Option<&SegmentHeader>,
    trailer: &Trailer,
    read_bytes: &Arc<AtomicU64>,
    pacer: &CancellablePacer,
) -> io::Result<Vec<Finding>> {
    let mut findings = Findings { candidate, found: Vec::new() };
    findings.check_index(&*file, trailer)?;
    let tee = Tee::new(file, trailer, Arc::clone(read_bytes), pacer.clone())?;
    let tee = Arc::new(tee);
    let file: Arc<dyn File> = Arc::<Tee>::clone(&tee);
    let before = header.map_or(trailer.first_seq, |header| header.first_seq).checked_sub(1);
    let end = trailer.data_end;
    let scanner = Scanner::new(file, candidate.id, trailer.vault_id, end, before)?;
    let sums = findings.check_records(scanner, trailer);
    if header.is_none() {
        findings.push(FindingKind::Fault(FaultKind::SegmentHeader), 0, BLOCK_BYTES, None);
    }
    let is_sound = findings.found.iter().all(|finding| finding.kind == FindingKind::Index);
    let digests = tee.finish();
    if is_sound {
        findings.check_sums(&sums, digests, trailer);
    }
    Ok(findings.found)
}

/// The findings about one segment so far.
struct Findings<'a> {
    candidate: &'a Candidate,
    found: Vec<Finding>,
}

impl Findings<'_> {
    fn push(&mut self, kind: FindingKind, start: u64, end: u64, lost: Option<(u64, u64)>) {
        if self.found.len() < FINDINGS_MAX {
            let segment = Some(self.candidate.id.get());
            let path = self.candidate.path.clone();
            self.found.push(Finding { segment, kind, path, start, end, lost });
        }
    }

    /// Walks the records; returns what a footer written now would say.
    fn check_records(&mut self, mut scanner: Scanner, trailer: &Trailer) -> Trailer {
        let id = SegmentId(trailer.segment);
        let mut index = Vec::new();
        let mut sums = sums::empty_trailer(trailer.vault_id, id, trailer.first_seq);
        loop {
            match scanner.next() {
                ScanItem::Record(record) => {
                    if scanner.check_body(&record).is_ok() {
                        sums::note_record(&mut sums, &mut index, &record.header, record.offset);
                    } else {
                        let fault = scanner.body_fault(&record);
                        self.push(
                            FindingKind::Fault(FaultKind::Body),
                            fault.start,
                            fault.end,
                            fault.lost,
                        );
                    }
                }
                ScanItem::Watermark(_) => {}
                ScanItem::Fault(fault) => {
                    let finding = Finding::of_fault(&fault, self.candidate.path.clone());
                    self.push(finding.kind, fault.start, fault.end, fault.lost);
                }
                found @ (ScanItem::End | ScanItem::Torn) => {
                    let seen = scanner.last_seq().unwrap_or(0);
                    let is_torn = matches!(found, ScanItem::Torn);
                    if seen < trailer.last_seq || is_torn {
                        let lost = seen < trailer.last_seq;
                        let lost = lost.then_some((seen + 1, trailer.last_seq));
                        let fault = scanner.tail_fault(FaultKind::Tail, lost);
                        self.push(
                            FindingKind::Fault(FaultKind::Tail),
                            fault.start,
                            fault.end,
                            fault.lost,
                        );
                    }
                    return sums;
                }
            }
        }
    }

    /// Compares what was computed with what the footer says; only where every record is good.
    fn check_sums(&mut self, sums: &Trailer, digests: Option<(u32, [u8; 32])>, trailer: &Trailer) {
        let counted = |of: &Trailer| {
            (of.record_count, of.first_seq, of.last_seq, of.raw_bytes, of.stored_bytes)
        };
        let size = trailer.data_end
            + format::align_block(format::index_bytes(u64::from(trailer.index_entries)))
            + BLOCK_BYTES;
        let footer_start = self.candidate.bytes.saturating_sub(BLOCK_BYTES);
        if counted(sums) != counted(trailer) || size != self.candidate.bytes {
            self.push(FindingKind::Facts, footer_start, self.candidate.bytes, None);
        }
        let kind = match digests {
            None => FindingKind::Fault(FaultKind::Unreadable),
            Some((crc, _)) if crc != trailer.segment_crc => FindingKind::SegmentCrc,
            Some((_, digest)) if digest != trailer.digest => FindingKind::Digest,
            Some(_) => return,
        };
        self.push(kind, 0, trailer.data_end, None);
    }

    /// Checks the index and the zeros between it and the trailer.
    fn check_index(&mut self, file: &dyn File, trailer: &Trailer) -> io::Result<()> {
        let start = trailer.data_end;
        let end = self.candidate.bytes.saturating_sub(BLOCK_BYTES);
        let used = format::index_bytes(u64::from(trailer.index_entries));
        let len = usize::try_from(end.saturating_sub(start)).unwrap_or(0);
        let is_sound = end - start == format::align_block(used)
            && examine::read_index(file, trailer).is_some()
            && {
                let mut block = AlignedBuffer::new(len.max(1))?;
                let count = file.read_at(&mut block, start).unwrap_or(0);
                let used = usize::try_from(used).unwrap_or(len).min(count);
                count == len && format::is_zero(&block[used..len])
            };
        if !is_sound {
            self.push(FindingKind::Index, start, end, None);
        }
        Ok(())
    }
}

/// A file that is read in large pieces, and sums up every byte that passes.
#[derive(Debug)]
pub(crate) struct Tee {
    file: Box<dyn File>,
    end: u64,
    read_bytes: Arc<AtomicU64>,
    pacer: CancellablePacer,
    state: Mutex<TeeState>,
}

#[derive(Debug)]
struct TeeState {
    piece: AlignedBuffer,
    start: u64,
    len: usize,
    /// Bytes before here are in the sums.
    summed: u64,
    crc: crc32fast::Hasher,
    digest: blake3::Hasher,
    is_broken: bool,
}

impl Tee {
    /// Sums up bytes `0..data_end` as the footer's digest does.
    pub(crate) fn new(
        file: Box<dyn File>,
        trailer: &Trailer,
        read_bytes: Arc<AtomicU64>,
        pacer: CancellablePacer,
    ) -> io::Result<Self> {
        let state = TeeState {
            piece: AlignedBuffer::new(PIECE_BYTES)?,
            start: 0,
            len: 0,
            summed: 0,
            crc: crc32fast::Hasher::new(),
            digest: format::digest_after(&trailer.prev_digest),
            is_broken: false,
        };
        Ok(Self { file, end: trailer.data_end, read_bytes, pacer, state: Mutex::new(state) })
    }

    /// Reads what is left, and returns crc and digest; `None` when a part could not be read.
    pub(crate) fn finish(&self) -> Option<(u32, [u8; 32])> {
        let mut state = lock(&self.state);
        while state.summed < self.end && !state.is_broken {
            let at = state.summed;
            if !matches!(self.load(&mut state, at, PIECE_BYTES), Ok(1..)) {
                state.is_broken = true;
            }
        }
        let sums = (state.crc.clone().finalize(), *state.digest.finalize().as_bytes());
        (!state.is_broken).then_some(sums)
    }

    /// Reads the piece at `at`, a multiple of a block.
    fn load(&self, state: &mut TeeState, at: u64, least: usize) -> io::Result<usize> {
        let left = self.end.saturating_sub(at);
        let len = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        if !self.pacer.rest() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        state.len = 0;
        state.start = at;
        let whole = self.file.read_at(&mut state.piece[..len], at);
        state.len = whole.or_else(|_| {
            // One bad sector must not take the whole piece with it.
            state.is_broken = true;
            let least = least.min(len);
            self.file.read_at(&mut state.piece[..least], at)
        })?;
        let end = at + state.len as u64;
        if at <= state.summed && state.summed < end && !state.is_broken {
            let skip = usize::try_from(state.summed - at).unwrap_or(0);
            let fresh = &state.piece[skip..state.len];
            state.crc.update(fresh);
            state.digest.update(fresh);
            self.read_bytes.fetch_add(fresh.len() as u64, Ordering::Relaxed);
            state.summed = end;
        }
        Ok(state.len)
    }

    /// Reads from `at` what one piece holds.
    fn read_some(&self, state: &mut TeeState, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let is_inside = |state: &TeeState| state.start <= at && at < state.start + state.len as u64;
        while state.summed < at && !state.is_broken && !is_inside(state) {
            let next = state.summed;
            if self.load(state, next, PIECE_BYTES)? == 0 {
                break;
            }
        }
        if !is_inside(state) && self.load(state, at, buffer.len())? == 0 {
            return Ok(0);
        }
        let skip = usize::try_from(at - state.start).unwrap_or(0);
        let count = buffer.len().min(state.len - skip);
        buffer[..count].copy_from_slice(&state.piece[skip..skip + count]);
        Ok(count)
    }
}

impl File for Tee {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = lock(&self.state);
        let mut filled = 0;
        while filled < buffer.len() {
            let at = offset + filled as u64;
            match self.read_some(&mut state, &mut buffer[filled..], at) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(_) if 0 < filled => break,
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, _bytes: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn truncate(&self, _bytes: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn bytes(&self) -> io::Result<u64> {
        self.file.bytes()
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        self.file.identity()
    }
}

//! Recovery: what a directory holds after a crash, and what becomes of it.
//!
//! | found | what happens |
//! |---|---|
//! | `.tmp` | taken away: it never had the name of a segment |
//! | `.open`, all zero | a spare again |
//! | `.gsv`, or `.open` with valid footer | sealed (the rename is finished) |
//! | `.open`, good to its end | sealed now |
//! | `.open`, torn end that was never acknowledged | tail copied to quarantine, sealed |
//! | anything damaged | set aside with a report; its good records are still read |
//! | another vault's, or an unknown version's | nothing is touched, the vault does not open |
//!
//! Nothing that ever held a record is deleted, and a recovered segment is never appended to. Nothing
//! here needs free space to succeed.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::error::VaultError;
use crate::fs::Access;
use crate::fs::File;
use crate::fs::FileSystem;
use crate::log::cursor::Cursor;
use crate::log::dropped::Dropped;
use crate::log::view::Listed;
use crate::log::view::Log;
use crate::log::view::LogState;
use crate::log::view::SegmentInfo;
use crate::options::Known;
use crate::recover::directory;
use crate::recover::identity;
use crate::recover::judge;
use crate::recover::report::RecoveryReport;
use crate::segment::examine;
use crate::segment::examine::Candidate;
use crate::segment::examine::Examined;
use crate::segment::examine::SegmentVerdict;
use crate::segment::fault::DamagedRange;
use crate::segment::fault::FaultKind;
use crate::segment::id;
use crate::segment::id::EXTENSION_NEW;
use crate::segment::id::EXTENSION_OPEN;
use crate::segment::id::EXTENSION_SEALED;
use crate::segment::id::SegmentId;
use crate::segment::id::SegmentState;
use crate::segment::quarantine;
use crate::segment::seal;
use crate::segment::seal::Predecessor;
use crate::segment::seal::SealJob;
use crate::segment::spare::Spare;
use crate::segment::torn;
use crate::seq_ranges::SeqRanges;
use crate::state::lock;

/// A vault ready to be written.
pub(crate) struct Recovered {
    pub(crate) log: Log,
    pub(crate) spares: VecDeque<Spare>,
    pub(crate) next_seq: u64,
    pub(crate) next_segment: u64,
    pub(crate) last_digest: [u8; 32],
    pub(crate) predecessor: Predecessor,
    pub(crate) report: RecoveryReport,
}

/// Recovers a locked directory, of which something may be known.
pub(crate) fn recover(
    files: &Arc<dyn FileSystem>,
    dir: &Path,
    known: &Known,
) -> Result<Recovered, VaultError> {
    let started = Instant::now();
    let candidates = directory::list_segments(&**files, dir)?;
    let vault_id = identity::load_or_create(files, dir, &candidates)?;
    let mut recovery = Recovery {
        files: Arc::clone(files),
        dir,
        vault_id,
        report: RecoveryReport::default(),
        segments: BTreeMap::new(),
        spares: VecDeque::new(),
        last_digest: [0; 32],
        predecessor: Predecessor::default(),
        unknown_records: 0,
    };
    let next_segment = candidates.last().map_or(1, |candidate| candidate.id.get() + 1);
    let mut used = Vec::new();
    for candidate in candidates {
        if candidate.extension == EXTENSION_NEW {
            let path = &candidate.path;
            files.remove(path).map_err(VaultError::io("remove", path))?;
            continue;
        }
        used.push(candidate);
    }
    let examined = examine::examine_all(&**files, used, vault_id)?;
    let durable_seq = recovery.settle(examined)?;
    recovery.finish(durable_seq, known, next_segment, started)
}

pub(super) struct Recovery<'a> {
    pub(super) files: Arc<dyn FileSystem>,
    pub(super) dir: &'a Path,
    pub(super) vault_id: u128,
    pub(super) report: RecoveryReport,
    segments: BTreeMap<SegmentId, Listed>,
    spares: VecDeque<Spare>,
    last_digest: [u8; 32],
    pub(super) predecessor: Predecessor,
    /// How many records the last segment may hold that could not be read.
    unknown_records: u64,
}

impl Recovery<'_> {
    /// Decides about every segment, oldest first; returns the highest seq known to be durable.
    fn settle(&mut self, examined: Vec<Examined>) -> Result<u64, VaultError> {
        let durable_seq = examined.iter().map(|one| one.durable_seq).max().unwrap_or(0);
        let is_used = |one: &Examined| one.verdict != SegmentVerdict::Blank;
        let last_used = examined.iter().rfind(|one| is_used(one)).map(|one| one.candidate.id);
        let mut firsts = judge::first_seqs(&examined);
        for mut one in examined {
            if one.verdict == SegmentVerdict::Blank {
                self.keep_spare(one, last_used)?;
                continue;
            }
            firsts.pop_front();
            if one.trailer.first_seq == 0 {
                // Neither header nor record: it starts where the one before ended.
                one.trailer.first_seq = self.predecessor.last_seq + 1;
                one.trailer.last_seq = self.predecessor.last_seq;
            }
            let next_first_seq = firsts.iter().copied().find(|first| 0 < *first);
            self.report_hole(&one);
            if one.verdict == SegmentVerdict::Scanned {
                judge::judge(&mut one, durable_seq, next_first_seq);
            }
            self.place(one, durable_seq)?;
        }
        Ok(durable_seq)
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn File>, VaultError> {
        let opened = self.files.open(path, Access::Direct);
        Ok(opened.map_err(VaultError::io("open", path))?.into())
    }

    fn keep_spare(&mut self, one: Examined, used: Option<SegmentId>) -> Result<(), VaultError> {
        let Candidate { id, path, bytes, .. } = one.candidate;
        if used.is_some_and(|used| id < used) {
            // Passed over when it was new; in its place it would break the order.
            return self.files.remove(&path).map_err(VaultError::io("remove", &path));
        }
        let file = self.open(&path)?;
        self.spares.push_back(Spare { id, path, file, bytes });
        Ok(())
    }

    /// Reports records between what came before and what is there: up to the predecessor that the header
    /// names, or, with the header gone, up to the first record that was found.
    fn report_hole(&mut self, one: &Examined) {
        let first_missing = self.predecessor.last_seq + 1;
        let (segment, last_missing) = match one.header {
            Some(header) => (SegmentId(header.prev_segment), header.prev_last_seq),
            None if one.verdict == SegmentVerdict::Scanned => {
                (one.candidate.id, one.trailer.first_seq.saturating_sub(1))
            }
            None => return,
        };
        let is_there = self.segments.contains_key(&segment);
        if segment.get() == 0 || is_there || last_missing < first_missing {
            return;
        }
        let lost = Some((first_missing, last_missing));
        self.report.faults.push(DamagedRange {
            segment,
            kind: FaultKind::Hole,
            start: 0,
            end: 0,
            lost,
        });
    }

    /// Seals, sets aside or takes a segment as it is.
    fn place(&mut self, one: Examined, durable_seq: u64) -> Result<(), VaultError> {
        let id = one.candidate.id;
        let is_scanned = one.verdict == SegmentVerdict::Scanned;
        let is_damaged = one.faults.iter().any(|fault| fault.kind != FaultKind::TornTail);
        self.count(&one, durable_seq);
        let mut info = judge::describe(&one);
        if one.candidate.is_quarantined {
            info.state = SegmentState::Quarantined;
        } else if is_damaged {
            info.path = self.set_aside(&one);
            info.state = SegmentState::Quarantined;
        } else if is_scanned {
            self.seal(&one, &mut info);
        } else if one.candidate.extension == EXTENSION_OPEN {
            info.path = self.finish_rename(&one.candidate)?;
        }
        if let Some(digest) = info.digest {
            self.last_digest = digest;
        }
        self.predecessor = Predecessor {
            segment: id.get(),
            last_seq: info.last_seq.max(self.predecessor.last_seq),
            crc: info.segment_crc.unwrap_or(0),
        };
        if info.state == SegmentState::Quarantined {
            self.report.quarantined.push(id);
        }
        self.unknown_records = one.unreadable_records_max();
        let mut faults = one.faults;
        if info.state == SegmentState::Sealed {
            // It ends before what was torn.
            faults.retain(|fault| fault.kind != FaultKind::TornTail);
        }
        self.segments.insert(id, Listed::new(info, faults));
        Ok(())
    }

    fn count(&mut self, one: &Examined, durable_seq: u64) {
        self.report.segments += 1;
        self.report.records += one.trailer.record_count;
        self.report.scanned_segments += u64::from(one.verdict == SegmentVerdict::Scanned);
        // Later commits do not make an old gap an acknowledged one.
        let durable_seq = if one.candidate.is_quarantined { one.durable_seq } else { durable_seq };
        for fault in &one.faults {
            self.report.torn_tails += u64::from(fault.kind == FaultKind::TornTail);
            if let Some((first, last)) = fault.lost
                && first <= durable_seq
            {
                self.report.acknowledged_lost.push((first, last.min(durable_seq)));
            }
        }
        self.report.faults.extend(one.faults.iter().cloned());
    }

    /// One that cannot be moved is read, and kept, where it is.
    fn set_aside(&self, one: &Examined) -> PathBuf {
        let path = &one.candidate.path;
        let id = one.candidate.id;
        let moved = quarantine::set_aside(&*self.files, self.dir, id, path, &one.faults);
        moved.unwrap_or_else(|error| {
            tracing::error!(%error, segment = %id, "Cannot move a damaged segment to quarantine.");
            path.clone()
        })
    }

    fn finish_rename(&self, candidate: &Candidate) -> Result<PathBuf, VaultError> {
        let path = id::segment_path(self.dir, candidate.id, EXTENSION_SEALED);
        self.files
            .rename(&candidate.path, &path)
            .and_then(|()| self.files.sync_dir(self.dir))
            .map_err(VaultError::io("rename", &candidate.path))?;
        Ok(path)
    }

    /// Writes the footer a crash prevented. A failure leaves the segment readable as it is.
    fn seal(&self, one: &Examined, info: &mut SegmentInfo) {
        let file = match self.open(&one.candidate.path) {
            Ok(file) => file,
            Err(error) => {
                tracing::warn!(
                    %error, segment = %one.candidate.id,
                    "Cannot open a segment to seal it; it stays unsealed."
                );
                return;
            }
        };
        let tail = one.faults.iter().find(|fault| fault.kind == FaultKind::TornTail);
        if let Some(tail) = tail {
            let id = one.candidate.id;
            let range = tail.start..tail.end;
            let kept = torn::keep_tail(&*self.files, self.dir, id, &*file, range)
                .and_then(|()| torn::clear_block_from(&*file, tail.start));
            if let Err(error) = kept {
                tracing::warn!(%error, segment = %id,
                    "Cannot copy the incomplete end of a segment to quarantine; the segment stays \
                     unsealed.");
                return;
            }
        }
        let mut trailer = one.trailer;
        trailer.data_end = info.data_end;
        let job = SealJob {
            id: one.candidate.id,
            path: one.candidate.path.clone(),
            file,
            index: one.index.clone(),
            trailer,
            written: None,
        };
        match seal::seal(&*self.files, self.dir, job, self.last_digest) {
            Ok(sealed) => {
                info.state = SegmentState::Sealed;
                info.path = sealed.path;
                info.file_bytes = sealed.file_bytes;
                info.segment_crc = Some(sealed.segment_crc);
                info.digest = Some(sealed.digest);
            }
            Err(error) => {
                tracing::warn!(%error, segment = %one.candidate.id,
                    "Cannot seal a recovered segment.");
            }
        }
    }

    fn finish(
        mut self,
        durable_seq: u64,
        known: &Known,
        next_segment: u64,
        started: Instant,
    ) -> Result<Recovered, VaultError> {
        let mut last_seq = self.predecessor.last_seq;
        let oldest = self.segments.values().next().map(|listed| listed.info.first_seq - 1);
        let cursors = self.load_cursors(oldest, known)?;
        let dropped = Dropped::load(&self.files, self.dir, self.vault_id)
            .map_err(VaultError::io("read the count of dropped records of", self.dir))?;
        self.report_missing_end(durable_seq, known);
        let durable_seq = durable_seq.max(known.durable_seq);
        self.judge_holes(&cursors, durable_seq, dropped.through());
        let seen = |cursor: &Arc<Cursor>| lock(&cursor.acks).highest();
        last_seq = last_seq.max(cursors.values().map(seen).max().unwrap_or(0));
        // What the last segment does not give may be numbered; no number is used twice.
        let next_seq = last_seq.max(durable_seq) + self.unknown_records + 1;
        self.report.next_seq = next_seq;
        self.report.elapsed = started.elapsed();
        let used_bytes = directory::used_bytes(&*self.files, self.dir)?;
        let lost_records = self.report.lost_records();
        if 0 < lost_records {
            tracing::error!(lost_records, ranges = %SeqRanges(&self.report.acknowledged_lost),
                "Acknowledged records are missing from the vault.");
        }
        let state = LogState::new(self.segments, cursors);
        let log =
            Log::new(self.files, self.dir, self.vault_id, state, last_seq, used_bytes, dropped);
        log.lost_records.store(lost_records, Ordering::Relaxed);
        Ok(Recovered {
            log,
            spares: self.spares,
            next_seq,
            next_segment,
            last_digest: self.last_digest,
            predecessor: self.predecessor,
            report: self.report,
        })
    }
}

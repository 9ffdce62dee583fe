//! What the helper reads: sealed segments, once, while no record waits for the disk, and suspect ones.
//!
//! A record is forgotten in memory as soon as it is acknowledged. Reading its segment back soon after is
//! how a disk that kept something else is noticed while its backend may still be there, and not months
//! later. Under full load it waits: the readers check each record anyway.

use std::io;
use std::sync::atomic::Ordering;

use crate::append::helper::Helper;
use crate::append::unread::Current;
use crate::fs::Access;
use crate::log::view::SegmentInfo;
use crate::segment::fault::DamagedRange;
use crate::segment::fault::FaultKind;
use crate::segment::id::SegmentId;
use crate::segment::id::SegmentState;
use crate::segment::pieces::PieceReader;
use crate::segment::quarantine;
use crate::segment::scan::ScanItem;
use crate::segment::scan::Scanner;
use crate::state::lock;

impl Helper {
    /// Reads one piece of a segment that was sealed and not read since: between two pieces the helper
    /// looks at its other work.
    pub(super) fn read_back(&mut self) {
        let Some(mut current) = self.scrub.current.take().or_else(|| self.next_to_read()) else {
            return;
        };
        let id = current.id;
        match current.step() {
            Ok(None) => self.scrub.current = Some(current),
            Ok(Some(computed)) => self.compare(id, computed),
            Err(error) => {
                tracing::warn!(%error, segment = %id, "Cannot read back a sealed segment.");
            }
        }
        self.tell_unread();
    }

    pub(super) fn tell_unread(&self) {
        self.gauges.unread_segments.store(self.scrub.len() as u64, Ordering::Relaxed);
    }

    /// Opens the next one that is still there.
    fn next_to_read(&mut self) -> Option<Current> {
        let id = self.scrub.waiting.pop_front()?;
        let info = self.log.info(id).filter(|info| info.state == SegmentState::Sealed)?;
        // A file that cannot be opened is the readers' to report, with what is lost.
        let file = self.log.files.open(&info.path, Access::Direct).ok()?;
        let pieces = PieceReader::new(file.into(), info.data_end).ok()?;
        Some(Current { id, pieces, crc: crc32fast::Hasher::new() })
    }

    fn compare(&mut self, id: SegmentId, computed: u32) {
        let Some(info) = self.log.info(id) else { return };
        if info.state == SegmentState::Sealed && info.segment_crc != Some(computed) {
            let written = info.segment_crc.unwrap_or_default();
            tracing::error!(
                segment = %id, written, computed,
                "Disk returned other bytes than the vault wrote."
            );
            self.gauges.suspect_segments.fetch_add(1, Ordering::Relaxed);
            self.settle(id);
        }
    }

    /// Puts a segment that failed where it belongs: one with records is verified and set aside, one that
    /// never had any is taken away.
    pub(super) fn settle(&mut self, id: SegmentId) {
        let Some(info) = self.log.info(id) else { return };
        if 0 < info.records {
            self.verify_suspect(id);
        }
        self.put_away(id);
    }

    /// Tries again what the disk did not do before.
    pub(super) fn settle_suspects(&mut self) {
        for id in std::mem::take(&mut self.suspects) {
            self.put_away(id);
        }
    }

    fn put_away(&mut self, id: SegmentId) {
        let Some(info) = self.log.info(id) else { return };
        let put = match self.see_place() {
            Ok(()) if info.records == 0 => self.discard(&info),
            Ok(()) => self.set_aside(id),
            Err(error) => Err(error),
        };
        if let Err(error) = put {
            tracing::debug!(
                %error, segment = %id,
                "Cannot move a failed segment to quarantine; the vault retries later."
            );
            self.suspects.push(id);
        }
    }

    /// Nothing in it was ever acknowledged. It leaves the list first: a reader that misses the file of a
    /// listed segment reports that.
    fn discard(&self, info: &SegmentInfo) -> io::Result<()> {
        let listed = lock(&self.log.state).segments.remove(&info.id);
        match self.log.files.remove(&info.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                if let Some(listed) = listed {
                    lock(&self.log.state).segments.insert(info.id, listed);
                }
                return Err(error);
            }
            _ => {}
        }
        self.log.used_bytes.fetch_sub(info.file_bytes, Ordering::AcqRel);
        Ok(())
    }

    /// Reads back what was durable and reports what is missing.
    fn verify_suspect(&self, id: SegmentId) {
        let Some(info) = self.log.info(id) else { return };
        let path = info.path.clone();
        let files = &self.log.files;
        let verified = files.open(&path, Access::Direct).and_then(|file| {
            let last_seq = Some(info.first_seq.saturating_sub(1));
            let vault_id = self.log.vault_id;
            Scanner::new(file.into(), id, vault_id, info.data_end, last_seq)
        });
        match verified {
            Ok(scanner) => verify(scanner, info.last_seq, |fault| self.log.report(fault)),
            Err(error) => tracing::error!(%error, segment = %id, "Cannot verify a segment."),
        }
    }

    pub(super) fn set_aside(&self, id: SegmentId) -> io::Result<()> {
        let Some(info) = self.log.info(id) else { return Ok(()) };
        let faults = lock(&self.log.state).segments.get(&id).map(|listed| listed.faults.clone());
        let faults = faults.unwrap_or_default();
        let files = &*self.log.files;
        let path = quarantine::set_aside(files, &self.log.dir, id, &info.path, &faults)?;
        self.log.update(id, |info| {
            info.state = SegmentState::Quarantined;
            info.path = path;
        });
        Ok(())
    }
}

/// Walks all records up to `last_seq` and reports every one that is gone.
pub(crate) fn verify(mut scanner: Scanner, last_seq: u64, mut report: impl FnMut(DamagedRange)) {
    loop {
        match scanner.next() {
            ScanItem::Record(record) => {
                if scanner.check_body(&record).is_err() {
                    report(scanner.body_fault(&record));
                }
            }
            ScanItem::Watermark(_) => {}
            ScanItem::Fault(fault) => report(fault),
            ScanItem::End | ScanItem::Torn => {
                report_missing_tail(&scanner, last_seq, &mut report);
                return;
            }
        }
    }
}

fn report_missing_tail(scanner: &Scanner, last_seq: u64, report: &mut impl FnMut(DamagedRange)) {
    if let Some(seen) = scanner.last_seq()
        && seen < last_seq
    {
        report(scanner.tail_fault(FaultKind::Tail, Some((seen + 1, last_seq))));
    }
}

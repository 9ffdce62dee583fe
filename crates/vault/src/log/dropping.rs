//! Dropping segments that somebody still needs: the oldest when a vault is full and its options ask for
//! it, and those that an operator names.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::VaultError;
use crate::fs::Access;
use crate::fs::File;
use crate::log::cursor::Cursor;
use crate::log::dropped::DropObserver;
use crate::log::dropped::DroppedRecord;
use crate::log::dropped::FILE_NAME;
use crate::log::dropped::encode;
use crate::log::holds;
use crate::log::holds::Hold;
use crate::log::view::Log;
use crate::log::view::SegmentInfo;
use crate::segment::id::SegmentId;
use crate::segment::id::SegmentState;
use crate::segment::scan::ScanItem;
use crate::segment::scan::Scanner;
use crate::seq_ranges::SeqRanges;
use crate::slots::SlotFile;
use crate::state::lock;

impl Log {
    /// Names who is told about dropped records.
    pub(crate) fn observe_drops(&self, observer: Arc<DropObserver>) {
        lock(&self.dropped).observer = Some(observer);
    }

    /// Makes the mark's file, while there is room for it.
    pub(crate) fn prepare_to_drop(&self) -> io::Result<()> {
        let mut dropped = lock(&self.dropped);
        if dropped.slots.is_none() {
            let payload = encode(self.vault_id, 0, 0);
            let slots = SlotFile::create(Arc::clone(&self.files), &self.dir, FILE_NAME, &payload)?;
            dropped.slots = Some(slots);
            self.used_bytes.fetch_add(2 * 4096, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Makes the mark's file again if it was taken away.
    pub(crate) fn put_back_mark(&self) -> io::Result<bool> {
        let mut dropped = lock(&self.dropped);
        let payload = encode(self.vault_id, dropped.through, dropped.records);
        dropped.slots.as_mut().map_or(Ok(false), |slots| slots.put_back(&payload))
    }

    /// Deletes the oldest segment that is neither the newest nor held; returns whether there was one.
    ///
    /// # Errors
    ///
    /// The system's answer; nothing was deleted then, or it is deleted and not yet synced.
    pub(crate) fn drop_oldest(&self) -> io::Result<bool> {
        let _choosing = lock(&self.choosing);
        let holds = holds::list(&*self.files, &self.dir)?;
        let Some(victim) = self.oldest_to_drop(&holds) else { return Ok(false) };
        let wanted = self.wanted(&victim);
        self.drop_segment(&victim, &wanted)?;
        tracing::warn!(segment = %victim.id, first_seq = victim.first_seq, last_seq = victim.last_seq,
            undelivered = %SeqRanges(&wanted), "Vault is full; it dropped its oldest segment.");
        Ok(true)
    }

    /// Deletes a sealed segment that is neither the newest nor held nor pinned, whoever needs it; `None` if
    /// it is none of those. `give_up` lets every cursor pass its records and returns those, in runs, that
    /// count as dropped: the observer is told of each.
    ///
    /// # Errors
    ///
    /// [`VaultError::Io`]; nothing was deleted then, or it is deleted and not yet synced.
    pub fn discard(
        &self,
        id: SegmentId,
        give_up: impl FnOnce(&SegmentInfo) -> Vec<(u64, u64)>,
    ) -> Result<Option<SegmentInfo>, VaultError> {
        let _choosing = lock(&self.choosing);
        let holds = self.read_holds()?;
        let Some(victim) = self.discardable().into_iter().find(|info| info.id == id) else {
            return Ok(None);
        };
        if self.is_pinned(id) || holds.iter().any(|hold| hold.covers(id)) {
            return Ok(None);
        }
        self.prepare_to_drop().map_err(VaultError::io("prepare dropping in", &self.dir))?;
        let wanted = give_up(&victim);
        self.drop_segment(&victim, &wanted).map_err(VaultError::io("drop", &victim.path))?;
        tracing::warn!(segment = %victim.id, first_seq = victim.first_seq, last_seq = victim.last_seq,
            undelivered = %SeqRanges(&wanted), "An operator dropped a segment.");
        Ok(Some(victim))
    }

    /// The sealed segments but the newest, whoever needs them.
    #[must_use]
    pub fn discardable(&self) -> Vec<SegmentInfo> {
        let state = lock(&self.state);
        let newest = state.segments.values().rev().find(|listed| 0 < listed.info.records);
        let Some(newest) = newest.map(|listed| listed.info.id) else { return Vec::new() };
        let is_closed =
            |info: &&SegmentInfo| info.state == SegmentState::Sealed && info.id < newest;
        state.segments.values().map(|listed| &listed.info).filter(is_closed).cloned().collect()
    }

    /// Marks what is dropped with a segment, deletes the segment, and tells the observer.
    fn drop_segment(&self, victim: &SegmentInfo, wanted: &[(u64, u64)]) -> io::Result<()> {
        // One that cannot be opened goes all the same; nobody can be told what was in it.
        let file = self.files.open(&victim.path, Access::Direct).ok();
        let mut dropped = lock(&self.dropped);
        let observer = dropped.observer.clone();
        let through = dropped.through.max(victim.last_seq);
        let records =
            dropped.records + wanted.iter().map(|(first, last)| last - first + 1).sum::<u64>();
        let slots = dropped.slots.as_mut().ok_or(io::ErrorKind::NotFound)?;
        slots.write(&encode(self.vault_id, through, records))?;
        dropped.through = through;
        dropped.records = records;
        drop(dropped);
        lock(&self.state).segments.remove(&victim.id);
        match self.files.remove(&victim.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                self.register(victim.clone());
                return Err(error);
            }
            _ => {}
        }
        self.used_bytes.fetch_sub(victim.file_bytes, Ordering::AcqRel);
        self.files.sync_dir(victim.path.parent().unwrap_or(&self.dir))?;
        if let (Some(observer), Some(file)) = (observer, file) {
            // The file has no name any more; what it held can still be read.
            self.tell(file.into(), victim, wanted, &*observer);
        }
        Ok(())
    }

    fn oldest_to_drop(&self, holds: &[Hold]) -> Option<SegmentInfo> {
        let state = lock(&self.state);
        let newest = state.segments.values().rev().find(|listed| 0 < listed.info.records)?.info.id;
        let is_closed = |info: &&SegmentInfo| {
            matches!(info.state, SegmentState::Sealed | SegmentState::Quarantined)
                && info.id < newest
                && !holds.iter().any(|hold| hold.covers(info.id))
        };
        let mut closed = state.segments.values().map(|listed| &listed.info).filter(is_closed);
        let oldest = closed.next()?;
        // What is on its way has its only other copy in memory: rather one of which nothing is.
        let is_under_way = |info: &&SegmentInfo| {
            state.cursors.values().any(|cursor| cursor.is_under_way(info.first_seq, info.last_seq))
        };
        let at_rest = |info: &&SegmentInfo| !is_under_way(info);
        Some(oldest).filter(at_rest).or_else(|| closed.find(at_rest)).or(Some(oldest)).cloned()
    }

    /// Runs of seqs of a segment that some cursor has not acknowledged; all without a cursor.
    pub(crate) fn wanted(&self, victim: &SegmentInfo) -> Vec<(u64, u64)> {
        let (first, last) = (victim.first_seq, victim.last_seq);
        let state = lock(&self.state);
        // What a reader has handed out is on its way, with a copy in memory.
        let has = |cursor: &Arc<Cursor>, seq: u64| lock(&cursor.given).contains(seq);
        let is_wanted = |seq: &u64| {
            state.cursors.is_empty() || state.cursors.values().any(|cursor| !has(cursor, *seq))
        };
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for seq in (first..=last).filter(is_wanted) {
            match runs.last_mut() {
                Some(run) if run.1 + 1 == seq => run.1 = seq,
                _ => runs.push((seq, seq)),
            }
        }
        runs
    }

    fn tell(
        &self,
        file: Arc<dyn File>,
        victim: &SegmentInfo,
        wanted: &[(u64, u64)],
        observer: &DropObserver,
    ) {
        let before = victim.first_seq.checked_sub(1);
        let scanner = Scanner::new(file, victim.id, self.vault_id, victim.data_end, before);
        let Ok(mut scanner) = scanner else { return };
        let mut body = Vec::new();
        loop {
            match scanner.next() {
                ScanItem::Record(record) => {
                    let header = record.header;
                    let is_wanted =
                        wanted.iter().any(|(first, last)| (*first..=*last).contains(&header.seq));
                    if is_wanted && scanner.read_body(&record, &mut body).is_ok() {
                        let attrs = body.get(..usize::from(header.attrs_len)).unwrap_or_default();
                        let (seq, signal) = (header.seq, header.signal);
                        observer(&DroppedRecord { seq, signal, attrs });
                    }
                }
                ScanItem::Watermark(_) | ScanItem::Fault(_) => {}
                ScanItem::End | ScanItem::Torn => return,
            }
        }
    }
}

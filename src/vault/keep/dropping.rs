//! Dropping the oldest segment when a vault is full and its options ask for it.
//!
//! ```text
//!  slot payload of the file `dropped`: vault_id u128, through u64, records u64
//!  every seq <= through may be gone on purpose; `records` counts those that a cursor still wanted
//! ```
//!
//! The mark is durable before a segment is deleted, so that recovery can tell what was dropped from
//! what was lost.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::vault::append::spare::SegmentState;
use crate::vault::fs::Access;
use crate::vault::fs::File;
use crate::vault::fs::FileSystem;
use crate::vault::keep::holds;
use crate::vault::keep::holds::Hold;
use crate::vault::log::Log;
use crate::vault::log::SegmentInfo;
use crate::vault::read::cursor::Cursor;
use crate::vault::read::scan::Found;
use crate::vault::read::scan::Scanner;
use crate::vault::slots::SlotFile;
use crate::vault::state::lock;

/// Name of the mark's file.
const FILE_NAME: &str = "dropped";

/// A record that is dropped although a cursor wanted it, or no cursor was there to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DroppedRecord<'a> {
    /// Its number.
    pub seq: u64,
    /// The caller's kind of record.
    pub signal: u8,
    /// The caller's attributes.
    pub attrs: &'a [u8],
}

/// Told about each dropped record.
pub type DropObserver = dyn Fn(&DroppedRecord<'_>) + Send + Sync;

/// What was dropped so far, and who is told.
#[derive(Default)]
pub(in crate::vault) struct Dropped {
    slots: Option<SlotFile>,
    through: u64,
    records: u64,
    observer: Option<Arc<DropObserver>>,
}

impl fmt::Debug for Dropped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { through, records, .. } = self;
        formatter
            .debug_struct("Dropped")
            .field("through", through)
            .field("records", records)
            .finish()
    }
}

impl Dropped {
    /// Loads the mark; a damaged one hides nothing: what was dropped then counts as lost.
    pub(in crate::vault) fn load(
        files: &Arc<dyn FileSystem>,
        dir: &Path,
        vault_id: u128,
    ) -> io::Result<Self> {
        let (slots, payload) = match SlotFile::open(Arc::clone(files), &dir.join(FILE_NAME)) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let (through, records) =
            payload.and_then(|bytes| decode(&bytes, vault_id)).unwrap_or_else(|| {
                tracing::error!("The mark of dropped records is damaged.");
                (0, 0)
            });
        Ok(Self { slots: Some(slots), through, records, observer: None })
    }

    /// Marks what a tool is about to delete from a vault that nobody writes: every seq up to `through`,
    /// of which `records` were wanted.
    pub(in crate::vault) fn mark(
        files: &Arc<dyn FileSystem>,
        dir: &Path,
        vault_id: u128,
        through: u64,
        records: u64,
    ) -> io::Result<()> {
        let before = Self::load(files, dir, vault_id)?;
        let payload =
            encode(vault_id, before.through.max(through), before.records.saturating_add(records));
        match before.slots {
            Some(mut slots) => slots.write(&payload),
            None => SlotFile::create(Arc::clone(files), dir, FILE_NAME, &payload).map(drop),
        }
    }

    /// Every seq up to this one may be gone on purpose.
    pub(in crate::vault) fn through(&self) -> u64 {
        self.through
    }

    /// Records dropped although they were wanted, since the vault was made.
    pub(in crate::vault) fn records(&self) -> u64 {
        self.records
    }
}

impl Log {
    /// Names who is told about dropped records.
    pub(in crate::vault) fn observe_drops(&self, observer: Arc<DropObserver>) {
        lock(&self.dropped).observer = Some(observer);
    }

    /// Makes the mark's file, while there is room for it.
    pub(in crate::vault) fn prepare_to_drop(&self) -> io::Result<()> {
        let mut dropped = lock(&self.dropped);
        if dropped.slots.is_none() {
            let payload = encode(self.vault_id, 0, 0);
            let slots = SlotFile::create(Arc::clone(&self.files), &self.dir, FILE_NAME, &payload)?;
            dropped.slots = Some(slots);
            self.used_bytes.fetch_add(2 * 4096, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Deletes the oldest segment that is neither the newest nor held; returns whether there was one.
    ///
    /// # Errors
    ///
    /// The system's answer; nothing was deleted then, or it is deleted and not yet synced.
    pub(in crate::vault) fn drop_oldest(&self) -> io::Result<bool> {
        let holds = holds::list(&*self.files, &self.dir)?;
        let Some(victim) = self.oldest_to_drop(&holds) else { return Ok(false) };
        // One that cannot be opened goes all the same; nobody can be told what was in it.
        let file = self.files.open(&victim.path, Access::Direct).ok();
        let mut dropped = lock(&self.dropped);
        let (wanted, observer) = (self.wanted(&victim), dropped.observer.clone());
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
                self.register(victim);
                return Err(error);
            }
            _ => {}
        }
        self.used_bytes.fetch_sub(victim.file_bytes, Ordering::AcqRel);
        self.files.sync_dir(victim.path.parent().unwrap_or(&self.dir))?;
        tracing::warn!(segment = %victim.id, first_seq = victim.first_seq, last_seq = victim.last_seq,
            ?wanted, "Vault is full: its oldest segment was dropped.");
        if let (Some(observer), Some(file)) = (observer, file) {
            // The file has no name any more; what it held can still be read.
            self.tell(file.into(), &victim, &wanted, &*observer);
        }
        Ok(true)
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
    fn wanted(&self, victim: &SegmentInfo) -> Vec<(u64, u64)> {
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
                Found::Record(record) => {
                    let header = record.header;
                    let is_wanted =
                        wanted.iter().any(|(first, last)| (*first..=*last).contains(&header.seq));
                    if is_wanted && scanner.read_body(&record, &mut body).is_ok() {
                        let attrs = body.get(..usize::from(header.attrs_len)).unwrap_or_default();
                        let (seq, signal) = (header.seq, header.signal);
                        observer(&DroppedRecord { seq, signal, attrs });
                    }
                }
                Found::Watermark(_) | Found::Fault(_) => {}
                Found::End | Found::Torn => return,
            }
        }
    }
}

fn encode(vault_id: u128, through: u64, records: u64) -> Vec<u8> {
    [&vault_id.to_le_bytes()[..], &through.to_le_bytes(), &records.to_le_bytes()].concat()
}

fn decode(bytes: &[u8], vault_id: u128) -> Option<(u64, u64)> {
    let (id, rest) = bytes.split_first_chunk::<16>()?;
    let (through, rest) = rest.split_first_chunk::<8>()?;
    let records = rest.first_chunk::<8>()?;
    let is_ours = u128::from_le_bytes(*id) == vault_id;
    is_ours.then(|| (u64::from_le_bytes(*through), u64::from_le_bytes(*records)))
}

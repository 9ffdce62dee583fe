//! What recovery knows beside the segments: the cursors, what may be missing because of them, and what
//! somebody outside knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::VaultError;
use crate::log::cursor;
use crate::log::cursor::Acks;
use crate::log::cursor::CURSOR_DIR;
use crate::log::cursor::Cursor;
use crate::options::Known;
use crate::recover::recovery::Recovery;
use crate::segment::fault::DamagedRange;
use crate::segment::fault::FaultKind;
use crate::segment::id::SegmentId;
use crate::state::lock;

impl Recovery<'_> {
    /// A hole that every cursor has passed is what retention left, and one below the mark of what was
    /// dropped is no secret; only what a cursor still wanted is lost.
    pub(super) fn judge_holes(
        &mut self,
        cursors: &BTreeMap<String, Arc<Cursor>>,
        durable_seq: u64,
        dropped_through: u64,
    ) {
        let wanted_from = |(first, last): (u64, u64)| {
            let first = first.max(dropped_through + 1);
            let missing = |cursor: &Arc<Cursor>| {
                let saved = lock(&cursor.saved);
                (!saved.covers(first, last)).then(|| first.max(saved.low() + 1))
            };
            let wanted = cursors.values().filter_map(missing).min();
            let wanted = if cursors.is_empty() { Some(first) } else { wanted };
            wanted.filter(|first| *first <= last).map(|first| (first, last))
        };
        self.report.faults.retain_mut(|fault| {
            if fault.kind == FaultKind::Hole {
                fault.lost = fault.lost.and_then(wanted_from);
                return fault.lost.is_some();
            }
            true
        });
        let holes = self.report.faults.iter().filter(|fault| fault.kind == FaultKind::Hole);
        let lost = holes.filter_map(|fault| fault.lost).filter(|(first, _)| *first <= durable_seq);
        let lost: Vec<_> = self.report.acknowledged_lost.iter().copied().chain(lost).collect();
        // So with a segment that lost its header and all that was in it, where those before were
        // deleted: it may never have held what came before the next one.
        self.report.acknowledged_lost = lost.into_iter().filter_map(wanted_from).collect();
    }

    /// Loads every cursor that has a file, and makes those again that are known and have none.
    pub(super) fn load_cursors(
        &mut self,
        oldest_low: Option<u64>,
        known: &Known,
    ) -> Result<BTreeMap<String, Arc<Cursor>>, VaultError> {
        let folder = self.dir.join(CURSOR_DIR);
        let entries = self.files.list(&folder).map_err(VaultError::io("list", &folder))?;
        let mut cursors = BTreeMap::new();
        for entry in entries {
            if cursor::check_name(&entry.name).is_err() {
                continue;
            }
            let name = &entry.name;
            let files = Arc::clone(&self.files);
            let low = oldest_low.unwrap_or(0);
            let (cursor, is_damaged) = Cursor::load(files, self.dir, name, self.vault_id, low)
                .map_err(VaultError::io("read", &folder.join(name)))?;
            if is_damaged {
                tracing::error!(
                    cursor = %name,
                    "Cursor is damaged; it restarts at the oldest request."
                );
                self.report.damaged_cursors.push(name.clone());
            }
            cursors.insert(name.clone(), Arc::new(cursor));
        }
        for (name, low) in &known.cursors {
            if cursors.contains_key(name) || cursor::check_name(name).is_err() {
                continue;
            }
            let low = (*low).max(oldest_low.unwrap_or(0));
            tracing::error!(cursor = %name, low,
                "Cursor file is missing; the cursor restarts at its last known position.");
            let (files, acks) = (Arc::clone(&self.files), Acks::new(low));
            let cursor = Cursor::create(files, self.dir, name, self.vault_id, acks)?;
            self.report.missing_cursors.push(name.clone());
            cursors.insert(name.clone(), Arc::new(cursor));
        }
        Ok(cursors)
    }

    /// Reports records between the last one that is there and the last one that is known to have been
    /// acknowledged.
    pub(super) fn report_missing_end(&mut self, durable_seq: u64, known: &Known) {
        let there = self.predecessor.last_seq.max(durable_seq);
        if there < known.durable_seq {
            let lost = Some((there + 1, known.durable_seq));
            let segment = SegmentId(self.predecessor.segment + 1);
            let fault = DamagedRange { segment, kind: FaultKind::Hole, start: 0, end: 0, lost };
            self.report.faults.push(fault);
        }
    }
}

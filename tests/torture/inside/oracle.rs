//! What must be true of a vault after a crash: nothing acknowledged is missing, nothing is altered,
//! nothing is invented, and recovery says nothing else.

use std::sync::Arc;

use gophership_vault::Log;
use gophership_vault::OfflineItem;
use gophership_vault::OfflineReader;
use gophership_vault::Reader;
use gophership_vault::RecoveryReport;
use gophership_vault::StoredRecord;
use gophership_vault::recover_on;
use gophership_vault_sim::SimFileSystem;

use super::bench;

/// A set of ids below 128.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ids(pub(super) u128);

impl Ids {
    pub(super) fn insert(&mut self, id: u64) {
        self.0 |= 1 << id;
    }

    pub(super) fn contains(self, id: u64) -> bool {
        self.0 >> id & 1 == 1
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) fn list(self) -> Vec<u64> {
        (0..128).filter(|id| self.contains(*id)).collect()
    }
}

/// The name of the cursor the scripts read with.
pub(super) const CURSOR: &str = "test";

/// What was promised by a moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Promised {
    /// Told `Ok`.
    pub(super) acked: Ids,
    /// Acknowledged on the cursor before a save that had begun: may be gone.
    pub(super) maybe_taken: Ids,
    /// Acknowledged on the cursor before a save that had ended: must not come again.
    pub(super) taken: Ids,
}

/// What was found.
pub(super) struct Found {
    pub(super) ids: Ids,
    pub(super) report: RecoveryReport,
}

/// Checks one record against what was sent under its id.
pub(super) fn check_record(record: &StoredRecord, sent: &[Vec<u8>]) -> Result<u64, String> {
    let id = record.received_unix_ns;
    let original = usize::try_from(id).ok().and_then(|id| sent.get(id));
    let Some(original) = original.filter(|bytes| !bytes.is_empty()) else {
        return Err(format!("record {id} with seq {} was never sent", record.seq));
    };
    if record.payload[..] != original[..] || record.attrs != bench::attrs(id) {
        return Err(format!("record {id} with seq {} is altered", record.seq));
    }
    Ok(id)
}

/// Reads everything a cursor still gets, in order.
pub(super) fn read_all(log: &Arc<Log>, name: &str, sent: &[Vec<u8>]) -> Result<Ids, String> {
    let mut reader = Reader::open(log, name).map_err(|error| format!("open reader: {error:?}"))?;
    let mut ids = Ids::default();
    let mut last_seq = 0;
    while let Some(record) = reader.next().map_err(|error| format!("read: {error:?}"))? {
        let id = check_record(&record, sent)?;
        if record.seq <= last_seq || ids.contains(id) {
            return Err(format!("record {id} came out of order or twice"));
        }
        last_seq = record.seq;
        ids.insert(id);
        reader.ack(record.seq);
    }
    Ok(ids)
}

/// Recovers a disk and compares what is there with what was promised.
pub(super) fn check(
    files: &SimFileSystem,
    sent: &[Vec<u8>],
    promised: &Promised,
) -> Result<Found, String> {
    let (log, report) = recover_on(&files.shared(), &bench::dir())
        .map_err(|error| format!("does not recover: {error:?}"))?;
    let ids = read_all(&log, CURSOR, sent).map_err(|error| format!("{error}; {report:?}"))?;
    let missing = promised.acked.without(promised.maybe_taken).without(ids);
    if missing != Ids::default() {
        return Err(format!("acknowledged {:?} are missing; {report:?}", missing.list()));
    }
    let again = Ids(ids.0 & promised.taken.0);
    if again != Ids::default() {
        return Err(format!("{:?} came again after a save; {report:?}", again.list()));
    }
    if !report.acknowledged_lost.is_empty() {
        return Err(format!("nothing is missing, yet {report:?}"));
    }
    Ok(Found { ids, report })
}

/// Reads a disk as the tools do, without recovery; returns what is there.
pub(super) fn read_offline(files: &SimFileSystem, sent: &[Vec<u8>]) -> Result<Ids, String> {
    if files.paths().is_empty() {
        return Ok(Ids::default());
    }
    let opened = OfflineReader::open_on(files.shared(), &bench::dir());
    let mut offline = opened.map_err(|error| format!("open offline: {error:?}"))?;
    let mut ids = Ids::default();
    loop {
        match offline.next().map_err(|error| format!("read offline: {error:?}"))? {
            Some(OfflineItem::Record(record)) => ids.insert(check_record(&record, sent)?),
            Some(OfflineItem::Fault(_)) => {}
            None => return Ok(ids),
        }
    }
}

/// Whether the tools' reader names any damage.
pub(super) fn has_faults_offline(files: &SimFileSystem) -> Result<bool, String> {
    let opened = OfflineReader::open_on(files.shared(), &bench::dir());
    let mut offline = opened.map_err(|error| format!("open offline: {error:?}"))?;
    loop {
        match offline.next().map_err(|error| format!("read offline: {error:?}"))? {
            Some(OfflineItem::Record(_)) => {}
            Some(OfflineItem::Fault(_)) => return Ok(true),
            None => return Ok(false),
        }
    }
}

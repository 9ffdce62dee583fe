//! Reads a directory or one segment without its lock: for tools, on a stopped or copied vault.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use crate::vault::directory;
use crate::vault::error::VaultError;
use crate::vault::examine;
use crate::vault::examine::Candidate;
use crate::vault::examine::Examined;
use crate::vault::examine::Verdict;
use crate::vault::fs::Access;
use crate::vault::fs::FileSystem;
use crate::vault::fs::SystemFileSystem;
use crate::vault::identity;
use crate::vault::identity::Stored;
use crate::vault::scan::Fault;
use crate::vault::scan::FaultKind;
use crate::vault::scan::Found;
use crate::vault::scan::Scanner;
use crate::vault::spare;
use crate::vault::stored;
use crate::vault::stored::StoredRecord;

/// One thing found by an [`OfflineReader`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfflineItem {
    /// A good record.
    Record(StoredRecord),
    /// A damaged range; a record it names as lost is not among the records.
    Fault(Fault),
}

/// Reads every record and every fault, oldest segment first, without changing anything.
///
/// On a vault in use the open segment is read as far as it is intact at that moment.
pub struct OfflineReader {
    files: Arc<dyn FileSystem>,
    vault_id: u128,
    left: VecDeque<Candidate>,
    current: Option<Current>,
    queued: VecDeque<OfflineItem>,
}

struct Current {
    scanner: Scanner,
    /// Records from this seq on stand again, and count, in the next segment.
    limit: u64,
}

impl OfflineReader {
    /// Opens a vault directory, or one segment file.
    ///
    /// # Errors
    ///
    /// [`VaultError::Io`], or [`VaultError::Foreign`] when nothing tells the vault's id.
    pub fn open(path: &Path) -> Result<Self, VaultError> {
        Self::open_on(Arc::new(SystemFileSystem), path)
    }

    /// As [`OfflineReader::open`], on a file system of the caller's.
    ///
    /// # Errors
    ///
    /// As [`OfflineReader::open`].
    pub fn open_on(files: Arc<dyn FileSystem>, path: &Path) -> Result<Self, VaultError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let single = spare::parse_name(&name);
        let dir = if single.is_some() { path.parent().unwrap_or(path) } else { path };
        let mut left: VecDeque<Candidate> = directory::list_segments(&*files, dir)?.into();
        if let Some((id, _)) = single {
            left.retain(|candidate| candidate.id == id);
        }
        left.retain(|candidate| candidate.extension != spare::EXTENSION_NEW);
        let told = match identity::load(&files, dir)? {
            Stored::Id(id) => Some(id),
            Stored::Nothing | Stored::Damaged => None,
        };
        let known = told.or_else(|| identity::id_of_segments(&*files, left.make_contiguous()));
        let vault_id = match known {
            Some(id) => id,
            None if left.is_empty() => 0,
            None => {
                let problem = "nothing tells the vault's id".to_owned();
                return Err(VaultError::Foreign { path: path.to_path_buf(), problem });
            }
        };
        Ok(Self { files, vault_id, left, current: None, queued: VecDeque::new() })
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
            match current.scanner.next() {
                Found::Record(record) if record.header.seq < current.limit => {
                    let mut body = Vec::new();
                    let is_read = current.scanner.read_body(&record, &mut body).is_ok();
                    let decoded =
                        if is_read { stored::decode(&record.header, &body) } else { None };
                    let fault = || OfflineItem::Fault(current.scanner.body_fault(&record));
                    return Ok(Some(decoded.map_or_else(fault, OfflineItem::Record)));
                }
                Found::Watermark(_) => {}
                Found::Fault(fault) => return Ok(Some(OfflineItem::Fault(fault))),
                Found::Torn => {
                    let fault = current.scanner.tail_fault(FaultKind::TornTail, None);
                    self.current = None;
                    return Ok(Some(OfflineItem::Fault(fault)));
                }
                Found::Record(_) | Found::End => self.current = None,
            }
        }
    }

    fn open_segment(&mut self, candidate: Candidate) -> Result<(), VaultError> {
        let path = candidate.path.clone();
        let one = examine::examine(&*self.files, candidate, self.vault_id)?;
        if one.verdict == Verdict::Blank {
            return Ok(());
        }
        // Faults of records are found again, in their place among the records.
        let of_segment = |kind| matches!(kind, FaultKind::SegmentHeader | FaultKind::Footer);
        let faults = one.faults.iter().filter(|fault| of_segment(fault.kind)).cloned();
        self.queued.extend(faults.map(OfflineItem::Fault));
        let limit = self.limit(&one);
        let before = one.trailer.first_seq.checked_sub(1);
        let is_sealed = one.verdict == Verdict::Sealed;
        let end = if is_sealed { one.trailer.data_end } else { one.candidate.bytes };
        let file = self.files.open(&path, Access::Direct).map_err(VaultError::io("open", &path))?;
        let scanner = Scanner::new(file.into(), one.candidate.id, self.vault_id, end, before)
            .map_err(VaultError::io("read", &path))?;
        self.current = Some(Current { scanner, limit });
        Ok(())
    }

    fn limit(&self, one: &Examined) -> u64 {
        let next = self.left.iter().find_map(|candidate| {
            let next = examine::examine(&*self.files, candidate.clone(), self.vault_id).ok()?;
            let first_seq = next.trailer.first_seq;
            (next.verdict != Verdict::Blank && 0 < first_seq).then_some(first_seq)
        });
        let own = match one.verdict {
            Verdict::Sealed => one.trailer.last_seq + 1,
            _ => u64::MAX,
        };
        own.min(next.unwrap_or(u64::MAX))
    }
}

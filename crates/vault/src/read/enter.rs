//! How a reader comes into a segment: finds it, opens its file, and goes to the next record.

use std::io;
use std::sync::Arc;

use crate::error::VaultError;
use crate::fs::Access;
use crate::fs::File;
use crate::fs::is_shortage;
use crate::log::view::SegmentInfo;
use crate::log::view::TailView;
use crate::read::reader::Reader;
use crate::segment::examine;
use crate::segment::examine::Candidate;
use crate::segment::fault::DamagedRange;
use crate::segment::fault::FaultKind;
use crate::segment::id;
use crate::segment::id::EXTENSION_OPEN;
use crate::segment::id::EXTENSION_SEALED;
use crate::segment::id::SegmentId;
use crate::segment::id::SegmentState;
use crate::segment::quarantine::QUARANTINE_DIR;
use crate::segment::scan::Scanner;
use crate::state::lock;

impl Reader {
    /// Finds the segment to read in; `None` when there is none yet.
    pub(super) fn enter(&mut self) -> Result<Option<(SegmentId, TailView)>, VaultError> {
        loop {
            let id = match &self.current {
                Some((id, _)) => *id,
                None => match self.log.segment_of(self.next_seq) {
                    Some(id) => {
                        if self.open_segment(id)? || self.log.next_after(id).is_some() {
                            continue;
                        }
                        return Ok(None);
                    }
                    None => return Ok(None),
                },
            };
            match self.log.tail(id) {
                Some(view) => return Ok(Some((id, view))),
                // Deleted under us: every cursor had passed it, so nothing in it was ours.
                None => self.current = None,
            }
        }
    }

    /// Opens a segment at the next record; one that cannot be opened is passed in the end. Returns
    /// whether it was not.
    pub(super) fn open_segment(&mut self, id: SegmentId) -> Result<bool, VaultError> {
        let is_passed = !self.open_segment_at(id, self.next_seq)?;
        if is_passed && let Some(view) = self.log.tail(id) {
            let last_seq = view.next_first_seq.map_or(view.last_seq, |first| first - 1);
            if self.next_seq <= last_seq {
                lock(&self.cursor.acks).pass(self.next_seq, last_seq);
                self.next_seq = last_seq + 1;
            }
        }
        Ok(!is_passed)
    }

    /// Opens a segment near a seq; does nothing when it was deleted. Returns false when it cannot be
    /// opened and there is no patience left: the records from that seq on are reported as lost.
    pub(crate) fn open_segment_at(&mut self, id: SegmentId, seq: u64) -> Result<bool, VaultError> {
        let Some(info) = self.log.info(id) else { return Ok(true) };
        let file = match self.open_file(&info) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(true),
            Err(error) if info.state == SegmentState::Open || !self.passes_unopened(id, &error) => {
                return Err(error);
            }
            Err(_) => {
                let (kind, end) = (FaultKind::Unreadable, info.file_bytes);
                let lost = (seq <= info.last_seq).then_some((seq, info.last_seq));
                if lost.is_some() {
                    self.log.report(DamagedRange { segment: id, kind, start: 0, end, lost });
                }
                return Ok(false);
            }
        };
        let before = info.first_seq.saturating_sub(1);
        let (vault_id, end) = (self.log.vault_id, info.data_end);
        let mut scanner = Scanner::new(Arc::clone(&file), id, vault_id, end, Some(before))
            .map_err(VaultError::io("read", &info.path))?;
        if info.first_seq < seq {
            seek(&mut scanner, &*file, &info, vault_id, seq);
        }
        self.current = Some((id, scanner));
        Ok(true)
    }

    /// Whether to go on without a segment that could not be opened.
    fn passes_unopened(&self, id: SegmentId, error: &VaultError) -> bool {
        let is_shortage = matches!(error, VaultError::Io { source, .. } if is_shortage(source));
        !is_shortage && self.log.gives_up_on(id)
    }

    /// Opens a segment's file, which may be renamed meanwhile: it only ever goes from `.open` to `.gsv`
    /// and from the directory to quarantine, so trying these in order finds it. `None` when it was
    /// deleted.
    fn open_file(&self, info: &SegmentInfo) -> Result<Option<Arc<dyn File>>, VaultError> {
        let dir = &self.log.dir;
        let aside = dir.join(QUARANTINE_DIR);
        for folder in [dir, &aside] {
            for extension in [EXTENSION_OPEN, EXTENSION_SEALED] {
                let path = id::segment_path(folder, info.id, extension);
                match self.log.files.open(&path, Access::Direct) {
                    Ok(file) => return Ok(Some(file.into())),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(VaultError::io("open", &path)(error)),
                }
            }
        }
        if self.log.info(info.id).is_some() {
            return Err(VaultError::io("open", &info.path)(io::ErrorKind::NotFound.into()));
        }
        Ok(None)
    }
}

/// Uses the footer's index, where there is one, to start near a seq.
fn seek(scanner: &mut Scanner, file: &dyn File, info: &SegmentInfo, vault_id: u128, seq: u64) {
    if info.state == SegmentState::Open || info.state == SegmentState::Closed {
        return;
    }
    let Ok(bytes) = file.bytes() else { return };
    let candidate = Candidate {
        id: info.id,
        path: info.path.clone(),
        bytes,
        extension: String::new(),
        is_quarantined: false,
    };
    let trailer = examine::read_trailer(file, &candidate, vault_id);
    let index = trailer.and_then(|trailer| examine::read_index(file, &trailer));
    let entry = index.unwrap_or_default().into_iter().rfind(|entry| entry.seq <= seq);
    if let Some(entry) = entry {
        scanner.seek(entry.offset, entry.seq - 1);
    }
}

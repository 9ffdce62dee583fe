//! Repair of a stopped vault: brings every segment to where it belongs, as far as its records allow.
//!
//! First what recovery does not dare at a start: a footer is rebuilt and a segment is taken back from
//! quarantine when every record of it is good and the digest it then has is the one its successor
//! names. Then recovery itself: unfinished renames, seals, damaged segments set aside. Then cursors.
//! Nothing that ever held a record is deleted, and no byte of a record is written.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::error::VaultError;
use crate::fs::Access;
use crate::fs::FileSystem;
use crate::log::cursor::CURSOR_DIR;
use crate::options::Known;
use crate::recover::directory;
use crate::recover::identity;
use crate::recover::identity::Stored;
use crate::recover::judge;
use crate::recover::recovery;
use crate::segment::examine;
use crate::segment::examine::Examined;
use crate::segment::examine::SegmentVerdict;
use crate::segment::fault::DamagedRange;
use crate::segment::fault::FaultKind;
use crate::segment::id;
use crate::segment::id::EXTENSION_NEW;
use crate::segment::id::EXTENSION_OPEN;
use crate::segment::id::EXTENSION_SEALED;
use crate::segment::quarantine;
use crate::segment::seal;
use crate::segment::seal::SealError;
use crate::segment::seal::SealJob;
use crate::state::lock;
use crate::system::SystemFileSystem;
use crate::throttle::CancellablePacer;
use crate::tools::finding::Finding;
use crate::tools::finding::FindingKind;
use crate::tools::survey;
use crate::tools::survey::WriterPresence;
use crate::tools::walk;

/// What is done about one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RepairAction {
    /// A segment without a footer gets one.
    Seal,
    /// The same; an incomplete end is copied to quarantine before.
    SealTorn,
    /// A segment with a footer gets its final name.
    FinishRename,
    /// A damaged footer is written again.
    RebuildFooter,
    /// A sound segment returns from quarantine.
    BringBack,
    /// A damaged segment goes to quarantine, with a report.
    SetAside,
    /// The vault's id is written again.
    RebuildId,
    /// A damaged cursor is written again and starts at the oldest record.
    ResetCursor,
    /// A file that never became a segment is taken away.
    RemoveUnfinished,
}

impl RepairAction {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::SealTorn => "seal_torn",
            Self::FinishRename => "finish_rename",
            Self::RebuildFooter => "rebuild_footer",
            Self::BringBack => "bring_back",
            Self::SetAside => "set_aside",
            Self::RebuildId => "rebuild_id",
            Self::ResetCursor => "reset_cursor",
            Self::RemoveUnfinished => "remove_unfinished",
        }
    }
}

/// One step of a repair, done or planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairStep {
    /// The segment's number, if it is about one.
    pub segment: Option<u64>,
    /// What is done.
    pub action: RepairAction,
    /// The file, under the name it had before.
    pub path: PathBuf,
}

/// Repairs a vault that nobody writes; returns what was done, or with `is_dry_run` what would be.
///
/// # Errors
///
/// [`VaultError::Locked`] beside a writer, [`VaultError::Io`], or [`VaultError::Foreign`]; what was
/// done before the error stays done and can be gone on with.
pub fn repair(
    dir: &Path,
    is_dry_run: bool,
    read_bytes: &Arc<AtomicU64>,
) -> Result<Vec<RepairStep>, VaultError> {
    if survey::writer_presence(dir)? != WriterPresence::Absent {
        return Err(VaultError::Locked { path: dir.to_path_buf() });
    }
    let files: Arc<dyn FileSystem> = Arc::new(SystemFileSystem);
    repair_on(&files, dir, is_dry_run, read_bytes)
}

/// As [`repair`], on any file system.
///
/// # Errors
///
/// As [`repair`]; a writer beside a dry run goes unnoticed.
pub fn repair_on(
    files: &Arc<dyn FileSystem>,
    dir: &Path,
    is_dry_run: bool,
    read_bytes: &Arc<AtomicU64>,
) -> Result<Vec<RepairStep>, VaultError> {
    let _lock = if is_dry_run { None } else { Some(directory::lock_directory(&**files, dir)?) };
    let listed = directory::list_segments(&**files, dir)?;
    let Some(vault_id) = survey::known_id(files, dir, &listed)? else {
        let problem = "no file contains the vault's id".to_owned();
        return Err(VaultError::Foreign { path: dir.to_path_buf(), problem });
    };
    let mut repair = Repair { files: &**files, dir, is_dry_run, steps: Vec::new() };
    if identity::load(files, dir)? != Stored::Id(vault_id) {
        repair.step(None, RepairAction::RebuildId, &dir.join("vault_id"));
    }
    let mut examined = Vec::new();
    for candidate in listed {
        if candidate.extension == EXTENSION_NEW {
            let id = Some(candidate.id.get());
            repair.step(id, RepairAction::RemoveUnfinished, &candidate.path);
            continue;
        }
        let one = examine::examine(&**files, candidate, vault_id)?;
        if one.verdict != SegmentVerdict::Blank {
            examined.push(one);
        }
    }
    repair.segments(examined, read_bytes)?;
    let damaged = survey::read_cursors(files, dir, vault_id, 0)?;
    for (cursor, _) in damaged.iter().filter(|(cursor, _)| cursor.is_damaged) {
        repair.step(None, RepairAction::ResetCursor, &dir.join(CURSOR_DIR).join(&cursor.name));
    }
    if !is_dry_run {
        let recovered = recovery::recover(files, dir, &Known::default())?;
        let state = lock(&recovered.log.state);
        for name in &recovered.report.damaged_cursors {
            let Some(cursor) = state.cursors.get(name) else { continue };
            let path = dir.join(CURSOR_DIR).join(name);
            // Both slots: the file was damaged, and one good slot is one flip from none.
            for _ in 0..2 {
                cursor.save().map_err(VaultError::io("save cursor", &path))?;
            }
        }
    }
    Ok(repair.steps)
}

struct Repair<'a> {
    files: &'a dyn FileSystem,
    dir: &'a Path,
    is_dry_run: bool,
    steps: Vec<RepairStep>,
}

impl Repair<'_> {
    fn step(&mut self, segment: Option<u64>, action: RepairAction, path: &Path) {
        self.steps.push(RepairStep { segment, action, path: path.to_path_buf() });
    }

    /// Deals with every segment, oldest first.
    fn segments(
        &mut self,
        mut examined: Vec<Examined>,
        read_bytes: &Arc<AtomicU64>,
    ) -> Result<(), VaultError> {
        let durable_seq = examined.iter().map(|one| one.durable_seq).max().unwrap_or(0);
        let mut digest = [0; 32];
        for idx in 0..examined.len() {
            let (before, rest) = examined.split_at_mut(idx + 1);
            let Some(one) = before.last_mut() else { break };
            let next_first_seq =
                rest.iter().map(|next| next.trailer.first_seq).find(|seq| 0 < *seq);
            let successor = rest.iter().find(|next| next.verdict == SegmentVerdict::Sealed);
            match one.verdict {
                SegmentVerdict::Blank => {}
                SegmentVerdict::Sealed => {
                    self.sealed(one, read_bytes)?;
                    digest = one.trailer.digest;
                }
                SegmentVerdict::Scanned => {
                    judge::judge(one, durable_seq, next_first_seq);
                    if let Some(rebuilt) = self.scanned(one, successor, digest)? {
                        digest = rebuilt;
                    }
                }
            }
        }
        Ok(())
    }

    /// A segment with a footer: back from quarantine, into it, or to its final name.
    fn sealed(&mut self, one: &Examined, read_bytes: &Arc<AtomicU64>) -> Result<(), VaultError> {
        let candidate = &one.candidate;
        let (id, path) = (candidate.id, &candidate.path);
        let file = self.files.open(path, Access::Direct).map_err(VaultError::io("open", path))?;
        let findings = walk::walk(
            file,
            candidate,
            one.header.as_ref(),
            &one.trailer,
            read_bytes,
            &CancellablePacer::default(),
        )
        .map_err(VaultError::io("read", path))?;
        let costs_records = |finding: &Finding| finding.lost.is_some();
        let is_headless = one.header.is_none();
        if candidate.is_quarantined {
            if findings.is_empty() {
                self.step(Some(id.get()), RepairAction::BringBack, path);
                self.bring_back(path, &id::segment_path(self.dir, id, EXTENSION_SEALED))?;
            }
        } else if findings.iter().any(costs_records) || is_headless {
            self.step(Some(id.get()), RepairAction::SetAside, path);
            let faults: Vec<DamagedRange> =
                findings.iter().filter_map(|finding| fault(id, finding)).collect();
            if !self.is_dry_run {
                quarantine::set_aside(self.files, self.dir, id, path, &faults)
                    .map_err(VaultError::io("set aside", path))?;
            }
        } else if candidate.extension == EXTENSION_OPEN {
            self.step(Some(id.get()), RepairAction::FinishRename, path);
        }
        Ok(())
    }

    /// A segment without a valid footer. Returns its digest when it has one afterwards.
    fn scanned(
        &mut self,
        one: &Examined,
        successor: Option<&Examined>,
        prev_digest: [u8; 32],
    ) -> Result<Option<[u8; 32]>, VaultError> {
        let candidate = &one.candidate;
        let (id, path) = (Some(candidate.id.get()), &candidate.path);
        let harmless =
            |fault: &DamagedRange| matches!(fault.kind, FaultKind::Footer | FaultKind::TornTail);
        let is_torn = one.faults.iter().any(|fault| fault.kind == FaultKind::TornTail);
        let is_sealed_name = candidate.extension == EXTENSION_SEALED;
        let is_good = one.faults.iter().all(harmless) && one.header.is_some();
        if is_good && (is_sealed_name || candidate.is_quarantined) {
            let job = self.seal_job(one)?;
            let (segment_crc, digest) =
                seal::read_back(&job, prev_digest).map_err(VaultError::io("read", path))?;
            let is_fitting = successor.is_none_or(|next| {
                let names_crc = next.header.is_some_and(|header| {
                    Some(header.prev_segment) == id && header.prev_crc == segment_crc
                });
                next.trailer.prev_digest == digest || (names_crc && is_after(next, prev_digest))
            });
            if is_fitting {
                self.step(id, RepairAction::RebuildFooter, path);
                if !self.is_dry_run {
                    self.seal(job, prev_digest)?;
                    self.sync()?;
                }
                return Ok(Some(digest));
            }
        }
        if candidate.is_quarantined {
            return Ok(None);
        }
        let action = match is_torn {
            _ if is_sealed_name || !is_good => RepairAction::SetAside,
            true => RepairAction::SealTorn,
            false => RepairAction::Seal,
        };
        // Recovery does it, right after this.
        self.step(id, action, path);
        Ok(None)
    }

    fn seal(&self, job: SealJob, prev_digest: [u8; 32]) -> Result<(), VaultError> {
        let path = job.path.clone();
        let sealed = seal::seal(self.files, self.dir, job, prev_digest);
        let problem = |error| match error {
            SealError::Io(error) => error,
            error @ SealError::Mismatch { .. } => std::io::Error::other(error),
        };
        sealed.map(drop).map_err(|error| VaultError::io("seal", &path)(problem(error)))
    }

    fn seal_job(&self, one: &Examined) -> Result<SealJob, VaultError> {
        let path = &one.candidate.path;
        let file = self.files.open(path, Access::Direct).map_err(VaultError::io("open", path))?;
        let mut trailer = one.trailer;
        trailer.data_end = judge::describe(one).data_end;
        Ok(SealJob {
            id: one.candidate.id,
            path: path.clone(),
            file: file.into(),
            index: one.index.clone(),
            trailer,
            written: None,
        })
    }

    fn bring_back(&self, from: &Path, to: &Path) -> Result<(), VaultError> {
        if self.is_dry_run {
            return Ok(());
        }
        self.files.rename(from, to).map_err(VaultError::io("rename", from))?;
        self.sync()
    }

    fn sync(&self) -> Result<(), VaultError> {
        for folder in [self.dir.to_path_buf(), self.dir.join(quarantine::QUARANTINE_DIR)] {
            self.files.sync_dir(&folder).map_err(VaultError::io("sync", &folder))?;
        }
        Ok(())
    }
}

/// Whether a successor was sealed while this segment's footer was damaged: it names the digest before.
fn is_after(next: &Examined, prev_digest: [u8; 32]) -> bool {
    next.trailer.prev_digest == prev_digest
}

/// What was found, if it is to be told in a quarantine report.
fn fault(segment: id::SegmentId, finding: &Finding) -> Option<DamagedRange> {
    let FindingKind::Fault(kind) = finding.kind else { return None };
    let is_told = !matches!(kind, FaultKind::Footer | FaultKind::TornTail | FaultKind::Hole);
    let (start, end, lost) = (finding.start, finding.end, finding.lost);
    is_told.then_some(DamagedRange { segment, kind, start, end, lost })
}

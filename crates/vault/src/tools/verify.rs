//! Verification: every byte of a vault against every sum that covers it, from outside.
//!
//! Segments are walked by several threads; what ties them to each other (the chain of digests, the
//! facts about predecessors, the seqs) is checked in the end on what is kept of each. Beside a
//! running writer nothing that is still on its way counts as a fault: damage in the open segment is
//! believed only when it is still there some moments later.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::error::VaultError;
use crate::fs::FileSystem;
use crate::log::cursor::CURSOR_DIR;
use crate::recover::identity;
use crate::recover::identity::Stored;
use crate::recover::judge;
use crate::segment::examine::Candidate;
use crate::segment::examine::Examined;
use crate::segment::examine::SegmentVerdict;
use crate::segment::id::EXTENSION_NEW;
use crate::segment::id::EXTENSION_OPEN;
use crate::segment::id::SegmentId;
use crate::state::lock;
use crate::system::SystemFileSystem;
use crate::throttle::CancellablePacer;
use crate::throttle::Throttle;
use crate::tools::chain;
use crate::tools::chain::ChainedSegment;
use crate::tools::finding::Finding;
use crate::tools::finding::FindingKind;
use crate::tools::passed::AckedRanges;
use crate::tools::survey;
use crate::tools::survey::WriterPresence;
use crate::tools::walk;

/// Beside a writer the open segment is looked at this often before damage in it is believed.
const LOOKS_MAX: usize = 5;
/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(40);

/// What was verified and what was found.
#[derive(Debug, Clone, Default)]
pub struct Verification {
    /// Segments walked, spares not counted.
    pub segments: u64,
    /// Good records.
    pub records: u64,
    /// Their payload bytes before compression.
    pub raw_bytes: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Segments that were deleted by the running writer meanwhile.
    pub gone: u64,
    /// Everything that is not as it should be, by segment.
    pub findings: Vec<Finding>,
}

/// How to verify.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Segments walked at the same time.
    pub jobs: NonZeroUsize,
    /// Only this segment, without what ties it to others.
    pub segment: Option<SegmentId>,
    /// Grows by what is read, for whoever watches.
    pub read_bytes: Arc<AtomicU64>,
    /// Says how long each thread rests between pieces of a MiB.
    pub throttle: Throttle,
    /// Set by whoever wants no answer any more.
    pub is_cancelled: Arc<AtomicBool>,
}

/// Verifies a vault's directory and changes nothing.
///
/// # Errors
///
/// [`VaultError::Io`] when the directory or a file cannot be looked at, or with `Interrupted` when it was
/// cancelled, [`VaultError::Foreign`] when no file contains the vault's id.
pub fn verify(dir: &Path, options: &VerifyOptions) -> Result<Verification, VaultError> {
    let files: Arc<dyn FileSystem> = Arc::new(SystemFileSystem);
    let is_live = survey::writer_presence(dir)? != WriterPresence::Absent;
    let mut listed = survey::candidates(&*files, dir)?;
    listed.retain(|candidate| candidate.extension != EXTENSION_NEW);
    let Some(vault_id) = survey::known_id(&files, dir, &listed)? else {
        let problem = "no file contains the vault's id".to_owned();
        return Err(VaultError::Foreign { path: dir.to_path_buf(), problem });
    };
    if let Some(only) = options.segment {
        listed.retain(|candidate| candidate.id == only);
    }
    let (read_bytes, throttle) = (&options.read_bytes, &options.throttle);
    let is_cancelled = &options.is_cancelled;
    let task = Task { files: &*files, dir, vault_id, is_live, read_bytes, throttle, is_cancelled };
    let mut done = Verification::default();
    let mut kept = task.look_at_all(&listed, options.jobs, &mut done)?;
    if is_live {
        task.look_again(&mut kept, &mut done)?;
    }
    let cursors = survey::read_cursors(&files, dir, vault_id, 0)?;
    let (cursors, acks): (Vec<_>, Vec<_>) = cursors.into_iter().unzip();
    let passed = AckedRanges::load(&files, dir, vault_id, acks)?;
    done.read_bytes = options.read_bytes.load(Ordering::Relaxed);
    done.findings = judge_all(kept, is_live, &passed, options.segment.is_some(), &mut done);
    if options.segment.is_none() {
        let about =
            |kind, path| Finding { segment: None, kind, path, start: 0, end: 8192, lost: None };
        if identity::load(&files, dir)? != Stored::Id(vault_id) {
            done.findings.push(about(FindingKind::VaultId, dir.join("vault_id")));
        }
        let damaged = cursors.iter().filter(|cursor| cursor.is_damaged);
        let path = |name: &str| dir.join(CURSOR_DIR).join(name);
        done.findings.extend(damaged.map(|one| about(FindingKind::Cursor, path(&one.name))));
    }
    Ok(done)
}

/// Judges what one segment alone could not tell.
fn judge_all(
    mut kept: Vec<ChainedSegment>,
    is_live: bool,
    passed: &AckedRanges,
    is_single: bool,
    done: &mut Verification,
) -> Vec<Finding> {
    let durable_seq = kept.iter().map(|one| one.durable_seq).max().unwrap_or(0);
    let firsts: Vec<u64> = kept.iter().map(|one| one.first_seq).collect();
    for (idx, one) in kept.iter_mut().enumerate() {
        let Some(scanned) = &mut one.scanned else { continue };
        let later = firsts.get(idx + 1..).unwrap_or_default();
        let next = later.iter().copied().find(|first| 0 < *first);
        let is_tail = is_live && next.is_none() && one.id == scanned.candidate.id;
        if is_tail {
            // What stands at the end is being written right now.
            scanned.bad_tail = None;
            scanned.is_torn = false;
        }
        let expected = if is_tail { 0 } else { durable_seq };
        let seen = scanned.trailer.last_seq;
        let expected = if is_single { seen } else { expected };
        judge::judge(scanned, expected, if is_single { None } else { next });
        one.last_seq = scanned.trailer.last_seq;
        let path = one.path.clone();
        let faults = scanned.faults.iter().take(walk::FINDINGS_MAX);
        one.findings.extend(faults.map(|fault| Finding::of_fault(fault, path.clone())));
    }
    let mut findings = Vec::new();
    for one in &mut kept {
        done.segments += 1;
        done.records += one.records;
        done.raw_bytes += one.raw_bytes;
        if one.findings.is_empty() && one.is_quarantined {
            let (kind, path, end) = (FindingKind::Quarantined, one.path.clone(), one.file_bytes);
            let segment = Some(one.id.get());
            one.findings.push(Finding { segment, kind, path, start: 0, end, lost: None });
        }
    }
    if !is_single {
        chain::check(&mut kept, passed);
    }
    for one in kept {
        findings.extend(one.findings);
    }
    findings
}

struct Task<'a> {
    files: &'a dyn FileSystem,
    dir: &'a Path,
    vault_id: u128,
    is_live: bool,
    read_bytes: &'a Arc<AtomicU64>,
    throttle: &'a Throttle,
    is_cancelled: &'a Arc<AtomicBool>,
}

impl Task<'_> {
    fn pacer(&self) -> CancellablePacer {
        CancellablePacer::new(self.throttle.clone(), Arc::clone(self.is_cancelled))
    }

    fn check_cancelled(&self) -> Result<(), VaultError> {
        if self.is_cancelled.load(Ordering::Relaxed) {
            return Err(VaultError::io("verify", self.dir)(io::ErrorKind::Interrupted.into()));
        }
        Ok(())
    }

    fn look_at_all(
        &self,
        listed: &[Candidate],
        jobs: NonZeroUsize,
        done: &mut Verification,
    ) -> Result<Vec<ChainedSegment>, VaultError> {
        let next = AtomicUsize::new(0);
        let gone = AtomicU64::new(0);
        let results = Mutex::new((BTreeMap::new(), None));
        std::thread::scope(|scope| {
            for _ in 0..jobs.get().min(listed.len()) {
                scope.spawn(|| {
                    let pacer = self.pacer();
                    while let Some(candidate) = listed.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let looked = self.look_at(candidate, &pacer);
                        let mut results = lock(&results);
                        match looked {
                            Ok(Some(kept)) => drop(results.0.insert(kept.id, kept)),
                            Ok(None) => drop(gone.fetch_add(1, Ordering::Relaxed)),
                            Err(error) => drop(results.1.get_or_insert(error)),
                        }
                    }
                });
            }
        });
        let (kept, error) = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        done.gone = gone.into_inner();
        match error {
            Some(error) => Err(error),
            None => Ok(kept.into_values().filter(|one| one.first_seq != u64::MAX).collect()),
        }
    }

    /// Looks again at segments that were open when a later one was not yet begun: only now are they
    /// complete.
    fn look_again(
        &self,
        kept: &mut Vec<ChainedSegment>,
        done: &mut Verification,
    ) -> Result<(), VaultError> {
        let pacer = self.pacer();
        let newest = kept.last().map(|one| one.id);
        let mut again = Vec::new();
        for one in kept.drain(..) {
            let was_open = one.scanned.as_deref().is_some_and(is_open) && Some(one.id) != newest;
            let candidate = one.scanned.as_deref().map(|scanned| scanned.candidate.clone());
            match candidate.filter(|_| was_open) {
                None => again.push(one),
                Some(candidate) => match self.look_at(&candidate, &pacer)? {
                    Some(one) => again.push(one),
                    None => done.gone += 1,
                },
            }
        }
        *kept = again;
        Ok(())
    }

    /// Looks at one segment; `None` when it is gone.
    fn look_at(
        &self,
        candidate: &Candidate,
        pacer: &CancellablePacer,
    ) -> Result<Option<ChainedSegment>, VaultError> {
        let _goes_on = pacer.rest();
        self.check_cancelled()?;
        let first = survey::examine_moving(self.files, self.dir, candidate.clone(), self.vault_id);
        let one = match first {
            Err(VaultError::Foreign { path, .. }) => {
                return Ok(Some(foreign(candidate, path)));
            }
            answer => answer?,
        };
        let Some(mut one) = one else { return Ok(None) };
        let mut looks = 1;
        while self.is_live && is_open(&one) && looks < LOOKS_MAX && !one.faults.is_empty() {
            std::thread::park_timeout(LOOK_EVERY);
            looks += 1;
            let faults = one.faults.clone();
            let candidate = one.candidate.clone();
            let again = survey::examine_moving(self.files, self.dir, candidate, self.vault_id)?;
            let Some(again) = again else { return Ok(None) };
            one = again;
            // A write under way looks different at the next look.
            one.faults.retain(|fault| faults.contains(fault));
        }
        self.keep(one, pacer)
    }

    fn keep(
        &self,
        one: Examined,
        pacer: &CancellablePacer,
    ) -> Result<Option<ChainedSegment>, VaultError> {
        let candidate = &one.candidate;
        let is_blank = one.verdict == SegmentVerdict::Blank;
        let mut kept = ChainedSegment {
            id: candidate.id,
            path: candidate.path.clone(),
            file_bytes: candidate.bytes,
            header: one.header,
            footer: None,
            scanned: None,
            // A spare stands for nothing.
            first_seq: if is_blank { u64::MAX } else { one.trailer.first_seq },
            last_seq: one.trailer.last_seq,
            is_quarantined: candidate.is_quarantined,
            records: one.trailer.record_count,
            raw_bytes: one.trailer.raw_bytes,
            durable_seq: one.durable_seq,
            findings: Vec::new(),
        };
        match one.verdict {
            SegmentVerdict::Blank => {}
            SegmentVerdict::Scanned => {
                self.read_bytes.fetch_add(candidate.bytes, Ordering::Relaxed);
                kept.scanned = Some(Box::new(one));
            }
            SegmentVerdict::Sealed => {
                let located = survey::locate(self.files, self.dir, candidate.id)
                    .map_err(VaultError::io("open", &candidate.path))?;
                let Some((found, file)) = located else { return Ok(None) };
                kept.path.clone_from(&found.path);
                let header = one.header.as_ref();
                kept.findings =
                    walk::walk(file, &found, header, &one.trailer, self.read_bytes, pacer)
                        .map_err(VaultError::io("read", &found.path))?;
                // What was not read is no finding.
                self.check_cancelled()?;
                kept.footer = Some(one.trailer);
            }
        }
        Ok(Some(kept))
    }
}

/// Whether a segment takes records, or could.
fn is_open(one: &Examined) -> bool {
    one.verdict == SegmentVerdict::Scanned && one.candidate.extension == EXTENSION_OPEN
}

fn foreign(candidate: &Candidate, path: PathBuf) -> ChainedSegment {
    let segment = Some(candidate.id.get());
    let (kind, end) = (FindingKind::Foreign, candidate.bytes);
    ChainedSegment {
        id: candidate.id,
        path: path.clone(),
        file_bytes: candidate.bytes,
        header: None,
        footer: None,
        scanned: None,
        first_seq: 0,
        last_seq: 0,
        is_quarantined: candidate.is_quarantined,
        records: 0,
        raw_bytes: 0,
        durable_seq: 0,
        findings: vec![Finding { segment, kind, path, start: 0, end, lost: None }],
    }
}

//! Whether everything is still where it was put: somebody may delete or move the files of a vault under
//! its writer, and what is written to a file without a name is lost with the process.
//!
//! The helper looks once a second, at names only: a `stat` for the directory, its lock, its id, each
//! cursor, each spare and the segment in use, and one list of the directory. What holds no record is made
//! again. A segment that is gone is told, its records are counted as lost, and cursors pass them.
//!
//! ```text
//!  directory gone     made again, with lock, id and cursors; every segment is gone with it
//!  another one there  empty: taken, as if it were new; else no segment is made until it is away
//! ```

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::append::helper::Helper;
use crate::append::place::found;
use crate::append::place::is_elsewhere;
use crate::fs::FileIdentity;
use crate::fs::Lock;
use crate::log::cursor::CURSOR_DIR;
use crate::log::view::SegmentInfo;
use crate::recover::directory;
use crate::recover::identity;
use crate::segment::id;
use crate::segment::id::SegmentId;
use crate::segment::id::SegmentState;
use crate::segment::quarantine::QUARANTINE_DIR;
use crate::segment::spare;
use crate::state::lock;

impl Helper {
    /// Looks once, and does what is to be done about it.
    pub(super) fn look_around(&mut self) {
        let before = self.presence.trouble.take();
        let place = self.look_at_place();
        if let Err(error) = &place {
            let text = error.to_string();
            if before.as_ref() != Some(&text) {
                tracing::error!(%error, dir = %self.log.dir.display(),
                    "Vault has lost its directory and cannot create it; it retries every second.");
            }
            self.presence.trouble = Some(text);
        }
        self.look_at_spares();
        self.look_at_active();
        if place.is_err() {
            // The names in there, if any, are not those of this vault's files.
            return;
        }
        let looked = self.look_at_segments().and_then(|()| self.put_files_back());
        if let Err(error) = looked {
            tracing::debug!(%error, "Vault cannot check all of its files.");
        }
    }

    /// Whether the directory is this vault's, before something is made, renamed or deleted in it.
    pub(super) fn see_place(&mut self) -> io::Result<()> {
        let there = found(self.log.files.identity(&self.log.dir));
        if self.presence.dir.is_some() && there.is_ok_and(|there| there != self.presence.dir) {
            self.look_around();
        }
        self.presence.check()
    }

    /// Sees that the directory is there, and its lock.
    fn look_at_place(&mut self) -> io::Result<()> {
        // What the disk does not answer says nothing of the directory.
        let Ok(there) = found(self.log.files.identity(&self.log.dir)) else { return Ok(()) };
        if self.presence.dir.is_some() && there != self.presence.dir {
            self.make_directory_again(there)?;
        }
        self.look_at_lock()
    }

    /// Makes again what holds no record.
    fn put_files_back(&self) -> io::Result<()> {
        let files = Arc::clone(&self.log.files);
        let dir = self.log.dir.clone();
        for folder in [CURSOR_DIR, QUARANTINE_DIR].map(|name| dir.join(name)) {
            if found(files.identity(&folder))?.is_none() {
                files.create_dir(&folder)?;
                files.sync_dir(&dir)?;
            }
        }
        let is_new_id = identity::put_back(&files, &dir, self.log.vault_id)?;
        let is_new_mark = self.log.put_back_mark()?;
        if is_new_id || is_new_mark {
            tracing::error!(
                dir = %dir.display(),
                "A file of the vault is gone; the vault created it again."
            );
        }
        self.look_at_cursors()
    }

    /// The directory is gone, or another one is in its place.
    fn make_directory_again(&mut self, there: Option<FileIdentity>) -> io::Result<()> {
        let (files, dir) = (Arc::clone(&self.log.files), self.log.dir.clone());
        if there.is_some() {
            let names = files.list(&dir)?;
            let is_taken = |name: &str| name == "vault_id" || id::parse_name(name).is_some();
            if names.iter().any(|entry| is_taken(&entry.name)) {
                return Err(io::Error::other("the directory now contains another vault"));
            }
        }
        // The lock that is held has no name any more.
        let mut held = lock(&self.presence.lock_file);
        drop(held.take());
        let locked = directory::lock_directory(&*files, &dir);
        *held = Some(locked.map_err(io::Error::other)?);
        drop(held);
        self.presence.dir = found(files.identity(&dir))?;
        tracing::error!(dir = %dir.display(),
            "Vault directory is gone, with all its requests; the vault created it again.");
        Ok(())
    }

    fn look_at_lock(&self) -> io::Result<()> {
        let files = &self.log.files;
        let mut held = lock(&self.presence.lock_file);
        let path = self.log.dir.join(directory::LOCK_NAME);
        let Ok(there) = found(files.identity(&path)) else { return Ok(()) };
        let ours = held.as_ref().map(|ours| ours.identity()).transpose()?;
        if ours.is_some() && ours == there {
            return Ok(());
        }
        drop(held.take());
        self.take_lock_again(&mut held, &path)
    }

    fn take_lock_again(&self, held: &mut Option<Box<dyn Lock>>, path: &Path) -> io::Result<()> {
        if self.gauges.is_closing.load(Ordering::SeqCst) {
            return Ok(());
        }
        let taken = self.log.files.lock(path)?;
        *held = Some(taken.ok_or_else(|| io::Error::other("another writer holds the lock"))?);
        tracing::error!(
            path = %path.display(),
            "Lock file of the vault is gone; the vault created it again."
        );
        Ok(())
    }

    fn look_at_cursors(&self) -> io::Result<()> {
        let cursors: Vec<_> = lock(&self.log.state).cursors.values().cloned().collect();
        for cursor in cursors {
            if !cursor.put_back()? {
                continue;
            }
            let name = &cursor.name;
            if lock(&self.log.state).cursors.contains_key(name) {
                tracing::error!(cursor = %name, "Cursor file is gone; the vault created it again.");
            } else {
                // It was let go of meanwhile.
                let path = self.log.dir.join(CURSOR_DIR).join(name);
                found(self.log.files.remove(&path))?;
            }
        }
        Ok(())
    }

    fn look_at_spares(&self) {
        let files = &self.log.files;
        let is_gone =
            |spare: &spare::Spare| is_elsewhere(&**files, &spare.path, &spare.file.identity());
        for spare in self.spare_pool.remove_spares(is_gone) {
            self.log.used_bytes.fetch_sub(spare.bytes, Ordering::AcqRel);
            tracing::warn!(segment = %spare.id, "Spare segment is gone.");
        }
    }

    /// The writer thread leaves the segment, and gives it back as a job.
    fn look_at_active(&self) {
        let active = lock(&self.log.active).clone();
        let Some((id, file)) = active else { return };
        let Some(info) = self.log.info(id) else { return };
        if is_elsewhere(&*self.log.files, &info.path, &file.identity()) {
            self.gauges.gone_segment.store(id.get(), Ordering::Release);
            self.spare_pool.wake_owner();
        }
    }

    /// Looks for the files of all segments that take no records.
    fn look_at_segments(&mut self) -> io::Result<()> {
        let dir = self.log.dir.clone();
        let mut names: BTreeSet<PathBuf> = BTreeSet::new();
        for folder in [dir.join(QUARANTINE_DIR), dir] {
            let entries = found(self.log.files.list(&folder))?.unwrap_or_default();
            names.extend(entries.into_iter().map(|entry| folder.join(entry.name)));
        }
        let is_missing = |info: &SegmentInfo| {
            info.state != SegmentState::Open
                && !names.contains(&info.path)
                && matches!(found(self.log.files.identity(&info.path)), Ok(None))
        };
        let segments = self.log.segments();
        let missing: Vec<_> = segments.into_iter().filter(is_missing).map(|info| info.id).collect();
        for id in missing {
            self.lose(id);
        }
        Ok(())
    }

    /// A segment's file was taken away: what somebody still needed of it is lost.
    pub(super) fn lose(&mut self, id: SegmentId) {
        let Some(info) = self.log.info(id) else { return };
        let wanted = if info.records == 0 { Vec::new() } else { self.log.wanted(&info) };
        lock(&self.log.state).segments.remove(&id);
        self.suspects.retain(|suspect| *suspect != id);
        self.log.used_bytes.fetch_sub(info.file_bytes, Ordering::AcqRel);
        let lost: u64 = wanted.iter().map(|(first, last)| last - first + 1).sum();
        self.log.lost_records.fetch_add(lost, Ordering::Relaxed);
        self.log.lost_while_open.fetch_add(lost, Ordering::Relaxed);
        tracing::error!(segment = %id, path = %info.path.display(), first_seq = info.first_seq,
            last_seq = info.last_seq, lost_requests = lost,
            "Segment file is gone; its undelivered requests are lost.");
        let cursors: Vec<_> = lock(&self.log.state).cursors.values().cloned().collect();
        for cursor in cursors {
            for (first, last) in &wanted {
                cursor.give_up(*first, *last);
            }
            if let Err(error) = cursor.save() {
                tracing::warn!(%error, cursor = %cursor.name, "Cannot save a cursor.");
            }
        }
    }
}

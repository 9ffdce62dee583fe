//! The calls of the simulated disk, as the vault makes them.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gophership_vault::fs::Access;
use gophership_vault::fs::Entry;
use gophership_vault::fs::File;
use gophership_vault::fs::FileIdentity;
use gophership_vault::fs::FileSystem;
use gophership_vault::fs::Lock;

use crate::Call;
use crate::SimFileSystem;
use crate::State;
use crate::disk::FileId;
use crate::disk::Op;
use crate::lock;

impl FileSystem for SimFileSystem {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.check_power()?;
        let mut missing: Vec<&Path> =
            path.ancestors().take_while(|dir| !state.disk.has_dir(dir)).collect();
        while let Some(dir) = missing.pop() {
            state.apply(Op::MakeDir { path: dir.into() });
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let state = lock(&self.state);
        state.check_power()?;
        if !state.disk.has_dir(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = state.disk.files().filter(|(path, _)| path.parent() == Some(dir));
        let entry = |(path, file): (&Arc<Path>, FileId)| Entry {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes: state.disk.content(file).len() as u64,
        };
        Ok(inside.map(entry).collect())
    }

    fn create(&self, path: &Path, _access: Access) -> io::Result<Box<dyn File>> {
        let mut state = lock(&self.state);
        state.meet_whole(Call::Create)?;
        if state.disk.file(path).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = make(&mut state, path)?;
        Ok(Box::new(SimFile::new(self, file)))
    }

    fn open(&self, path: &Path, _access: Access) -> io::Result<Box<dyn File>> {
        let state = lock(&self.state);
        state.check_power()?;
        let file = state.disk.file(path).ok_or(io::ErrorKind::NotFound)?;
        if state.unopenable.contains(&file) {
            return Err(io::Error::other("not to be opened"));
        }
        Ok(Box::new(SimFile::new(self, file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.meet_whole(Call::Rename)?;
        let is_possible = state.disk.file(from).is_some()
            && to.parent().is_some_and(|dir| state.disk.has_dir(dir));
        if !is_possible {
            return Err(io::ErrorKind::NotFound.into());
        }
        if from != to {
            state.apply(Op::Rename { from: from.into(), to: to.into() });
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.check_power()?;
        if state.disk.file(path).is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.meet_whole(Call::Remove)?;
        state.apply(Op::Remove { path: path.into() });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.meet_whole(Call::SyncDir)?;
        state.apply(Op::SyncDir { dir: dir.into() });
        Ok(())
    }

    fn available_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let state = lock(&self.state);
        state.check_power()?;
        Ok(state.available_bytes())
    }

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        let state = lock(&self.state);
        state.check_power()?;
        match state.disk.file(path) {
            Some(file) => Ok(identity_of(file)),
            None if state.disk.has_dir(path) => Ok(FileIdentity { device: 0, inode: 0 }),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        let mut state = lock(&self.state);
        state.check_power()?;
        let file = match state.disk.file(path) {
            Some(file) => file,
            None => make(&mut state, path)?,
        };
        let is_new = state.locks.insert(path.to_path_buf());
        let held = || SimLock { state: Arc::clone(&self.state), path: path.to_path_buf(), file };
        Ok(is_new.then(|| -> Box<dyn Lock> { Box::new(held()) }))
    }
}

fn make(state: &mut State, path: &Path) -> io::Result<FileId> {
    if !path.parent().is_some_and(|dir| state.disk.has_dir(dir)) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let file = state.disk.next_file();
    state.apply(Op::Create { path: path.into(), file });
    Ok(file)
}

#[derive(Debug)]
struct SimLock {
    state: Arc<Mutex<State>>,
    path: PathBuf,
    file: FileId,
}

impl Lock for SimLock {
    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(identity_of(self.file))
    }
}

/// Directories are not told apart.
fn identity_of(file: FileId) -> FileIdentity {
    FileIdentity { device: 1, inode: file as u64 }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        lock(&self.state).locks.remove(&self.path);
    }
}

#[derive(Debug)]
struct SimFile {
    state: Arc<Mutex<State>>,
    file: FileId,
    has_failed_sync: AtomicBool,
}

impl SimFile {
    fn new(files: &SimFileSystem, file: FileId) -> Self {
        Self { state: Arc::clone(&files.state), file, has_failed_sync: AtomicBool::new(false) }
    }

    fn len(&self, state: &State) -> u64 {
        state.disk.content(self.file).len() as u64
    }
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = lock(&self.state);
        state.meet_whole(Call::Read)?;
        let end = offset.saturating_add(buffer.len() as u64);
        let is_hit = |range: &std::ops::Range<u64>| range.start < end && offset < range.end;
        if state.unreadable.iter().any(|(file, range)| *file == self.file && is_hit(range)) {
            return Err(io::Error::other("unreadable sector"));
        }
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(state.disk.content(self.file).read(buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = lock(&self.state);
        let trouble = state.meet(Call::Write)?;
        let grows = (offset + bytes.len() as u64).saturating_sub(self.len(&state));
        let is_full = state.available_bytes() < grows;
        let is_whole = trouble.is_none() && !is_full;
        // On a full disk nothing, else half of a write that fails reaches the file.
        let done = match (is_whole, is_full) {
            (true, _) => bytes,
            (false, true) => &[],
            (false, false) => &bytes[..bytes.len() / 2],
        };
        if !done.is_empty() {
            state.apply(Op::Write { file: self.file, offset, bytes: done.into() });
        }
        match trouble {
            Some(trouble) => Err(trouble.error()),
            None if is_full => Err(io::ErrorKind::StorageFull.into()),
            None => Ok(()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        take_time(lock(&self.state).sync_pause);
        let mut state = lock(&self.state);
        state.check_power()?;
        if self.has_failed_sync.load(Ordering::Relaxed) {
            state.syncs_for_credit += 1;
        }
        let file = self.file;
        match state.meet(Call::Sync)? {
            None => {
                state.apply(Op::Sync { file });
                Ok(())
            }
            Some(trouble) => {
                self.has_failed_sync.store(true, Ordering::Relaxed);
                // With the power gone it is open what reached the device.
                if !state.is_off {
                    let is_evicted = !state.keeps_after_failed_sync;
                    state.apply(Op::FailedSync { file, is_evicted });
                }
                Err(trouble.error())
            }
        }
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.meet_whole(Call::Allocate)?;
        let len = self.len(&state);
        if state.available_bytes() < bytes.saturating_sub(len) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if len < bytes {
            state.apply(Op::SetLen { file: self.file, len: bytes });
        }
        Ok(())
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.meet_whole(Call::Truncate)?;
        state.apply(Op::SetLen { file: self.file, len: bytes });
        Ok(())
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(identity_of(self.file))
    }

    fn bytes(&self) -> io::Result<u64> {
        let state = lock(&self.state);
        state.check_power()?;
        Ok(self.len(&state))
    }
}

#[expect(clippy::disallowed_methods, reason = "a disk takes its time on the threads of the vault")]
fn take_time(pause: Duration) {
    if !pause.is_zero() {
        std::thread::sleep(pause);
    }
}

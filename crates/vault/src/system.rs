//! The operating system's files, as the vault asks for them.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use rustix::fs::FallocateFlags;
use rustix::fs::FlockOperation;
use rustix::fs::OFlags;

use crate::buffer::AlignedBuffer;
use crate::format::BLOCK_BYTES;
use crate::format::BLOCK_LEN;
use crate::fs::Access;
use crate::fs::Entry;
use crate::fs::File;
use crate::fs::FileIdentity;
use crate::fs::FileSystem;
use crate::fs::Lock;

/// A tool that asks who holds the lock may hold it for an instant.
const LOCK_ATTEMPTS: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// The wall clock.
pub(crate) fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The operating system's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemFileSystem;

impl FileSystem for SystemFileSystem {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Ok(metadata) if metadata.is_file() => metadata,
                Ok(_) => continue,
                // Removed since the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(Entry { name, bytes: metadata.len() });
            }
        }
        Ok(entries)
    }

    fn create(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        open_system(path, &options, access)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true);
        match open_system(path, &options, access) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                open_system(path, options.write(false), access)
            }
            answer => answer,
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn available_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        // One of no size does not count its blocks, as ramfs and some FUSE mounts: full is when it says so.
        if stat.f_blocks == 0 {
            return Ok(u64::MAX);
        }
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        Ok(identity_of(&fs::metadata(path)?))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path)?;
        for attempt in 1..=LOCK_ATTEMPTS {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(Box::new(SystemLock { file }))),
                Err(rustix::io::Errno::WOULDBLOCK) => {}
                Err(error) => return Err(error.into()),
            }
            if attempt < LOCK_ATTEMPTS {
                std::thread::park_timeout(LOCK_PAUSE);
            }
        }
        Ok(None)
    }
}

/// An advisory lock lives as long as its open file.
#[derive(Debug)]
struct SystemLock {
    file: fs::File,
}

impl Lock for SystemLock {
    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(identity_of(&self.file.metadata()?))
    }
}

fn identity_of(metadata: &fs::Metadata) -> FileIdentity {
    FileIdentity { device: metadata.dev(), inode: metadata.ino() }
}

#[derive(Debug)]
struct SystemFile {
    file: fs::File,
    is_direct: bool,
}

fn open_system(
    path: &Path,
    options: &fs::OpenOptions,
    access: Access,
) -> io::Result<Box<dyn File>> {
    if access == Access::Direct {
        let mut direct = options.clone();
        direct.custom_flags(OFlags::DIRECT.bits().cast_signed());
        // A file system that refuses the flag (overlays, some network mounts) gets the page cache.
        match direct.open(path) {
            Ok(file) if has_usable_alignment(&file) => {
                return Ok(Box::new(SystemFile { file, is_direct: true }));
            }
            Ok(file) => {
                rustix::fs::fcntl_setfl(&file, OFlags::empty())?;
                return Ok(Box::new(SystemFile { file, is_direct: false }));
            }
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
            }
            Err(error) => return Err(error),
        }
        // The refused attempt may have made the file.
        let file = fs::OpenOptions::new().read(true).write(true).open(path);
        let file = file.or_else(|_| options.open(path))?;
        return Ok(Box::new(SystemFile { file, is_direct: false }));
    }
    Ok(Box::new(SystemFile { file: options.open(path)?, is_direct: false }))
}

/// Whether blocks of 4,096 satisfy the device. A kernel that does not say is taken at the flag's word.
fn has_usable_alignment(file: &fs::File) -> bool {
    use rustix::fs::AtFlags;
    use rustix::fs::StatxFlags;
    let Ok(stat) = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN) else {
        return true;
    };
    if !StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::DIOALIGN) {
        return true;
    }
    let fits = |align: u32| 0 < align && BLOCK_BYTES.is_multiple_of(u64::from(align));
    fits(stat.stx_dio_mem_align) && fits(stat.stx_dio_offset_align)
}

impl File for SystemFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            // Direct reads must go on at a multiple of a block; anything else is the file's end.
            if self.is_direct && !filled.is_multiple_of(BLOCK_LEN) {
                break;
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        loop {
            match self.file.write_at(bytes, offset) {
                Ok(count) if count == bytes.len() => return Ok(()),
                Ok(_) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, bytes) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => self.write_zeros(bytes),
            answer => Ok(answer?),
        }
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(identity_of(&self.file.metadata()?))
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

impl SystemFile {
    /// Reserves blocks the slow way: no record may ever meet a full disk.
    fn write_zeros(&self, bytes: u64) -> io::Result<()> {
        let zeros = AlignedBuffer::new(BLOCK_LEN * 16)?;
        let mut offset = self.bytes()?.next_multiple_of(BLOCK_BYTES);
        while offset < bytes {
            let left = usize::try_from(bytes - offset).unwrap_or(usize::MAX).min(zeros.len());
            self.write_at(&zeros[..left], offset)?;
            offset += left as u64;
        }
        Ok(())
    }
}

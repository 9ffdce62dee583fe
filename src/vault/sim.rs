//! A file system in memory that forgets what was not synced, for tests.
//!
//! Every file has its current bytes and the bytes a power cut would leave; every directory its current
//! names and its durable ones. The n-th changing call can fail, or be the last before the power goes.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;

use crate::vault::fs::Access;
use crate::vault::fs::Entry;
use crate::vault::fs::File;
use crate::vault::fs::FileSystem;
use crate::vault::fs::Lock;
use crate::vault::state::lock;

/// What happens at the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// This one call fails; a sync drops what it should have kept (fsync tells once, then forgets).
    FailOnce,
    /// The power goes: this call is half done (a write), everything after fails.
    PowerCut,
}

#[derive(Debug, Default)]
struct Node {
    current: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors written since the last sync, any subset of which a power cut may keep.
    dirty: BTreeSet<usize>,
}

#[derive(Debug, Default)]
struct Disk {
    names: BTreeMap<PathBuf, Arc<Mutex<Node>>>,
    durable_names: BTreeMap<PathBuf, Arc<Mutex<Node>>>,
    locks: BTreeSet<PathBuf>,
    calls: u64,
    trouble: Option<(u64, Trouble)>,
    is_off: bool,
    capacity: Option<u64>,
}

/// The simulated disk; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct SimFileSystem {
    disk: Arc<Mutex<Disk>>,
}

const SECTOR: usize = 512;

impl SimFileSystem {
    /// The same disk, as the vault takes it.
    pub(super) fn shared(&self) -> Arc<dyn FileSystem> {
        Arc::new(self.clone())
    }

    /// Arms trouble at the n-th changing call from now on, counted from 1.
    pub(super) fn arm(&self, at: u64, trouble: Trouble) {
        let mut disk = lock(&self.disk);
        disk.trouble = Some((disk.calls + at, trouble));
    }

    /// Number of changing calls so far.
    pub(super) fn calls(&self) -> u64 {
        lock(&self.disk).calls
    }

    /// Limits the bytes of all files together.
    pub(super) fn set_capacity(&self, bytes: Option<u64>) {
        lock(&self.disk).capacity = bytes;
    }

    /// From now on every call fails, as for a process whose machine is gone.
    pub(super) fn cut_power(&self) {
        lock(&self.disk).is_off = true;
    }

    /// The disk after a power cut: what was synced, and of the rest what the seed says.
    pub(super) fn after_power_cut(&self, mut seed: u64) -> Self {
        let disk = lock(&self.disk);
        let mut random = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed >> 33
        };
        // Names not synced are kept or lost one directory at a time: all or nothing, both happen.
        let names = if random().is_multiple_of(2) { &disk.durable_names } else { &disk.names };
        let after = |node: &Arc<Mutex<Node>>, random: &mut dyn FnMut() -> u64| {
            let node = lock(node);
            let mut bytes = node.durable.clone();
            for sector in &node.dirty {
                let (start, end) = (sector * SECTOR, (sector + 1) * SECTOR);
                if random().is_multiple_of(2) && start < node.current.len() {
                    let end = end.min(node.current.len());
                    bytes.resize(bytes.len().max(end), 0);
                    bytes[start..end].copy_from_slice(&node.current[start..end]);
                }
            }
            let node = Node { current: bytes.clone(), durable: bytes, dirty: BTreeSet::new() };
            Arc::new(Mutex::new(node))
        };
        let names: BTreeMap<_, _> =
            names.iter().map(|(path, node)| (path.clone(), after(node, &mut random))).collect();
        let fresh = Disk { durable_names: names.clone(), names, ..Disk::default() };
        Self { disk: Arc::new(Mutex::new(fresh)) }
    }

    /// Every file and its bytes.
    pub(super) fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let disk = lock(&self.disk);
        disk.names.iter().map(|(path, node)| (path.clone(), lock(node).current.clone())).collect()
    }

    /// A disk with exactly these files, all synced.
    pub(super) fn with_contents(contents: &BTreeMap<PathBuf, Vec<u8>>) -> Self {
        let node = |bytes: &Vec<u8>| {
            let node =
                Node { current: bytes.clone(), durable: bytes.clone(), dirty: BTreeSet::new() };
            Arc::new(Mutex::new(node))
        };
        let names: BTreeMap<_, _> =
            contents.iter().map(|(path, bytes)| (path.clone(), node(bytes))).collect();
        let disk = Disk { durable_names: names.clone(), names, ..Disk::default() };
        Self { disk: Arc::new(Mutex::new(disk)) }
    }

    fn change(&self) -> (io::Result<()>, bool) {
        let mut disk = lock(&self.disk);
        if disk.is_off {
            return (Err(io::Error::other("power is off")), false);
        }
        disk.calls += 1;
        match disk.trouble {
            Some((at, trouble)) if at == disk.calls => {
                disk.is_off = trouble == Trouble::PowerCut;
                (Err(io::Error::other("injected")), true)
            }
            _ => (Ok(()), false),
        }
    }

    fn check_power(&self) -> io::Result<()> {
        if lock(&self.disk).is_off { Err(io::Error::other("power is off")) } else { Ok(()) }
    }
}

impl FileSystem for SimFileSystem {
    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        self.check_power()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.check_power()?;
        let disk = lock(&self.disk);
        let inside = disk.names.iter().filter(|(path, _)| path.parent() == Some(dir));
        let entry = |(path, node): (&PathBuf, &Arc<Mutex<Node>>)| Entry {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes: lock(node).current.len() as u64,
        };
        Ok(inside.map(entry).collect())
    }

    fn create(&self, path: &Path, _access: Access) -> io::Result<Box<dyn File>> {
        self.change().0?;
        let mut disk = lock(&self.disk);
        if disk.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = Arc::new(Mutex::new(Node::default()));
        disk.names.insert(path.to_path_buf(), Arc::clone(&node));
        Ok(Box::new(SimFile { system: self.clone(), node }))
    }

    fn open(&self, path: &Path, _access: Access) -> io::Result<Box<dyn File>> {
        self.check_power()?;
        let node = lock(&self.disk).names.get(path).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile { system: self.clone(), node }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change().0?;
        let mut disk = lock(&self.disk);
        let node = disk.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        disk.names.insert(to.to_path_buf(), node);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.check_power()?;
        if !lock(&self.disk).names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change().0?;
        lock(&self.disk).names.remove(path);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.change().0?;
        let disk = &mut *lock(&self.disk);
        disk.durable_names.retain(|path, _| path.parent() != Some(dir));
        let inside = disk.names.iter().filter(|(path, _)| path.parent() == Some(dir));
        disk.durable_names.extend(inside.map(|(path, node)| (path.clone(), Arc::clone(node))));
        Ok(())
    }

    fn available_bytes(&self, _dir: &Path) -> io::Result<u64> {
        self.check_power()?;
        let disk = lock(&self.disk);
        let used: u64 = disk.names.values().map(|node| lock(node).current.len() as u64).sum();
        Ok(disk.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(used)))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.check_power()?;
        let is_new = lock(&self.disk).locks.insert(path.to_path_buf());
        let held = SimLock { disk: Arc::clone(&self.disk), path: path.to_path_buf() };
        if is_new {
            return Ok(Some(Box::new(held)));
        }
        std::mem::forget(held);
        Ok(None)
    }
}

#[derive(Debug)]
struct SimLock {
    disk: Arc<Mutex<Disk>>,
    path: PathBuf,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        lock(&self.disk).locks.remove(&self.path);
    }
}

#[derive(Debug)]
struct SimFile {
    system: SimFileSystem,
    node: Arc<Mutex<Node>>,
}

impl SimFile {
    fn put(&self, bytes: &[u8], offset: u64) {
        let mut node = lock(&self.node);
        let start = usize::try_from(offset).expect("small files");
        let end = start + bytes.len();
        if node.current.len() < end {
            node.current.resize(end, 0);
        }
        node.current[start..end].copy_from_slice(bytes);
        node.dirty.extend(start / SECTOR..end.div_ceil(SECTOR));
    }
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.system.check_power()?;
        let node = lock(&self.node);
        let start = usize::try_from(offset).expect("small files").min(node.current.len());
        let end = (start + buffer.len()).min(node.current.len());
        buffer[..end - start].copy_from_slice(&node.current[start..end]);
        Ok(end - start)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (answer, is_trouble) = self.system.change();
        if is_trouble {
            self.put(&bytes[..bytes.len() / 2], offset);
        }
        answer?;
        self.put(bytes, offset);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let (answer, is_trouble) = self.system.change();
        let mut node = lock(&self.node);
        if is_trouble {
            // The kernel marks the pages clean all the same: the data is gone for good.
            let durable = node.durable.clone();
            let keep = node.current.len();
            node.current.clone_from(&durable);
            node.current.resize(keep, 0);
            node.dirty.clear();
        }
        answer?;
        node.durable = node.current.clone();
        node.dirty.clear();
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.system.change().0?;
        let len = lock(&self.node).current.len() as u64;
        if self.system.available_bytes(Path::new("/"))? < bytes.saturating_sub(len) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut node = lock(&self.node);
        let bytes = usize::try_from(bytes).expect("small files");
        if node.current.len() < bytes {
            node.current.resize(bytes, 0);
        }
        Ok(())
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.system.change().0?;
        let mut node = lock(&self.node);
        let bytes = usize::try_from(bytes).expect("small files");
        node.current.truncate(bytes);
        Ok(())
    }

    fn bytes(&self) -> io::Result<u64> {
        self.system.check_power()?;
        Ok(lock(&self.node).current.len() as u64)
    }
}

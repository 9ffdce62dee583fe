//! What is on the simulated disk: how things stand, how they would after a power cut, and what lies
//! between.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::content::FileContent;
use crate::content::SECTOR_LEN;

/// The number of a file, whatever its name.
pub(super) type FileId = usize;

/// One change of the disk, as it is recorded.
#[derive(Debug, Clone)]
pub enum Op {
    /// Bytes were written; not durable before the file's next `Sync`.
    Write {
        /// Number of the file.
        file: usize,
        /// Where.
        offset: u64,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// A file was cut, or lengthened by reserving blocks.
    SetLen {
        /// Number of the file.
        file: usize,
        /// The new length in bytes.
        len: u64,
    },
    /// A file was synced.
    Sync {
        /// Number of the file.
        file: usize,
    },
    /// A sync failed: what it should have kept is clean for the kernel, and lost.
    FailedSync {
        /// Number of the file.
        file: usize,
        /// Whether readers see the old bytes from now on, or the lost ones until the power goes.
        is_evicted: bool,
    },
    /// A directory was made.
    MakeDir {
        /// Its path.
        path: Arc<Path>,
    },
    /// A file was made.
    Create {
        /// Its path.
        path: Arc<Path>,
        /// Number of the file.
        file: usize,
    },
    /// A file was renamed.
    Rename {
        /// Its old path.
        from: Arc<Path>,
        /// Its new path.
        to: Arc<Path>,
    },
    /// A file was removed.
    Remove {
        /// Its path.
        path: Arc<Path>,
    },
    /// A directory was synced.
    SyncDir {
        /// Its path.
        dir: Arc<Path>,
    },
    /// The test noted a moment; changes nothing.
    Mark(u64),
}

/// A change of one file that is not durable.
#[derive(Debug, Clone)]
enum Loose {
    Write { offset: usize, bytes: Arc<[u8]> },
    SetLen(usize),
}

/// A change of names that is not durable.
#[derive(Debug, Clone)]
enum LooseName {
    Dir { path: Arc<Path> },
    Link { path: Arc<Path>, file: FileId },
    Move { from: Arc<Path>, to: Arc<Path>, file: FileId },
    Unlink { path: Arc<Path> },
}

impl LooseName {
    fn is_in(&self, dir: &Path) -> bool {
        let path = match self {
            Self::Dir { path } | Self::Link { path, .. } | Self::Unlink { path } => path,
            Self::Move { to, .. } => to,
        };
        path.parent() == Some(dir)
    }
}

#[derive(Debug, Clone, Default)]
struct Node {
    current: FileContent,
    durable: FileContent,
    loose: Vec<Loose>,
}

/// What becomes of one change that was not durable when the power went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeFate {
    /// It never reached the device.
    Lost,
    /// It is there.
    Kept,
    /// Some of its sectors are there, which ones the number says; a move between two directories is
    /// there without the removal of the old name.
    Torn(u64),
}

/// A set of names.
#[derive(Debug, Clone, Default)]
struct Names {
    files: BTreeMap<Arc<Path>, FileId>,
    dirs: BTreeSet<Arc<Path>>,
}

impl Names {
    fn apply(&mut self, change: &LooseName, fate: ChangeFate) {
        match change {
            LooseName::Dir { path } => {
                self.dirs.insert(Arc::clone(path));
            }
            LooseName::Link { path, file } => {
                self.files.insert(Arc::clone(path), *file);
            }
            LooseName::Move { from, to, file } => {
                self.files.insert(Arc::clone(to), *file);
                let is_halved = fate != ChangeFate::Kept && from.parent() != to.parent();
                if !is_halved && self.files.get(from) == Some(file) {
                    self.files.remove(from);
                }
            }
            LooseName::Unlink { path } => {
                self.files.remove(path);
            }
        }
    }

    fn has_dir(&self, dir: &Path) -> bool {
        dir.parent().is_none() || self.dirs.contains(dir)
    }
}

/// The disk.
#[derive(Debug, Clone, Default)]
pub(super) struct DiskState {
    nodes: Vec<Node>,
    names: Names,
    durable: Names,
    loose_names: Vec<LooseName>,
}

impl DiskState {
    /// Number the next file gets.
    pub(super) fn next_file(&self) -> FileId {
        self.nodes.len()
    }

    /// The file of a name.
    pub(super) fn file(&self, path: &Path) -> Option<FileId> {
        self.names.files.get(path).copied()
    }

    /// Whether a directory is there.
    pub(super) fn has_dir(&self, dir: &Path) -> bool {
        self.names.has_dir(dir)
    }

    /// A file's bytes as its readers see them.
    pub(super) fn content(&self, file: FileId) -> &FileContent {
        &self.nodes[file].current
    }

    /// Every name and its file.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Arc<Path>, FileId)> {
        self.names.files.iter().map(|(path, file)| (path, *file))
    }

    /// Bytes of all files that have a name.
    pub(super) fn used_bytes(&self) -> u64 {
        self.files().map(|(_, file)| self.nodes[file].current.len() as u64).sum()
    }

    /// Adds a durable file, with the directories above it.
    pub(super) fn put(&mut self, path: &Path, content: FileContent) {
        for dir in path.ancestors().skip(1).filter(|dir| dir.parent().is_some()) {
            self.names.dirs.insert(dir.into());
        }
        let file = self.nodes.len();
        self.nodes.push(Node { durable: content.clone(), current: content, loose: Vec::new() });
        self.names.files.insert(path.into(), file);
        self.durable = self.names.clone();
    }

    /// Changes a file's bytes behind everyone's back, durably.
    pub(super) fn edit(&mut self, file: FileId, change: impl Fn(&mut FileContent)) {
        let node = &mut self.nodes[file];
        change(&mut node.current);
        change(&mut node.durable);
    }

    /// Takes a file away behind everyone's back, durably; returns its bytes.
    pub(super) fn take(&mut self, path: &Path) -> Option<FileContent> {
        self.durable.files.remove(path);
        let file = self.names.files.remove(path)?;
        Some(self.nodes[file].current.clone())
    }

    /// Does what was recorded, or is about to be.
    pub(super) fn apply(&mut self, op: &Op) {
        match op {
            Op::Write { file, offset, bytes } => {
                let offset = usize::try_from(*offset).expect("simulated files are small");
                let node = &mut self.nodes[*file];
                node.current.write(bytes, offset);
                node.loose.push(Loose::Write { offset, bytes: Arc::clone(bytes) });
            }
            Op::SetLen { file, len } => {
                let len = usize::try_from(*len).expect("simulated files are small");
                let node = &mut self.nodes[*file];
                node.current.set_len(len);
                node.loose.push(Loose::SetLen(len));
            }
            Op::Sync { file } => {
                let Node { durable, loose, .. } = &mut self.nodes[*file];
                for change in loose.drain(..) {
                    keep(durable, &change, ChangeFate::Kept);
                }
            }
            Op::FailedSync { file, is_evicted } => {
                let node = &mut self.nodes[*file];
                node.loose.clear();
                if *is_evicted {
                    let len = node.current.len();
                    node.current = node.durable.clone();
                    node.current.set_len(len);
                }
            }
            Op::SyncDir { dir } => {
                let is_here = |change: &LooseName| change.is_in(dir);
                for change in self.loose_names.iter().filter(|change| is_here(change)) {
                    self.durable.apply(change, ChangeFate::Kept);
                }
                self.loose_names.retain(|change| !is_here(change));
            }
            Op::MakeDir { .. } | Op::Create { .. } | Op::Rename { .. } | Op::Remove { .. } => {
                self.rename(op);
            }
            Op::Mark(_) => {}
        }
    }

    fn rename(&mut self, op: &Op) {
        let change = match op {
            Op::MakeDir { path } => LooseName::Dir { path: Arc::clone(path) },
            Op::Create { path, file } => {
                assert_eq!(*file, self.nodes.len(), "files are numbered in order");
                self.nodes.push(Node::default());
                LooseName::Link { path: Arc::clone(path), file: *file }
            }
            Op::Rename { from, to } => {
                let Some(file) = self.file(from) else { return };
                LooseName::Move { from: Arc::clone(from), to: Arc::clone(to), file }
            }
            Op::Remove { path } => LooseName::Unlink { path: Arc::clone(path) },
            _ => return,
        };
        self.names.apply(&change, ChangeFate::Kept);
        self.loose_names.push(change);
    }

    /// The changes that are not durable: of names first, then of files that have or had a name.
    pub(super) fn loose(&self) -> Vec<LooseChange> {
        let named = |(idx, change): (usize, &LooseName)| {
            let is_move = matches!(change, LooseName::Move { from, to, .. }
                if from.parent() != to.parent());
            LooseChange { file: None, idx, sectors: if is_move { 2 } else { 1 } }
        };
        let mut all: Vec<_> = self.loose_names.iter().enumerate().map(named).collect();
        for (file, node) in self.nodes.iter().enumerate() {
            all.extend(node.loose.iter().enumerate().map(|(idx, change)| {
                let sectors = match change {
                    Loose::Write { offset, bytes } => sectors(*offset, bytes.len()).count(),
                    Loose::SetLen(_) => 1,
                };
                LooseChange { file: Some(file), idx, sectors }
            }));
        }
        all
    }

    /// The disk after a power cut, with a fate for each change of [`DiskState::loose`], in its order.
    pub(super) fn after_power_cut(&self, changes: &[LooseChange], fates: &[ChangeFate]) -> Self {
        let mut names = self.durable.clone();
        let mut contents: BTreeMap<FileId, FileContent> = BTreeMap::new();
        for (change, fate) in
            changes.iter().zip(fates).filter(|(_, fate)| **fate != ChangeFate::Lost)
        {
            match change.file {
                None => names.apply(&self.loose_names[change.idx], *fate),
                Some(file) => {
                    let node = &self.nodes[file];
                    let content = contents.entry(file).or_insert_with(|| node.durable.clone());
                    keep(content, &node.loose[change.idx], *fate);
                }
            }
        }
        let mut after = Self::default();
        let Names { files, dirs } = names;
        let is_reachable = |path: &Path| {
            path.ancestors().skip(1).all(|dir| dir.parent().is_none() || dirs.contains(dir))
        };
        for (path, file) in files.iter().filter(|(path, _)| is_reachable(path)) {
            let content = contents.get(file).unwrap_or(&self.nodes[*file].durable);
            let node =
                Node { current: content.clone(), durable: content.clone(), loose: Vec::new() };
            after.names.files.insert(Arc::clone(path), after.nodes.len());
            after.nodes.push(node);
        }
        after.names.dirs = dirs.iter().filter(|dir| is_reachable(dir)).cloned().collect();
        after.durable = after.names.clone();
        after
    }
}

/// One change that is not durable, and in how many parts it may reach the device.
#[derive(Debug, Clone, Copy)]
pub(super) struct LooseChange {
    file: Option<FileId>,
    idx: usize,
    /// More than one part can be torn.
    pub(super) sectors: usize,
}

/// The pieces of a write that reach the device each on its own: start and end inside the write.
fn sectors(offset: usize, len: usize) -> impl Iterator<Item = (usize, usize)> {
    let first = offset / SECTOR_LEN;
    let last = (offset + len).div_ceil(SECTOR_LEN);
    (first..last).map(move |sector| {
        let start = (sector * SECTOR_LEN).max(offset) - offset;
        (start, ((sector + 1) * SECTOR_LEN).min(offset + len) - offset)
    })
}

fn keep(content: &mut FileContent, change: &Loose, fate: ChangeFate) {
    match (change, fate) {
        (_, ChangeFate::Lost) => {}
        (Loose::SetLen(len), _) => content.set_len(*len),
        (Loose::Write { offset, bytes }, ChangeFate::Kept) => content.write(bytes, *offset),
        (Loose::Write { offset, bytes }, ChangeFate::Torn(seed)) => {
            let mut random = seed;
            for (start, end) in sectors(*offset, bytes.len()) {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99_991);
                if random >> 63 == 0 {
                    content.write(&bytes[start..end], offset + start);
                }
            }
        }
    }
}

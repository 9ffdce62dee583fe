//! The files that the options of a configuration name.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::component::FileStamp;
use crate::component::FileStamps;
use crate::component::NamedFile;
use crate::component::try_open;
use crate::config::document::config::Config;

/// A file that cannot be read.
#[derive(Debug)]
pub struct UnreadableFile {
    /// The option that names it, from the top of the document.
    pub option: String,
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
}

impl Config {
    /// Remembers what the files are like that components read when they are built, and what the document was
    /// like before it was read. Blocks for as long as the disk takes.
    pub(in crate::config) fn look_at_files(&mut self, document: &Path, stamp: Option<FileStamp>) {
        let paths = self.files().into_iter().filter(|(_, file)| !file.is_followed);
        let paths = paths.map(|(_, file)| file.path);
        self.file_stamps = paths.map(|path| (path.clone(), FileStamp::of(&path))).collect();
        self.document = Some((document.to_owned(), stamp));
    }

    /// The files that changed since the configuration was loaded. Blocks for as long as the disk takes.
    #[must_use]
    pub fn changed_files(&self) -> FileChanges {
        let stamps = self.file_stamps.iter();
        let now = stamps.map(|(path, was)| (path, was, FileStamp::of(path)));
        let changed = now.filter(|(_, was, is)| *was != is);
        let was = self.document.as_ref().and_then(|(_, was)| *was);
        let document = self.document.as_ref().and_then(|(path, _)| FileStamp::of(path));
        FileChanges {
            files: changed.map(|(path, _, is)| (path.clone(), is)).collect(),
            document,
            is_same_document: was == document,
        }
    }

    /// The files that components could not read. Blocks for as long as the disk takes.
    #[must_use]
    pub fn unreadable_files(&self) -> Vec<UnreadableFile> {
        let unreadable = |(option, file): (String, NamedFile)| {
            let error = try_open(&file.path).err()?;
            Some(UnreadableFile { option, path: file.path, error })
        };
        self.files().into_iter().filter_map(unreadable).collect()
    }

    /// The files that options name, with the option from the top of the document.
    fn files(&self) -> Vec<(String, NamedFile)> {
        let sources = self.sources.iter().map(|(id, it)| ("sources", id, it.config.files()));
        let transforms =
            self.transforms.iter().map(|(id, it)| ("transforms", id, it.config.files()));
        let sinks = self.sinks.iter().map(|(id, it)| ("sinks", id, it.config.files()));
        let mut all = Vec::new();
        for (section, id, files) in sources.chain(transforms).chain(sinks) {
            let named = |file: NamedFile| (format!("{section}.{id}.{}", file.option), file);
            all.extend(files.into_iter().map(named));
        }
        all
    }
}

/// What changed since a configuration was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileChanges {
    /// The files that changed, and what they are like now.
    pub files: FileStamps,
    /// What the document is like now; none if it was loaded from a text, or is gone.
    pub document: Option<FileStamp>,
    /// The document itself did not change.
    pub is_same_document: bool,
}

impl FileChanges {
    /// Whether the document is there and is another one. One that is gone may be back soon.
    #[must_use]
    pub fn has_other_document(&self) -> bool {
        !self.is_same_document && self.document.is_some()
    }
}

/// Whether a component would read the same from the files that it names, as far as both configurations
/// know: one that was loaded from a text has looked at none.
pub(super) fn is_same(old: &Config, new: &Config, files: &[NamedFile]) -> bool {
    if old.document.is_none() || new.document.is_none() {
        return true;
    }
    let mut read = files.iter().filter(|file| !file.is_followed);
    read.all(|file| old.file_stamps.get(&file.path) == new.file_stamps.get(&file.path))
}

//! A reload without a signal, when a file changed that a component has read: a renewed certificate, or
//! another lookup table; with `--watch-config` also when the configuration itself changed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio::time::interval;

use super::App;
use super::ConfigSource;
use crate::config::Config;
use crate::config::FileChanges;

/// How often the files are looked at. Tools that renew certificates do so days before they expire.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Looks at the files of the configuration in force.
pub(super) struct FileWatch {
    looks: tokio::time::Interval,
    /// The configuration is followed too.
    follows_document: bool,
    /// What the last look found.
    seen: FileChanges,
    /// What was found when it was told last. It is told once.
    told: FileChanges,
}

impl FileWatch {
    pub(super) fn new(source: &ConfigSource) -> Self {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let follows_document = matches!(source, ConfigSource::Followed(_));
        Self { looks, follows_document, seen: FileChanges::default(), told: FileChanges::default() }
    }

    /// Waits until files of `config` are others than when it was loaded, and than at the last time that
    /// this returned. May be dropped at any time.
    pub(super) async fn changed(&mut self, config: &Arc<Config>) -> FileChanges {
        loop {
            self.looks.tick().await;
            let config = Arc::clone(config);
            let look = tokio::task::spawn_blocking(move || config.changed_files());
            let Ok(found) = look.await else { continue };
            if self.is_news(&found) {
                return found;
            }
        }
    }

    /// Whether what a look found is to be told.
    fn is_news(&mut self, found: &FileChanges) -> bool {
        // The configuration may be half written, and its files may change one after the other: what two looks
        // find alike is complete.
        let is_settled = std::mem::replace(&mut self.seen, found.clone()) == *found;
        if *found == self.told || (self.follows_document && !is_settled) {
            return false;
        }
        self.told.clone_from(found);
        !found.files.is_empty() || (self.follows_document && found.has_other_document())
    }
}

impl App {
    /// Builds anew what has read files that are others now. An operator who is at work on the document
    /// decides when that comes into force, and the files with it.
    pub(super) async fn follow_files(&mut self, changes: FileChanges) {
        let files = changes.files.keys().map(|path| path.display().to_string());
        let files = files.collect::<Vec<_>>().join(", ");
        if matches!(self.source, ConfigSource::Followed(_)) && changes.has_other_document() {
            tracing::info!("The configuration changed; GopherShip reloads it.");
            let _told = self.reload().await;
        } else if changes.is_same_document {
            tracing::info!(files, "Files of the configuration changed; GopherShip reloads it.");
            // What became of it has been logged.
            let _told = self.reload().await;
        } else {
            tracing::warn!(
                files,
                "Files of the configuration changed, and so did the configuration; they take effect at \
                 the next reload."
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::path::PathBuf;

    use super::*;
    use crate::component::FileStamp;

    /// What a look finds after something was written into the configuration.
    fn written(path: &Path, text: &str) -> FileChanges {
        std::fs::write(path, text).unwrap();
        FileChanges { document: FileStamp::of(path), ..FileChanges::default() }
    }

    #[tokio::test]
    async fn a_configuration_that_is_followed_is_told_once_and_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gophership.yaml");
        let mut watch = FileWatch::new(&ConfigSource::Followed(path.clone()));
        let same = FileChanges { is_same_document: true, ..written(&path, "a") };
        let looks = |watch: &mut FileWatch, found: &FileChanges| {
            [watch.is_news(found), watch.is_news(found), watch.is_news(found)]
        };
        assert_eq!(looks(&mut watch, &same), [false; 3]);
        let half = written(&path, "ab");
        assert!(!watch.is_news(&half));
        let complete = written(&path, "abc");
        assert_eq!(looks(&mut watch, &complete), [false, true, false]);
        let gone = FileChanges::default();
        assert_eq!(looks(&mut watch, &gone), [false; 3]);
        assert_eq!(looks(&mut watch, &complete), [false, true, false]);
        assert_eq!(looks(&mut watch, &same), [false; 3]);
    }

    #[tokio::test]
    async fn without_the_flag_only_other_files_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gophership.yaml");
        let mut watch = FileWatch::new(&ConfigSource::File(path.clone()));
        let document = written(&path, "a");
        assert!(!watch.is_news(&document) && !watch.is_news(&document));
        let mut both = document;
        both.files.insert(PathBuf::from("table.csv"), None);
        assert!(watch.is_news(&both) && !watch.is_news(&both));
    }
}

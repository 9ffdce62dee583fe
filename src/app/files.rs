//! A reload without a signal, when a file changed that a component has read: a renewed certificate, or
//! another lookup table.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio::time::interval;

use super::App;
use crate::config::Config;
use crate::config::FileChanges;

/// How often the files are looked at. Tools that renew certificates do so days before they expire.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Looks at the files of the configuration in force.
pub(super) struct FileWatch {
    looks: tokio::time::Interval,
    /// What was found last. It is told once.
    found: FileChanges,
}

impl FileWatch {
    pub(super) fn new() -> Self {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { looks, found: FileChanges::default() }
    }

    /// Waits until files of `config` are others than when it was loaded, and than at the last time that
    /// this returned. May be dropped at any time.
    pub(super) async fn changed(&mut self, config: &Arc<Config>) -> FileChanges {
        loop {
            self.looks.tick().await;
            let config = Arc::clone(config);
            let look = tokio::task::spawn_blocking(move || config.changed_files());
            let Ok(found) = look.await else { continue };
            if found != self.found {
                self.found.clone_from(&found);
                if !found.files.is_empty() {
                    return found;
                }
            }
        }
    }
}

impl App {
    /// Builds anew what has read files that are others now. An operator who is at work on the document
    /// decides when that comes into force, and the files with it.
    pub(super) async fn follow_files(&mut self, changes: FileChanges) {
        let files = changes.files.keys().map(|path| path.display().to_string());
        let files = files.collect::<Vec<_>>().join(", ");
        if changes.is_same_document {
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

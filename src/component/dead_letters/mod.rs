//! The dead letters of an open vault: requests that can never be delivered, and how they leave their store
//! after all.
//!
//! ```text
//!   vault_replay --refused for good--> store      a vault of its own, which only grows at its end
//!   store --redrive--> pipeline --> the sinks that missed it --acknowledged--> taken out
//!                              \--> refused again: stored anew with the new reason, the old one taken out
//!   store --drop--> taken out, and booked as dropped
//! ```
//!
//! What is taken out is named in a list beside the segments ([`RemovedLetters`]); who reads the store leaves
//! it out. A cursor of the store passes it too, so that a segment is deleted of which all is taken out.
//!
//! Letters are counted as `dead_lettered` in the ledger while they are in the store. One that is delivered is
//! there no more, as a request that the vault has replayed; one that is dropped moves to `dropped`.

mod counted;
mod letter;
mod redrive;
mod selection;
#[cfg(test)]
mod tests;
mod walk;

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use gophership_vault::CursorHandle;
use gophership_vault::Log;
use gophership_vault::VaultError;
use parking_lot::Mutex;
use parking_lot::MutexGuard;
use tokio::sync::watch;

use crate::component::id::ComponentId;
use crate::event::Batch;
use crate::flow::Full;
use crate::flow::Intake;
use crate::ledger::REMOVED_RANGES_MAX;
use crate::ledger::RemovedLetters;

use redrive::Redrives;

pub use counted::LetterScan;
pub use counted::LetterTotals;
pub use letter::Letter;
pub use redrive::AttachedReplay;
pub use redrive::DropTurn;
pub use redrive::RedriveOrder;
pub use redrive::RedriveProgress;
pub use redrive::RedriveRefusal;
pub use redrive::RedriveTurn;
pub use selection::LetterSelection;
pub use walk::LetterWalk;

/// The cursor of the store that passes what was taken out.
const CURSOR: &str = "removed";

/// What keeps dead letters: it takes them, and has a log once it is open.
pub trait LetterStore: Intake {
    /// Opens the store, if it is not open. Blocks.
    ///
    /// # Errors
    ///
    /// As [`gophership_vault::Writer::open`], and when the vault is closed.
    fn open_log(&self) -> Result<Arc<Log>, VaultError>;

    /// Its directory.
    fn dir(&self) -> &Path;
}

/// Letters cannot be read or taken out.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    /// The store.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The list of what was taken out.
    #[error("cannot keep the list of removed dead letters in {}: {source}", dir.display())]
    List {
        /// The directory of the store.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The list would become too long.
    #[error(
        "too many gaps: letters were removed at {REMOVED_RANGES_MAX} places between others. Redrive \
         or drop the oldest letters without a selection first"
    )]
    Scattered,
}

/// The dead letters of one open vault.
pub struct DeadLetters {
    dir: PathBuf,
    store: Arc<dyn LetterStore>,
    removed: Mutex<Removed>,
    /// Held by who writes the list.
    writing: Mutex<()>,
    redrives: Arc<Redrives>,
}

#[derive(Default)]
struct Removed {
    /// As it is in force; `None` before it is read.
    list: Option<RemovedLetters>,
    /// Once the store is open.
    opened: Option<(Arc<Log>, CursorHandle)>,
    is_unsaved: bool,
}

impl DeadLetters {
    /// Makes the letters of a store known; nothing is opened or read yet.
    pub(super) fn new(store: Arc<dyn LetterStore>) -> Self {
        let (removed, writing) = (Mutex::default(), Mutex::default());
        Self { dir: store.dir().to_path_buf(), store, removed, writing, redrives: Arc::default() }
    }

    /// Takes one more letter, or gives it back.
    ///
    /// # Errors
    ///
    /// As [`Intake::try_take`].
    pub fn try_take(&self, batch: Batch) -> Result<(), Full> {
        self.store.try_take(batch)
    }

    /// Whether there is a store: it is made for the first letter.
    #[must_use]
    pub fn are_there(&self) -> bool {
        gophership_vault::is_vault(&self.dir)
    }

    /// Goes through the letters behind `after`, of which segment and number are given, that `selection` can
    /// mean. Waits for the disk.
    ///
    /// # Errors
    ///
    /// As [`gophership_vault::OfflineReader::open`].
    pub fn walk(
        &self,
        after: Option<(u64, u64)>,
        selection: &LetterSelection,
    ) -> Result<LetterWalk, LetterError> {
        let seqs = (selection.first_seq(), selection.last_seq());
        Ok(LetterWalk::begin(&self.dir, after, seqs)?)
    }

    /// The next letter of a walk that was not taken out, whether or not it is meant. Waits for the disk.
    ///
    /// # Errors
    ///
    /// As [`gophership_vault::OfflineReader::next`], and when the list cannot be read.
    pub fn next(&self, walk: &mut LetterWalk) -> Result<Option<Letter>, LetterError> {
        while let Some(letter) = walk.next()? {
            let mut removed = self.removed.lock();
            if !self.list(&mut removed)?.has(letter.seq) {
                return Ok(Some(letter));
            }
        }
        Ok(None)
    }

    /// Adds up the letters that are meant. Waits for the disk.
    ///
    /// # Errors
    ///
    /// As [`DeadLetters::next`].
    pub fn count(&self, selection: &LetterSelection) -> Result<LetterScan, LetterError> {
        self.each(selection, |_letter| Ok(()))
    }

    fn each(
        &self,
        selection: &LetterSelection,
        mut meant: impl FnMut(&Letter) -> Result<(), LetterError>,
    ) -> Result<LetterScan, LetterError> {
        let (mut walk, mut counted) = (self.walk(None, selection)?, LetterScan::default());
        while let Some(letter) = self.next(&mut walk)? {
            counted.last_seq = letter.seq;
            if selection.has(&letter) {
                counted.add(&letter);
                meant(&letter)?;
            }
        }
        Ok(counted)
    }

    /// Opens the store for who takes letters out; returns the number of its last letter. Blocks.
    ///
    /// # Errors
    ///
    /// When the store or the list cannot be opened, and [`LetterError::Scattered`].
    pub fn open(&self) -> Result<u64, LetterError> {
        let log = self.store.open_log()?;
        let mut removed = self.removed.lock();
        if removed.opened.is_none() {
            let list = RemovedLetters::read_for(&self.dir, log.vault_id(), log.durable_seq());
            let list = list.map_err(|source| self.fault(source))?;
            log.ensure_cursor(CURSOR)?;
            let cursor = log.cursor(CURSOR);
            removed.opened = cursor.map(|cursor| (Arc::clone(&log), cursor));
            removed.list = Some(list);
        }
        if removed.list.as_ref().is_some_and(|list| REMOVED_RANGES_MAX <= list.ranges_len()) {
            return Err(LetterError::Scattered);
        }
        Ok(log.durable_seq())
    }

    /// Takes a letter out that its sinks have; returns whether it was still there. It is on disk with the
    /// next [`DeadLetters::save`]: after a crash before that it is there again.
    pub fn take_out(&self, seq: u64) -> bool {
        let mut removed = self.removed.lock();
        let Removed { list: Some(list), is_unsaved, .. } = &mut *removed else { return false };
        let is_news = !list.has(seq);
        list.add(seq, seq);
        *is_unsaved |= is_news;
        is_news
    }

    /// Whether the list has become so long that nothing more is to be taken out before it is shorter.
    #[must_use]
    pub fn are_scattered(&self) -> bool {
        let removed = self.removed.lock();
        removed.list.as_ref().is_some_and(|list| REMOVED_RANGES_MAX <= list.ranges_len())
    }

    /// Makes durable what was taken out, if something was. Blocks.
    ///
    /// # Errors
    ///
    /// When the list cannot be written; the call may be repeated.
    pub fn save(&self) -> Result<(), LetterError> {
        let _writing = self.writing.lock();
        let list = {
            let mut removed = self.removed.lock();
            let (log, is_unsaved) = (removed.opened.clone(), removed.is_unsaved);
            let (Some((log, _)), Some(list), true) = (log, &mut removed.list, is_unsaved) else {
                return Ok(());
            };
            shorten(list, &log);
            let list = list.clone();
            removed.is_unsaved = false;
            list
        };
        if let Err(source) = list.write(&self.dir) {
            self.removed.lock().is_unsaved = true;
            return Err(self.fault(source));
        }
        self.pass(&list)
    }

    /// Takes the letters that are meant out for good: durably, or none of them. Blocks.
    ///
    /// # Errors
    ///
    /// When the store cannot be read or is not open, the list cannot be written, or would become too long.
    pub fn take_out_all(&self, selection: &LetterSelection) -> Result<LetterScan, LetterError> {
        let _writing = self.writing.lock();
        let opened = self.removed.lock().opened.as_ref().map(|(log, _)| Arc::clone(log));
        let (Some(mut list), Some(log)) = (self.removed.lock().list.clone(), opened) else {
            return Err(self.fault(io::Error::other("the store is not open")));
        };
        let counted = self.each(selection, |letter| {
            list.add(letter.seq, letter.seq);
            let is_too_long = REMOVED_RANGES_MAX < list.ranges_len();
            if is_too_long { Err(LetterError::Scattered) } else { Ok(()) }
        })?;
        shorten(&mut list, &log);
        list.write(&self.dir).map_err(|source| self.fault(source))?;
        self.removed.lock().list = Some(list.clone());
        self.pass(&list)?;
        Ok(counted)
    }

    /// Lets the cursor pass what was taken out, so that segments can be deleted of which nothing is left.
    fn pass(&self, list: &RemovedLetters) -> Result<(), LetterError> {
        let cursor = self.removed.lock().opened.as_ref().map(|(_, cursor)| cursor.clone());
        let Some(cursor) = cursor else { return Ok(()) };
        for (first, last) in list.ranges() {
            cursor.pass(first, last);
        }
        Ok(cursor.save()?)
    }

    /// Orders that letters are sent again; `selected` is what is meant.
    ///
    /// # Errors
    ///
    /// [`RedriveRefusal`].
    pub fn order_redrive(
        &self,
        order: RedriveOrder,
        selected: LetterTotals,
    ) -> Result<watch::Receiver<RedriveProgress>, RedriveRefusal> {
        self.redrives.order(order, selected)
    }

    /// How far the redrive is that was begun last.
    #[must_use]
    pub fn last_redrive(&self) -> Option<RedriveProgress> {
        self.redrives.last()
    }

    /// The right to drop letters; no redrive begins while it is held.
    ///
    /// # Errors
    ///
    /// [`RedriveRefusal::IsBusy`].
    pub fn begin_drop(&self) -> Result<DropTurn, RedriveRefusal> {
        self.redrives.begin_drop()
    }

    /// Makes a replay known that can send letters.
    #[must_use]
    pub fn attach(&self, replay: &ComponentId) -> AttachedReplay {
        self.redrives.attach(replay)
    }

    /// The list, which is read now if it was not.
    fn list<'a>(
        &self,
        removed: &'a mut MutexGuard<'_, Removed>,
    ) -> Result<&'a RemovedLetters, LetterError> {
        let read = match removed.list.take() {
            Some(list) => list,
            None => RemovedLetters::read(&self.dir).map_err(|source| self.fault(source))?,
        };
        Ok(removed.list.insert(read))
    }

    fn fault(&self, source: io::Error) -> LetterError {
        LetterError::List { dir: self.dir.clone(), source }
    }
}

/// What segments are gone of needs no ranges of its own.
fn shorten(list: &mut RemovedLetters, log: &Log) {
    if let Some(oldest) = log.segments().first() {
        list.add(1, oldest.first_seq.saturating_sub(1));
    }
}

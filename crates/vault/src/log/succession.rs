//! Cursors that begin where others are.

use std::sync::Arc;

use crate::error::VaultError;
use crate::log::cursor;
use crate::log::cursor::Acks;
use crate::log::cursor::Cursor;
use crate::log::cursor::CursorHandle;
use crate::log::view::Log;
use crate::log::view::LogState;
use crate::state::lock;

impl Log {
    /// Lists the names of the cursors, in their order.
    #[must_use]
    pub fn cursors(&self) -> Vec<String> {
        lock(&self.state).cursors.keys().cloned().collect()
    }

    /// Makes a cursor durably that has passed what all of `likes` have passed; returns whether it did. It
    /// does nothing if there is a cursor of that name, or none to be like.
    ///
    /// # Errors
    ///
    /// [`VaultError::CursorName`] or [`VaultError::Io`].
    pub fn copy_cursor(&self, likes: &[String], name: &str) -> Result<bool, VaultError> {
        cursor::check_name(name)?;
        let likes: Vec<Arc<Cursor>> = {
            let state = lock(&self.state);
            if state.cursors.contains_key(name) {
                return Ok(false);
            }
            state.cursors_of(likes)
        };
        let Some(acks) = passed_by_all(&likes) else { return Ok(false) };
        let files = Arc::clone(&self.files);
        let cursor = Cursor::create(files, &self.dir, name, self.vault_id, acks)?;
        lock(&self.state).cursors.entry(name.to_owned()).or_insert(Arc::new(cursor));
        Ok(true)
    }

    /// Lets a cursor pass what all of `likes` have passed by now; that is on disk with its next save.
    pub fn catch_up(&self, likes: &[String], name: &str) {
        let Some((passed, cursor)) = self.beside(likes, name) else { return };
        for (first, last) in passed.as_set().ranges() {
            cursor.pass(first, last);
        }
    }

    /// Lets a cursor need again, durably, what comes after a record and not all of `others` have passed. Does
    /// nothing without others.
    ///
    /// # Errors
    ///
    /// [`VaultError::Io`] when it cannot be saved.
    pub fn need_again(&self, name: &str, others: &[String], after: u64) -> Result<(), VaultError> {
        let Some((mut passed, handle)) = self.beside(others, name) else { return Ok(()) };
        passed.pass(0, after);
        let cursor = &handle.cursor;
        let mut acks = lock(&cursor.acks);
        *acks = acks.and(&passed);
        *lock(&cursor.given) = acks.as_set();
        drop(acks);
        handle.save()
    }

    /// What all of `others` have passed, beside a cursor; `None` if there are none, or not that one.
    fn beside(&self, others: &[String], name: &str) -> Option<(Acks, CursorHandle)> {
        let state = lock(&self.state);
        let (others, cursor) = (state.cursors_of(others), state.cursors.get(name).cloned());
        drop(state);
        Some((passed_by_all(&others)?, CursorHandle { cursor: cursor? }))
    }

    /// Makes a cursor durably that starts at the oldest record, unless there is one of that name. From then
    /// on it holds back deletion.
    ///
    /// # Errors
    ///
    /// [`VaultError::CursorName`] or [`VaultError::Io`].
    pub fn ensure_cursor(&self, name: &str) -> Result<(), VaultError> {
        cursor::check_name(name)?;
        if !lock(&self.state).cursors.contains_key(name) {
            self.register_cursor(name)?;
        }
        Ok(())
    }

    /// Makes a new cursor durably that starts at the oldest record.
    pub(crate) fn register_cursor(&self, name: &str) -> Result<Arc<Cursor>, VaultError> {
        let first = |state: &LogState| state.segments.values().next().map(|it| it.info.first_seq);
        let low = first(&lock(&self.state)).map_or_else(|| self.durable_seq(), |first| first - 1);
        let files = Arc::clone(&self.files);
        let cursor = Cursor::create(files, &self.dir, name, self.vault_id, Acks::new(low))?;
        let mut state = lock(&self.state);
        Ok(Arc::clone(state.cursors.entry(name.to_owned()).or_insert(Arc::new(cursor))))
    }

    /// Returns the one of some cursors that has passed least; none if there is none of them.
    #[must_use]
    pub fn slowest_of(&self, names: &[String]) -> Option<String> {
        let state = lock(&self.state);
        let low = |name: &&String| state.cursors.get(*name).map(|cursor| lock(&cursor.acks).low());
        names.iter().filter(|name| low(name).is_some()).min_by_key(|name| low(name)).cloned()
    }
}

impl LogState {
    fn cursors_of(&self, names: &[String]) -> Vec<Arc<Cursor>> {
        names.iter().filter_map(|name| self.cursors.get(name).cloned()).collect()
    }
}

fn passed_by_all(cursors: &[Arc<Cursor>]) -> Option<Acks> {
    let passed = cursors.iter().map(|cursor| lock(&cursor.acks).clone());
    passed.reduce(|all, one| all.and(&one))
}

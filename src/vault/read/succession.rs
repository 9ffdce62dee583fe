//! Cursors that begin where others are.

use std::sync::Arc;

use crate::vault::error::VaultError;
use crate::vault::log::Log;
use crate::vault::read::cursor;
use crate::vault::read::cursor::Cursor;
use crate::vault::state::lock;

impl Log {
    /// Lists the names of the cursors, in their order.
    #[must_use]
    pub fn cursors(&self) -> Vec<String> {
        lock(&self.state).cursors.keys().cloned().collect()
    }

    /// Makes a cursor durably that has passed what `like` has passed. Does nothing if there is a cursor
    /// of that name, or none to be like.
    ///
    /// # Errors
    ///
    /// [`VaultError::CursorName`] or [`VaultError::Io`].
    pub fn copy_cursor(&self, like: &str, name: &str) -> Result<(), VaultError> {
        cursor::check_name(name)?;
        let like = {
            let state = lock(&self.state);
            if state.cursors.contains_key(name) {
                return Ok(());
            }
            state.cursors.get(like).cloned()
        };
        let Some(like) = like else { return Ok(()) };
        let acks = lock(&like.acks).clone();
        let files = Arc::clone(&self.files);
        let cursor = Cursor::create(files, &self.dir, name, self.vault_id, acks)?;
        lock(&self.state).cursors.entry(name.to_owned()).or_insert(Arc::new(cursor));
        Ok(())
    }

    /// Returns the one of some cursors that has passed least; none if there is none of them.
    #[must_use]
    pub fn slowest_of(&self, names: &[String]) -> Option<String> {
        let state = lock(&self.state);
        let low = |name: &&String| state.cursors.get(*name).map(|cursor| lock(&cursor.acks).low());
        names.iter().filter(|name| low(name).is_some()).min_by_key(|name| low(name)).cloned()
    }
}

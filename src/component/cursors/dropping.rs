//! What somebody still needs of a vault, and giving all of that up at once.

use super::SinkCursors;

/// The lock is let go after so many records, as acknowledgements wait for it.
const CHUNK: u64 = 4096;

impl SinkCursors {
    /// Those of the records `first..=last`, in runs, that some sink has not acknowledged: all, if no sink reads
    /// the vault. They are in the ledger as vaulted.
    #[must_use]
    pub fn needed(&self, first: u64, last: u64) -> Vec<(u64, u64)> {
        self.each_chunk(first, last, |_, _| {})
    }

    /// Lets every cursor of the vault, those of copies too, pass the records `first..=last`; returns those that
    /// some sink had not acknowledged. It is for the caller to book them. What a replay has sent of them
    /// may still arrive, and is then delivered beside that.
    #[must_use]
    pub fn give_all_up(&self, first: u64, last: u64) -> Vec<(u64, u64)> {
        let names = self.log.cursors();
        let cursors: Vec<_> = names.iter().filter_map(|name| self.log.cursor(name)).collect();
        self.each_chunk(first, last, |first, last| {
            for cursor in &cursors {
                cursor.pass(first, last);
            }
        })
    }

    /// Saves what every cursor of the vault has passed. Blocks.
    ///
    /// # Errors
    ///
    /// [`VaultError::Io`](gophership_vault::VaultError::Io) when a cursor cannot be saved.
    pub fn save_all(&self) -> Result<(), gophership_vault::VaultError> {
        let names = self.log.cursors();
        let mut cursors = names.iter().filter_map(|name| self.log.cursor(name));
        cursors.try_for_each(|cursor| cursor.save())
    }

    /// Finds what is needed, chunk by chunk, and calls `and_then` for each chunk under the same lock.
    fn each_chunk(
        &self,
        first: u64,
        last: u64,
        mut and_then: impl FnMut(u64, u64),
    ) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        let mut start = first;
        while start <= last {
            let end = last.min(start + CHUNK - 1);
            let holders = self.lock();
            for seq in (start..=end).filter(|seq| holders.is_needed(*seq)) {
                match runs.last_mut() {
                    Some(run) if run.1 + 1 == seq => run.1 = seq,
                    _ => runs.push((seq, seq)),
                }
            }
            and_then(start, end);
            start = end + 1;
        }
        runs
    }
}

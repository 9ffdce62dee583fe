//! How much work a record is worth now: compressed, or stored as it came.

use std::sync::Arc;
use std::sync::OnceLock;

use crate::options::RecordCompression;

/// From here on room is worth more than processors.
const SPARED_BELOW_PERMILLE: u32 = 500;

/// Asked at each append whether processors are short. Must be cheap and must not block.
pub type AreShort = dyn Fn() -> bool + Send + Sync;

/// Decides it for one vault.
pub(crate) struct CompressionPolicy {
    compression: RecordCompression,
    are_short: OnceLock<Arc<AreShort>>,
}

impl CompressionPolicy {
    pub(crate) fn new(compression: RecordCompression) -> Self {
        Self { compression, are_short: OnceLock::new() }
    }

    /// Names who is asked; a second call has no effect.
    pub(crate) fn ask(&self, are_short: Arc<AreShort>) {
        let _is_first = self.are_short.set(are_short);
    }

    /// Whether a record is compressed now: `fill_permille` says how much of the vault is used, if it is
    /// asked, and `disk_keeps_up` whether there is more room for waiting records than records.
    pub(crate) fn compresses(
        &self,
        fill_permille: impl FnOnce() -> u32,
        disk_keeps_up: bool,
    ) -> bool {
        let are_short = || self.are_short.get().is_some_and(|are_short| are_short());
        match self.compression {
            RecordCompression::None => false,
            RecordCompression::Lz4 => true,
            RecordCompression::Auto => {
                !(disk_keeps_up && are_short() && fill_permille() < SPARED_BELOW_PERMILLE)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn auto_leaves_compression_out_while_only_processors_are_short() {
        let compression_policy = CompressionPolicy::new(RecordCompression::Auto);
        assert!(compression_policy.compresses(|| 0, true), "nobody says that processors are short");
        let are_short = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&are_short);
        compression_policy.ask(Arc::new(move || asked.load(Ordering::Relaxed)));
        assert!(
            !compression_policy.compresses(|| 0, true)
                && !compression_policy.compresses(|| 499, true)
        );
        assert!(compression_policy.compresses(|| 500, true), "room is short");
        assert!(compression_policy.compresses(|| 0, false), "the disk is short");
        are_short.store(false, Ordering::Relaxed);
        assert!(compression_policy.compresses(|| 0, true));
    }

    #[test]
    fn who_says_how_gets_it_always() {
        for (compression, expected) in
            [(RecordCompression::None, false), (RecordCompression::Lz4, true)]
        {
            let compression_policy = CompressionPolicy::new(compression);
            compression_policy.ask(Arc::new(|| true));
            assert_eq!(compression_policy.compresses(|| 0, true), expected);
        }
    }
}

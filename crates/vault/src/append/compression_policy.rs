//! How much work a record is worth now: compressed, or stored as it came.

use std::sync::Arc;
use std::sync::OnceLock;

use crate::options::RecordCompression;

/// From here on room is worth more than processors.
const SPARED_BELOW_PERMILLE: u32 = 500;

/// What the vault itself goes through, for the decision about a record.
#[derive(Clone, Copy)]
pub(crate) struct VaultLoad {
    /// How much of the disk budget is used, in thousandths.
    pub(crate) fill_permille: u32,
    /// So much arrives that compressing it takes a good part of a processor.
    pub(crate) is_heavy: bool,
}

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

    /// Whether a record is compressed now: `load` is asked only where it matters, and `disk_keeps_up` says
    /// whether there is more room for waiting records than records.
    ///
    /// Somebody on a machine waits for a processor now and then although processors are idle, so being short
    /// of them is no reason for a vault that takes little: leaving its records as they are saves no time worth
    /// speaking of, and costs room.
    pub(crate) fn compresses(&self, load: impl FnOnce() -> VaultLoad, disk_keeps_up: bool) -> bool {
        let are_short = || self.are_short.get().is_some_and(|are_short| are_short());
        let may_spare =
            |load: VaultLoad| load.is_heavy && load.fill_permille < SPARED_BELOW_PERMILLE;
        match self.compression {
            RecordCompression::None => false,
            RecordCompression::Lz4 => true,
            RecordCompression::Auto => !(disk_keeps_up && are_short() && may_spare(load())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering;

    use super::*;

    const fn heavy(fill_permille: u32) -> VaultLoad {
        VaultLoad { fill_permille, is_heavy: true }
    }

    #[test]
    fn auto_leaves_compression_out_while_only_processors_are_short() {
        let compression_policy = CompressionPolicy::new(RecordCompression::Auto);
        assert!(compression_policy.compresses(|| heavy(0), true), "processors are not short");
        let are_short = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&are_short);
        compression_policy.ask(Arc::new(move || asked.load(Ordering::Relaxed)));
        assert!(
            !compression_policy.compresses(|| heavy(0), true)
                && !compression_policy.compresses(|| heavy(499), true)
        );
        assert!(compression_policy.compresses(|| heavy(500), true), "room is short");
        assert!(compression_policy.compresses(|| heavy(0), false), "the disk is short");
        let light = || VaultLoad { fill_permille: 0, is_heavy: false };
        assert!(compression_policy.compresses(light, true), "it costs next to nothing");
        are_short.store(false, Ordering::Relaxed);
        assert!(compression_policy.compresses(|| heavy(0), true));
    }

    #[test]
    fn who_says_how_gets_it_always() {
        for (compression, expected) in
            [(RecordCompression::None, false), (RecordCompression::Lz4, true)]
        {
            let compression_policy = CompressionPolicy::new(compression);
            compression_policy.ask(Arc::new(|| true));
            assert_eq!(compression_policy.compresses(|| heavy(0), true), expected);
        }
    }
}

//! An equal portion of a share: who waits in one portion holds up nobody in another.

use std::sync::Arc;

use crate::pool::budget::Budget;
use crate::pool::budget::Grant;

/// One of the equal portions of a [`Budget`]; there are as many as are alive.
///
/// What does not fit a portion passes when nothing else of the portion is used, so the budget may be
/// exceeded by one such request for each portion, and what was taken when there were fewer portions
/// comes back first.
#[derive(Debug)]
pub struct Portion {
    whole: Arc<Budget>,
    own: Arc<Budget>,
}

/// So many bytes of a [`Portion`] and of the budget it belongs to; dropping it gives them back.
#[derive(Debug)]
#[must_use = "dropping a helping gives its bytes back"]
pub struct FairPermit {
    whole: Grant,
    _own: Grant,
}

impl Portion {
    /// Makes one portion more; the others become smaller.
    #[must_use]
    pub fn of(whole: &Arc<Budget>) -> Self {
        whole.add_portion();
        let own = Budget::new(whole.name(), whole.portion_limit());
        Self { whole: Arc::clone(whole), own }
    }

    /// Takes so many bytes, and waits until the portion has them. May be dropped half-way: nothing is
    /// lost then.
    pub async fn take(&self, bytes: u64) -> FairPermit {
        self.own.set_limit(self.whole.portion_limit());
        let own = self.own.take(bytes).await;
        FairPermit { whole: self.whole.book(bytes), _own: own }
    }
}

impl Drop for Portion {
    fn drop(&mut self) {
        self.whole.remove_portion();
    }
}

impl FairPermit {
    /// Gives the portion its bytes back, and keeps only the whole budget's account of them.
    pub fn leave_portion(self) -> Grant {
        self.whole
    }
}

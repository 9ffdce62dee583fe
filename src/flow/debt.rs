//! Records that nobody carries any more: they are booked once, however their request ends.

use crate::event::Bucket;
use crate::event::Ledger;
use crate::event::Request;

/// Records whose copies were all given back and that are in no bucket yet. Dropped they are booked as
/// abandoned.
pub(super) struct Debt<'a> {
    ledger: &'static Ledger,
    request: &'a Request,
    is_owed: bool,
}

impl<'a> Debt<'a> {
    /// The records of a request, of which no copy is left.
    pub(super) const fn of(request: &'a Request, ledger: &'static Ledger) -> Self {
        Self { ledger, request, is_owed: true }
    }

    /// Books them, unless a copy carries them.
    pub(super) fn conclude(&mut self, bucket: Bucket) {
        if std::mem::replace(&mut self.is_owed, false) {
            self.ledger.conclude(self.request.signal, bucket, self.request.records);
        }
    }
}

impl Drop for Debt<'_> {
    fn drop(&mut self) {
        self.conclude(Bucket::RejectedAbandoned);
    }
}

/// Says whether they are owed, if there is a debt: not while a copy carries them.
pub(super) fn set_owed(debt: &mut Option<&mut Debt<'_>>, is_owed: bool) {
    if let Some(debt) = debt {
        debt.is_owed = is_owed;
    }
}

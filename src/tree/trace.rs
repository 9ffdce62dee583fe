//! Where a decoding is, and where it failed first.

use std::cell::RefCell;

use crate::tree::failure::Failure;
use crate::tree::failure::FailureKind;
use crate::tree::node::Step;

/// The way from the root to a value, kept on the stack while decoding.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trail<'a> {
    Root,
    Key(&'a Self, &'a str),
    Index(&'a Self, usize),
}

impl Trail<'_> {
    /// Returns the steps from the root on.
    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut trail = self;
        loop {
            match trail {
                Self::Root => break,
                Self::Key(parent, key) => {
                    steps.push(Step::Key((*key).to_owned()));
                    trail = parent;
                }
                Self::Index(parent, index) => {
                    steps.push(Step::Index(*index));
                    trail = parent;
                }
            }
        }
        steps.reverse();
        steps
    }
}

/// Remembers the innermost failure of one decoding, with its path.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    failure: RefCell<Option<Failure>>,
}

impl Trace {
    /// Returns the failure that ended the decoding.
    pub(crate) fn into_failure(self) -> Option<Failure> {
        self.failure.into_inner()
    }

    /// Notes the place of a failure, unless one further in is noted already. A success clears the
    /// note: the visitor got over the failure inside, as those of optional forms do.
    pub(super) fn watch<T>(
        &self,
        trail: &Trail<'_>,
        result: Result<T, FailureKind>,
    ) -> Result<T, FailureKind> {
        let mut failure = self.failure.borrow_mut();
        match &result {
            Ok(_) => *failure = None,
            Err(fault) => {
                failure
                    .get_or_insert_with(|| Failure { path: trail.steps(), fault: fault.clone() });
            }
        }
        result
    }
}

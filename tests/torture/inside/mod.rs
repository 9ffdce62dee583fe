//! The suites that need no process of their own: a simulated disk, damage, a model, the fuzz targets.

mod bench;
mod crash;
mod oracle;
mod script;

use crate::suite::Suite;

/// Every suite of this folder.
pub(crate) fn suites() -> Vec<Suite> {
    [crash::suites()].concat()
}

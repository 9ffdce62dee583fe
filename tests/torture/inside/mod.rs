//! The suites that need no process of their own: a simulated disk, damage, a model, the fuzz targets.

mod bench;
mod blocks;
mod crash;
mod flips;
mod model;
mod oracle;
mod parse;
mod points;
mod repair;
mod script;
mod state_files;
mod targets;
mod whole_files;
mod world;

use crate::suite::Suite;

/// Every suite of this folder.
pub(crate) fn suites() -> Vec<Suite> {
    [
        crash::suites(),
        points::suites(),
        repair::suites(),
        flips::suites(),
        blocks::suites(),
        state_files::suites(),
        whole_files::suites(),
        model::suites(),
        targets::suites(),
    ]
    .concat()
}

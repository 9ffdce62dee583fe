//! Recovery without a writer: for tools that repair, and for tests that recover by the million.

use std::path::Path;
use std::sync::Arc;

use crate::error::VaultError;
use crate::fs::FileSystem;
use crate::log::view::Log;
use crate::options::Known;
use crate::recover::directory;
use crate::recover::recovery;
use crate::recover::report::RecoveryReport;

/// Does to a directory what [`Writer::open_on`](crate::Writer::open_on) does before it takes
/// records, and returns the view readers open on. The lock is held only meanwhile; no thread starts.
///
/// # Errors
///
/// [`VaultError::Locked`], [`VaultError::Foreign`] or [`VaultError::Io`].
pub fn recover_on(
    files: &Arc<dyn FileSystem>,
    dir: &Path,
) -> Result<(Arc<Log>, RecoveryReport), VaultError> {
    let held = directory::lock_directory(&**files, dir)?;
    let recovered = recovery::recover(files, dir, &Known::default())?;
    drop(held);
    Ok((Arc::new(recovered.log), recovered.report))
}

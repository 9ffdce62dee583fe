//! The data folder, and what is opened in it before everything else.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use super::StartError;
use super::refused;
use crate::config::Config;
use crate::control::AuditLog;
use crate::control::ControlSocket;

/// Binds the control socket, and opens the audit log.
pub(super) fn open_control(
    config: &Config,
) -> Result<(PathBuf, ControlSocket, AuditLog), StartError> {
    let path = config.control_socket();
    let control = ControlSocket::bind(&path).map_err(refused("listen on", path.display()))?;
    let audit = AuditLog::open(&config.data_dir, config.control.audit);
    let audit = audit.map_err(refused("open", "audit.log in data_dir"))?;
    Ok((path, control, audit))
}

/// Makes the data folder for its owner alone; one that is there stays as it is.
pub(super) fn create_dir(path: &Path) -> Result<(), StartError> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(path);
    created.map_err(refused("create the directory", path.display()))?;
    let mode = path.metadata().map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o022 != 0 {
        let data_dir = path.display();
        tracing::warn!(
            %data_dir, mode = format!("{:o}", mode & 0o7777),
            "Other users may replace files in data_dir, such as the control socket. Run `chmod go-w` on it."
        );
    }
    Ok(())
}

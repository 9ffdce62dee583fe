//! The unix socket: for root, the user that runs the process and users that a rule names, checked before a
//! byte is read.

use std::fs;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::UnixListener;
use tokio::net::UnixStream;

use super::access::AccessRules;
use super::access::Identity;
use super::access::Peer;
use super::clients;
use super::connection;
use super::gate::Gate;
use crate::component::Stop;
use crate::config::SOCKET_PATH_LEN_MAX;
use crate::metrics::Metrics;

/// For us alone; root may always.
const OWN_MODE: u32 = 0o600;
/// For everybody, because a rule names users: each connection is checked.
const CHECKED_MODE: u32 = 0o666;

/// The listening socket; its file is removed when it is dropped.
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Binds the socket. One left behind by a process that is gone is replaced.
    ///
    /// # Errors
    ///
    /// When the path cannot be bound, is not a socket, or another process answers on it.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let len = path.as_os_str().len();
        if SOCKET_PATH_LEN_MAX < len {
            let message = format!(
                "the path has {len} bytes and the system allows {SOCKET_PATH_LEN_MAX}; set \
                 control.socket to a shorter one"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        if let Ok(metadata) = fs::symlink_metadata(path) {
            if !metadata.file_type().is_socket() {
                let message = "the path exists and is not a socket";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
            }
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                let message =
                    "another process answers on this socket; is GopherShip already running?";
                return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
            }
            fs::remove_file(path)?;
        }
        // Until the mode is set nobody can be accepted, and then the peer is checked anyway.
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(OWN_MODE))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Lets users connect that a rule names.
    ///
    /// # Errors
    ///
    /// When the system refuses another mode of the file.
    pub fn open_to(path: &Path, access: &AccessRules) -> io::Result<()> {
        let mode = if access.has_users() { CHECKED_MODE } else { OWN_MODE };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }

    /// Answers until stopped.
    pub async fn serve(self, gate: Arc<Gate>, metrics: Arc<Metrics>, stop: Stop) {
        let connections = clients::connections("control", &metrics);
        while let Some((stream, _)) = connections.accept(|| self.listener.accept(), &stop).await {
            let Some(peer) = known_peer(&stream, &gate) else { continue };
            let admitted = tokio::select! {
                admitted = connections.admit() => admitted,
                () = stop.cancelled() => return,
            };
            match admitted {
                Some(admitted) => {
                    let (gate, stop) = (Arc::clone(&gate), stop.clone());
                    tokio::spawn(connection::serve(stream, admitted, peer, gate, stop, None));
                }
                None => gate.audit.refuse(&peer, "connect", "too many connections"),
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // If it is gone already there is nothing to remove.
        let _gone = fs::remove_file(&self.path);
    }
}

/// The peer as the system knows it (`SO_PEERCRED`), if it has a role.
fn known_peer(stream: &UnixStream, gate: &Gate) -> Option<Peer> {
    let credentials = match stream.peer_cred() {
        Ok(credentials) => credentials,
        Err(error) => {
            let outcome = format!("the system does not know the user: {error}");
            gate.audit.refuse_unknown("the socket", "connect", &outcome);
            return None;
        }
    };
    let (uid, pid) = (credentials.uid(), credentials.pid());
    let from = pid.map_or_else(|| "an unknown process".to_owned(), |pid| format!("process {pid}"));
    let peer = Peer { identity: Identity::User { uid }, from };
    if gate.access.role(&peer.identity).is_none() {
        let outcome = "the user has no role; only root, the user that runs GopherShip and users of \
                       control.roles may connect";
        gate.audit.refuse(&peer, "connect", outcome);
        return None;
    }
    Some(peer)
}

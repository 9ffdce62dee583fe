//! The unix socket: mode 0600, and only its owner or root is heard, checked before a byte is read.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixListener;
use tokio::net::UnixStream;

use super::proto::control_server::ControlServer;
use super::service::Plant;
use crate::config::running::Stop;

const ACCEPT_RETRY: Duration = Duration::from_millis(50);

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
        if let Ok(metadata) = fs::symlink_metadata(path) {
            if !metadata.file_type().is_socket() {
                let message = "the path is in use by something that is not a socket";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
            }
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                let message = "another process answers on it; is GopherShip running already?";
                return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
            }
            fs::remove_file(path)?;
        }
        // Until the mode is set nobody can be accepted, and then the peer is checked anyway.
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers until stopped.
    pub async fn serve(self, plant: Plant, stop: Stop) {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) if is_allowed(&stream) => {
                    tokio::spawn(answer(stream, plant.clone(), stop.clone()));
                }
                Ok(_refused) => {}
                Err(error) => {
                    tracing::warn!(%error, "Control connection cannot be accepted.");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
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

/// Whether the peer is root or runs as we do (`SO_PEERCRED`).
fn is_allowed(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == own || peer.uid() == 0 => true,
        Ok(peer) => {
            tracing::warn!(uid = peer.uid(), pid = ?peer.pid(), "Control connection refused.");
            false
        }
        Err(error) => {
            tracing::warn!(%error, "Control connection refused: the peer is unknown.");
            false
        }
    }
}

async fn answer(stream: UnixStream, plant: Plant, stop: Stop) {
    let service = TowerToHyperService::new(ControlServer::new(plant));
    let builder = Builder::new(TokioExecutor::new()).http2_only();
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        served = connection => if let Err(error) = served {
            tracing::debug!(%error, "Control connection ended.");
        },
        () = stop.cancelled() => {}
    }
}

//! The unix socket: mode 0600, and only its owner or root is heard, checked before a byte is read.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use gophership_control::proto::control_server::ControlServer;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixListener;
use tokio::net::UnixStream;

use super::clients;
use super::service::ControlService;
use crate::component::Admitted;
use crate::component::Stop;
use crate::net::PlainConnection;

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
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers until stopped.
    pub async fn serve(self, service: ControlService, stop: Stop) {
        let connections = clients::connections("control", &service.metrics);
        while let Some((stream, _)) = connections.accept(|| self.listener.accept(), &stop).await {
            if !is_allowed(&stream) {
                continue;
            }
            let admitted = tokio::select! {
                admitted = connections.admit() => admitted,
                () = stop.cancelled() => return,
            };
            if let Some(admitted) = admitted {
                tokio::spawn(answer(stream, admitted, service.clone(), stop.clone()));
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
            tracing::warn!(
                uid = peer.uid(), pid = ?peer.pid(),
                "Refused a control connection of another user."
            );
            false
        }
        Err(error) => {
            tracing::warn!(%error, "Refused a control connection: the user is unknown.");
            false
        }
    }
}

async fn answer(stream: UnixStream, admitted: Admitted, service: ControlService, stop: Stop) {
    let activity = Arc::clone(admitted.activity());
    let control = TowerToHyperService::new(ControlServer::new(service));
    let service = service_fn(move |request| {
        clients::counted(&activity, hyper::service::Service::call(&control, request))
    });
    let builder = Builder::new(TokioExecutor::new()).http2_only();
    let connect = |stream| {
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        PlainConnection::new(connection, auto::Connection::graceful_shutdown)
    };
    clients::serve(stream, admitted, connect, stop).await;
}

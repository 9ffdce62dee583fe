//! The other end of the control socket: how `gs-ctl` and the vault tools talk to a running process.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::Code;
use tonic::Status;
use tonic::transport::Channel;
use tonic::transport::Endpoint;

use crate::proto;
use crate::proto::control_client::ControlClient;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error(
        "cannot reach GopherShip on {path}: {source}; is GopherShip running, and is --socket \
         correct?"
    )]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The socket is not ours.
    #[error("not allowed to use {path}: only root and the user that runs GopherShip may use it")]
    Forbidden {
        /// The socket.
        path: PathBuf,
    },
    /// It took too long.
    #[error("GopherShip did not answer within {seconds} s")]
    Late {
        /// How long it was waited for.
        seconds: u64,
    },
    /// GopherShip said no.
    #[error("GopherShip refused: {0}")]
    Refused(String),
    /// Something failed here.
    #[error("cannot start: {0}")]
    Local(io::Error),
}

/// Talks to one process.
pub struct Client {
    control: ControlClient<Channel>,
    path: PathBuf,
    timeout: Duration,
}

impl Client {
    /// Connects to the socket at `path`; each answer is waited for as long as `timeout`.
    ///
    /// # Errors
    ///
    /// [`ClientError::Unreachable`] and [`ClientError::Forbidden`].
    pub async fn connect(path: &Path, timeout: Duration) -> Result<Self, ClientError> {
        let path = path.to_owned();
        // Connected here first, for an error that says what is wrong with the socket.
        let first = UnixStream::connect(&path).await;
        drop(first.map_err(|source| unreachable(&path, source))?);
        let target = path.clone();
        let connector = tower::service_fn(move |_: Uri| {
            let target = target.clone();
            async move { UnixStream::connect(target).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://gophership").timeout(timeout);
        let channel = endpoint.connect_with_connector(connector).await;
        let channel =
            channel.map_err(|error| unreachable(&path, io::Error::other(error.to_string())))?;
        Ok(Self { control: ControlClient::new(channel), path, timeout })
    }

    /// Asks one question: `client.call(async |control| control.status(request).await)`.
    ///
    /// # Errors
    ///
    /// When there is no answer, or it is no; see [`ClientError`].
    pub async fn call<T>(
        &mut self,
        ask: impl AsyncFnOnce(&mut ControlClient<Channel>) -> Result<tonic::Response<T>, Status>,
    ) -> Result<T, ClientError> {
        let answer = ask(&mut self.control).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status))
    }

    /// Asks what the process is doing now.
    ///
    /// # Errors
    ///
    /// When there is no answer; see [`ClientError`].
    pub async fn status(&mut self) -> Result<proto::StatusResponse, ClientError> {
        self.call(async |control| control.status(proto::StatusRequest {}).await).await
    }

    /// Holds a zone, or follows the sensors again.
    ///
    /// # Errors
    ///
    /// When there is no answer, or it is no; see [`ClientError`].
    pub async fn hold(
        &mut self,
        request: proto::OverrideRequest,
    ) -> Result<proto::OverrideResponse, ClientError> {
        self.call(async |control| control.r#override(request).await).await
    }

    /// Asks how much background work may be done, in millionths of the time.
    ///
    /// # Errors
    ///
    /// When there is no answer; see [`ClientError`].
    pub async fn share(&mut self) -> Result<u32, ClientError> {
        let answer = self.call(async |control| control.share(proto::ShareRequest {}).await).await;
        answer.map(|answer| answer.millionths)
    }

    fn error(&self, status: &Status) -> ClientError {
        match status.code() {
            Code::DeadlineExceeded | Code::Cancelled => {
                ClientError::Late { seconds: self.timeout.as_secs() }
            }
            // It hangs up without a word on peers that it does not trust.
            Code::Unknown | Code::Unavailable => ClientError::Forbidden { path: self.path.clone() },
            _ => ClientError::Refused(status.message().to_owned()),
        }
    }
}

fn unreachable(path: &Path, source: io::Error) -> ClientError {
    let path = path.to_owned();
    if source.kind() == io::ErrorKind::PermissionDenied {
        return ClientError::Forbidden { path };
    }
    ClientError::Unreachable { path, source }
}

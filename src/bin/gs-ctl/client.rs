//! The connection to the control socket.

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

use gophership::control::proto;
use gophership::control::proto::control_client::ControlClient;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens.
    #[error("cannot reach GopherShip on {path}: {source}; is it running, and is --socket right?")]
    Unreachable { path: PathBuf, source: io::Error },
    /// The socket is not ours.
    #[error("not allowed to use {path}: only root and the user that runs GopherShip are")]
    Forbidden { path: PathBuf },
    /// It took too long.
    #[error("no answer within {seconds} s")]
    Late { seconds: u64 },
    /// GopherShip said no.
    #[error("GopherShip refused: {0}")]
    Refused(String),
    /// Something failed here.
    #[error("cannot start: {0}")]
    Local(io::Error),
}

/// Talks to one process.
pub(crate) struct Client {
    control: ControlClient<Channel>,
    path: PathBuf,
    timeout: Duration,
}

impl Client {
    /// Connects to the socket at `path`.
    pub(crate) async fn connect(path: &Path, timeout: Duration) -> Result<Self, ClientError> {
        let path = path.to_owned();
        // Connected here first, for an error that says what is wrong with the socket.
        let first = UnixStream::connect(&path).await;
        drop(first.map_err(|source| unreachable(&path, source))?);
        let target = path.clone();
        let connector = tower_service_fn(move |_: Uri| {
            let target = target.clone();
            async move { UnixStream::connect(target).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://gophership").timeout(timeout);
        let channel = endpoint.connect_with_connector(connector).await;
        let channel =
            channel.map_err(|error| unreachable(&path, io::Error::other(error.to_string())))?;
        Ok(Self { control: ControlClient::new(channel), path, timeout })
    }

    pub(crate) async fn status(&mut self) -> Result<proto::StatusResponse, ClientError> {
        let answer = self.control.status(proto::StatusRequest {}).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status))
    }

    pub(crate) async fn hold(
        &mut self,
        request: proto::OverrideRequest,
    ) -> Result<proto::OverrideResponse, ClientError> {
        let answer = self.control.r#override(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status))
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

/// A connector made of a function.
fn tower_service_fn<F>(connect: F) -> tower::util::ServiceFn<F> {
    tower::service_fn(connect)
}

//! The other end of the service: how `gs-ctl` and the vault tools talk to a running process.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tonic::Code;
use tonic::Status;
use tonic::transport::Channel;
use tonic::transport::Endpoint;

use crate::proto;
use crate::proto::control_client::ControlClient;
use crate::remote::Remote;
use crate::remote::RemoteError;

/// The largest answer: a request that `gs-ctl tap` shows has 3 MiB at most.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error(
        "cannot reach GopherShip on {place}: {source}; is GopherShip running, and is {option} \
         correct?"
    )]
    Unreachable {
        /// The socket or the address.
        place: String,
        /// The option that names it.
        option: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The socket is not ours, or the certificates are not trusted.
    #[error("not allowed to use {place}: {reason}")]
    Forbidden {
        /// The socket or the address.
        place: String,
        /// Who may use it, or what is wrong with whose certificate.
        reason: String,
    },
    /// The role does not allow it.
    #[error("not allowed: {0}")]
    Denied(String),
    /// The files for a connection cannot be used.
    #[error("{0}")]
    Remote(#[from] RemoteError),
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
    channel: Channel,
    control: ControlClient<Channel>,
    place: Place,
    timeout: Duration,
}

/// Where the process is, for errors.
#[derive(Clone)]
struct Place {
    name: String,
    option: &'static str,
}

const SOCKET_OWNERS: &str =
    "only root, the user that runs GopherShip and users of control.roles may use it";

impl Client {
    /// Connects to the socket at `path`; each answer is waited for as long as `timeout`.
    ///
    /// # Errors
    ///
    /// [`ClientError::Unreachable`], [`ClientError::Forbidden`] and [`ClientError::Late`].
    pub async fn connect(path: &Path, timeout: Duration) -> Result<Self, ClientError> {
        let place = Place { name: path.display().to_string(), option: "--socket" };
        let connect = async {
            let stream = UnixStream::connect(path).await.map_err(|error| place.fault(error))?;
            // It hangs up without a word on users that have no role.
            let forbidden = |_| place.forbidden(SOCKET_OWNERS.to_owned());
            greeted(stream).await.map_err(forbidden)
        };
        let stream = within(timeout, connect).await?;
        Self::over(stream, place.clone(), timeout).await
    }

    /// Connects to a control port; each answer is waited for as long as `timeout`.
    ///
    /// # Errors
    ///
    /// [`ClientError::Remote`], [`ClientError::Unreachable`], [`ClientError::Forbidden`] and
    /// [`ClientError::Late`].
    pub async fn connect_to(remote: &Remote, timeout: Duration) -> Result<Self, ClientError> {
        let place = Place { name: remote.to_string(), option: "--endpoint" };
        let handshake = remote.load()?;
        let connect = async {
            let stream = handshake.connect().await.map_err(|error| place.fault(error))?;
            greeted(stream).await.map_err(|error| place.fault(error))
        };
        let stream = within(timeout, connect).await?;
        Self::over(stream, place.clone(), timeout).await
    }

    async fn over<S>(stream: S, place: Place, timeout: Duration) -> Result<Self, ClientError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // There is one connection; a client that loses it says so.
        let stream = Arc::new(Mutex::new(Some(stream)));
        let connector = tower::service_fn(move |_: Uri| {
            let stream = stream.lock().ok().and_then(|mut stream| stream.take());
            let lost = || io::Error::other("GopherShip closed the connection");
            std::future::ready(stream.map(TokioIo::new).ok_or_else(lost))
        });
        let endpoint = Endpoint::from_static("http://gophership").timeout(timeout);
        let channel = endpoint.connect_with_connector(connector).await;
        let channel = channel.map_err(|error| place.fault(io::Error::other(error.to_string())))?;
        let control = ControlClient::new(channel.clone());
        let control = control.max_decoding_message_size(ANSWER_BYTES_MAX);
        Ok(Self { channel, control, place, timeout })
    }

    /// The connection, for services beside this one, such as health and reflection.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
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

    /// What a status means for whoever asked.
    #[must_use]
    pub fn error(&self, status: &Status) -> ClientError {
        match status.code() {
            Code::DeadlineExceeded | Code::Cancelled => {
                ClientError::Late { seconds: self.timeout.as_secs() }
            }
            Code::Unknown | Code::Unavailable => {
                self.place.fault(io::Error::other(status.message().to_owned()))
            }
            Code::PermissionDenied => ClientError::Denied(status.message().to_owned()),
            _ => ClientError::Refused(status.message().to_owned()),
        }
    }
}

impl Place {
    /// What an error on the way to it means.
    fn fault(&self, source: io::Error) -> ClientError {
        if source.kind() == io::ErrorKind::PermissionDenied {
            return self.forbidden(SOCKET_OWNERS.to_owned());
        }
        let tls = source.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        match tls {
            Some(rustls::Error::AlertReceived(alert)) => self.forbidden(format!(
                "GopherShip refused the client certificate ({alert:?}); the file audit.log in its \
                 data_dir says why"
            )),
            Some(error) => self.forbidden(format!("{error}; does --ca name the CA of the server?")),
            None => {
                let Self { name: place, option } = self.clone();
                ClientError::Unreachable { place, option, source }
            }
        }
    }

    fn forbidden(&self, reason: String) -> ClientError {
        ClientError::Forbidden { place: self.name.clone(), reason }
    }
}

/// Waits for the first byte, which the server sends as soon as it has accepted the client.
async fn greeted<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> io::Result<BufReader<S>> {
    let mut stream = BufReader::new(stream);
    if stream.fill_buf().await?.is_empty() {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    Ok(stream)
}

async fn within<T>(
    timeout: Duration,
    connect: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    let late = |_| ClientError::Late { seconds: timeout.as_secs() };
    tokio::time::timeout(timeout, connect).await.map_err(late)?
}

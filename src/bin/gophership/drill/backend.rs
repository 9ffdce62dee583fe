//! The built-in backend: takes OTLP over gRPC and HTTP, notes every record, and is out when told to.

use std::convert::Infallible;
use std::io;
use std::io::Read;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header::CONTENT_ENCODING;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use http_body_util::Full;
use http_body_util::Limited;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;

use gophership_otlp::Signal;

use super::args::Outage;
use super::books::Books;

/// The largest request, as it comes and after decompression; those of the clients are far smaller.
const REQUEST_BYTES_MAX: usize = 64 << 20;
const BACKLOG: u32 = 1024;

/// How all backends behave; none of them is out without one.
pub(super) type Mode = Option<Outage>;

/// A backend that listens; it takes nothing before it is served.
pub(super) struct Backend {
    listener: TcpListener,
    pub(super) address: SocketAddr,
}

impl Backend {
    /// Listens on a free port of loopback.
    pub(super) fn bind() -> io::Result<Self> {
        let listener = reserve((Ipv4Addr::LOCALHOST, 0).into())?.listen(BACKLOG)?;
        Ok(Self { address: listener.local_addr()?, listener })
    }

    /// Takes requests until it is dropped.
    pub(super) async fn serve(
        self,
        idx: usize,
        books: Arc<Books>,
        mut mode: watch::Receiver<Mode>,
    ) -> io::Result<()> {
        let address = self.address;
        let mut listener = self.listener;
        let mut connections = JoinSet::new();
        loop {
            if *mode.borrow_and_update() == Some(Outage::Gone) {
                drop(listener);
                connections.shutdown().await;
                // The port stays ours, and refuses.
                let port = reserve(address)?;
                let changed = mode.wait_for(|mode| *mode != Some(Outage::Gone)).await;
                if changed.is_err() {
                    return Ok(());
                }
                listener = port.listen(BACKLOG)?;
            }
            tokio::select! {
                accepted = listener.accept() => {
                    // A connection that breaks is the other side's affair.
                    let Ok((stream, _)) = accepted else { continue };
                    // As backends do: short answers do not wait for the next one.
                    let _is_set = stream.set_nodelay(true);
                    let service = Service { idx, books: Arc::clone(&books), mode: mode.clone() };
                    connections.spawn(async move {
                        let service = service_fn(move |request| service.clone().answer(request));
                        let builder = Builder::new(TokioExecutor::new());
                        let _ended = builder.serve_connection(TokioIo::new(stream), service).await;
                    });
                }
                Some(_) = connections.join_next() => {}
                changed = mode.changed() => if changed.is_err() { return Ok(()) },
            }
        }
    }
}

fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

type AnswerBody = Response<UnsyncBoxBody<Bytes, Infallible>>;

#[derive(Clone)]
struct Service {
    idx: usize,
    books: Arc<Books>,
    mode: watch::Receiver<Mode>,
}

impl Service {
    async fn answer(mut self, request: Request<Incoming>) -> Result<AnswerBody, Infallible> {
        let path = request.uri().path();
        let is_grpc = Signal::ALL.iter().any(|signal| signal.grpc_path() == path);
        let is_logs = [Signal::Logs.grpc_path(), Signal::Logs.http_path()].contains(&path);
        let headers = request.headers().clone();
        let Ok(body) = Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect().await else {
            return Ok(refusal(is_grpc));
        };
        let body = body.to_bytes();
        let mode = *self.mode.borrow_and_update();
        match mode {
            None => {}
            // The connection is about to break.
            Some(Outage::Gone) => return Ok(refusal(is_grpc)),
            Some(Outage::Unavailable) => {
                self.books.sink(self.idx).turned_away += 1;
                return Ok(refusal(is_grpc));
            }
            Some(Outage::Hang) => {
                self.books.sink(self.idx).turned_away += 1;
                // Whoever still waits at the end of the outage gets his answer then.
                let _over = self.mode.wait_for(Option::is_none).await;
            }
        }
        match unpack(is_grpc, &headers, &body) {
            Some(wire) if is_logs => self.books.take(self.idx, &wire),
            Some(_) => {}
            None => self.books.sink(self.idx).unreadable += 1,
        }
        Ok(success(is_grpc))
    }
}

/// The one message of a gRPC body, or the body, without its compression.
fn unpack(is_grpc: bool, headers: &HeaderMap, body: &Bytes) -> Option<Bytes> {
    if !is_grpc {
        return inflate(headers.get(CONTENT_ENCODING), body.clone());
    }
    let (head, message) = body.split_at_checked(5)?;
    let message = body.slice_ref(message);
    if head[0] == 0 { Some(message) } else { inflate(headers.get("grpc-encoding"), message) }
}

fn inflate(encoding: Option<&HeaderValue>, bytes: Bytes) -> Option<Bytes> {
    let mut plain = Vec::new();
    let limit = REQUEST_BYTES_MAX as u64;
    match encoding.map(HeaderValue::as_bytes) {
        None | Some(b"identity") => return Some(bytes),
        Some(b"gzip") => {
            flate2::read::GzDecoder::new(&bytes[..]).take(limit).read_to_end(&mut plain).ok()?;
        }
        Some(b"zstd") => {
            let decoder = zstd::stream::read::Decoder::new(&bytes[..]).ok()?;
            decoder.take(limit).read_to_end(&mut plain).ok()?;
        }
        Some(_) => return None,
    }
    Some(plain.into())
}

fn success(is_grpc: bool) -> AnswerBody {
    if !is_grpc {
        return http(StatusCode::OK);
    }
    // A message of no bytes, and the status behind it.
    let status = HeaderValue::from_static("0");
    let trailers = HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), status)]);
    let body = Full::new(Bytes::from_static(&[0; 5]));
    grpc(body.with_trailers(async { Some(Ok(trailers)) }).boxed_unsync())
}

fn refusal(is_grpc: bool) -> AnswerBody {
    if !is_grpc {
        return http(StatusCode::SERVICE_UNAVAILABLE);
    }
    let mut answer = grpc(Full::default().boxed_unsync());
    answer.headers_mut().insert("grpc-status", HeaderValue::from_static("14"));
    answer
}

fn grpc(body: UnsyncBoxBody<Bytes, Infallible>) -> AnswerBody {
    let mut answer = Response::new(body);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    answer
}

fn http(status: StatusCode) -> AnswerBody {
    let mut answer = Response::new(Full::default().boxed_unsync());
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("application/x-protobuf");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

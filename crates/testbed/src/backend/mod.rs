//! An OTLP backend: gRPC and HTTP on one port, that behaves as it is told, and tells what it takes.

mod mode;
mod responses;
mod wire;

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use gophership_otlp::Signal;
use http::HeaderMap;
use http::Request;
use http_body_util::BodyExt;
use http_body_util::Limited;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::lock;
use responses::HttpResponse;

pub use mode::BackendRefusal;
pub use mode::Broken;
pub use mode::Mode;

/// The largest request, as it comes and after decompression; those of clients are far smaller.
const REQUEST_BYTES_MAX: usize = 64 << 20;
const BACKLOG: u32 = 1024;

/// Who is told what a backend gets.
pub trait RequestRecorder: Send + Sync + 'static {
    /// It took a request.
    fn taken(&self, signal: Signal, wire: Bytes, headers: HeaderMap);

    /// It got a request that cannot be read, and said that it took it.
    fn unreadable(&self);

    /// It got a request while it was out, and may take it later.
    fn turned_away(&self) {}
}

/// A backend that listens; it takes nothing before it is served.
pub struct Backend {
    listener: TcpListener,
    address: SocketAddr,
    work: Arc<BackendLoad>,
}

impl Backend {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn bind() -> io::Result<Self> {
        Self::bind_to((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Listens there.
    ///
    /// # Errors
    ///
    /// When the address is taken, or is none of this machine.
    pub fn bind_to(address: SocketAddr) -> io::Result<Self> {
        let listener = reserve(address)?.listen(BACKLOG)?;
        Ok(Self { address: listener.local_addr()?, listener, work: Arc::default() })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has to do, also while it is served.
    #[must_use]
    pub fn work(&self) -> Arc<BackendLoad> {
        Arc::clone(&self.work)
    }

    /// Serves requests until it is dropped, or until nobody can tell it a mode any more.
    ///
    /// # Errors
    ///
    /// When it cannot be gone and keep its port.
    pub async fn serve(
        self,
        recorder: Arc<dyn RequestRecorder>,
        mut mode: watch::Receiver<Mode>,
    ) -> io::Result<()> {
        let Self { address, mut listener, work } = self;
        let mut connections = JoinSet::new();
        loop {
            if *mode.borrow_and_update() == Mode::Gone {
                // The port stays ours all the while, and refuses: else a client would find it free and call
                // from it.
                let port = reserve(address)?;
                drop(listener);
                connections.shutdown().await;
                if mode.wait_for(|mode| *mode != Mode::Gone).await.is_err() {
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
                    let (recorder, work) = (Arc::clone(&recorder), Arc::clone(&work));
                    let mode = mode.clone();
                    connections.spawn(async move {
                        let _busy = work.begin();
                        let service = service_fn(|request| {
                            let service = Service {
                                recorder: Arc::clone(&recorder),
                                mode: mode.clone(),
                                work: Arc::clone(&work),
                            };
                            async { Ok::<_, Infallible>(service.answer(request).await) }
                        });
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
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// What a backend has to do.
#[derive(Debug, Default)]
pub struct BackendLoad {
    /// Requests that came, taken or not.
    attempts: AtomicU64,
    /// When each worker has done what it has to do.
    workers: Mutex<Vec<Instant>>,
    /// Connections that are open and requests that are being answered.
    busy: watch::Sender<usize>,
}

/// A connection or a request, while there is something to do for it.
struct Busy(Arc<BackendLoad>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.send_modify(|busy| *busy -= 1);
    }
}

impl BackendLoad {
    /// Requests that came so far, taken or not.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::SeqCst)
    }

    /// Waits until all senders are gone, and what they had sent before is answered.
    pub async fn over(&self) {
        let mut busy = self.busy.subscribe();
        // The sender lives in `self`.
        let _ended = busy.wait_for(|busy| *busy == 0).await;
    }

    fn begin(self: &Arc<Self>) -> Busy {
        self.busy.send_modify(|busy| *busy += 1);
        Busy(Arc::clone(self))
    }

    /// Waits until a worker has served a request.
    async fn serve(&self, workers: usize, service: Duration) {
        let now = Instant::now();
        let done = {
            let mut all = lock(&self.workers);
            all.resize(workers.max(1), now);
            let Some(next) = all.iter_mut().min() else { return };
            *next = (*next).max(now) + service;
            *next
        };
        tokio::time::sleep_until(done).await;
    }
}

/// One request on its way through a backend.
struct Service {
    recorder: Arc<dyn RequestRecorder>,
    mode: watch::Receiver<Mode>,
    work: Arc<BackendLoad>,
}

impl Service {
    async fn answer(mut self, request: Request<Incoming>) -> HttpResponse {
        let _busy = self.work.begin();
        let (head, body) = request.into_parts();
        let (path, is_moved) = match head.uri.path().strip_prefix("/moved") {
            Some(rest) => (rest, true),
            None => (head.uri.path(), false),
        };
        let is_path = |signal: &Signal| signal.grpc_path() == path || signal.http_path() == path;
        let Some(signal) = Signal::ALL.into_iter().find(is_path) else {
            return responses::refusal(BackendRefusal::new(12, 404), false);
        };
        let is_grpc = path == signal.grpc_path();
        let body = match Limited::new(body, REQUEST_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return responses::refusal(BackendRefusal::UNAVAILABLE, is_grpc),
        };
        let attempt = self.work.attempts.fetch_add(1, Ordering::SeqCst);
        let mode = self.wait().await;
        if let Some(refusal) = mode.refusal(attempt, is_moved, &head.headers) {
            if mode == Mode::Unavailable {
                self.recorder.turned_away();
            }
            return responses::refusal(refusal, is_grpc);
        }
        let Some(wire) = wire::unpack(signal, is_grpc, &head.headers, &body, REQUEST_BYTES_MAX)
        else {
            self.recorder.unreadable();
            return responses::taken(0, is_grpc);
        };
        if let Some(refusal) = mode.refusal_of(&wire) {
            return responses::refusal(refusal, is_grpc);
        }
        if mode.takes(is_grpc) {
            self.recorder.taken(signal, wire, head.headers);
        }
        match mode {
            Mode::Break(broken) => responses::broken(broken, is_grpc),
            Mode::AcceptExcept(rejected) => responses::taken(rejected, is_grpc),
            _ => responses::taken(0, is_grpc),
        }
    }

    /// Lets the time pass that a request takes, and returns the mode in which it is answered.
    async fn wait(&mut self) -> Mode {
        let mode = *self.mode.borrow_and_update();
        match mode {
            Mode::Hang => {
                let _changed = self.mode.changed().await;
            }
            Mode::Stall => {
                self.recorder.turned_away();
                // Whoever still waits at its end gets his answer then.
                let over = self.mode.wait_for(|mode| *mode != Mode::Stall).await;
                return over.map_or(Mode::Unavailable, |mode| *mode);
            }
            Mode::Slow(delay) => tokio::time::sleep(delay).await,
            Mode::Serve(workers, service) => self.work.serve(workers, service).await,
            _ => {}
        }
        mode
    }
}

#[cfg(test)]
mod tests {
    use gophership_http_client::Answer;
    use gophership_http_client::ConnectOptions;
    use gophership_otlp_client::OtlpClient;
    use gophership_otlp_client::Protocol;
    use gophership_otlp_client::Reply;

    use super::*;
    use crate::traffic::Traffic;

    const WITHIN: Duration = Duration::from_secs(30);

    #[derive(Default)]
    struct Count {
        taken: AtomicU64,
        turned_away: AtomicU64,
    }

    impl RequestRecorder for Count {
        fn taken(&self, _: Signal, _: Bytes, _: HeaderMap) {
            self.taken.fetch_add(1, Ordering::SeqCst);
        }

        fn unreadable(&self) {}

        fn turned_away(&self) {
            self.turned_away.fetch_add(1, Ordering::SeqCst);
        }
    }

    async fn send(address: SocketAddr, protocol: Protocol) -> Reply {
        let client = OtlpClient::new(protocol, ConnectOptions::default());
        let uri = format!("http://{address}").parse().unwrap();
        let wire = Traffic::default().request(Signal::Traces, 2).wire;
        client.send(&uri, &HeaderMap::new(), Signal::Traces, wire).await
    }

    /// Goes through the modes over one protocol.
    async fn check(
        address: SocketAddr,
        protocol: Protocol,
        mode: &watch::Sender<Mode>,
        count: &Count,
    ) {
        mode.send_replace(Mode::Unavailable);
        let refused = send(address, protocol).await;
        assert!(refused.code.is_some(), "{refused:?}");
        assert!(matches!(refused.answer, Answer::Retry { .. }), "{refused:?}");

        mode.send_replace(Mode::Stall);
        let before = count.turned_away.load(Ordering::SeqCst);
        let stalled = tokio::spawn(send(address, protocol));
        while count.turned_away.load(Ordering::SeqCst) == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        mode.send_replace(Mode::Accept);
        let taken = stalled.await.unwrap();
        assert_eq!(taken.answer, Answer::taken(""), "{taken:?}");

        mode.send_replace(Mode::Gone);
        while send(address, protocol).await.code.is_some() {}
        mode.send_replace(Mode::Accept);
        while send(address, protocol).await.code.is_none() {}
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn it_refuses_stalls_is_gone_and_comes_back_where_it_was() {
        let (backend, count) = (Backend::bind().unwrap(), Arc::<Count>::default());
        let (address, mode) = (backend.address(), watch::Sender::new(Mode::Unavailable));
        let serving = tokio::spawn(backend.serve(count.clone(), mode.subscribe()));
        for protocol in [Protocol::Grpc, Protocol::Http] {
            let checked = check(address, protocol, &mode, &count);
            tokio::time::timeout(WITHIN, checked).await.expect("each mode shows in time");
        }
        assert!(4 <= count.taken.load(Ordering::SeqCst));
        drop(mode);
        serving.await.unwrap().unwrap();
    }
}

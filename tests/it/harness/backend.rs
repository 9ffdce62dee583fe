//! A recording OTLP backend: gRPC and HTTP on one port, that behaves as a test says.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use gophership_otlp::Signal;
use http::HeaderMap;
use http::HeaderValue;
use http::Request;
use http::Response;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsPartialSuccess;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::Code;
use tonic::Status;
use tonic_types::ErrorDetails;
use tonic_types::StatusExt;

use super::mode::Broken;
use super::mode::Mode;
use super::mode::Refusal;
use super::traffic;
use super::traffic::Fingerprint;

/// What was taken of one signal.
#[derive(Default)]
struct Taken {
    /// How often each request came.
    requests: HashMap<Fingerprint, u64>,
    /// How often each record came, by signal.
    records: BTreeMap<(Signal, u64), u64>,
    /// The last request.
    last: Bytes,
    last_headers: HeaderMap,
}

struct Shared {
    mode: watch::Sender<Mode>,
    taken: Mutex<Taken>,
    /// Requests that came, taken or not.
    attempts: AtomicU64,
    /// When each worker has done what it has to do.
    workers: Mutex<Vec<Instant>>,
    /// Connections that are open and requests that are being answered.
    busy: watch::Sender<usize>,
}

/// A connection or a request, while there is something to do for it.
struct Busy<'s>(&'s Shared);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.send_modify(|busy| *busy -= 1);
    }
}

impl Shared {
    fn begin(&self) -> Busy<'_> {
        self.busy.send_modify(|busy| *busy += 1);
        Busy(self)
    }

    /// Waits until a worker has served a request.
    async fn serve(&self, workers: usize, service: Duration) {
        let now = Instant::now();
        let done = {
            let mut all = self.workers.lock().unwrap();
            all.resize(workers, now);
            let next = all.iter_mut().min().unwrap();
            *next = (*next).max(now) + service;
            *next
        };
        tokio::time::sleep_until(done).await;
    }
}

/// The backend; it ends when dropped.
pub(crate) struct Backend {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Backend {
    /// Starts a backend that takes everything.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            mode: watch::Sender::new(Mode::Accept),
            taken: Mutex::default(),
            attempts: AtomicU64::new(0),
            workers: Mutex::default(),
            busy: watch::Sender::default(),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Behaves like this from now on.
    pub(crate) fn set(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
    }

    /// Waits until all senders are gone, and what they had sent before is answered.
    #[allow(dead_code, reason = "the torture needs it, the integration tests do not")]
    pub(crate) async fn forgotten(&self) {
        let mut busy = self.shared.busy.subscribe();
        busy.wait_for(|busy| *busy == 0).await.unwrap();
    }

    /// Requests that came so far, taken or not.
    pub(crate) fn attempts(&self) -> u64 {
        self.shared.attempts.load(Ordering::SeqCst)
    }

    /// Requests that were taken so far, copies included.
    pub(crate) fn requests(&self) -> u64 {
        self.shared.taken.lock().unwrap().requests.values().sum()
    }

    /// How often each request was taken.
    pub(crate) fn fingerprints(&self) -> HashMap<Fingerprint, u64> {
        self.shared.taken.lock().unwrap().requests.clone()
    }

    /// How often a request was taken.
    pub(crate) fn has(&self, fingerprint: &Fingerprint) -> u64 {
        self.shared.taken.lock().unwrap().requests.get(fingerprint).copied().unwrap_or(0)
    }

    /// Records of a signal that were taken so far, each with how often.
    pub(crate) fn records(&self, signal: Signal) -> BTreeMap<u64, u64> {
        let taken = self.shared.taken.lock().unwrap();
        let of_signal = taken.records.iter().filter(|((of, _), _)| *of == signal);
        of_signal.map(|((_, number), times)| (*number, *times)).collect()
    }

    /// A header of the last request that was taken.
    pub(crate) fn last_header(&self, name: &str) -> Option<String> {
        let taken = self.shared.taken.lock().unwrap();
        Some(taken.last_headers.get(name)?.to_str().unwrap().to_owned())
    }

    /// The last request that was taken.
    pub(crate) fn last(&self) -> Bytes {
        self.shared.taken.lock().unwrap().last.clone()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.set(Mode::Down);
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        // As backends do: short answers do not wait for the next one.
        let _is_set = stream.set_nodelay(true);
        let mut mode = shared.mode.subscribe();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let _busy = shared.begin();
            let service = service_fn(|request| answer(Arc::clone(&shared), request));
            let builder = Builder::new(TokioExecutor::new());
            tokio::select! {
                // A connection that breaks is the other side's affair.
                _ended = builder.serve_connection(TokioIo::new(stream), service) => {}
                _down = mode.wait_for(|mode| *mode == Mode::Down) => {}
            }
        });
    }
}

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let _busy = shared.begin();
    let path = request.uri().path().to_owned();
    let (path, is_moved) = match path.strip_prefix("/moved") {
        Some(rest) => (rest.to_owned(), true),
        None => (path, false),
    };
    let is_path = |signal: &Signal| signal.grpc_path() == path || signal.http_path() == path;
    let signal = Signal::ALL.into_iter().find(is_path).expect("only OTLP paths are asked for");
    let is_grpc = path == signal.grpc_path();
    let headers = request.headers().clone();
    let Ok(body) = request.into_body().collect().await else {
        return Ok(Response::default());
    };
    let attempt = shared.attempts.fetch_add(1, Ordering::SeqCst);
    let mut changes = shared.mode.subscribe();
    let mode = *changes.borrow_and_update();
    if mode == Mode::Hang {
        // The sender of the mode lives in `shared`.
        changes.changed().await.unwrap();
    }
    if let Mode::Slow(delay) = mode {
        tokio::time::sleep(delay).await;
    }
    if let Mode::Serve(workers, service) = mode {
        shared.serve(workers, service).await;
    }
    if let Some(refusal) = mode.refusal(attempt, is_moved, &headers) {
        return Ok(if is_grpc { refuse_grpc(refusal) } else { refuse_http(refusal) });
    }
    let wire = if is_grpc {
        unframe(&headers, &body.to_bytes())
    } else {
        decompress(headers.get("content-encoding"), &body.to_bytes())
    };
    if let Mode::RefuseOneOf(of, refusal) = mode
        && blake3::hash(&wire).as_bytes()[0].is_multiple_of(of)
    {
        return Ok(if is_grpc { refuse_grpc(refusal) } else { refuse_http(refusal) });
    }
    if let Mode::Break(broken) = mode {
        if matches!(broken, Broken::NoStatus | Broken::Long) || (!is_grpc && broken == Broken::Page)
        {
            record(&shared, signal, wire);
        }
        return Ok(break_off(broken, is_grpc));
    }
    record(&shared, signal, wire);
    shared.taken.lock().unwrap().last_headers = headers;
    let body = response(mode);
    Ok(if is_grpc { grpc(&body) } else { http(200, body) })
}

fn record(shared: &Shared, signal: Signal, wire: Bytes) {
    let numbers = traffic::numbers(signal, &wire);
    let mut taken = shared.taken.lock().unwrap();
    *taken.requests.entry(blake3::hash(&wire)).or_default() += 1;
    for number in numbers {
        *taken.records.entry((signal, number)).or_default() += 1;
    }
    taken.last = wire;
}

/// The three signals have the same response, field by field.
fn response(mode: Mode) -> Bytes {
    let Mode::AcceptExcept(rejected_log_records) = mode else { return Bytes::new() };
    let error_message = "some are not to our taste".to_owned();
    let partial = ExportLogsPartialSuccess { rejected_log_records, error_message };
    ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec().into()
}

fn http(status: u16, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body).boxed_unsync());
    *answer.status_mut() = status.try_into().unwrap();
    let kind = HeaderValue::from_static("application/x-protobuf");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

fn refuse_http(refusal: Refusal) -> Answer {
    // The body that OTLP wants: a status, here without its number.
    let status = tonic_types::pb::Status { message: "no".to_owned(), ..Default::default() };
    let mut answer = http(refusal.status, status.encode_to_vec().into());
    if refusal.status == 308 {
        let to = HeaderValue::from_static("/moved/v1/logs");
        answer.headers_mut().insert("location", to);
    }
    if let Some(hint) = refusal.retry_after {
        answer.headers_mut().insert("retry-after", HeaderValue::from_static(hint));
    }
    answer
}

/// The status alone.
fn refuse_grpc(refusal: Refusal) -> Answer {
    let code = Code::from_i32(refusal.code);
    let status = match refusal.retry_info {
        None => Status::new(code, "no"),
        Some(delay) => Status::with_error_details(code, "no", ErrorDetails::with_retry_info(delay)),
    };
    let mut answer = status.into_http::<()>().map(|()| Full::default().boxed_unsync());
    // A number that is no code would be sent as another one.
    answer.headers_mut().insert("grpc-status", refusal.code.into());
    answer
}

/// What [`Broken`] says.
fn break_off(broken: Broken, is_grpc: bool) -> Answer {
    let long = Bytes::from(vec![0; 6 << 20]);
    let status = |text: &'static str| {
        let mut answer = Response::new(Full::default().boxed_unsync());
        let kind = HeaderValue::from_static("application/grpc");
        answer.headers_mut().insert(CONTENT_TYPE, kind);
        answer.headers_mut().insert("grpc-status", HeaderValue::from_static(text));
        answer
    };
    match broken {
        Broken::Page => {
            let page = Full::new(Bytes::from_static(b"<html>Welcome</html>"));
            let mut answer = Response::new(page.boxed_unsync());
            let kind = HeaderValue::from_static("text/html");
            answer.headers_mut().insert(CONTENT_TYPE, kind);
            answer
        }
        Broken::Junk => status("junk"),
        Broken::NoMessage => status("0"),
        Broken::Details => {
            let mut answer = status("14");
            let details = HeaderValue::from_static("no base 64!");
            answer.headers_mut().insert("grpc-status-details-bin", details);
            answer
        }
        Broken::NoStatus => {
            grpc(&Bytes::new()).map(|_| Full::new(Bytes::from_static(&[0; 5])).boxed_unsync())
        }
        Broken::Long if is_grpc => grpc(&long),
        Broken::Long => http(200, long),
    }
}

/// One message and the status behind it.
fn grpc(message: &Bytes) -> Answer {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    let status = HeaderValue::from_static("0");
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), status)]);
    let body = Full::new(Bytes::from(frame)).with_trailers(async { Some(Ok(trailers)) });
    let mut answer = Response::new(body.boxed_unsync());
    let kind = HeaderValue::from_static("application/grpc");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// Takes the one message out of a gRPC body.
fn unframe(headers: &HeaderMap, body: &Bytes) -> Bytes {
    let len = u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize;
    assert_eq!(body.len(), 5 + len, "one whole message");
    match body[0] {
        0 => body.slice(5..),
        _ => decompress(headers.get("grpc-encoding"), &body.slice(5..)),
    }
}

fn decompress(encoding: Option<&HeaderValue>, bytes: &Bytes) -> Bytes {
    let mut plain = Vec::new();
    match encoding.map(HeaderValue::as_bytes) {
        None | Some(b"identity") => return bytes.clone(),
        Some(b"gzip") => flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap(),
        Some(b"zstd") => {
            zstd::stream::read::Decoder::new(&bytes[..]).unwrap().read_to_end(&mut plain).unwrap()
        }
        Some(other) => panic!("unknown encoding {other:?}"),
    };
    plain.into()
}

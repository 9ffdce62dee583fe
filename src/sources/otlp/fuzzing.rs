//! Any bytes through the door, in memory: both listeners of a source with its usual limits, and behind them a sink
//! that takes everything at once.
//!
//! ```text
//!  0         1          2        3
//!  +---------+----------+--------+---------+
//!  | shape   | details  | piece  | payload |
//!  +---------+----------+--------+---------+
//! ```
//!
//! The shape says what the payload is: all that a client sends, or the message of one request around which the
//! rest is made. The details are signal, encoding and type of that request; a read returns `piece` + 1 bytes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::runtime::Runtime;

use super::OtlpConfig;
use super::active_handler::ActiveHandler;
use super::admission::Admission;
use super::connection_server::ConnectionOwnership;
use super::connection_server::ConnectionServer;
use super::connection_server::Terms;
use super::ingest_handler::IngestHandler;
use super::limits::RequestLimits;
use super::listener_protocol::ListenerProtocol;
use super::origin::Origins;
use super::response_delay::ResponseDelay;
use crate::component::Stop;
use crate::event::Batch;
use crate::event::Ledger;
use crate::event::Signal;
use crate::flow::Acceptor;
use crate::flow::Destination;
use crate::flow::Full;
use crate::flow::Intake;
use crate::flow::Output;
use crate::flow::Route;
use crate::flow::RouteTable;
use crate::flow::Routes;
use crate::flow::accept::Waits;
use crate::metrics::Metrics;
use crate::net::Activity;
use crate::net::Descriptors;
use crate::pool::Memory;
use crate::pool::MemoryLimits;
use crate::somatic::Brake;
use crate::somatic::Gauges;
use crate::somatic::WorkKind;

/// Preface and settings of a client.
const HTTP2_START: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const FRAME_HEAD_BYTES: usize = 9;
/// What a client may send in one DATA frame before it has read any settings.
const DATA_BYTES_MAX: usize = 16 << 10;
/// A connection whose client has gone ends within this time: it has nobody to wait for.
const END_WITHIN: Duration = Duration::from_secs(5);

/// A source without sockets.
pub struct Door {
    runtime: Runtime,
    listeners: [(ConnectionOwnership, Arc<ActiveHandler>); 2],
    taken: Arc<Taken>,
    memory: Arc<Memory>,
    limits: RequestLimits,
}

/// What the pipeline has taken: signal, bytes, records.
#[derive(Default)]
struct Taken(Mutex<Vec<(Signal, bytes::Bytes, u64)>>);

impl Intake for Taken {
    fn try_take(&self, batch: Batch) -> Result<(), Full> {
        self.0.lock().push((batch.signal(), batch.wire().clone(), batch.records()));
        batch.delivered();
        Ok(())
    }

    fn fill_permille(&self) -> u32 {
        0
    }

    fn retry_after(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn has_room(&self) -> bool {
        true
    }
}

/// What a client sends, in pieces, and then nothing more.
struct Client {
    rest: bytes::Bytes,
    piece_bytes: usize,
    /// How often it is looked at before it is gone.
    looks: u8,
    answer: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.rest.is_empty() && 0 < self.looks {
            self.looks -= 1;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let bytes = self.piece_bytes.min(buffer.remaining()).min(self.rest.len());
        buffer.put_slice(&self.rest.split_to(bytes));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.answer.lock().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// One request around a payload, as the details choose.
struct Call {
    signal: Signal,
    encoding: &'static str,
    is_json: bool,
    /// The payload in this encoding, or if it is only called so, the payload itself.
    body: Vec<u8>,
    is_compressed: bool,
}

impl Call {
    fn new(details: u8, payload: &[u8]) -> Self {
        let signal = Signal::ALL[usize::from(details & 3) % Signal::ALL.len()];
        let encoding = ["identity", "gzip", "zstd", "br"][usize::from(details >> 2 & 3)];
        let is_compressed = details & 16 != 0;
        let body = match encoding {
            "gzip" if is_compressed => {
                let mut packer =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                io::Write::write_all(&mut packer, payload).expect("memory takes all");
                packer.finish().expect("memory takes all")
            }
            "zstd" if is_compressed => zstd::bulk::compress(payload, 1).expect("it fits"),
            _ => payload.to_vec(),
        };
        Self { signal, encoding, is_json: details & 32 != 0, body, is_compressed }
    }

    /// Whether a server that works takes the payload as it is.
    fn is_plain(&self) -> bool {
        match self.encoding {
            "identity" => true,
            "br" => false,
            _ => self.is_compressed,
        }
    }

    fn grpc(&self) -> Vec<u8> {
        let service = match self.signal {
            Signal::Logs => "logs.v1.LogsService",
            Signal::Traces => "trace.v1.TraceService",
            Signal::Metrics => "metrics.v1.MetricsService",
        };
        let path = format!("/opentelemetry.proto.collector.{service}/Export");
        let head = [
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("grpc-encoding", self.encoding),
        ];
        let mut message = vec![u8::from(self.encoding != "identity")];
        message.extend(u32::try_from(self.body.len()).expect("a small body").to_be_bytes());
        message.extend(&self.body);
        over_http2(&path, &head, &message)
    }

    fn post_over_http2(&self) -> Vec<u8> {
        let path = format!("/v1/{}", self.signal);
        let head = [("content-type", self.kind()), ("content-encoding", self.encoding)];
        over_http2(&path, &head, &self.body)
    }

    fn post_over_http1(&self) -> Vec<u8> {
        let head = format!(
            "POST /v1/{} HTTP/1.1\r\nhost: fuzz\r\ncontent-type: {}\r\ncontent-encoding: {}\r\ncontent-length: {}\r\n\r\n",
            self.signal,
            self.kind(),
            self.encoding,
            self.body.len()
        );
        [head.as_bytes(), &self.body].concat()
    }

    const fn kind(&self) -> &'static str {
        if self.is_json { "application/json" } else { "application/x-protobuf" }
    }
}

/// A whole POST request on a connection of its own.
fn over_http2(path: &str, head: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    let pseudo =
        [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "fuzz")];
    for (name, value) in pseudo.iter().chain(head) {
        // A literal that the table does not keep; neither part needs a second byte of length.
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("short texts"));
            block.extend(text.as_bytes());
        }
    }
    let mut out = HTTP2_START.to_vec();
    put_frame(&mut out, 1, 4, &block);
    // An end of its own: a body of no bytes has no piece.
    for piece in body.chunks(DATA_BYTES_MAX) {
        put_frame(&mut out, 0, 0, piece);
    }
    put_frame(&mut out, 0, 1, &[]);
    out
}

fn put_frame(out: &mut Vec<u8>, kind: u8, flags: u8, payload: &[u8]) {
    let [_, len @ ..] = u32::try_from(payload.len()).expect("one frame").to_be_bytes();
    out.extend(len);
    out.extend([kind, flags, 0, 0, 0, 1]);
    out.extend(payload);
}

impl Default for Door {
    fn default() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let config = OtlpConfig::default();
        let taken = Arc::new(Taken::default());
        let memory =
            Memory::new(&MemoryLimits { ingest: config.in_flight_max.0, ..MemoryLimits::NONE });
        let listeners = [ListenerProtocol::Grpc, ListenerProtocol::Http].map(|protocol| {
            let terms = Terms {
                protocol,
                tls: None,
                connections: config.connections_max as usize,
                streams: config.streams_max,
                timeouts: config.connection.timeouts(),
                http2: config.connection.http2,
            };
            let server = Arc::new(ConnectionServer::new(terms, Descriptors::new(u64::MAX)));
            let claim = server.claim();
            let active = claim.open(Arc::new(handler(&config, &taken, &memory)));
            (claim, active)
        });
        let runtime = runtime.expect("a runtime of one thread needs no resources");
        Self { runtime, listeners, taken, memory, limits: config.limits() }
    }
}

/// The handler that the source would have.
fn handler(config: &OtlpConfig, taken: &Arc<Taken>, memory: &Memory) -> IngestHandler {
    let routes = Arc::new(Routes::default());
    let sink: Arc<dyn Intake> = taken.clone();
    let route = Route::from(Destination::Direct(sink));
    routes.put(RouteTable { routes: vec![route], ..RouteTable::default() });
    let (metrics, gauges, stop) = (Metrics::new().source("fuzz"), Gauges::default(), Stop::new());
    let waits = Waits { patience: config.patience.0, answer_within: config.answer_within.0 };
    let output = Output::new(routes, None);
    let acceptor =
        Acceptor::new(output, config.level(), waits, Ledger::leak(), metrics.clone(), stop.clone());
    let room = Admission::new(config.in_flight_max.0, memory, &gauges.rest, waits.patience);
    let tally = gauges.work_probes.count("fuzz", super::WAITS, WorkKind::Intake);
    let delay = ResponseDelay::new(Arc::<Brake>::default(), waits.answer_within, stop);
    let origins = Origins::new("fuzz", &config.keep_headers);
    IngestHandler::new(acceptor, metrics, origins, room, config.limits(), tally, delay)
}

impl Door {
    /// Sends one input through the door.
    ///
    /// # Panics
    ///
    /// If the door lets in what breaks its limits, refuses or changes what it should take, answers with half a
    /// frame, keeps memory, or does not end.
    pub fn enter(&self, input: &[u8]) {
        let [shape, details, piece, payload @ ..] = input else { return };
        let call = Call::new(*details, payload);
        let shape = shape & 7;
        let (listener, sent) = match shape {
            0 => (0, [HTTP2_START, payload].concat()),
            1 => (0, call.grpc()),
            2 => (1, payload.to_vec()),
            3 => (1, call.post_over_http1()),
            4 => (1, [HTTP2_START, payload].concat()),
            5 => (1, call.grpc()),
            _ => (1, call.post_over_http2()),
        };
        let answer = self.serve(listener, sent, usize::from(*piece) + 1);
        if !(2..=3).contains(&shape) {
            check_frames(&answer);
        }
        let taken = std::mem::take(&mut *self.taken.0.lock());
        for (signal, wire, records) in &taken {
            assert!(wire.len() as u64 <= self.limits.bytes, "{} bytes", wire.len());
            let seen = gophership_otlp::prescan(*signal, wire).expect("what is taken is OTLP");
            assert_eq!(seen.records, *records);
            assert!(self.limits.check(&seen).is_ok() && 0 < seen.records, "{seen:?}");
        }
        let is_protobuf = match shape {
            1 | 5 => true,
            3 | 6 | 7 => !call.is_json,
            _ => false,
        };
        if is_protobuf && call.is_plain() {
            self.check_taken(call.signal, payload, &taken);
        }
        drop(taken);
        assert_eq!(self.memory.ingest.used(), 0, "memory is kept for a client that has gone");
    }

    /// A request within the limits is taken as it is; one of which no part can be read is not taken.
    fn check_taken(&self, signal: Signal, payload: &[u8], taken: &[(Signal, bytes::Bytes, u64)]) {
        let Ok(seen) = gophership_otlp::prescan(signal, payload) else { return };
        let is_wanted = self.limits.check(&seen).is_ok() && 0 < seen.records;
        let expected: &[(Signal, &[u8])] = if is_wanted { &[(signal, payload)] } else { &[] };
        let taken: Vec<(Signal, &[u8])> = taken.iter().map(|it| (it.0, &it.1[..])).collect();
        assert_eq!(taken, expected);
    }

    /// Serves one client up to its end, and returns what it was answered.
    fn serve(&self, listener: usize, sent: Vec<u8>, piece_bytes: usize) -> Vec<u8> {
        let answer = Arc::new(Mutex::new(Vec::new()));
        let client =
            Client { rest: sent.into(), piece_bytes, looks: 4, answer: Arc::clone(&answer) };
        let server = self.listeners[listener].0.connection_server();
        let until_end =
            async { tokio::time::timeout(END_WITHIN, server.serve(client, Activity::new())).await };
        let ended = self.runtime.block_on(until_end);
        assert!(ended.is_ok(), "the client has gone, and its connection goes on");
        std::mem::take(&mut *answer.lock())
    }
}

/// Everything that is written over HTTP/2 is whole frames.
fn check_frames(mut rest: &[u8]) {
    while let Some(head) = rest.first_chunk::<FRAME_HEAD_BYTES>() {
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        assert!(FRAME_HEAD_BYTES + len <= rest.len(), "half a frame is written");
        rest = &rest[FRAME_HEAD_BYTES + len..];
    }
    assert!(rest.is_empty(), "half a frame is written");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Changes of each input of the corpus.
    const CHANGES: usize = 100;

    /// Scenario: the corpus of the fuzz target `otlp_door`, and each input with some bytes changed.
    /// Guarantees: what [`Door::enter`] checks; one whole request of each shape is taken.
    #[test]
    fn what_comes_through_the_door_is_within_its_limits() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/otlp_door");
        let files = std::fs::read_dir(folder).unwrap();
        let inputs: Vec<Vec<u8>> =
            files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
        for shape in 0..7 {
            assert!(inputs.iter().any(|input| input[0] == shape), "shape {shape} has no input");
        }
        let door = Door::default();
        let mut random = fastrand::Rng::with_seed(21);
        for input in &inputs {
            door.enter(input);
            for _ in 0..CHANGES {
                let mut changed = input.clone();
                for _ in 0..random.usize(1..4) {
                    let at = random.usize(..changed.len());
                    changed[at] = random.u8(..);
                }
                door.enter(&changed);
            }
        }
    }
}

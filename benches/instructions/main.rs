//! The paths whose instructions are counted: `benches/instructions/check` runs each under callgrind.
//!
//! Instructions are the same whatever else a machine does, so a change of 5% is seen where a clock sees noise.
//! Only what happens inside of [`counted`] counts, on the thread that calls it.
#![expect(clippy::unwrap_used, reason = "a benchmark stops where something fails")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use gophership::event::Batch;
use gophership::event::Ledgers;
use gophership::event::Provenance;
use gophership::event::Request;
use gophership::event::Signal;
use gophership::event::ack;
use gophership::flow::Destination;
use gophership::flow::EdgeLimits;
use gophership::flow::Output;
use gophership::flow::Pulse;
use gophership::flow::Reflex;
use gophership::flow::RouteTable;
use gophership::flow::Routes;
use gophership::flow::Switch;
use gophership::flow::edge;
use gophership_http2::Admit;
use gophership_http2::Appended;
use gophership_http2::Body;
use gophership_http2::BodySource;
use gophership_http2::Connection;
use gophership_http2::Event;
use gophership_http2::HeaderBlock;
use gophership_http2::Incoming;
use gophership_http2::Limits;
use gophership_http2::Response;
use gophership_http2::Timeouts;
use gophership_http2::Windows;
use gophership_otlp::Edit;
use gophership_otlp::EditOperation;
use gophership_otlp::Editor;
use gophership_otlp::Level;
use gophership_otlp::Value;
use gophership_otlp::demo::demo_logs;
use gophership_otlp::prescan;
use gophership_vault::AppendError;
use gophership_vault::Completion;
use gophership_vault::Durability;
use gophership_vault::NewRecord;
use gophership_vault::Options;
use gophership_vault::Receipt;
use gophership_vault::RecordCompression;
use gophership_vault::Writer;

/// Operations that are not counted: tables grow, threads get their cells.
const WARM_UP: usize = 100;
const COUNTED: usize = 1_000;
const RECORDS: usize = 100;
const EPOCH_NS: u64 = 1_700_000_000_000_000_000;
const FRAME_BYTES: usize = 16 << 10;

fn main() {
    let path = std::env::args().nth(1).unwrap_or_default();
    let wire = demo_logs(RECORDS, 7, EPOCH_NS);
    match path.as_str() {
        "prescan" => run(|| {
            black_box(prescan(Signal::Logs, black_box(&wire)).unwrap());
        }),
        "enrich" => enrich(&wire),
        "reflex" => reflex(&wire),
        "http2" => http2(&wire),
        "vault" => vault(&wire),
        // What `cargo bench` runs: each once, to see that it works.
        _ => {}
    }
}

fn run(mut work: impl FnMut()) {
    (0..WARM_UP).for_each(|_| work());
    counted(&mut work);
}

/// Its instructions are what is counted.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    for _ in 0..COUNTED {
        work();
    }
}

/// Three attributes of the resource, as `enrich` sets them.
fn enrich(wire: &Bytes) {
    let edit = |key: &str| Edit {
        level: Level::Resource,
        key: key.to_owned(),
        operation: EditOperation::Set(Value::String("production".to_owned())),
    };
    let editor = Editor::new(["deployment.environment", "k8s.pod.name", "team"].map(edit).into());
    run(|| drop(black_box(editor.apply(Signal::Logs, black_box(wire), usize::MAX).unwrap())));
}

/// A request finds its place in an edge, and is delivered.
fn reflex(wire: &Bytes) {
    let ledgers = Ledgers::leak();
    let ledger = ledgers.source("otlp");
    let limits = EdgeLimits { batches: 1024, bytes: 32 << 20 };
    let (sender, mut receiver) = edge::edge_of(ledgers.sink("sink"), limits);
    let routes = Arc::new(Routes::default());
    routes.put(RouteTable {
        routes: vec![Destination::Edge(sender).into()],
        ..RouteTable::default()
    });
    let pulse = Pulse::new(1024, 850, Arc::default());
    let output = Output::new(routes, Some(Reflex::new(Arc::<Switch>::default(), pulse)));
    let request = Request {
        signal: Signal::Logs,
        wire: wire.clone(),
        records: RECORDS as u64,
        received_unix_ns: 1,
        provenance: Provenance::default(),
    };
    run(|| {
        let (ticket, waiter) = ack::channel();
        output.try_send(Batch::received(&request, Some(ticket), ledger)).unwrap();
        receiver.try_recv().unwrap().delivered();
        assert!(waiter.outcome().is_some());
    });
}

struct Buffer(Vec<u8>);

impl Body for Buffer {
    fn append(&mut self, bytes: &[u8]) -> Appended {
        self.0.extend_from_slice(bytes);
        Appended::Stored
    }
}

struct Memory;

impl BodySource for Memory {
    type Body = Buffer;

    fn body(&mut self, _incoming: &Incoming<'_>) -> Admit<Buffer> {
        Admit::Store(Buffer(Vec::with_capacity(64 << 10)))
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of an Export call, without Huffman and without the dynamic table.
fn head() -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [
        vec![0x83, 0x86, 0x04],
        text(Signal::Logs.grpc_path()),
        vec![0x01],
        text("localhost:4317"),
        vec![0x0f, 0x10],
        text("application/grpc"),
        vec![0x00],
        text("te"),
        text("trailers"),
    ]
    .concat()
}

/// A request of HTTP/2 in frames of 16 KiB, from its first byte to the bytes of its answer.
fn http2(wire: &Bytes) {
    let len = u32::try_from(wire.len()).unwrap().to_be_bytes();
    let message = [&[0], &len[..], wire].concat();
    let mut ok = HeaderBlock::of_status(200);
    ok.push("content-type", b"application/grpc").unwrap();
    let mut trailers = HeaderBlock::of_trailers();
    trailers.push("grpc-status", b"0").unwrap();
    let (limits, timeouts, now) = (Limits::default(), Timeouts::default(), Instant::now());
    let mut connection = Connection::new(limits, timeouts, Windows::default(), now);
    let settings = frame(4, 0, 0, &[]);
    let hello = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..]].concat();
    assert_eq!(connection.receive(&hello, &mut Memory, now).bytes, hello.len());
    let mut stream = 1;
    let mut requests = (0..WARM_UP + COUNTED).map(|_| {
        let mut bytes = frame(1, 4, stream, &head());
        let pieces: Vec<_> = message.chunks(FRAME_BYTES).collect();
        for (idx, piece) in pieces.iter().enumerate() {
            bytes.extend(frame(0, u8::from(idx + 1 == pieces.len()), stream, piece));
        }
        stream += 2;
        bytes
    });
    let requests: Vec<Vec<u8>> = requests.by_ref().collect();
    let mut requests = requests.iter();
    run(|| {
        let bytes = requests.next().unwrap();
        assert_eq!(connection.receive(bytes, &mut Memory, now).bytes, bytes.len());
        let Some(Event::Request(request)) = connection.next_event() else {
            panic!("each is a whole request")
        };
        let answer = Response { head: &ok, body: &[0; 5], trailers: Some(&trailers) };
        connection.respond(request.stream, &answer).unwrap();
        black_box(connection.output()).clear();
    });
}

/// Nobody waits for it.
struct Done;

impl Completion for Done {
    fn complete(self, _result: Result<Receipt, AppendError>) {}
}

/// A record finds its place in the staging memory of a vault, with its checksum; its other threads do not count.
fn vault(wire: &Bytes) {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::new(dir.path());
    options.durability = Durability::Memory;
    options.compression = RecordCompression::None;
    let writer: Writer<Done> = Writer::open(options).unwrap().0;
    run(|| {
        let record = NewRecord { signal: 1, received_unix_ns: 0, attrs: &[0; 8], payload: wire };
        while writer.try_append_shared(record, wire, Done).is_err() {
            std::thread::yield_now();
        }
    });
}

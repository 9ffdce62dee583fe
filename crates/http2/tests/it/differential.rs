//! The same frames to this server and to `h2`, which is inside of hyper: the same requests come out, with the same
//! bodies, and the connection ends at the same frame.
//!
//! Both get a frame at a time. Where the two are known to differ, the comparison stops: see [`is_our_own_way`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use gophership_http2::Connection;
use gophership_http2::Event;
use gophership_http2::Limits;
use gophership_http2::RequestBody;
use gophership_http2::Timeouts;
use gophership_http2::Windows;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::DuplexStream;
use tokio::task::LocalSet;
use tokio::task::yield_now;

use crate::chunks::acts;
use crate::chunks::encode;
use crate::client::*;

const WINDOWS: Windows = Windows { connection_bytes: 1 << 20, stream_bytes: 1 << 18 };
/// How often the tasks of the other server have their turn before it is as far as it gets.
const TURNS: usize = 12;

/// Requests that are whole: method, path and body by the number of the stream.
type Requests = BTreeMap<u32, (String, String, Vec<u8>)>;

/// What a server has made of the frames so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    requests: Requests,
    is_ended: bool,
}

/// The other server.
struct Other {
    client: DuplexStream,
    state: Rc<RefCell<State>>,
}

impl Other {
    async fn start() -> Self {
        let (client, server) = tokio::io::duplex(4 << 20);
        let state = Rc::<RefCell<State>>::default();
        tokio::task::spawn_local(serve(server, Rc::clone(&state)));
        let mut other = Self { client, state };
        other.turn().await;
        other
    }

    async fn send(&mut self, bytes: &[u8]) {
        // It may have hung up.
        self.client.write_all(bytes).await.ok();
        self.turn().await;
    }

    async fn turn(&mut self) {
        let mut written = vec![0; 16 << 10];
        for _ in 0..TURNS {
            yield_now().await;
            let reading = self.client.read(&mut written);
            let _ = futures_poll(reading).await;
        }
    }
}

/// Polls once.
async fn futures_poll<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

async fn serve(stream: DuplexStream, state: Rc<RefCell<State>>) {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(WINDOWS.stream_bytes)
        .initial_connection_window_size(WINDOWS.connection_bytes)
        .max_frame_size(Limits::default().frame_bytes)
        .max_concurrent_streams(Limits::default().concurrent_streams)
        .max_header_list_size(Limits::default().header_list_bytes);
    if let Ok(mut connection) = builder.handshake::<_, bytes::Bytes>(stream).await {
        while let Some(Ok((request, respond))) = connection.accept().await {
            tokio::task::spawn_local(take(request, respond, Rc::clone(&state)));
        }
    }
    state.borrow_mut().is_ended = true;
}

/// Reads a request to its end, and never answers it.
async fn take(
    request: http::Request<h2::RecvStream>,
    respond: h2::server::SendResponse<bytes::Bytes>,
    state: Rc<RefCell<State>>,
) {
    let (head, mut body) = request.into_parts();
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let Ok(piece) = piece else { return };
        body.flow_control().release_capacity(piece.len()).ok();
        bytes.extend_from_slice(&piece);
    }
    if body.trailers().await.is_err() {
        return;
    }
    let path = head.uri.path_and_query().map_or("", |path| path.as_str()).to_owned();
    let whole = (head.method.to_string(), path, bytes);
    state.borrow_mut().requests.insert(body.stream_id().as_u32(), whole);
    // Dropped, it would reset the stream.
    let _respond = respond;
    std::future::pending::<()>().await;
}

/// This server.
struct Ours {
    connection: Connection<Stored>,
    memory: Memory,
    state: State,
    now: Instant,
}

impl Ours {
    fn start() -> Self {
        let now = Instant::now();
        let (limits, timeouts) = (Limits::default(), Timeouts::default());
        Self {
            connection: Connection::new(limits, timeouts, WINDOWS, now),
            memory: Memory { free_bytes: 1, body_bytes_max: usize::MAX, is_refusing: false },
            state: State::default(),
            now,
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        let received = self.connection.receive(bytes, &mut self.memory, self.now);
        assert_eq!(received.bytes, bytes.len());
        while let Some(event) = self.connection.next_event() {
            let Event::Request(request) = event else { continue };
            let body = match request.body {
                RequestBody::Whole(body) => body.bytes,
                RequestBody::Empty => Vec::new(),
                RequestBody::Refused(_) => panic!("nothing is refused"),
            };
            let head = request.head;
            let whole = (head.method().to_owned(), head.path().to_owned(), body);
            self.state.requests.insert(request.stream.get(), whole);
        }
        self.connection.output().clear();
        self.state.is_ended = self.connection.error().is_some();
    }
}

/// Divides bytes into frames; the last may be cut off.
fn frames(bytes: &[u8]) -> Vec<&[u8]> {
    let (preface, mut rest) = bytes.split_at(PREFACE.len().min(bytes.len()));
    let mut frames = vec![preface];
    while let Some(head) = rest.first_chunk::<9>() {
        let len = 9 + u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (frame, behind) = rest.split_at(len.min(rest.len()));
        frames.push(frame);
        rest = behind;
    }
    if !rest.is_empty() {
        frames.push(rest);
    }
    frames
}

/// Sends both the same, and returns the first difference.
fn difference(bytes: &[u8]) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let (mut ours, mut other) = (Ours::start(), Other::start().await);
        for (idx, frame) in frames(bytes).into_iter().enumerate() {
            ours.send(frame);
            other.send(frame).await;
            let theirs = other.state.borrow().clone();
            if ours.state == theirs {
                if theirs.is_ended {
                    break;
                }
                continue;
            }
            if is_our_own_way(&ours, &theirs, frame) {
                break;
            }
            let head = &frame[..frame.len().min(40)];
            let error = ours.connection.error();
            let (ours, theirs) = (summary(&ours.state), summary(&theirs));
            return Some(format!(
                "frame {idx}: {head:?}\nours: {ours}, {error:?}\ntheirs: {theirs}"
            ));
        }
        None
    })
}

fn summary(state: &State) -> String {
    let requests: Vec<String> = state
        .requests
        .iter()
        .map(|(id, (method, path, body))| format!("{id} {method} {path} {}", body.len()))
        .collect();
    format!("ended: {}, {requests:?}", state.is_ended)
}

/// Whether the two may part at this frame: one of them ends the connection for an error for which the other one ends
/// the stream, or which the other one ignores. The tests of sections say what is right; what has come out must
/// be the same until then.
fn is_our_own_way(ours: &Ours, theirs: &State, _frame: &[u8]) -> bool {
    theirs.is_ended != ours.state.is_ended && ours.state.requests == theirs.requests
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Scenario: a client that does what clients do, and some of what they must not do.
    /// Guarantees: the same requests come out as of the server that is inside of hyper.
    #[test]
    fn both_servers_read_the_same_requests(acts in acts()) {
        let found = difference(&encode(&acts));
        prop_assert!(found.is_none(), "{}", found.unwrap_or_default());
    }

    /// Scenario: the same, with bytes changed.
    #[test]
    fn both_servers_read_the_same_of_broken_frames(
        acts in acts(),
        changes in vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encode(&acts);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let found = difference(&bytes);
        prop_assert!(found.is_none(), "{}", found.unwrap_or_default());
    }
}

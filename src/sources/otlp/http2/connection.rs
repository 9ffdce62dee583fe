//! Drives one connection: reads, hands on, writes. All in one task, so a request goes on as soon as its bytes
//! are read, and the answers to all requests of one read go out in one write.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use std::time::Instant;

use futures_util::stream::FuturesUnordered;
use futures_util::stream::Stream;
use gophership_http2::Connection as Http2;
use gophership_http2::ConnectionError;
use gophership_http2::Event;
use gophership_http2::Limits;
use gophership_http2::Request;
use gophership_http2::RequestBody;
use gophership_http2::StreamId;
use gophership_http2::Timeouts;
use gophership_http2::Windows;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::time::Sleep;

use super::buffers::Buffers;
use super::exchange;
use super::exchange::Exchange;
use super::exchange::Parties;
use super::request_buffer::RequestBuffer;
use super::room::AdmissionWait;
use super::room::RoomFound;
use crate::net::Activity;
use crate::net::GracefulConnection;
use crate::sources::otlp::active_handler::ActiveHandlers;
use crate::sources::otlp::answer::RefusedRequest;
use crate::sources::otlp::listener_protocol::ListenerProtocol;

/// What is read at a time. The buffer is one for each thread, because a read leaves nothing in it.
const READ_BYTES: usize = 256 << 10;
/// Reads at a time, before other connections have their turn.
const READS: usize = 16;
/// A connection whose peer leaves more than this of its answers is not read.
const UNSENT_BYTES_MAX: usize = 64 << 10;
/// Room for answers beyond this is given back when they are sent.
const OUTPUT_BYTES_KEPT: usize = 16 << 10;
/// When a sender may come back that is before the source.
const NOT_READY_RETRY: Duration = Duration::from_secs(1);

thread_local! {
    static READ_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One connection between a stream and the handler of its requests.
pub(in crate::sources::otlp) struct Http2Connection<'s, S> {
    stream: S,
    http2: Http2<RequestBuffer>,
    buffers: Buffers<'s>,
    exchanges: FuturesUnordered<Exchange>,
    rooms: FuturesUnordered<AdmissionWait>,
    /// Bytes that were read, and wait for memory or for their turn.
    rest: Vec<u8>,
    is_waiting: bool,
    /// How much of the output is sent.
    sent: usize,
    sleep: Option<Pin<Box<Sleep>>>,
    has_peer_ended: bool,
}

/// What a connection may do.
pub(in crate::sources::otlp) struct Http2Terms {
    pub(in crate::sources::otlp) limits: Limits,
    pub(in crate::sources::otlp) timeouts: Timeouts,
    pub(in crate::sources::otlp) windows: Windows,
    /// What its requests are if they do not say that they are gRPC.
    pub(in crate::sources::otlp) protocol: ListenerProtocol,
}

/// How a connection ends that nobody has cut off.
type Ended = Result<(), EndCause>;

/// Why a connection is over before its peer wants it to be.
#[derive(Debug)]
pub(in crate::sources::otlp) enum EndCause {
    /// The stream failed.
    Io(io::Error),
    /// The peer broke a rule of HTTP/2, or exceeded a limit.
    Http2(ConnectionError),
}

impl EndCause {
    /// The limit of HTTP/2 that the peer has exceeded.
    pub(in crate::sources::otlp) fn limit(&self) -> Option<&'static str> {
        match self {
            Self::Io(_) => None,
            Self::Http2(error) => error.limit.map(gophership_http2::Limit::name),
        }
    }
}

impl fmt::Display for EndCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(formatter),
            Self::Http2(error) => error.fmt(formatter),
        }
    }
}

impl<'s, S: AsyncRead + AsyncWrite + Unpin> Http2Connection<'s, S> {
    /// Begins a connection of which the `first` bytes were read already.
    pub(in crate::sources::otlp) fn new(
        stream: S,
        first: Vec<u8>,
        terms: &Http2Terms,
        handlers: &'s ActiveHandlers,
        activity: &Arc<Activity>,
    ) -> Self {
        let Http2Terms { limits, timeouts, windows, protocol } = *terms;
        let http2 = Http2::new(limits, timeouts, windows, activity.newest());
        Self {
            stream,
            http2,
            buffers: Buffers::new(protocol, handlers, Arc::clone(activity)),
            exchanges: FuturesUnordered::new(),
            rooms: FuturesUnordered::new(),
            rest: first,
            is_waiting: false,
            sent: 0,
            sleep: None,
            has_peer_ended: false,
        }
    }

    /// Goes on with requests, and writes the answers that are there.
    fn answer(&mut self, context: &mut Context<'_>) {
        while let Poll::Ready(Some(found)) = Pin::new(&mut self.rooms).poll_next(context) {
            self.give_room(found);
            self.is_waiting = false;
        }
        while let Poll::Ready(Some((stream, answer))) =
            Pin::new(&mut self.exchanges).poll_next(context)
        {
            answer.write(&mut self.http2, stream);
            self.is_waiting = false;
        }
    }

    /// A request that waited for room has it, or has waited too long.
    fn give_room(&mut self, RoomFound { stream, room }: RoomFound) {
        let Some(buffer) = self.http2.body_mut(stream) else { return };
        match room.and_then(|held| buffer.give(held)) {
            Ok(()) => self.http2.open_window(stream),
            Err(refused) => self.refuse(stream, refused),
        }
    }

    fn refuse(&mut self, stream: StreamId, refused: RefusedRequest) {
        self.buffers.count(&refused);
        self.answer_refused(stream, refused);
    }

    /// Tells a sender that it is refused, as its protocol does that.
    fn answer_refused(&mut self, stream: StreamId, refused: RefusedRequest) {
        let Some(head) = self.http2.request_head(stream).cloned() else { return };
        self.buffers.refusal(&head, refused).write(&mut self.http2, stream);
    }

    /// Does what the connection asks for.
    fn handle_events(&mut self, context: &mut Context<'_>) {
        while let Some(event) = self.http2.next_event() {
            match event {
                Event::Request(request) => self.begin(request, context),
                Event::Cancelled(stream) => self.forget(stream),
                Event::Stalled(stream) => {
                    let refused = self.buffers.stalled();
                    self.refuse(stream, refused);
                }
                Event::Late(_) | Event::Idle => {}
            }
        }
        for stream in self.buffers.new_waits() {
            let wants = self.http2.body_mut(stream).and_then(|buffer| buffer.wants());
            if let (Some(bytes), Some(handler)) = (wants, self.buffers.handler()) {
                self.rooms.push(AdmissionWait::new(stream, bytes, handler, self.buffers.share()));
            }
        }
    }

    /// Begins to answer a request.
    fn begin(&mut self, request: Request<RequestBuffer>, context: &mut Context<'_>) {
        let Request { stream, head, mut body } = request;
        let mut buffer = match &mut body {
            RequestBody::Empty | RequestBody::Refused(None) => None,
            RequestBody::Whole(buffer) | RequestBody::Refused(Some(buffer)) => Some(buffer),
        };
        if let Some(refused) = buffer.as_mut().and_then(|buffer| buffer.refusal()) {
            return self.refuse(stream, refused);
        }
        let Some((handler, present)) = self.buffers.active() else {
            let refused = RefusedRequest::Busy {
                retry_after: NOT_READY_RETRY,
                why: "the source is not ready yet",
            };
            return self.answer_refused(stream, refused);
        };
        let active = buffer.as_mut().and_then(|buffer| buffer.take_active());
        let active = active.unwrap_or_else(|| self.buffers.begin());
        let meaning = buffer.map(|buffer| buffer.meaning());
        let parties = Parties {
            handler,
            share: self.buffers.share(),
            meaning: meaning.unwrap_or_else(|| self.buffers.meaning(&head)),
            arrived: self.buffers.newest(),
            present,
            active,
        };
        match exchange::begin(stream, exchange::take(parties, body), context) {
            Ok(answer) => answer.write(&mut self.http2, stream),
            Err(exchange) => self.exchanges.push(exchange),
        }
    }

    /// The client has given a request up: what is under way is withdrawn.
    fn forget(&mut self, stream: StreamId) {
        let exchanges = mem::take(&mut self.exchanges);
        self.exchanges = exchanges.into_iter().filter(|it| it.stream != stream).collect();
    }

    /// Sends what is to be sent; pending if the peer does not take it.
    fn write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let output = self.http2.output();
        while self.sent < output.len() {
            match Pin::new(&mut self.stream).poll_write(context, &output[self.sent..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(bytes)) => self.sent += bytes,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        output.clear();
        output.shrink_to(OUTPUT_BYTES_KEPT);
        self.sent = 0;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Reads once, and hands on what came; pending if nothing did.
    fn read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.rest.is_empty() {
            if self.is_waiting {
                return Poll::Pending;
            }
            let rest = mem::take(&mut self.rest);
            self.receive(&rest, context);
            return Poll::Ready(Ok(()));
        }
        READ_BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(READ_BYTES, 0);
            let mut read = ReadBuf::new(buffer);
            match Pin::new(&mut self.stream).poll_read(context, &mut read) {
                Poll::Ready(Ok(())) if read.filled().is_empty() => self.has_peer_ended = true,
                Poll::Ready(Ok(())) => self.receive(read.filled(), context),
                other => return other,
            }
            Poll::Ready(Ok(()))
        })
    }

    fn receive(&mut self, bytes: &[u8], context: &mut Context<'_>) {
        let now = self.buffers.newest();
        let received = self.http2.receive(bytes, &mut self.buffers, now);
        self.is_waiting = received.waits.is_some();
        self.rest.extend_from_slice(&bytes[received.bytes..]);
        self.handle_events(context);
    }

    /// Does what is due, and sees to it that it is woken for what comes next.
    fn watch_time(&mut self, context: &mut Context<'_>) {
        while let Some(deadline) = self.http2.next_deadline().map(tokio::time::Instant::from_std) {
            let sleep =
                self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            if deadline < sleep.deadline() || sleep.is_elapsed() {
                sleep.as_mut().reset(deadline);
            }
            if sleep.as_mut().poll(context).is_pending() {
                return;
            }
            self.http2.on_time(Instant::now());
            self.handle_events(context);
        }
    }

    /// Ends our side, when everything is sent.
    fn end(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        let cause = self.http2.error().copied().map(EndCause::Http2);
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(result) => Poll::Ready(match (cause, result) {
                (Some(cause), _) => Err(cause),
                (None, result) => result.map_err(EndCause::Io),
            }),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> GracefulConnection for Http2Connection<'_, S> {
    type Output = Ended;

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        for _ in 0..READS {
            self.answer(context);
            self.watch_time(context);
            let written = match self.write(context) {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(EndCause::Io(error))),
                Poll::Ready(Ok(())) => true,
                Poll::Pending => false,
            };
            if self.http2.is_finished() || self.has_peer_ended {
                // Also if the peer has gone: what came last may be a whole request, which can be kept.
                return if written { self.end(context) } else { Poll::Pending };
            }
            if UNSENT_BYTES_MAX < self.http2.output().len() - self.sent {
                return Poll::Pending;
            }
            match self.read(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(EndCause::Io(error))),
                Poll::Pending => return Poll::Pending,
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn close(&mut self) {
        self.http2.shut_down();
    }

    fn unsent(&self, _requests: u32) -> Option<u64> {
        (0 < self.http2.waiting_answers()).then_some(self.http2.counters().answers)
    }
}

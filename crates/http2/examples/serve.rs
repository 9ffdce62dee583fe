//! A server with tokio that answers OTLP Export calls with success and forgets them: how a connection is driven.
//!
//! `cargo run --release -p gophership-http2 --example serve -- 127.0.0.1:4317`
//!
//! One task serves a connection. A read buffer belongs to the thread and not to the connection, because
//! `receive` leaves nothing in it: so a connection that is idle holds none.
#![expect(clippy::print_stdout, reason = "says where it listens")]

use std::cell::RefCell;
use std::io;
use std::time::Instant;

use gophership_http2::Admit;
use gophership_http2::Appended;
use gophership_http2::Body;
use gophership_http2::BodySource;
use gophership_http2::Connection;
use gophership_http2::Event;
use gophership_http2::HeaderBlock;
use gophership_http2::Incoming;
use gophership_http2::Limits;
use gophership_http2::Request;
use gophership_http2::RequestBody;
use gophership_http2::Response;
use gophership_http2::Timeouts;
use gophership_http2::Windows;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

const READ_BYTES: usize = 512 << 10;
const BODY_BYTES_MAX: usize = 16 << 20;
/// A message of no bytes: a response with every field unset.
const EMPTY_MESSAGE: &[u8] = &[0; 5];
/// Longer room for output is given back when it is sent.
const KEPT_OUTPUT_BYTES: usize = 16 << 10;

thread_local! {
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// A body in memory.
struct Buffer(Vec<u8>);

impl Body for Buffer {
    fn append(&mut self, bytes: &[u8]) -> Appended {
        if BODY_BYTES_MAX < self.0.len() + bytes.len() {
            return Appended::Refused;
        }
        self.0.extend_from_slice(bytes);
        Appended::Stored
    }
}

/// Where buffers come from. A real one takes room from a budget before.
struct Memory;

impl BodySource for Memory {
    type Body = Buffer;

    fn body(&mut self, incoming: &Incoming<'_>) -> Admit<Buffer> {
        // A message of gRPC says at its start how long it is.
        let announced = match incoming.first.first_chunk::<5>() {
            _ if incoming.is_whole => incoming.first.len(),
            Some([_, len @ ..]) if is_grpc(incoming.head) => 5 + u32::from_be_bytes(*len) as usize,
            _ => incoming.first.len(),
        };
        Admit::Store(Buffer(Vec::with_capacity(announced.min(BODY_BYTES_MAX))))
    }
}

/// The answers, made once.
struct Answers {
    grpc_head: HeaderBlock,
    grpc_trailers: HeaderBlock,
    http_head: HeaderBlock,
    not_found: HeaderBlock,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:4317".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            // A peer that hangs up is no concern of the others.
            serve(stream).await.ok();
        });
    }
}

/// Serves one connection to its end.
async fn serve(stream: TcpStream) -> io::Result<()> {
    let answers = Answers::new();
    let (limits, timeouts) = (Limits::default(), Timeouts::default());
    let mut connection = Connection::new(limits, timeouts, Windows::default(), Instant::now());
    loop {
        if !connection.output().is_empty() {
            // Nothing is read as long as the peer does not take its answers.
            send(&stream, connection.output()).await?;
        }
        if connection.is_finished() {
            return Ok(());
        }
        match read(&stream, &mut connection) {
            Ok(0) => return Ok(()),
            Ok(_) => handle(&mut connection, &answers),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait(&stream, &mut connection).await?;
            }
            Err(error) => return Err(error),
        }
        tokio::task::coop::consume_budget().await;
    }
}

/// Reads once, and takes what has come.
fn read(stream: &TcpStream, connection: &mut Connection<Buffer>) -> io::Result<usize> {
    READ_BUFFER.with_borrow_mut(|buffer| {
        let len = stream.try_read(buffer)?;
        // This memory never says that a request waits, so all bytes are taken.
        let received = connection.receive(&buffer[..len], &mut Memory, Instant::now());
        debug_assert_eq!(received.bytes, len);
        Ok(len)
    })
}

/// Waits for bytes or for a deadline.
async fn wait(stream: &TcpStream, connection: &mut Connection<Buffer>) -> io::Result<()> {
    let Some(at) = connection.next_deadline() else { return stream.readable().await };
    tokio::select! {
        ready = stream.readable() => ready,
        () = tokio::time::sleep_until(at.into()) => {
            connection.on_time(Instant::now());
            Ok(())
        }
    }
}

async fn send(stream: &TcpStream, output: &mut Vec<u8>) -> io::Result<()> {
    let mut sent = 0;
    while sent < output.len() {
        match stream.try_write(&output[sent..]) {
            Ok(len) => sent += len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    output.clear();
    if KEPT_OUTPUT_BYTES < output.capacity() {
        *output = Vec::new();
    }
    Ok(())
}

/// Answers every request that is complete. A real server may do that later and from elsewhere.
fn handle(connection: &mut Connection<Buffer>, answers: &Answers) {
    while let Some(event) = connection.next_event() {
        match event {
            Event::Request(request) => {
                let response = answers.to(&request);
                // The client may have gone in the meantime.
                connection.respond(request.stream, &response).ok();
            }
            Event::Stalled(stream) | Event::Late(stream) => connection.cancel(stream),
            Event::Idle => connection.shut_down(),
            Event::Cancelled(_) => {}
        }
    }
}

impl Answers {
    fn new() -> Self {
        let with = |mut block: HeaderBlock, name: &str, value: &[u8]| {
            block.push(name, value).expect("it has no character that is not allowed");
            block
        };
        let ok = || HeaderBlock::of_status(200);
        Self {
            grpc_head: with(ok(), "content-type", b"application/grpc"),
            grpc_trailers: with(HeaderBlock::of_trailers(), "grpc-status", b"0"),
            http_head: with(ok(), "content-type", b"application/x-protobuf"),
            not_found: HeaderBlock::of_status(404),
        }
    }

    fn to(&self, request: &Request<Buffer>) -> Response<'_> {
        let is_post = request.head.method() == "POST";
        if is_post && is_grpc(&request.head) && is_message(&request.body) {
            let trailers = Some(&self.grpc_trailers);
            return Response { head: &self.grpc_head, body: EMPTY_MESSAGE, trailers };
        }
        if is_post && request.head.path().starts_with("/v1/") {
            return Response { head: &self.http_head, body: &[], trailers: None };
        }
        Response { head: &self.not_found, body: b"use OTLP\n", trailers: None }
    }
}

fn is_grpc(head: &gophership_http2::RequestHead) -> bool {
    head.get("content-type").is_some_and(|value| value.starts_with(b"application/grpc"))
}

/// Whether a body is one whole message of gRPC.
fn is_message(body: &RequestBody<Buffer>) -> bool {
    let RequestBody::Whole(Buffer(bytes)) = body else { return false };
    let Some(([_, len @ ..], message)) = bytes.split_first_chunk::<5>() else { return false };
    u32::from_be_bytes(*len) as usize == message.len()
}

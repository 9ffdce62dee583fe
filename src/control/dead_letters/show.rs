//! Shows one dead letter: what is known of it, then its content in pieces of bounded size.

use std::io;
use std::io::Write;
use std::pin::Pin;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream;
use gophership_control::proto;
use gophership_otlp::DecodeLimits;
use gophership_otlp::JsonLine;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tonic::Status;

use super::blocking;
use super::fault;
use super::wanted::parse_id;
use super::wire_letter;
use crate::component::Letter;
use crate::component::LetterSelection;
use crate::component::Vaults;

/// What one message has of the content.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that wait for who reads them.
const PIECES_WAITING_MAX: usize = 4;
/// Who takes no piece for so long gets no more.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);
/// The content is as it was received, and is checked in depth only.
const LIMITS: DecodeLimits = DecodeLimits { decoded_bytes_max: u64::MAX, depth_max: 96 };

type Piece = Result<proto::ShowDeadLetterResponse, Status>;

/// What a client is sent that looks at a letter.
pub(in super::super) type LetterPieces = Pin<Box<dyn Stream<Item = Piece> + Send>>;

/// Finds a letter, and sends it in pieces.
pub(in super::super) async fn show(
    vaults: &Vaults,
    request: proto::ShowDeadLetterRequest,
) -> Result<LetterPieces, Status> {
    let proto::ShowDeadLetterRequest { id, raw } = request;
    let (vault, (segment, seq)) = parse_id(&id)?;
    let open = vaults.dead_letters().into_iter().find(|(open, _)| *open == vault);
    let Some((_, letters)) = open.filter(|(_, letters)| letters.are_there()) else {
        return Err(Status::not_found(format!("vault {vault} has no dead letters")));
    };
    let name = vault.clone();
    let selection = LetterSelection { ids: vec![(segment, seq)], ..LetterSelection::default() };
    let letter = blocking(move || {
        let begin = Some((segment, seq - 1));
        let mut walk = letters.walk(begin, &selection).map_err(fault(&name))?;
        letters.next(&mut walk).map_err(fault(&name))
    });
    let Some(letter) = letter.await? else {
        let message = format!("there is no dead letter {id}: it was delivered or dropped");
        return Err(Status::not_found(message));
    };
    let facts = wire_letter(&vault, &letter);
    if !raw {
        check(&letter)?;
    }
    let (pieces, mut sent) = mpsc::channel(PIECES_WAITING_MAX);
    // Nobody waits for it: it ends when all is taken, or nothing is.
    tokio::task::spawn_blocking(move || send(&letter, raw, pieces));
    let first = proto::ShowDeadLetterResponse { letter: Some(facts), content: Vec::new() };
    let first = stream::once(std::future::ready(Ok(first)));
    let rest = stream::poll_fn(move |context| sent.poll_recv(context));
    Ok(Box::pin(stream::StreamExt::chain(first, rest)))
}

/// Makes sure that the content has a JSON form.
fn check(letter: &Letter) -> Result<(), Status> {
    let has_none = |why: String| {
        let message = format!("the content has no JSON form ({why}): use --format raw");
        Status::failed_precondition(message)
    };
    let signal = letter.signal.ok_or_else(|| has_none("its signal is unknown".to_owned()))?;
    let line = JsonLine::of(signal, &letter.wire, &LIMITS);
    line.map(drop).map_err(|error| has_none(error.to_string()))
}

/// Sends the content; waits for who reads it.
fn send(letter: &Letter, raw: bool, pieces: mpsc::Sender<Piece>) {
    let mut out = PieceWriter { pieces, handle: Handle::current() };
    let written = match letter.signal {
        Some(signal) if !raw => match JsonLine::of(signal, &letter.wire, &LIMITS) {
            Ok(line) => line.write(&mut Vec::new(), &mut out),
            Err(error) => Err(io::Error::other(error)),
        },
        _ => out.write_all(&letter.wire),
    };
    if let Err(error) = written {
        tracing::debug!(%error, "A dead letter was not shown to its end.");
    }
}

/// Sends what is written to it.
struct PieceWriter {
    pieces: mpsc::Sender<Piece>,
    handle: Handle,
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let content = bytes[..bytes.len().min(PIECE_BYTES)].to_vec();
        let len = content.len();
        let piece = proto::ShowDeadLetterResponse { letter: None, content };
        let sent = tokio::time::timeout(TAKEN_WITHIN, self.pieces.send(Ok(piece)));
        match self.handle.block_on(sent) {
            Ok(Ok(())) => Ok(len),
            Ok(Err(_gone)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_late) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

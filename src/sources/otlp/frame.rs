//! Reads the one message of a unary gRPC request.
//!
//! ```text
//!  0          1              5
//!  +----------+--------------+---------------------+
//!  | flag u8  | length u32be | message             |
//!  +----------+--------------+---------------------+
//! ```
//!
//! The flag is 1 when the message is compressed, as the header `grpc-encoding` says. Room for the
//! message is taken when its length is known and before the rest of it is read.
//!
//! Source: gRPC over HTTP2, "Length-Prefixed-Message".

use bytes::Buf;
use bytes::Bytes;

use super::admission::AdmittedRequest;
use super::admission::ConnectionAdmission;
use super::answer::RefusedRequest;
use super::body::IncomingBody;
use super::filling::Filling;
use super::filling::whole;
use super::inflate::RequestEncoding;
use super::inflate::inflate;
use super::limits::RequestLimits;

pub(super) const HEAD_BYTES: usize = 5;

/// Returns the message, decompressed; neither form may be larger than the limits allow.
pub(super) async fn read(
    body: &mut IncomingBody,
    compression: RequestEncoding,
    room: ConnectionAdmission<'_>,
    limits: &RequestLimits,
) -> Result<AdmittedRequest, RefusedRequest> {
    let (head, first) = head(body).await?;
    let [flag, len @ ..] = head;
    let len = u32::from_be_bytes(len);
    let compression = encoding(flag, compression)?;
    if limits.bytes < u64::from(len) {
        return Err(RefusedRequest::TooLarge { limit_bytes: limits.bytes });
    }
    let received = message(body, room, first, len as usize).await?;
    if body.next().await?.is_some() {
        return Err(broken("the request has more than one message"));
    }
    match compression {
        RequestEncoding::None => Ok(received),
        compression => inflate(received, compression, room, limits).await,
    }
}

/// How a message with this flag is compressed, if the header says `named`.
pub(super) fn encoding(
    flag: u8,
    named: RequestEncoding,
) -> Result<RequestEncoding, RefusedRequest> {
    match (flag, named) {
        (0, _) => Ok(RequestEncoding::None),
        (1, RequestEncoding::None) => {
            Err(broken("the message is compressed, and the header grpc-encoding is missing"))
        }
        (1, named) => Ok(named),
        _ => Err(broken("the compression flag of the message is neither 0 nor 1")),
    }
}

/// Reads the head, and returns it with what came behind it.
async fn head(body: &mut IncomingBody) -> Result<([u8; HEAD_BYTES], Bytes), RefusedRequest> {
    let mut head = [0; HEAD_BYTES];
    let mut filled = 0;
    loop {
        let Some(mut piece) = body.next().await? else {
            let is_empty = filled == 0;
            return Err(broken(if is_empty {
                "the request has no message"
            } else {
                "the message is incomplete"
            }));
        };
        let part = piece.len().min(HEAD_BYTES - filled);
        head[filled..filled + part].copy_from_slice(&piece[..part]);
        piece.advance(part);
        filled += part;
        if filled == HEAD_BYTES {
            return Ok((head, piece));
        }
    }
}

/// Reads the message itself.
async fn message(
    body: &mut IncomingBody,
    room: ConnectionAdmission<'_>,
    mut first: Bytes,
    len: usize,
) -> Result<AdmittedRequest, RefusedRequest> {
    if first.is_empty() && 0 < len {
        first = body.next().await?.ok_or_else(|| broken("the message is incomplete"))?;
    }
    if len == first.len() {
        return whole(room, first).await;
    }
    let too_much = || broken("the request has more than one message");
    if len < first.len() {
        return Err(too_much());
    }
    body.expect(len);
    let mut filling = Filling::begin(room, len, len).await?;
    filling.push(&first).await?;
    drop(first);
    while filling.buffer.len() < len {
        let piece = body.next().await?.ok_or_else(|| broken("the message is incomplete"))?;
        if len - filling.buffer.len() < piece.len() {
            return Err(too_much());
        }
        filling.push(&piece).await?;
    }
    Ok(filling.finish())
}

pub(super) fn broken(reason: &str) -> RefusedRequest {
    RefusedRequest::Broken(reason.to_owned())
}

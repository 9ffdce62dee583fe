//! From the body of a request to the OTLP in it.

use std::io::Read;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::header::CONTENT_ENCODING;

/// What stands before a message of gRPC: whether it is compressed, and its length.
const FRAME_HEAD_LEN: usize = 5;

/// The one message of a gRPC body, or the body, without its compression; `None` if it is not readable.
pub(super) fn unpack(
    is_grpc: bool,
    headers: &HeaderMap,
    body: &Bytes,
    bytes_max: usize,
) -> Option<Bytes> {
    if !is_grpc {
        return inflate(headers.get(CONTENT_ENCODING), body.clone(), bytes_max);
    }
    let (head, message) = body.split_at_checked(FRAME_HEAD_LEN)?;
    let (is_compressed, len) = head.split_first()?;
    let len = u32::from_be_bytes(len.try_into().ok()?);
    let message = body.slice_ref(message);
    match is_compressed {
        _ if message.len() != usize::try_from(len).ok()? => None,
        0 => Some(message),
        _ => inflate(headers.get("grpc-encoding"), message, bytes_max),
    }
}

fn inflate(encoding: Option<&HeaderValue>, bytes: Bytes, bytes_max: usize) -> Option<Bytes> {
    let mut plain = Vec::new();
    let limit = bytes_max as u64;
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

//! From the body of a request to the OTLP in it.

use std::io::Read;

use bytes::Bytes;
use gophership_otlp::DecodeLimits;
use gophership_otlp::Signal;
use http::HeaderMap;
use http::HeaderValue;
use http::header::CONTENT_ENCODING;
use http::header::CONTENT_TYPE;

/// What stands before a message of gRPC: whether it is compressed, and its length.
const FRAME_HEAD_LEN: usize = 5;

/// The one message of a gRPC body, or the body, without its compression, as protobuf; `None` if it is not
/// readable.
pub(super) fn unpack(
    signal: Signal,
    is_grpc: bool,
    headers: &HeaderMap,
    body: &Bytes,
    bytes_max: usize,
) -> Option<Bytes> {
    if !is_grpc {
        let plain = inflate(headers.get(CONTENT_ENCODING), body.clone(), bytes_max)?;
        if !is_json(headers) {
            return Some(plain);
        }
        let limits = DecodeLimits { decoded_bytes_max: bytes_max as u64, depth_max: 96 };
        return gophership_otlp::json_to_wire(signal, &plain, &limits).ok();
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

/// Whether a request over HTTP is in the JSON form.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes() == b"application/json")
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

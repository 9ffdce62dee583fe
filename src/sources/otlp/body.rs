//! Reads an HTTP body under its size limit, decompressed as it comes.

use std::io;
use std::io::Read;

use bytes::Buf;
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::LengthLimitError;
use http_body_util::Limited;
use hyper::body::Incoming;

use super::answer::Refused;

/// Bodies above this size are decompressed on a blocking thread.
const INLINE_BYTES_MAX: usize = 256 * 1024;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// Returns the whole body, decompressed; neither form may be larger than `limit` bytes.
pub(super) async fn collect(
    body: Incoming,
    compression: Compression,
    limit: u64,
) -> Result<Bytes, Refused> {
    let limit_len = usize::try_from(limit).unwrap_or(usize::MAX);
    let collected = Limited::new(body, limit_len).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Refused::TooLarge { limit_bytes: limit }
        } else {
            Refused::Invalid(format!("the body could not be read: {error}"))
        }
    })?;
    let bytes = collected.to_bytes();
    if compression == Compression::None {
        return Ok(bytes);
    }
    if bytes.len() <= INLINE_BYTES_MAX {
        return decompress(bytes, compression, limit);
    }
    let task = tokio::task::spawn_blocking(move || decompress(bytes, compression, limit));
    task.await.unwrap_or_else(|_| Err(Refused::Invalid("the body could not be read".to_owned())))
}

fn decompress(bytes: Bytes, compression: Compression, limit: u64) -> Result<Bytes, Refused> {
    let invalid = |error: io::Error| Refused::Invalid(format!("the body is not valid: {error}"));
    let reader = bytes.reader();
    let mut out = Vec::new();
    let mut limited: Box<dyn Read> = match compression {
        Compression::None => Box::new(reader),
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(reader)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(reader).map_err(invalid)?),
    };
    // One byte beyond the limit tells a body at the limit from one above it.
    limited.by_ref().take(limit.saturating_add(1)).read_to_end(&mut out).map_err(invalid)?;
    if out.len() as u64 > limit {
        return Err(Refused::TooLarge { limit_bytes: limit });
    }
    Ok(out.into())
}

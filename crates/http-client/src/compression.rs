//! How the bodies of requests are compressed.

use std::io;
use std::io::Write;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How requests are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "CompressionOption")]
pub enum Compression {
    /// No compression.
    #[default]
    None,
    /// gzip, which every backend supports.
    Gzip,
    /// zstd, which many backends support.
    Zstd,
}

impl Compression {
    /// Compresses a body; returns it with its `Content-Encoding`, if it has one.
    ///
    /// # Errors
    ///
    /// When the encoder fails, which it does not in memory.
    pub fn compress(self, body: Bytes) -> io::Result<(Bytes, Option<&'static str>)> {
        match self {
            Self::None => Ok((body, None)),
            Self::Gzip => {
                let level = flate2::Compression::fast();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(&body)?;
                Ok((encoder.finish()?.into(), Some("gzip")))
            }
            Self::Zstd => Ok((zstd::stream::encode_all(body.as_ref(), 1)?.into(), Some("zstd"))),
        }
    }
}

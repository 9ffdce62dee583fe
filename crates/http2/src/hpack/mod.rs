//! HPACK, the compression of headers.
//!
//! Source: RFC 7541.

mod decode;
mod dynamic_table;
mod encode;
mod huffman;
mod huffman_lengths;
mod integer;
mod static_table;

pub use self::decode::DecodeError;
pub use self::decode::Decoder;
pub use self::decode::TABLE_BYTES_DEFAULT;
pub use self::encode::HeaderBlock;
pub use self::encode::InvalidField;

//! Numbers and digests as the lower-case hexadecimal text that keys, headers and manifests have.

use std::fmt::Write as _;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serializer;

/// Returns the text of a vault's id: 32 digits.
#[must_use]
pub fn vault_id_text(id: u128) -> String {
    format!("{id:032x}")
}

/// Reads a vault's id from its 32 digits.
#[must_use]
pub fn parse_vault_id(text: &str) -> Option<u128> {
    is_hex(text, 32).then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// Returns the text of a checksum: 8 digits.
pub(crate) fn crc_text(crc: u32) -> String {
    format!("{crc:08x}")
}

/// Reads a checksum from its 8 digits.
pub(crate) fn parse_crc(text: &str) -> Option<u32> {
    is_hex(text, 8).then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

/// Returns the text of a digest: 64 digits.
pub(crate) fn digest_text(digest: &[u8; 32]) -> String {
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a text does not fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}

/// Reads a digest from its 64 digits.
pub(crate) fn parse_digest(text: &str) -> Option<[u8; 32]> {
    if !is_hex(text, 64) {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

fn is_hex(text: &str, len: usize) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == len && text.bytes().all(is_digit)
}

/// A checksum in a manifest.
pub(crate) mod crc {
    use super::{Deserialize, Deserializer, Serializer, crc_text, parse_crc};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    pub(crate) fn serialize<S: Serializer>(crc: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&crc_text(*crc))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
        super::read(&String::deserialize(from)?, parse_crc, "8 hexadecimal digits")
    }
}

/// A digest in a manifest.
pub(crate) mod digest {
    use super::{Deserialize, Deserializer, Serializer, digest_text, parse_digest};

    pub(crate) fn serialize<S: Serializer>(
        digest: &[u8; 32],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&digest_text(digest))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        super::read(&String::deserialize(from)?, parse_digest, "64 hexadecimal digits")
    }
}

/// A vault's id in a manifest.
pub(crate) mod vault_id {
    use super::{Deserialize, Deserializer, Serializer, parse_vault_id, vault_id_text};

    pub(crate) fn serialize<S: Serializer>(id: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&vault_id_text(*id))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        super::read(&String::deserialize(from)?, parse_vault_id, "32 hexadecimal digits")
    }
}

fn read<T, E: serde::de::Error>(
    text: &str,
    parse: impl Fn(&str) -> Option<T>,
    form: &str,
) -> Result<T, E> {
    parse(text).ok_or_else(|| E::custom(format!("{text:?} is not {form}")))
}

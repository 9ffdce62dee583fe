//! Hashes that stand for what was redacted, and their key.

use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;

/// A shorter key can be guessed.
pub(super) const KEY_BYTES_MIN: usize = 16;
/// A file of keys is short.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Keeps these hashes apart from all others made with the same key.
const PURPOSE: &str = "gophership redact: hashes of values, version 1";
/// Bytes of a hash that are shown: two values have the same by chance once in 2^64 of them.
const SHOWN_BYTES: usize = 16;

/// Makes hashes that only who has the key can make.
pub(super) struct Hasher([u8; 32]);

impl Hasher {
    pub(super) fn new(key: &[u8]) -> Self {
        Self(blake3::derive_key(PURPOSE, key))
    }

    /// Reads the key from a file; the end of its last line does not count.
    pub(super) fn from_file(path: &Path) -> io::Result<Self> {
        let mut text = Vec::new();
        File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
        let key = text.trim_ascii_end();
        if text.len() as u64 > FILE_BYTES_MAX || key.len() < KEY_BYTES_MIN {
            let message = format!("a key has from {KEY_BYTES_MIN} to {FILE_BYTES_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(Self::new(key))
    }

    /// Appends the hash of a value in hexadecimal digits.
    pub(super) fn put(&self, value: &[u8], out: &mut Vec<u8>) {
        let hash = blake3::keyed_hash(&self.0, value);
        let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        for byte in hash.as_bytes().iter().take(SHOWN_BYTES) {
            out.extend([digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(hasher: &Hasher, value: &str) -> String {
        let mut out = Vec::new();
        hasher.put(value.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn equal_values_have_equal_hashes_under_one_key_only() {
        let (one, two) = (Hasher::new(b"0123456789abcdef"), Hasher::new(b"0123456789abcdeg"));
        assert_eq!(hash(&one, "jo@example.com"), hash(&one, "jo@example.com"));
        assert_ne!(hash(&one, "jo@example.com"), hash(&one, "jo@example.org"));
        assert_ne!(hash(&one, "jo@example.com"), hash(&two, "jo@example.com"));
        assert_eq!(hash(&one, "jo@example.com").len(), 32);
    }

    #[test]
    fn hashes_stay_what_they_are_from_version_to_version() {
        let hasher = Hasher::new(b"0123456789abcdef");
        assert_eq!(hash(&hasher, "jo@example.com"), "ad0e5fc5ad18b1801f9969efd4b2088b");
    }

    #[test]
    fn a_key_file_may_end_with_a_line_and_must_not_be_short() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        let hasher = Hasher::from_file(&path).unwrap();
        assert_eq!(hash(&hasher, "x"), hash(&Hasher::new(b"0123456789abcdef"), "x"));
        std::fs::write(&path, "0123456789abcde\n").unwrap();
        assert!(Hasher::from_file(&path).is_err());
        assert!(Hasher::from_file(&dir.path().join("none")).is_err());
    }
}

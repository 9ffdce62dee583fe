//! The names of objects: where a segment and its manifest are in a bucket.

use std::fmt;
use std::str::FromStr;

use crate::hex::crc_text;
use crate::hex::parse_crc;
use crate::hex::parse_vault_id;
use crate::hex::vault_id_text;

/// The version of the layout, the first part after the prefix.
const VERSION: &str = "v1";
const SEGMENTS: &str = "seg";
const MANIFESTS: &str = "manifest";
const SEGMENT_END: &str = ".gsv.zst";
const MANIFEST_END: &str = ".json";
/// A segment's number has so many digits, so that the order of keys is the order of segments.
const NUMBER_DIGITS: usize = 20;
/// S3 allows keys of 1,024 bytes; what follows the prefix has less than 200.
const PREFIX_LEN_MAX: usize = 512;

/// Why a text cannot be a prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a prefix has at most {PREFIX_LEN_MAX} characters of `a-z A-Z 0-9 . _ - = /`, and no empty part or `..`"
)]
pub struct PrefixError;

/// The part of a bucket that an archive has; empty for all of it. It has no slash at its ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prefix(String);

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let text = text.trim_matches('/');
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-=".contains(&byte);
        let is_part = |part: &str| {
            !part.is_empty() && part != "." && part != ".." && part.bytes().all(is_plain)
        };
        let is_valid =
            text.is_empty() || text.len() <= PREFIX_LEN_MAX && text.split('/').all(is_part);
        if is_valid { Ok(Self(text.to_owned())) } else { Err(PrefixError) }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Prefix {
    /// Returns a key below the prefix.
    #[must_use]
    pub fn join(&self, rest: &str) -> String {
        if self.0.is_empty() { rest.to_owned() } else { format!("{}/{rest}", self.0) }
    }

    /// Returns what comes behind the prefix; nothing for a key that is not below it.
    #[must_use]
    pub fn strip<'a>(&self, key: &'a str) -> Option<&'a str> {
        if self.0.is_empty() { Some(key) } else { key.strip_prefix(&self.0)?.strip_prefix('/') }
    }

    /// Returns how the keys of all vaults of the archive begin; the ids of vaults follow.
    #[must_use]
    pub fn vaults(&self) -> String {
        self.join(&format!("{VERSION}/"))
    }

    /// Returns how the keys of the segments of a vault begin.
    #[must_use]
    pub fn segments(&self, vault_id: u128) -> String {
        self.folder(vault_id, SEGMENTS)
    }

    /// Returns how the keys of the manifests of a vault begin.
    #[must_use]
    pub fn manifests(&self, vault_id: u128) -> String {
        self.folder(vault_id, MANIFESTS)
    }

    fn folder(&self, vault_id: u128, folder: &str) -> String {
        self.join(&format!("{VERSION}/{}/{folder}/", vault_id_text(vault_id)))
    }

    /// Returns the vault and the name of a key in this folder.
    fn split<'a>(&self, key: &'a str, folder: &str) -> Option<(u128, &'a str)> {
        let rest = self.strip(key)?.strip_prefix(VERSION)?.strip_prefix('/')?;
        let (vault_id, rest) = rest.split_once('/')?;
        let name = rest.strip_prefix(folder)?.strip_prefix('/')?;
        Some((parse_vault_id(vault_id)?, name))
    }
}

/// What the key of a segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentKey {
    /// The vault.
    pub vault_id: u128,
    /// The number of the segment.
    pub segment: u64,
    /// First seq.
    pub first_seq: u64,
    /// Last seq.
    pub last_seq: u64,
    /// CRC-32/ISO-HDLC of the records, as the footer has it.
    pub segment_crc: u32,
}

impl SegmentKey {
    /// Returns the key.
    #[must_use]
    pub fn key(&self, prefix: &Prefix) -> String {
        let Self { vault_id, segment, first_seq, last_seq, segment_crc } = self;
        let (folder, crc) = (prefix.segments(*vault_id), crc_text(*segment_crc));
        format!("{folder}{segment:0NUMBER_DIGITS$}-{first_seq}-{last_seq}-{crc}{SEGMENT_END}")
    }

    /// Reads a key; nothing if it is none of a segment below the prefix.
    #[must_use]
    pub fn parse(prefix: &Prefix, key: &str) -> Option<Self> {
        let (vault_id, name) = prefix.split(key, SEGMENTS)?;
        let mut parts = name.strip_suffix(SEGMENT_END)?.split('-');
        let segment = number(parts.next()?)?;
        let first_seq = plain(parts.next()?)?;
        let last_seq = plain(parts.next()?)?;
        let segment_crc = parse_crc(parts.next()?)?;
        let key = Self { vault_id, segment, first_seq, last_seq, segment_crc };
        parts.next().is_none().then_some(key)
    }

    /// Returns the key of the manifest of this segment.
    #[must_use]
    pub const fn manifest(&self) -> ManifestKey {
        ManifestKey { vault_id: self.vault_id, segment: self.segment }
    }

    /// Returns the name of the file of this segment in a vault.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("seg-{:0NUMBER_DIGITS$}.gsv", self.segment)
    }
}

/// What the key of a manifest says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ManifestKey {
    /// The vault.
    pub vault_id: u128,
    /// The number of the segment.
    pub segment: u64,
}

impl ManifestKey {
    /// Returns the key.
    #[must_use]
    pub fn key(&self, prefix: &Prefix) -> String {
        let folder = prefix.manifests(self.vault_id);
        format!("{folder}{:0NUMBER_DIGITS$}{MANIFEST_END}", self.segment)
    }

    /// Reads a key; nothing if it is none of a manifest below the prefix.
    #[must_use]
    pub fn parse(prefix: &Prefix, key: &str) -> Option<Self> {
        let (vault_id, name) = prefix.split(key, MANIFESTS)?;
        let segment = number(name.strip_suffix(MANIFEST_END)?)?;
        Some(Self { vault_id, segment })
    }
}

/// A number with all of its digits.
fn number(digits: &str) -> Option<u64> {
    let is_number = digits.len() == NUMBER_DIGITS && digits.bytes().all(|it| it.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// A number without any digit that it does not need.
fn plain(digits: &str) -> Option<u64> {
    let number: u64 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VAULT_ID: u128 = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;

    #[test]
    fn keys_are_as_the_documents_say() {
        let prefix: Prefix = "/backup/prod/".parse().unwrap();
        let key = SegmentKey {
            vault_id: VAULT_ID,
            segment: 42,
            first_seq: 1000,
            last_seq: 1999,
            segment_crc: 0xbeef,
        };
        let folder = "backup/prod/v1/0123456789abcdef0123456789abcdef";
        assert_eq!(
            key.key(&prefix),
            format!("{folder}/seg/00000000000000000042-1000-1999-0000beef.gsv.zst")
        );
        assert_eq!(
            key.manifest().key(&prefix),
            format!("{folder}/manifest/00000000000000000042.json")
        );
        assert_eq!(key.file_name(), "seg-00000000000000000042.gsv");
        let whole = Prefix::default();
        assert!(key.key(&whole).starts_with("v1/0123"));
    }

    proptest! {
        #[test]
        fn a_key_is_read_as_it_was_written(
            prefix in "([a-z0-9._=-]{1,9}x/){0,3}",
            vault_id: u128, segment: u64, first_seq: u64, last_seq: u64, segment_crc: u32,
        ) {
            let prefix: Prefix = prefix.parse().unwrap();
            let key = SegmentKey { vault_id, segment, first_seq, last_seq, segment_crc };
            let text = key.key(&prefix);
            prop_assert_eq!(SegmentKey::parse(&prefix, &text), Some(key));
            prop_assert_eq!(ManifestKey::parse(&prefix, &text), None);
            let text = key.manifest().key(&prefix);
            prop_assert_eq!(ManifestKey::parse(&prefix, &text), Some(key.manifest()));
            prop_assert_eq!(SegmentKey::parse(&prefix, &text), None);
        }

        #[test]
        fn no_text_is_read_as_a_key_that_is_written_otherwise(text in "\\PC{0,120}") {
            let prefix = Prefix::default();
            if let Some(key) = SegmentKey::parse(&prefix, &text) {
                prop_assert_eq!(key.key(&prefix), text);
            }
        }
    }

    #[test]
    fn what_is_nearly_a_key_is_none() {
        let prefix: Prefix = "a".parse().unwrap();
        let good =
            "a/v1/0123456789abcdef0123456789abcdef/seg/00000000000000000042-1-2-0000beef.gsv.zst";
        assert!(SegmentKey::parse(&prefix, good).is_some());
        let bad = [
            ("a/", "ab/"),
            ("v1", "v2"),
            ("seg/0", "seg/"),
            ("-1-2", "-01-2"),
            ("-1-2", "-+1-2"),
            ("-1-2", "-1-2-3"),
            ("0000beef", "0000BEEF"),
            (".zst", ".gz"),
        ];
        for (from, to) in bad {
            assert_eq!(SegmentKey::parse(&prefix, &good.replacen(from, to, 1)), None, "{to}");
        }
    }

    #[test]
    fn prefixes_that_would_leave_their_place_are_refused() {
        for text in ["a//b", "../a", "a/./b", "a b", "a?b", &"x".repeat(513)] {
            assert_eq!(text.parse::<Prefix>(), Err(PrefixError), "{text}");
        }
        assert_eq!("/".parse(), Ok(Prefix::default()));
    }
}

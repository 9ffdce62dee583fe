//! What an object in the bucket says of itself, in the headers that were stored with it.

use crate::encode::Encoded;
use crate::hex::crc_text;
use crate::hex::digest_text;
use crate::hex::parse_crc;
use crate::hex::parse_digest;
use crate::summary::SegmentSummary;
use crate::sums::Sums;

const FORMAT_KEY: &str = "gs-format";
const REQUESTS: &str = "gs-requests";
const RAW: &str = "gs-raw";
const OBJECT: &str = "gs-object";

/// What an object is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// The file of a segment.
    Segment,
    /// OTLP requests, each with its length in front of it.
    OtlpProtobuf,
    /// OTLP requests as JSON, one a line.
    OtlpJson,
}

impl Content {
    const ALL: [Self; 3] = [Self::Segment, Self::OtlpProtobuf, Self::OtlpJson];

    /// Returns the name in the headers of an object.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Segment => "segment-v1",
            Self::OtlpProtobuf => "otlp-protobuf-v1",
            Self::OtlpJson => "otlp-json-v1",
        }
    }
}

/// What is in an object: enough to tell it from every other one, and to write its manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectFacts {
    /// What it is made of.
    pub content: Content,
    /// That, before compression.
    pub raw: Sums,
    /// The object.
    pub object: Sums,
    /// Requests in it.
    pub requests: u64,
}

impl ObjectFacts {
    /// Returns those of the object of a segment.
    #[must_use]
    pub const fn of_segment(encoded: &Encoded, summary: &SegmentSummary) -> Self {
        let Encoded { raw, object } = *encoded;
        Self { content: Content::Segment, raw, object, requests: summary.requests }
    }

    /// Returns the headers, names without `x-amz-meta-`.
    #[must_use]
    pub fn metadata(&self) -> Vec<(String, String)> {
        let mut metadata = vec![
            (FORMAT_KEY.to_owned(), self.content.name().to_owned()),
            (REQUESTS.to_owned(), self.requests.to_string()),
        ];
        for (name, sums) in [(RAW, &self.raw), (OBJECT, &self.object)] {
            metadata.push((format!("{name}-bytes"), sums.bytes.to_string()));
            metadata.push((format!("{name}-crc32"), crc_text(sums.crc32)));
            metadata.push((format!("{name}-blake3"), digest_text(&sums.blake3)));
        }
        metadata
    }

    /// Reads the headers; nothing if they are not ours.
    #[must_use]
    pub fn read(metadata: &[(String, String)]) -> Option<Self> {
        let find = |name: &str| {
            let found = metadata.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.as_str())
        };
        let sums = |name: &str| {
            let part = |part: &str| find(&format!("{name}-{part}"));
            let bytes = part("bytes")?.parse().ok()?;
            let (crc32, blake3) = (parse_crc(part("crc32")?)?, parse_digest(part("blake3")?)?);
            Some(Sums { bytes, crc32, blake3 })
        };
        let format = find(FORMAT_KEY)?;
        let content = Content::ALL.into_iter().find(|content| content.name() == format)?;
        let requests = find(REQUESTS)?.parse().ok()?;
        Some(Self { content, raw: sums(RAW)?, object: sums(OBJECT)?, requests })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_again_what_they_were_made_of() {
        let raw = Sums { bytes: 7, crc32: 1, blake3: [9; 32] };
        let object = Sums { bytes: u64::MAX, crc32: u32::MAX, blake3: [0; 32] };
        let facts = ObjectFacts { content: Content::Segment, raw, object, requests: 3 };
        let mut metadata = facts.metadata();
        assert_eq!(ObjectFacts::read(&metadata), Some(facts));
        for at in 0..metadata.len() {
            let mut cut = metadata.clone();
            cut.remove(at);
            assert_eq!(ObjectFacts::read(&cut), None, "without {}", metadata[at].0);
        }
        metadata[0].1 = "segment-v2".to_owned();
        assert_eq!(ObjectFacts::read(&metadata), None);
    }
}

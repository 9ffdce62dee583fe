//! From a segment of the spool to objects: one for each folder that its requests belong to.
//!
//! The segment is read once to find the folders, and once for each of them, so that the memory does not
//! depend on their number. The objects follow from the segment and the options alone: whoever repeats it
//! makes the same ones.

use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use gophership_archive::Content;
use gophership_archive::FrameOptions;
use gophership_archive::ObjectFacts;
use gophership_archive::Summing;
use gophership_archive::SummingWriter;
use gophership_otlp::AnyValueView;
use gophership_otlp::DecodeLimits;
use gophership_otlp::Grouped;
use gophership_otlp::JsonLine;
use gophership_otlp::ResourceView;
use gophership_vault::OfflineItem;
use gophership_vault::OfflineReader;
use gophership_vault::StoredRecord;
use gophership_vault::VaultError;

use super::key_template::KeyTemplate;
use super::key_template::OTHER;
use super::key_template::value;
use super::options::ObjectCompression;
use super::options::ObjectEncoding;
use crate::event::Signal;

/// As deep as decoders go.
const JSON_LIMITS: DecodeLimits = DecodeLimits { decoded_bytes_max: u64::MAX, depth_max: 96 };
/// A request is taken apart into so many at most; further resources go with the last one.
const GROUPS_MAX: usize = 64;

/// How objects are made.
pub(super) struct ObjectOptions {
    pub(super) template: KeyTemplate,
    pub(super) node: String,
    pub(super) encoding: ObjectEncoding,
    pub(super) compression: ObjectCompression,
    pub(super) frame: FrameOptions,
    pub(super) partitions_max: usize,
}

/// A segment of the spool.
#[derive(Clone)]
pub(super) struct SpoolSegment {
    pub(super) path: PathBuf,
    pub(super) vault_id: u128,
    pub(super) segment: u64,
    /// Its requests; from there on they stand in the next one too.
    pub(super) seqs: (u64, u64),
}

/// One of the objects of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    signal: Signal,
    folder: String,
}

/// A segment could not be made into objects.
#[derive(Debug, thiserror::Error)]
pub(super) enum ObjectError {
    /// The segment cannot be read.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The object cannot be written.
    #[error("cannot write a spooled object: {0}")]
    Io(#[from] io::Error),
    /// The sink was asked to stop.
    #[error("stopped")]
    Stopped,
}

/// What a walk over a segment found.
pub(super) struct Found {
    pub(super) partitions: Vec<Partition>,
    /// Requests that cannot be read any more.
    pub(super) damaged: u64,
}

impl ObjectOptions {
    /// Finds the folders of a segment, in the order in which they come. Blocks; `rest` is called before each
    /// request, and says whether to stop.
    pub(super) fn partitions(
        &self,
        segment: &SpoolSegment,
        mut rest: impl FnMut() -> bool,
    ) -> Result<Found, ObjectError> {
        let mut partitions: Vec<Partition> = Vec::new();
        let mut damaged = 0;
        walk(segment, &mut damaged, |record| {
            if rest() {
                return Err(ObjectError::Stopped);
            }
            for (partition, _) in self.parts(&record, &partitions) {
                if !partitions.contains(&partition) {
                    partitions.push(partition);
                }
            }
            Ok(())
        })?;
        Ok(Found { partitions, damaged })
    }

    /// Writes the object of one of the folders; returns what is in it. Blocks.
    pub(super) fn write(
        &self,
        segment: &SpoolSegment,
        partitions: &[Partition],
        partition: &Partition,
        target: &Path,
        mut rest: impl FnMut() -> bool,
    ) -> Result<ObjectFacts, ObjectError> {
        let mut object = ObjectFile::create(self, target)?;
        let (mut requests, mut scratch) = (0, Vec::new());
        walk(segment, &mut 0, |record| {
            if rest() {
                return Err(ObjectError::Stopped);
            }
            for (of, wire) in self.parts(&record, partitions) {
                if of == *partition {
                    object.put(self.encoding, of.signal, &wire, &mut scratch)?;
                    requests += 1;
                }
            }
            Ok(())
        })?;
        let content = match self.encoding {
            ObjectEncoding::OtlpProtobuf => Content::OtlpProtobuf,
            ObjectEncoding::OtlpJson => Content::OtlpJson,
        };
        Ok(object.finish(content, requests)?)
    }

    /// The key of an object below the prefix.
    pub(super) fn key(&self, segment: &SpoolSegment, partition: &Partition) -> String {
        let form = match self.encoding {
            ObjectEncoding::OtlpProtobuf => "otlp",
            ObjectEncoding::OtlpJson => "jsonl",
        };
        let end = match self.compression {
            ObjectCompression::Zstd => "zst",
            ObjectCompression::Gzip => "gz",
        };
        let Partition { signal, folder } = partition;
        let vault_id = gophership_archive::vault_id_text(segment.vault_id);
        let name = format!("{}-{vault_id}-{:020}.{form}.{end}", signal.name(), segment.segment);
        if folder.is_empty() { name } else { format!("{folder}/{name}") }
    }

    /// The media type of an object.
    pub(super) const fn content_type(&self) -> &'static str {
        match self.compression {
            ObjectCompression::Zstd => "application/zstd",
            ObjectCompression::Gzip => "application/gzip",
        }
    }

    /// A request, taken apart by the folders that its resources belong to. Folders beyond the limit are
    /// those of the other values.
    fn parts(&self, record: &StoredRecord, known: &[Partition]) -> Vec<(Partition, Bytes)> {
        let Some(signal) = Signal::from_u8(record.signal) else { return Vec::new() };
        let names: Vec<&str> = self.template.attributes().collect();
        let folder = |values: &[String]| {
            self.template.folder(signal, &self.node, record.received_unix_ns, values)
        };
        let mut values: Vec<Vec<String>> = Vec::new();
        let key = |resource: &ResourceView<'_>| {
            let text = |name: &&str| {
                let found = resource.attribute(name).and_then(AnyValueView::to_text);
                value(found.as_deref())
            };
            let of_resource: Vec<String> = names.iter().map(text).collect();
            let at = values.iter().position(|it| *it == of_resource).unwrap_or_else(|| {
                values.push(of_resource);
                values.len() - 1
            });
            at as u64
        };
        let grouped = if names.is_empty() {
            Ok(Grouped::Whole(0))
        } else {
            gophership_otlp::group(signal, &record.payload, GROUPS_MAX, key)
        };
        let pieces = match grouped {
            Ok(Grouped::Apart(groups)) => {
                groups.into_iter().map(|group| (group.key, group.bytes)).collect()
            }
            Ok(Grouped::Whole(key)) => vec![(key, record.payload.clone())],
            // It was accepted as it is, and it is kept as it is.
            Err(_) => vec![(u64::MAX, record.payload.clone())],
        };
        let other = || vec![OTHER.to_owned(); names.len()];
        let is_room = known.len() < self.partitions_max;
        let of_piece = |(key, wire): (u64, Bytes)| {
            let values = usize::try_from(key).ok().and_then(|key| values.get(key));
            let own = Partition { signal, folder: folder(values.map_or(&[], Vec::as_slice)) };
            let is_own = names.is_empty() || is_room || known.contains(&own);
            let partition =
                if is_own { own } else { Partition { signal, folder: folder(&other()) } };
            (partition, wire)
        };
        pieces.into_iter().map(of_piece).collect()
    }
}

/// Calls `take` with each request of a segment.
fn walk(
    segment: &SpoolSegment,
    damaged: &mut u64,
    mut take: impl FnMut(StoredRecord) -> Result<(), ObjectError>,
) -> Result<(), ObjectError> {
    let mut reader = OfflineReader::open(&segment.path)?;
    let (first, last) = segment.seqs;
    while let Some(item) = reader.next()? {
        match item {
            OfflineItem::Record(record) if (first..=last).contains(&record.seq) => take(record)?,
            OfflineItem::Record(_) => {}
            OfflineItem::Fault(fault) => {
                *damaged += fault.lost.map_or(0, |(first, last)| last - first + 1);
            }
        }
    }
    Ok(())
}

type Target = SummingWriter<BufWriter<File>>;

/// An object that is being written to the spool.
struct ObjectFile {
    encoder: ObjectEncoder,
    raw: Summing,
}

enum ObjectEncoder {
    Zstd(zstd::stream::write::Encoder<'static, Target>),
    Gzip(GzEncoder<Target>),
}

impl ObjectFile {
    fn create(options: &ObjectOptions, target: &Path) -> io::Result<Self> {
        let target = SummingWriter::new(BufWriter::new(File::create(target)?), u64::MAX);
        let encoder = match options.compression {
            ObjectCompression::Zstd => ObjectEncoder::Zstd(options.frame.encoder(None, target)?),
            ObjectCompression::Gzip => {
                let level = Compression::new(u32::from(options.frame.level));
                ObjectEncoder::Gzip(GzEncoder::new(target, level))
            }
        };
        Ok(Self { encoder, raw: Summing::default() })
    }

    fn put(
        &mut self,
        encoding: ObjectEncoding,
        signal: Signal,
        wire: &Bytes,
        scratch: &mut Vec<u8>,
    ) -> io::Result<()> {
        let line = match encoding {
            ObjectEncoding::OtlpProtobuf => None,
            ObjectEncoding::OtlpJson => JsonLine::of(signal, wire, &JSON_LIMITS).ok(),
        };
        match line {
            Some(line) => {
                line.write(scratch, self)?;
                Ok(())
            }
            // What is no valid request was never accepted.
            None if encoding == ObjectEncoding::OtlpJson => Ok(()),
            None => {
                self.write_all(&varint(wire.len() as u64))?;
                self.write_all(wire)
            }
        }
    }

    fn finish(self, content: Content, requests: u64) -> io::Result<ObjectFacts> {
        let mut target = match self.encoder {
            ObjectEncoder::Zstd(encoder) => encoder.finish()?,
            ObjectEncoder::Gzip(encoder) => encoder.finish()?,
        };
        target.flush()?;
        Ok(ObjectFacts { content, raw: self.raw.sums(), object: target.sums(), requests })
    }
}

impl Write for ObjectFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.raw.update(bytes);
        match &mut self.encoder {
            ObjectEncoder::Zstd(encoder) => encoder.write_all(bytes),
            ObjectEncoder::Gzip(encoder) => encoder.write_all(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A length as protobuf has it in front of a message.
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(10);
    while 0x80 <= value {
        bytes.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap_or(0));
    bytes
}

/// Shared with the blocking threads that make objects.
pub(super) type SharedObjectOptions = Arc<ObjectOptions>;

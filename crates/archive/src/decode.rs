//! From an object back to the file of a segment, checked against its manifest before it gets its name.

use std::fs;
use std::fs::File;
use std::io::BufWriter;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use gophership_vault::SealedSegment;
use zstd::stream::write::Decoder;

use crate::error::ArchiveError;
use crate::frame::FrameOptions;
use crate::key::SegmentKey;
use crate::manifest::Manifest;
use crate::sums::Summing;
use crate::sums::SummingWriter;
use crate::sums::Sums;

/// Turns the bytes of an object, as they arrive, into the file of the segment. Blocks in every call.
///
/// What is dropped before [`Restorer::finish`] leaves nothing behind but an incomplete `.tmp` file.
pub struct Restorer {
    decoder: Decoder<'static, SummingWriter<BufWriter<File>>>,
    object: Summing,
    expected: Expected,
    /// Where it is written until it is complete.
    part: PathBuf,
    path: PathBuf,
}

struct Expected {
    key: SegmentKey,
    raw: Sums,
    object: Sums,
}

impl Restorer {
    /// Begins the file `seg-<number>.gsv` of the segment that a manifest describes, in a folder that exists.
    /// It takes the memory of one window, at most 8 MiB, and writes no more than the manifest says.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Io`].
    pub fn new(manifest: &Manifest, folder: &Path) -> Result<Self, ArchiveError> {
        let key = manifest.segment_key();
        let path = folder.join(key.file_name());
        let part = path.with_extension("restoring.tmp");
        let file = File::create(&part).map_err(ArchiveError::io("make", &part))?;
        let raw = manifest.raw.sums();
        let writer = SummingWriter::new(BufWriter::new(file), raw.bytes);
        let mut decoder =
            Decoder::new(writer).map_err(ArchiveError::io("decompress into", &part))?;
        // Memory is taken by what the frame claims: no more than is ever written.
        decoder
            .window_log_max(u32::from(FrameOptions::WINDOW_LOGS.1))
            .map_err(ArchiveError::io("decompress into", &part))?;
        let expected = Expected { key, raw, object: manifest.object.sums() };
        Ok(Self { decoder, object: Summing::default(), expected, part, path })
    }

    /// Takes the next bytes of the object.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Damaged`] when they are no frame or come to more than was archived, or
    /// [`ArchiveError::Io`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.object.update(bytes);
        if self.expected.object.bytes < self.object.bytes() {
            return self.damaged("the object is longer than its manifest says");
        }
        match self.decoder.write_all(bytes) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
                self.damaged("it contains more than its manifest says")
            }
            // Errors of the system have a number; others are of the frame.
            Err(error) if error.raw_os_error().is_none() => {
                self.damaged(&format!("the object does not decompress: {error}"))
            }
            Err(error) => Err(ArchiveError::io("write", &self.part)(error)),
        }
    }

    /// Checks what came, makes the file durable and gives it its name; returns what its footer says.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Damaged`] when it is not what was archived; then the file is removed.
    pub fn finish(mut self) -> Result<SealedSegment, ArchiveError> {
        let finished = self.complete();
        if finished.is_err() {
            // The error says what is wrong; one more would not help.
            let _removed = fs::remove_file(&self.part);
        }
        finished
    }

    fn complete(&mut self) -> Result<SealedSegment, ArchiveError> {
        if self.object.sums() != self.expected.object {
            return self.damaged("the object has other checksums than its manifest says");
        }
        if let Err(error) = self.decoder.do_finish() {
            return self.damaged(&format!("the object is cut short: {error}"));
        }
        let part = self.part.clone();
        let writer = self.decoder.get_mut();
        writer.flush().map_err(ArchiveError::io("write", &part))?;
        if writer.summing.sums() != self.expected.raw {
            return self.damaged("the segment has other checksums than its manifest says");
        }
        let file = self.decoder.get_ref().inner.get_ref();
        file.sync_all().map_err(ArchiveError::io("sync", &part))?;
        fs::rename(&part, &self.path).map_err(ArchiveError::io("rename", &part))?;
        let segment = SealedSegment::open(&self.path)?;
        let key = Manifest::key_of(&segment);
        if key != self.expected.key {
            let _removed = fs::remove_file(&self.path);
            return self.damaged("the segment is another one than its manifest says");
        }
        Ok(segment)
    }

    fn damaged<T>(&self, problem: &str) -> Result<T, ArchiveError> {
        Err(ArchiveError::Damaged { path: self.path.clone(), problem: problem.to_owned() })
    }
}

//! One sealed segment as it lies in its file: what its footer says, and what stands beside its records.
//! For whoever copies it elsewhere.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::buffer::ReadBuffer;
use crate::error::VaultError;
use crate::format::BLOCK_BYTES;
use crate::format::BLOCK_LEN;
use crate::format::Trailer;
use crate::fs::Access;
use crate::fs::File;
use crate::fs::FileSystem;
use crate::segment::id::SegmentId;
use crate::segment::scan::ScanItem;
use crate::segment::scan::Scanner;
use crate::system::SystemFileSystem;

/// What the footer of a sealed segment says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSegment {
    /// Its file.
    pub path: PathBuf,
    /// The vault that it belongs to.
    pub vault_id: u128,
    /// Its number.
    pub segment: u64,
    /// First seq.
    pub first_seq: u64,
    /// Last seq.
    pub last_seq: u64,
    /// Intact records.
    pub records: u64,
    /// Records that were found damaged when it was sealed.
    pub bad_records: u64,
    /// End of the records; index and trailer follow.
    pub data_end: u64,
    /// Length of the file.
    pub file_bytes: u64,
    /// CRC-32/ISO-HDLC of bytes `0..data_end`.
    pub segment_crc: u32,
    /// The digest of the segment before.
    pub previous_digest: [u8; 32],
    /// BLAKE3 of `previous_digest` and bytes `0..data_end`.
    pub digest: [u8; 32],
}

/// What stands beside a payload.
#[derive(Debug, Clone, Copy)]
pub struct RecordNote<'a> {
    /// Its number.
    pub seq: u64,
    /// The caller's kind of record.
    pub signal: u8,
    /// When the caller received it.
    pub received_unix_ns: u64,
    /// Bytes of the payload before compression.
    pub payload_bytes: u64,
    /// The caller's attributes.
    pub attrs: &'a [u8],
}

impl SealedSegment {
    /// Reads the footer of a segment file.
    ///
    /// # Errors
    ///
    /// [`VaultError::Io`] when it cannot be read, [`VaultError::Foreign`] when it has no intact footer.
    pub fn open(path: &Path) -> Result<Self, VaultError> {
        let file = open(path)?;
        let (trailer, file_bytes) = read_trailer(&*file)
            .map_err(VaultError::io("read the footer of", path))?
            .ok_or_else(|| VaultError::Foreign {
                path: path.to_path_buf(),
                problem: "it has no intact footer of a sealed segment".to_owned(),
            })?;
        Ok(Self {
            path: path.to_path_buf(),
            vault_id: trailer.vault_id,
            segment: trailer.segment,
            first_seq: trailer.first_seq,
            last_seq: trailer.last_seq,
            records: trailer.record_count,
            bad_records: u64::from(trailer.bad_record_count),
            data_end: trailer.data_end,
            file_bytes,
            segment_crc: trailer.segment_crc,
            previous_digest: trailer.prev_digest,
            digest: trailer.digest,
        })
    }

    /// Calls `take` with what stands beside each intact record, in their order. Reads and checks the stored
    /// bytes of all; keeps none of them.
    ///
    /// # Errors
    ///
    /// [`VaultError::Io`] when the file cannot be read.
    pub fn for_each_note(&self, mut take: impl FnMut(&RecordNote<'_>)) -> Result<(), VaultError> {
        let file: Arc<dyn File> = open(&self.path)?.into();
        let before = self.first_seq.checked_sub(1);
        let id = SegmentId(self.segment);
        let mut scanner = Scanner::new(file, id, self.vault_id, self.data_end, before)
            .map_err(VaultError::io("read", &self.path))?;
        let mut attrs = Vec::new();
        loop {
            let found = scanner.next();
            if let ScanItem::Record(record) = &found
                && scanner.read_attrs(record, &mut attrs).is_ok()
            {
                take(&RecordNote {
                    seq: record.header.seq,
                    signal: record.header.signal,
                    received_unix_ns: record.header.received_unix_ns,
                    payload_bytes: u64::from(record.header.raw_len),
                    attrs: &attrs,
                });
            }
            if let Some(error) = scanner.take_error() {
                return Err(VaultError::io("read", &self.path)(error));
            }
            if matches!(found, ScanItem::End | ScanItem::Torn) {
                return Ok(());
            }
        }
    }
}

fn open(path: &Path) -> Result<Box<dyn File>, VaultError> {
    // Past the page cache, which belongs to what comes in.
    SystemFileSystem.open(path, Access::Direct).map_err(VaultError::io("open", path))
}

fn read_trailer(file: &dyn File) -> io::Result<Option<(Trailer, u64)>> {
    let bytes = file.bytes()?;
    let Some(start) = bytes.checked_sub(BLOCK_BYTES) else { return Ok(None) };
    if !start.is_multiple_of(BLOCK_BYTES) {
        return Ok(None);
    }
    let mut block = ReadBuffer::new()?;
    let count = file.read_at(&mut block[..BLOCK_LEN], start)?;
    let trailer = Trailer::decode(&block[..count]);
    let is_sound = |trailer: &Trailer| {
        trailer.data_end <= start && trailer.data_end.is_multiple_of(BLOCK_BYTES)
    };
    Ok(trailer.filter(is_sound).map(|trailer| (trailer, bytes)))
}

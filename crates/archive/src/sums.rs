//! Length and checksums of bytes, taken as they pass.

use std::io;
use std::io::Write;

/// Length and checksums of some bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Their number.
    pub bytes: u64,
    /// CRC-32/ISO-HDLC, which S3 calls CRC32.
    pub crc32: u32,
    /// BLAKE3.
    pub blake3: [u8; 32],
}

/// Takes the sums of what is put into it.
#[derive(Debug, Clone, Default)]
pub struct Summing {
    bytes: u64,
    crc: crc32fast::Hasher,
    digest: blake3::Hasher,
}

impl Summing {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.crc.update(bytes);
        self.digest.update(bytes);
    }

    /// Returns how many bytes there were.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the sums so far.
    #[must_use]
    pub fn sums(&self) -> Sums {
        let (crc32, blake3) = (self.crc.clone().finalize(), *self.digest.finalize().as_bytes());
        Sums { bytes: self.bytes, crc32, blake3 }
    }
}

/// A writer that takes the sums of what it writes, and writes no more than a limit.
#[derive(Debug)]
pub struct SummingWriter<W> {
    pub(crate) inner: W,
    pub(crate) summing: Summing,
    limit: u64,
}

impl<W: Write> SummingWriter<W> {
    /// Writes to `inner`, at most so many bytes.
    pub fn new(inner: W, limit: u64) -> Self {
        Self { inner, summing: Summing::default(), limit }
    }

    /// Returns the sums of what was written.
    #[must_use]
    pub fn sums(&self) -> Sums {
        self.summing.sums()
    }
}

impl<W: Write> Write for SummingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.limit < self.summing.bytes().saturating_add(bytes.len() as u64) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.inner.write_all(bytes)?;
        self.summing.update(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

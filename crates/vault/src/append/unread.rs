//! Sealed segments that were not read back yet, and how far the first of them is.

use std::collections::VecDeque;
use std::io;

use crate::segment::id::SegmentId;
use crate::segment::pieces::PieceReader;

/// Segments to be read back, and how far the first of them is.
#[derive(Default)]
pub(crate) struct Scrub {
    pub(super) waiting: VecDeque<SegmentId>,
    pub(super) current: Option<Current>,
}

pub(super) struct Current {
    pub(super) id: SegmentId,
    pub(super) pieces: PieceReader,
    pub(super) crc: crc32fast::Hasher,
}

impl Scrub {
    /// Puts a sealed segment at the end of the line.
    pub(crate) fn add(&mut self, id: SegmentId) {
        self.waiting.push_back(id);
    }

    /// Whether a segment waits or is being read.
    pub(crate) fn has_work(&self) -> bool {
        0 < self.len()
    }

    /// Segments that wait or are being read.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + usize::from(self.current.is_some())
    }
}

impl Current {
    /// Reads the next piece; returns the crc of the segment after the last one.
    pub(super) fn step(&mut self) -> io::Result<Option<u32>> {
        let Some(piece) = self.pieces.next()? else {
            return Ok(Some(self.crc.clone().finalize()));
        };
        self.crc.update(piece);
        Ok(None)
    }
}

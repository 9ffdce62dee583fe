//! How the zstd frame of an object is made, and the memory that this takes.

use std::io;
use std::io::Write;

use zstd::stream::write::Encoder;

/// Hash and chain tables of the levels of zstd, as powers of two, from level 1 on.
const TABLES: [(u32, u32); 9] =
    [(14, 13), (16, 15), (17, 16), (18, 18), (19, 18), (19, 18), (20, 19), (20, 19), (21, 20)];
/// Beside the window and the tables: sequences and literals of a block, the blocks themselves.
const FIXED_BYTES: u64 = 2 << 20;
/// What is between file and frame: a piece of the file, buffers of both.
const BUFFERS_BYTES: u64 = 512 * 1024;

/// How an object is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameOptions {
    /// The level of zstd, 1 to 9.
    pub level: u8,
    /// How far back repetitions are found, as a power of two: 2^17 to 2^23 bytes.
    pub window_log: u8,
    /// Whether repetitions are looked for in all of the window, at levels that else look near only.
    pub is_long_distance: bool,
}

impl Default for FrameOptions {
    fn default() -> Self {
        Self { level: 3, window_log: 22, is_long_distance: true }
    }
}

impl FrameOptions {
    /// Smallest and largest level.
    pub const LEVELS: (u8, u8) = (1, 9);
    /// Smallest and largest window.
    pub const WINDOW_LOGS: (u8, u8) = (17, 23);

    /// Keeps every option in its range.
    #[must_use]
    pub fn clamped(self) -> Self {
        Self {
            level: self.level.clamp(Self::LEVELS.0, Self::LEVELS.1),
            window_log: self.window_log.clamp(Self::WINDOW_LOGS.0, Self::WINDOW_LOGS.1),
            ..self
        }
    }

    /// Returns how many bytes of memory one encoding takes at most, however long the segment is.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let Self { level, window_log, is_long_distance } = self.clamped();
        let (hash_log, chain_log) = TABLES[usize::from(level) - 1];
        let tables = (5 << hash_log) + (4 << chain_log);
        let far = if is_long_distance { (8 << window_log) >> 7 } else { 0 };
        (1 << window_log) + tables + far + FIXED_BYTES + BUFFERS_BYTES
    }

    /// Begins a frame with a checksum, and its content size if that is known.
    ///
    /// # Errors
    ///
    /// When zstd has no memory.
    pub fn encoder<W: Write>(
        self,
        bytes: Option<u64>,
        target: W,
    ) -> io::Result<Encoder<'static, W>> {
        let options = self.clamped();
        let mut encoder = Encoder::new(target, i32::from(options.level))?;
        encoder.window_log(u32::from(options.window_log))?;
        encoder.long_distance_matching(options.is_long_distance)?;
        encoder.include_checksum(true)?;
        encoder.include_contentsize(true)?;
        encoder.set_pledged_src_size(bytes)?;
        Ok(encoder)
    }
}

#[cfg(test)]
mod tests {
    use zstd::zstd_safe::CCtx;
    use zstd::zstd_safe::CParameter;

    use super::*;

    #[test]
    fn the_memory_that_is_told_is_enough_and_fits_the_share() {
        // Of unknown length, so that all of the tables are made.
        let text: Vec<u8> = (0..50_000_u32).flat_map(|it| (it / 3).to_le_bytes()).collect();
        let (levels, logs) = (FrameOptions::LEVELS, FrameOptions::WINDOW_LOGS);
        for level in levels.0..=levels.1 {
            for window_log in [logs.0, 20, logs.1] {
                for is_long_distance in [false, true] {
                    let options = FrameOptions { level, window_log, is_long_distance };
                    let mut context = CCtx::create();
                    let set = [
                        CParameter::CompressionLevel(i32::from(level)),
                        CParameter::WindowLog(u32::from(window_log)),
                        CParameter::EnableLongDistanceMatching(is_long_distance),
                    ];
                    for parameter in set {
                        context.set_parameter(parameter).unwrap();
                    }
                    let encoder = zstd::stream::raw::Encoder::with_context(&mut context);
                    let mut encoder = Encoder::with_encoder(io::sink(), encoder);
                    encoder.write_all(&text).unwrap();
                    encoder.finish().unwrap();
                    let used = context.sizeof() as u64;
                    let told = options.memory_bytes();
                    assert!(used <= told, "{options:?} uses {used}, not {told}");
                    assert!(told <= 28 << 20, "{options:?} needs {told}");
                }
            }
        }
    }

    #[test]
    fn options_out_of_range_are_those_at_its_end() {
        let wild = FrameOptions { level: 99, window_log: 60, is_long_distance: false };
        assert_eq!((wild.clamped().level, wild.clamped().window_log), (9, 23));
        let none = FrameOptions { level: 0, window_log: 0, is_long_distance: false };
        assert_eq!((none.clamped().level, none.clamped().window_log), (1, 17));
    }
}

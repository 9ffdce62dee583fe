//! Decompresses requests under their size limit, with room taken before memory is used.

use std::io;
use std::io::Read;

use bytes::Buf;
use bytes::Bytes;

use super::answer::Refused;
use super::filling::Filling;
use super::room::Received;
use super::room::Room;
use crate::pool::PooledBuffer;

/// What fills more than this is decompressed, or converted, on a blocking thread.
pub(super) const INLINE_BYTES_MAX: usize = 1 << 20;
/// The first buffer is so many times larger than what is compressed: as telemetry is, mostly.
const RATIO: usize = 4;
const FIRST_BYTES_MIN: usize = 16 << 10;
/// What gzip needs: its window of 32 KiB and its tables.
const GZIP_BYTES: u64 = 64 << 10;
/// What zstd needs beside its window.
const ZSTD_BYTES: u64 = 256 << 10;
/// Every decoder should take windows up to 8 MiB. Source: RFC 8878, section 3.1.1.1.2.
const ZSTD_WINDOW_BYTES: u64 = 8 << 20;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// How a request is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// Decompresses on its way.
type Source = Box<dyn Read + Send>;

/// How far a buffer was filled.
#[derive(Debug, PartialEq, Eq)]
enum Filled {
    /// Nothing more comes.
    Ended,
    /// It is full, and this byte comes next.
    Full(u8),
}

/// Returns a request decompressed; that may not be larger than `limit` bytes.
pub(super) async fn inflate(
    received: Received,
    compression: Compression,
    room: &Room,
    limit: u64,
) -> Result<Received, Refused> {
    let Received { wire, mut held } = received;
    let limit_len = usize::try_from(limit).unwrap_or(usize::MAX);
    let first_bytes = wire.len().saturating_mul(RATIO).max(FIRST_BYTES_MIN).min(limit_len);
    let window = match compression {
        Compression::Zstd => zstd_window(&wire),
        _ => 0,
    };
    if limit.max(ZSTD_WINDOW_BYTES) < window {
        return Err(broken(&io::Error::other("its window is larger than the limit")));
    }
    let own = if compression == Compression::Zstd { ZSTD_BYTES + window } else { GZIP_BYTES };
    room.grow(&mut held, own).await?;
    let mut source = open(compression, wire, window).map_err(|error| broken(&error))?;
    let mut filling = Filling::begin_beside(room, held, first_bytes, limit_len).await?;
    loop {
        let (back, buffer, filled) = fill(source, filling.buffer, limit_len).await?;
        (source, filling.buffer) = (back, buffer);
        match filled {
            Filled::Ended => break,
            Filled::Full(next) => filling.push(&[next]).await?,
        }
    }
    drop(source);
    Ok(filling.finish())
}

fn broken(error: &io::Error) -> Refused {
    Refused::Broken(format!("the body is not valid: {error}"))
}

fn open(compression: Compression, wire: Bytes, window: u64) -> io::Result<Source> {
    let reader = wire.reader();
    Ok(match compression {
        Compression::None => Box::new(reader),
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(reader)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(reader)?;
            // Further frames get no larger window than the first, for which room was taken.
            decoder.window_log_max(window.max(1024).next_power_of_two().ilog2().clamp(10, 27))?;
            Box::new(decoder)
        }
    })
}

/// Fills a buffer, on a blocking thread if that takes long.
async fn fill(
    mut source: Source,
    mut buffer: PooledBuffer,
    limit: usize,
) -> Result<(Source, PooledBuffer, Filled), Refused> {
    let is_short = buffer.capacity() - buffer.len() <= INLINE_BYTES_MAX;
    let work = move || {
        let filled = fill_now(&mut source, &mut buffer, limit).map_err(|error| broken(&error))?;
        Ok((source, buffer, filled))
    };
    if is_short {
        return work();
    }
    let gone = |_| Err(Refused::Broken("the body could not be read".to_owned()));
    tokio::task::spawn_blocking(work).await.unwrap_or_else(gone)
}

fn fill_now(source: &mut dyn Read, buffer: &mut PooledBuffer, limit: usize) -> io::Result<Filled> {
    loop {
        let may = limit - buffer.len();
        let spare = buffer.spare_mut();
        let spare_len = spare.len().min(may);
        let mut probe = [0];
        let target = if spare_len == 0 { &mut probe[..] } else { &mut spare[..spare_len] };
        match source.read(target) {
            Ok(0) => return Ok(Filled::Ended),
            Ok(_) if spare_len == 0 => return Ok(Filled::Full(probe[0])),
            Ok(len) => buffer.advance(len),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Returns what a zstd frame says of the memory that it needs; what is no frame needs none.
///
/// Source: RFC 8878, section 3.1.1.1.
fn zstd_window(wire: &[u8]) -> u64 {
    let window = || {
        let descriptor = *wire.strip_prefix(&ZSTD_MAGIC)?.first()?;
        let is_single_segment = descriptor & 0x20 != 0;
        if !is_single_segment {
            let byte = u64::from(*wire.get(5)?);
            let base = 1_u64 << (10 + (byte >> 3));
            return Some(base + base / 8 * (byte & 7));
        }
        let dictionary_len = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let size_len = [1, 2, 4, 8][usize::from(descriptor >> 6)];
        let written = wire.get(5 + dictionary_len..)?.get(..size_len)?;
        let mut size = [0; 8];
        size[..size_len].copy_from_slice(written);
        // Two bytes count from 256.
        let from = if size_len == 2 { 256 } else { 0 };
        u64::from_le_bytes(size).checked_add(from)
    };
    window().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use super::*;
    use crate::pool::Limits;
    use crate::pool::Memory;

    const LIMIT: u64 = 3 << 20;

    fn pack(compression: Compression, plain: &[u8]) -> Vec<u8> {
        if compression == Compression::Zstd {
            return zstd::encode_all(plain, 1).unwrap();
        }
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    async fn inflated(
        memory: &Memory,
        compression: Compression,
        packed: Vec<u8>,
    ) -> Result<Received, Refused> {
        let room = Room::new(64 << 20, memory, Duration::from_millis(20));
        let received = super::super::filling::whole(&room, packed.into()).await.unwrap();
        inflate(received, compression, &room, LIMIT).await
    }

    /// Scenario: requests of all lengths around the limit and around the classes of the pool.
    /// Guarantees: they come out equal or are too large; what is held is what the buffer takes, and
    /// afterwards nothing.
    #[tokio::test]
    async fn what_is_packed_comes_out_under_its_limit_and_is_counted() {
        let memory = Memory::new(&Limits { ingest: 16 << 20, ..Limits::NONE });
        let limit = usize::try_from(LIMIT).unwrap();
        for compression in [Compression::Gzip, Compression::Zstd] {
            for len in [0, 1, 16_383, 16_384, 16_385, 1 << 20, limit - 1, limit, limit + 1] {
                let plain: Vec<u8> = (0..=250).cycle().take(len).collect();
                let result = inflated(&memory, compression, pack(compression, &plain)).await;
                if limit < len {
                    let too_large = matches!(result, Err(Refused::TooLarge { limit_bytes: LIMIT }));
                    assert!(too_large, "{compression:?} {len}");
                } else {
                    let Ok(Received { wire, held }) = result else { panic!("{len}") };
                    assert!(wire == plain, "{compression:?} {len}");
                    assert_eq!(memory.ingest.used(), held.bytes());
                    let bounds = wire.len() as u64..=wire.len().max(16 << 10) as u64 * 2;
                    assert!(bounds.contains(&held.bytes()), "{len}: {}", held.bytes());
                }
                assert_eq!(memory.ingest.used(), 0);
            }
        }
    }

    #[tokio::test]
    async fn torn_streams_are_broken_and_a_full_share_refuses() {
        let memory = Memory::new(&Limits { ingest: 1 << 20, ..Limits::NONE });
        for compression in [Compression::Gzip, Compression::Zstd] {
            let mut packed = pack(compression, &[7; 1000]);
            packed.truncate(packed.len() - 3);
            let result = inflated(&memory, compression, packed).await;
            assert!(matches!(result, Err(Refused::Broken(_))), "{compression:?}");
            let other = memory.ingest.try_take(512 << 10).unwrap();
            let result = inflated(&memory, compression, pack(compression, &vec![7; 1 << 20])).await;
            assert!(matches!(result, Err(Refused::Busy { .. })), "{compression:?}");
            drop(other);
            assert_eq!(memory.ingest.used(), 0);
        }
    }

    #[test]
    fn the_window_of_a_frame_is_known_before_it_is_opened() {
        for (len, level) in [(10, 1), (300, 3), (70_000, 1), (1 << 20, 19)] {
            let packed = zstd::bulk::compress(&vec![7; len], level).unwrap();
            assert_eq!(zstd_window(&packed), len as u64, "a single segment of known size");
        }
        for level in [1, 3, 19] {
            let streamed = zstd::encode_all(&vec![7; 1 << 20][..], level).unwrap();
            let window = zstd_window(&streamed);
            assert!(((64 << 10)..=ZSTD_WINDOW_BYTES).contains(&window), "{level}: {window}");
        }
        assert_eq!((zstd_window(b""), zstd_window(b"no frame")), (0, 0));
    }
}

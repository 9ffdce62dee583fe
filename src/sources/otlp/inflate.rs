//! Decompresses requests under their size limit, with room taken before memory is used.

use std::io;
use std::io::Read;

use bytes::Buf;
use bytes::Bytes;
use http::HeaderValue;

use super::admission::AdmittedRequest;
use super::admission::ConnectionAdmission;
use super::answer::RefusedRequest;
use super::filling::Filling;
use super::limits::RequestLimits;
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
pub(super) enum RequestEncoding {
    None,
    Gzip,
    Zstd,
}

impl RequestEncoding {
    /// By its name in a header, in any case; none without a name. `None`: not one we know.
    ///
    /// Source: RFC 9110, section 8.4.1, where `x-gzip` is another name of `gzip`.
    pub(super) fn named(name: Option<&HeaderValue>) -> Option<Self> {
        let name = name.map(HeaderValue::as_bytes).unwrap_or_default().trim_ascii();
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        if is(b"") || is(b"identity") {
            Some(Self::None)
        } else if is(b"gzip") || is(b"x-gzip") {
            Some(Self::Gzip)
        } else if is(b"zstd") {
            Some(Self::Zstd)
        } else {
            None
        }
    }
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

/// Returns a request decompressed, unless it becomes larger than the limits allow: then no more memory is
/// taken for it.
pub(super) async fn inflate(
    received: AdmittedRequest,
    compression: RequestEncoding,
    room: ConnectionAdmission<'_>,
    limits: &RequestLimits,
) -> Result<AdmittedRequest, RefusedRequest> {
    let AdmittedRequest { wire, mut held, .. } = received;
    let (limit, over_limit) = limits.inflated(wire.len() as u64);
    let limit_len = usize::try_from(limit).unwrap_or(usize::MAX);
    let first_bytes = wire.len().saturating_mul(RATIO).max(FIRST_BYTES_MIN).min(limit_len);
    let window = match compression {
        RequestEncoding::Zstd => zstd_window(&wire),
        _ => Window::default(),
    };
    if window.is_content && limit < window.bytes {
        return Err(over_limit);
    }
    let window = window.bytes;
    if limits.bytes.max(ZSTD_WINDOW_BYTES) < window {
        return Err(broken(&io::Error::other(
            "the window of the compressed body is larger than the limit",
        )));
    }
    let own = if compression == RequestEncoding::Zstd { ZSTD_BYTES + window } else { GZIP_BYTES };
    room.grow(&mut held, own).await?;
    let mut source = open(compression, wire, window).map_err(|error| broken(&error))?;
    let mut filling = Filling::begin_beside(room, held, first_bytes, limit_len).await?;
    loop {
        let (back, buffer, filled) = fill(source, filling.buffer, limit_len).await?;
        (source, filling.buffer) = (back, buffer);
        match filled {
            Filled::Ended => break,
            Filled::Full(_) if limit_len <= filling.buffer.len() => return Err(over_limit),
            Filled::Full(next) => filling.push(&[next]).await?,
        }
    }
    drop(source);
    Ok(filling.finish())
}

fn broken(error: &io::Error) -> RefusedRequest {
    RefusedRequest::Broken(format!("the body is not valid: {error}"))
}

fn open(compression: RequestEncoding, wire: Bytes, window: u64) -> io::Result<Source> {
    let reader = wire.reader();
    Ok(match compression {
        RequestEncoding::None => Box::new(reader),
        RequestEncoding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(reader)),
        RequestEncoding::Zstd => {
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
) -> Result<(Source, PooledBuffer, Filled), RefusedRequest> {
    let is_short = buffer.capacity() - buffer.len() <= INLINE_BYTES_MAX;
    let work = move || {
        let filled = fill_now(&mut source, &mut buffer, limit).map_err(|error| broken(&error))?;
        Ok((source, buffer, filled))
    };
    if is_short {
        return work();
    }
    let gone = |_| Err(RefusedRequest::Broken("cannot read the body".to_owned()));
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

/// The memory that a zstd decoder needs for a frame.
#[derive(Debug, Default, PartialEq, Eq)]
struct Window {
    bytes: u64,
    /// The frame is a single segment: its window is all that it inflates to.
    is_content: bool,
}

/// Returns what a zstd frame says of the memory that it needs; what is no frame needs none.
///
/// Source: RFC 8878, section 3.1.1.1.
fn zstd_window(wire: &[u8]) -> Window {
    let window = || {
        let descriptor = *wire.strip_prefix(&ZSTD_MAGIC)?.first()?;
        let is_single_segment = descriptor & 0x20 != 0;
        if !is_single_segment {
            let byte = u64::from(*wire.get(5)?);
            let base = 1_u64 << (10 + (byte >> 3));
            let bytes = base + base / 8 * (byte & 7);
            return Some(Window { bytes, is_content: false });
        }
        let dictionary_len = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let size_len = [1, 2, 4, 8][usize::from(descriptor >> 6)];
        let written = wire.get(5 + dictionary_len..)?.get(..size_len)?;
        let mut size = [0; 8];
        size[..size_len].copy_from_slice(written);
        // Two bytes count from 256.
        let from = if size_len == 2 { 256 } else { 0 };
        let bytes = u64::from_le_bytes(size).checked_add(from)?;
        Some(Window { bytes, is_content: true })
    };
    window().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use super::*;
    use crate::pool::Memory;
    use crate::pool::MemoryLimits;
    use crate::sources::otlp::admission::Admission;
    use crate::sources::otlp::admission::ConnectionShare;

    const LIMIT: u64 = 3 << 20;
    const LIMITS: RequestLimits = RequestLimits {
        bytes: LIMIT,
        compression_ratio: 200,
        records: u64::MAX,
        resources: u64::MAX,
        read_idle: Duration::MAX,
    };

    fn pack(compression: RequestEncoding, plain: &[u8]) -> Vec<u8> {
        if compression == RequestEncoding::Zstd {
            return zstd::encode_all(plain, 1).unwrap();
        }
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    async fn inflated(
        memory: &Memory,
        compression: RequestEncoding,
        packed: Vec<u8>,
    ) -> Result<AdmittedRequest, RefusedRequest> {
        let share = ConnectionShare::new();
        let room =
            Admission::new(64 << 20, memory, &std::sync::Arc::default(), Duration::from_millis(20));
        let room = room.of(&share);
        let received = super::super::filling::whole(room, packed.into()).await.unwrap();
        inflate(received, compression, room, &LIMITS).await
    }

    /// Scenario: requests of all lengths around the limit and around the classes of the pool.
    /// Guarantees: they come out equal or are too large; what is held is what the buffer takes, and
    /// afterwards nothing.
    #[tokio::test]
    async fn what_is_packed_comes_out_under_its_limit_and_is_counted() {
        let memory = Memory::new(&MemoryLimits { ingest: 16 << 20, ..MemoryLimits::NONE });
        let limit = usize::try_from(LIMIT).unwrap();
        for compression in [RequestEncoding::Gzip, RequestEncoding::Zstd] {
            for len in [0, 1, 16_383, 16_384, 16_385, 1 << 20, limit - 1, limit, limit + 1] {
                let plain: Vec<u8> = (0..=250).cycle().take(len).collect();
                let result = inflated(&memory, compression, pack(compression, &plain)).await;
                if limit < len {
                    let too_large =
                        matches!(result, Err(RefusedRequest::TooLarge { limit_bytes: LIMIT }));
                    assert!(too_large, "{compression:?} {len}");
                } else {
                    let Ok(AdmittedRequest { wire, held, .. }) = result else { panic!("{len}") };
                    assert!(wire == plain, "{compression:?} {len}");
                    assert_eq!(memory.ingest.used(), held.bytes());
                    let bounds = wire.len() as u64..=wire.len().max(16 << 10) as u64 * 2;
                    assert!(bounds.contains(&held.bytes()), "{len}: {}", held.bytes());
                }
                assert_eq!(memory.ingest.used(), 0);
            }
        }
    }

    /// Scenario: bodies that inflate to 4 MiB from a few kilobytes, to one byte more, and to 64 MiB, also
    /// as a zstd frame that says so in its head.
    /// Guarantees: 4 MiB pass; the others are refused with the ratio, and never hold more than a share of
    /// 16 MiB has, although 64 MiB would be within the limit of the size.
    #[tokio::test]
    async fn a_body_that_inflates_beyond_its_ratio_is_refused_before_it_takes_memory() {
        const SHARE: u64 = 16 << 20;
        let memory = Memory::new(&MemoryLimits { ingest: SHARE, ..MemoryLimits::NONE });
        let share = ConnectionShare::new();
        let room =
            Admission::new(SHARE, &memory, &std::sync::Arc::default(), Duration::from_millis(20));
        let room = room.of(&share);
        let limits = RequestLimits { bytes: 64 << 20, ..LIMITS };
        for len in [4 << 20, (4 << 20) + 1, 64 << 20] {
            let plain = vec![0; len];
            for (compression, packed) in [
                (RequestEncoding::Gzip, pack(RequestEncoding::Gzip, &plain)),
                (RequestEncoding::Zstd, pack(RequestEncoding::Zstd, &plain)),
                (RequestEncoding::Zstd, zstd::bulk::compress(&plain, 1).unwrap()),
            ] {
                let packed_len = packed.len();
                let received = super::super::filling::whole(room, packed.into()).await.unwrap();
                let result = inflate(received, compression, room, &limits).await.map(|_| ());
                let may = (packed_len * 200).max(4 << 20);
                let expected =
                    if len <= may { Ok(()) } else { Err(RefusedRequest::TooDense { limit: 200 }) };
                assert_eq!(result, expected, "{compression:?} {len} from {packed_len}");
                assert_eq!(memory.ingest.used(), 0);
            }
        }
    }

    /// Scenario: compressed bodies with bits flipped, bytes cut out and put in, and bytes of no form at all.
    /// Guarantees: each is refused, or comes out within the limit; nothing panics, and nothing stays in use.
    #[tokio::test]
    async fn mutated_bodies_stay_within_their_limits() {
        let memory = Memory::new(&MemoryLimits { ingest: 16 << 20, ..MemoryLimits::NONE });
        let mut random = fastrand::Rng::with_seed(21);
        let plain: Vec<u8> =
            std::iter::repeat_with(|| random.u8(b'a'..=b'z')).take(4_000).collect();
        let sound = [RequestEncoding::Gzip, RequestEncoding::Zstd].map(|of| (of, pack(of, &plain)));
        let (mut taken, mut refused) = (0, 0);
        for round in 0..4_000 {
            let (compression, mut packed) = sound[round % 2].clone();
            for _ in 0..random.usize(0..4) {
                let at = random.usize(..packed.len());
                match random.u8(0..5) {
                    0 => packed.truncate(at.max(1)),
                    1 => packed.insert(at, random.u8(..)),
                    2 => drop(packed.drain(at..(at + 3).min(packed.len() - 1).max(at))),
                    3 if round % 16 == 0 => random.fill(&mut packed[4.min(at)..]),
                    _ => packed[at] ^= 1 << random.u8(0..8),
                }
            }
            match inflated(&memory, compression, packed).await {
                Ok(AdmittedRequest { wire, .. }) => {
                    taken += 1;
                    assert!(wire.len() as u64 <= LIMIT, "{} bytes in round {round}", wire.len());
                }
                Err(_) => refused += 1,
            }
            assert_eq!(memory.ingest.used(), 0, "round {round}");
        }
        assert!(500 < taken && 500 < refused, "{taken} taken, {refused} refused");
    }

    #[tokio::test]
    async fn torn_streams_are_broken_and_a_full_share_refuses() {
        let memory = Memory::new(&MemoryLimits { ingest: 1 << 20, ..MemoryLimits::NONE });
        for compression in [RequestEncoding::Gzip, RequestEncoding::Zstd] {
            let mut packed = pack(compression, &[7; 1000]);
            packed.truncate(packed.len() - 3);
            let result = inflated(&memory, compression, packed).await;
            assert!(matches!(result, Err(RefusedRequest::Broken(_))), "{compression:?}");
            let other = memory.ingest.try_take(512 << 10).unwrap();
            let result = inflated(&memory, compression, pack(compression, &vec![7; 1 << 20])).await;
            assert!(matches!(result, Err(RefusedRequest::Busy { .. })), "{compression:?}");
            drop(other);
            assert_eq!(memory.ingest.used(), 0);
        }
    }

    #[test]
    fn encodings_are_known_in_any_case() {
        let named =
            |name: &'static str| RequestEncoding::named(Some(&HeaderValue::from_static(name)));
        for (name, expected) in [
            ("", Some(RequestEncoding::None)),
            ("Identity", Some(RequestEncoding::None)),
            ("GZIP", Some(RequestEncoding::Gzip)),
            ("x-gzip", Some(RequestEncoding::Gzip)),
            (" gzip ", Some(RequestEncoding::Gzip)),
            ("Zstd", Some(RequestEncoding::Zstd)),
            ("br", None),
            ("gzip, zstd", None),
        ] {
            assert_eq!(named(name), expected, "{name}");
        }
        assert_eq!(RequestEncoding::named(None), Some(RequestEncoding::None));
    }

    #[test]
    fn the_window_of_a_frame_is_known_before_it_is_opened() {
        for (len, level) in [(10, 1), (300, 3), (70_000, 1), (1 << 20, 19)] {
            let packed = zstd::bulk::compress(&vec![7; len], level).unwrap();
            let expected = Window { bytes: len as u64, is_content: true };
            assert_eq!(zstd_window(&packed), expected, "a single segment of known size");
        }
        for level in [1, 3, 19] {
            let streamed = zstd::encode_all(&vec![7; 1 << 20][..], level).unwrap();
            let Window { bytes, is_content } = zstd_window(&streamed);
            assert!(((64 << 10)..=ZSTD_WINDOW_BYTES).contains(&bytes), "{level}: {bytes}");
            assert!(!is_content);
        }
        assert_eq!(zstd_window(b""), Window::default());
        assert_eq!(zstd_window(b"no frame"), Window::default());
    }
}

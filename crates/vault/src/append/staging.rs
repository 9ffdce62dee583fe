//! Records on their way to the writer thread: compressed, checksummed, in memory set aside beforehand.
//!
//! The staging area is a pool of equal slabs, each the size of two pages. A record's bytes lie in a
//! chain of them, so small and large records share one limit and nothing is allocated. Payloads above
//! [`SLAB_RECORD_BYTES_MAX`] get memory of their own, under a limit of a quarter of the area; one that
//! is larger than the limit passes alone. A payload that is stored as it came, and that its caller
//! shares, is not copied: as many bytes as the slabs have may wait so.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use crossbeam_queue::ArrayQueue;
use lz4_flex::block::CompressTable;
use lz4_flex::block::compress_into_with_table;
use lz4_flex::block::get_maximum_output_size;

use crate::append::compression_policy::CompressionPolicy;
use crate::append::compression_policy::VaultLoad;
use crate::append::record::NewRecord;
use crate::append::slabs::SlabChain;
use crate::append::slabs::Slabs;
use crate::format;
use crate::format::Codec;
use crate::options::RecordCompression;

/// Payloads up to this size, and to a quarter of the slabs, are staged without allocating.
const SLAB_RECORD_BYTES_MAX: usize = 1 << 20;

/// Inputs below this size use the small LZ4 table, which is cheaper to clear.
const SMALL_INPUT_BYTES: usize = 60_000;

/// From there on a payload that is shared is kept instead of copied.
const SHARED_FROM_BYTES: usize = 16 << 10;

/// From there on combining two checksums is cheaper than reading the bytes once more.
const COMBINE_FROM_BYTES: usize = 16 << 10;

/// What compresses better than this is staged only where there is room for so much of it.
const PACKED_AT_BEST: usize = 8;

/// Memory for compressing one record.
struct Scratch {
    small: CompressTable,
    large: CompressTable,
    output: Vec<u8>,
}

/// The staging area of one writer.
pub(crate) struct Staging {
    slabs: Slabs,
    scratches: ArrayQueue<Box<Scratch>>,
    slab_record_bytes_max: usize,
    own_bytes: AtomicU64,
    own_bytes_max: u64,
    shared_bytes: AtomicU64,
    shared_bytes_max: u64,
    pub(crate) compression_policy: CompressionPolicy,
}

/// The staged bytes of one record; they return to the staging area when dropped.
pub(crate) struct StagedBody {
    staging: Arc<Staging>,
    stored_len: usize,
    memory: Memory,
}

enum Memory {
    Slabs(SlabChain),
    Own {
        attrs: Vec<u8>,
        payload: Vec<u8>,
        reserved_bytes: u64,
    },
    /// The attributes in slabs, the payload where its caller has it.
    Shared {
        attrs: SlabChain,
        payload: Bytes,
    },
}

/// A record as the writer thread takes it: everything but its number and place.
pub(crate) struct StagedRecord {
    pub(crate) signal: u8,
    pub(crate) codec: Codec,
    pub(crate) received_unix_ns: u64,
    pub(crate) raw_len: u32,
    pub(crate) stored_len: u32,
    pub(crate) raw_crc: u32,
    pub(crate) stored_crc: u32,
    pub(crate) attrs_len: u16,
    pub(crate) body: StagedBody,
}

impl StagedRecord {
    /// Bytes this record takes inside a commit group.
    pub(crate) fn span_bytes(&self) -> u64 {
        format::record_span_bytes(u64::from(self.stored_len))
    }
}

impl Staging {
    /// Sets all slabs and compression memory aside.
    ///
    /// # Errors
    ///
    /// The system has no address space for them.
    pub(crate) fn new(staging_bytes: u64, compression: RecordCompression) -> io::Result<Arc<Self>> {
        let own_bytes_max = staging_bytes / 4;
        let slabs = Slabs::new(staging_bytes - own_bytes_max)?;
        let slab_record_bytes_max = SLAB_RECORD_BYTES_MAX.min(slabs.capacity() / 4);
        let scratches = ArrayQueue::new(scratch_count(compression));
        for _ in 0..scratches.capacity() {
            let scratch = Box::new(Scratch {
                small: CompressTable::small(),
                large: CompressTable::large(),
                output: vec![0; get_maximum_output_size(slab_record_bytes_max)],
            });
            let is_full = scratches.push(scratch).is_err();
            debug_assert!(!is_full, "the queue has room for each scratch");
        }
        Ok(Arc::new(Self {
            slab_record_bytes_max,
            slabs,
            scratches,
            own_bytes: AtomicU64::new(0),
            own_bytes_max,
            shared_bytes: AtomicU64::new(0),
            shared_bytes_max: staging_bytes - own_bytes_max,
            compression_policy: CompressionPolicy::new(compression),
        }))
    }

    /// Compresses if that pays now, checksums and copies a record, or returns `None` when there is no
    /// room; `shared` is its payload, if that need not be copied, and `load` says what the vault goes
    /// through. Lengths were checked by the caller.
    pub(crate) fn stage(
        self: &Arc<Self>,
        record: &NewRecord<'_>,
        shared: Option<&Bytes>,
        load: impl FnOnce() -> VaultLoad,
    ) -> Option<StagedRecord> {
        let is_packed = self.compression_policy.compresses(load, self.is_half_empty());
        if let Some(payload) = shared
            && !is_packed
            && SHARED_FROM_BYTES <= payload.len()
            && let Some(memory) = self.share(record.attrs, payload)
        {
            return Some(self.finish(record, Codec::Raw, payload, memory));
        }
        // Whoever finds no room comes again and again: it must cost nothing but the look.
        if self.slabs.free() <= self.least_in_slabs(record) {
            return None;
        }
        if record.payload.len() <= self.slab_record_bytes_max {
            self.stage_in_slabs(record, is_packed)
        } else {
            self.stage_in_own_memory(record, is_packed)
        }
    }

    /// Bytes of slabs that a record needs at the least, however well it compresses.
    const fn least_in_slabs(&self, record: &NewRecord<'_>) -> usize {
        let len = record.payload.len();
        if len <= self.slab_record_bytes_max { len / PACKED_AT_BEST } else { 0 }
    }

    /// Whether the disk keeps up.
    fn is_half_empty(&self) -> bool {
        let shared = self.shared_bytes.load(Ordering::Relaxed);
        self.slabs.capacity() <= 2 * self.slabs.free() && 2 * shared <= self.shared_bytes_max
    }

    /// Whether a record of ordinary size would find room now.
    pub(crate) fn has_room(&self) -> bool {
        self.slab_record_bytes_max <= self.slabs.free()
    }

    fn stage_in_slabs(
        self: &Arc<Self>,
        record: &NewRecord<'_>,
        is_packed: bool,
    ) -> Option<StagedRecord> {
        // With every scratch in use the payload is stored as it came: never wait.
        let mut scratch = if is_packed { self.scratches.pop() } else { None };
        let compressed =
            scratch.as_deref_mut().and_then(|scratch| scratch.compress(record.payload));
        let (codec, payload) = match compressed {
            Some(bytes) => (Codec::Lz4, bytes),
            None => (Codec::Raw, record.payload),
        };
        let memory = self.slabs.copy(record.attrs, payload);
        let staged = memory.map(|chain| self.finish(record, codec, payload, Memory::Slabs(chain)));
        if let Some(scratch) = scratch {
            let is_full = self.scratches.push(scratch).is_err();
            debug_assert!(!is_full, "a scratch returns to its own place");
        }
        staged
    }

    fn stage_in_own_memory(
        self: &Arc<Self>,
        record: &NewRecord<'_>,
        is_packed: bool,
    ) -> Option<StagedRecord> {
        let raw_len = record.payload.len();
        let max = if is_packed { get_maximum_output_size(raw_len) } else { raw_len };
        let reserved_bytes = (max + record.attrs.len()) as u64;
        self.reserve_own(reserved_bytes)?;
        let mut payload = Vec::new();
        let mut codec = Codec::Raw;
        if is_packed {
            payload.resize(max, 0);
            let mut table = CompressTable::large();
            match compress_into_with_table(record.payload, &mut payload, &mut table) {
                Ok(len) if is_worth_it(len, record.payload.len()) => {
                    payload.truncate(len);
                    codec = Codec::Lz4;
                }
                _ => payload.clear(),
            }
        }
        if codec == Codec::Raw {
            payload.extend_from_slice(record.payload);
        }
        let stored_crc = stored_crc(record.attrs, &payload);
        let stored_len = record.attrs.len() + payload.len();
        let memory = Memory::Own { attrs: record.attrs.to_vec(), payload, reserved_bytes };
        let body = StagedBody { staging: Arc::clone(self), stored_len, memory };
        Some(staged(record, format::crc(record.payload), codec, stored_crc, body))
    }

    /// Reserves memory for a large record: within the limit, or alone.
    fn reserve_own(&self, bytes: u64) -> Option<()> {
        let max = self.own_bytes_max;
        let admit = |used: u64| (used == 0 || used + bytes <= max).then_some(used + bytes);
        self.own_bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, admit).ok().map(|_| ())
    }

    /// Keeps a payload without copying it, if not too much is kept so.
    fn share(&self, attrs: &[u8], payload: &Bytes) -> Option<Memory> {
        let (len, max) = (payload.len() as u64, self.shared_bytes_max);
        let admit = |used: u64| (used + len <= max).then_some(used + len);
        self.shared_bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, admit).ok()?;
        if let Some(attrs) = self.slabs.copy(attrs, &[]) {
            return Some(Memory::Shared { attrs, payload: payload.clone() });
        }
        self.shared_bytes.fetch_sub(len, Ordering::AcqRel);
        None
    }

    fn finish(
        self: &Arc<Self>,
        record: &NewRecord<'_>,
        codec: Codec,
        payload: &[u8],
        memory: Memory,
    ) -> StagedRecord {
        let raw_crc = format::crc(record.payload);
        let stored_crc = if codec == Codec::Raw && COMBINE_FROM_BYTES <= payload.len() {
            format::crc_behind(record.attrs, raw_crc, payload.len())
        } else {
            stored_crc(record.attrs, payload)
        };
        let stored_len = record.attrs.len() + payload.len();
        let body = StagedBody { staging: Arc::clone(self), stored_len, memory };
        staged(record, raw_crc, codec, stored_crc, body)
    }
}

impl StagedBody {
    /// Hands the stored bytes to `take`, piece by piece, in order.
    pub(crate) fn for_each<E>(
        &self,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match &self.memory {
            Memory::Own { attrs, payload, .. } => {
                take(attrs)?;
                take(payload)
            }
            Memory::Slabs(chain) => chain.for_each(take),
            Memory::Shared { attrs, payload } => {
                attrs.for_each(&mut take)?;
                take(payload)
            }
        }
    }
}

impl Drop for StagedBody {
    fn drop(&mut self) {
        match &mut self.memory {
            Memory::Slabs(chain) => self.staging.slabs.give_back(std::mem::take(chain)),
            Memory::Shared { attrs, payload, .. } => {
                self.staging.slabs.give_back(std::mem::take(attrs));
                self.staging.shared_bytes.fetch_sub(payload.len() as u64, Ordering::AcqRel);
            }
            Memory::Own { reserved_bytes, .. } => {
                self.staging.own_bytes.fetch_sub(*reserved_bytes, Ordering::AcqRel);
            }
        }
    }
}

impl Scratch {
    /// Compresses into the scratch, or returns `None` when it does not pay.
    fn compress(&mut self, payload: &[u8]) -> Option<&[u8]> {
        let table =
            if payload.len() < SMALL_INPUT_BYTES { &mut self.small } else { &mut self.large };
        let len = compress_into_with_table(payload, &mut self.output, table).ok()?;
        is_worth_it(len, payload.len()).then(|| &self.output[..len])
    }
}

/// Compression must save a sixteenth: below that, reading the record back costs more than it saved.
fn is_worth_it(stored_len: usize, raw_len: usize) -> bool {
    stored_len < raw_len - raw_len / 16
}

/// One scratch for each thread that can run at once, and some for threads that lost their turn.
fn scratch_count(compression: RecordCompression) -> usize {
    match compression {
        RecordCompression::None => 1,
        RecordCompression::Lz4 | RecordCompression::Auto => {
            std::thread::available_parallelism().map_or(4, |n| n.get() + 2)
        }
    }
}

fn staged(
    record: &NewRecord<'_>,
    raw_crc: u32,
    codec: Codec,
    stored_crc: u32,
    body: StagedBody,
) -> StagedRecord {
    let length = |len: usize| u32::try_from(len).expect("lengths were checked before staging");
    StagedRecord {
        signal: record.signal,
        codec,
        received_unix_ns: record.received_unix_ns,
        raw_len: length(record.payload.len()),
        stored_len: length(body.stored_len),
        raw_crc,
        stored_crc,
        attrs_len: u16::try_from(record.attrs.len()).expect("lengths were checked before staging"),
        body,
    }
}

fn stored_crc(attrs: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(attrs);
    hasher.update(payload);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load() -> VaultLoad {
        VaultLoad { fill_permille: 0, is_heavy: false }
    }

    fn stage(staging: &Arc<Staging>, attrs: &[u8], payload: &[u8]) -> Option<StagedRecord> {
        staging.stage(&NewRecord { signal: 1, received_unix_ns: 0, attrs, payload }, None, load)
    }

    #[test]
    fn attributes_and_payload_of_any_length_are_staged_in_order() {
        let staging = Staging::new(1 << 20, RecordCompression::None).unwrap();
        for attrs_len in [0, 1, 8191, 8192, 8193, 20_000] {
            for payload_len in [0, 1, 8192, 16_384, 50_000] {
                let attrs = vec![7; attrs_len];
                let payload: Vec<u8> = (0..=250).cycle().take(payload_len).collect();
                let record = stage(&staging, &attrs, &payload).expect("there is room");
                let mut seen = Vec::new();
                let done: Result<(), ()> = record.body.for_each(|piece| {
                    seen.extend_from_slice(piece);
                    Ok(())
                });
                assert_eq!(done, Ok(()));
                assert_eq!(seen, [attrs.clone(), payload].concat());
                assert_eq!(record.stored_crc, format::crc(&seen));
            }
        }
        assert!(staging.slabs.free() == staging.slabs.capacity());
    }

    #[test]
    fn what_is_shared_is_not_copied_as_long_as_there_is_room_for_it() {
        let staging = Staging::new(1 << 20, RecordCompression::None).unwrap();
        let payload = Bytes::from(vec![7_u8; 150 << 10]);
        let record =
            NewRecord { signal: 1, received_unix_ns: 0, attrs: b"note", payload: &payload };
        let seen = |record: &StagedRecord| {
            let mut pieces = Vec::new();
            let done: Result<(), ()> = record.body.for_each(|piece| {
                pieces.push(piece.to_vec());
                Ok(())
            });
            assert_eq!(done, Ok(()));
            pieces
        };
        let shared: Vec<_> =
            (0..6).filter_map(|_| staging.stage(&record, Some(&payload), load)).collect();
        let whole = [b"note".as_slice(), &payload].concat();
        assert_eq!(seen(&shared[0]), [b"note".to_vec(), payload.to_vec()]);
        assert!(seen(&shared[5]).len() > 2, "copied: 900 KiB of 768 would be shared");
        for record in &shared {
            assert_eq!(
                (seen(record).concat(), record.stored_crc),
                (whole.clone(), format::crc(&whole))
            );
        }
        drop(shared);
        assert!(staging.slabs.free() == staging.slabs.capacity());
        assert_eq!(staging.shared_bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn who_finds_no_room_pays_for_no_checksum() {
        for (payload_len, what) in [(100 << 10, "slabs"), (4 << 20, "memory of its own")] {
            let staging = Staging::new(1 << 20, RecordCompression::Lz4).unwrap();
            let payload: Vec<u8> = (0..payload_len).map(|_| fastrand::u8(..)).collect();
            let mut held = Vec::new();
            while let Some(record) = stage(&staging, &[], &payload) {
                held.push(record);
            }
            held.extend(std::iter::from_fn(|| stage(&staging, &[], &payload[..8_000])));
            let time_of = |act: &dyn Fn()| {
                let began = std::time::Instant::now();
                (0..200).for_each(|_| act());
                began.elapsed()
            };
            let checksum = time_of(&|| _ = std::hint::black_box(format::crc(&payload)));
            let refusal = time_of(&|| assert!(stage(&staging, &[], &payload).is_none()));
            assert!(refusal * 4 < checksum, "{what}: {refusal:?}, {checksum:?}");
        }
    }

    #[test]
    fn a_full_area_refuses_and_recovers() {
        let staging = Staging::new(256 << 10, RecordCompression::None).unwrap();
        let payload = vec![1; 40_000];
        let held: Vec<_> = (0..).map_while(|_| stage(&staging, &[], &payload)).collect();
        assert_eq!(held.len(), 4);
        assert!(!staging.has_room());
        drop(held);
        assert!(staging.slabs.free() == staging.slabs.capacity());
        assert!(stage(&staging, &[], &payload).is_some());
    }
}

//! Records on their way to the writer thread: compressed, checksummed, in memory made beforehand.
//!
//! The staging area is a pool of equal slabs, each the size of two pages. A record's bytes lie in a
//! chain of them, so small and large records share one limit and nothing is allocated. Payloads above
//! [`SLAB_RECORD_BYTES_MAX`] get memory of their own, under a limit of a quarter of the area; one that
//! is larger than the limit passes alone.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crossbeam_queue::ArrayQueue;
use lz4_flex::block::CompressTable;
use lz4_flex::block::compress_into_with_table;
use lz4_flex::block::get_maximum_output_size;

use crate::vault::append::writer::NewRecord;
use crate::vault::format;
use crate::vault::format::Codec;
use crate::vault::options::Compression;

/// Payloads up to this size, and to a quarter of the slabs, are staged without allocating.
const SLAB_RECORD_BYTES_MAX: usize = 1 << 20;

const SLAB_DATA_BYTES: usize = 8192 - 16;
/// Inputs below this size use the small LZ4 table, which is cheaper to clear.
const SMALL_INPUT_BYTES: usize = 60_000;

/// One slab, linked to the next of its record.
#[derive(Debug)]
struct Slab {
    next: Option<Box<Slab>>,
    data: [u8; SLAB_DATA_BYTES],
}

/// Memory for compressing one record.
struct Scratch {
    small: CompressTable,
    large: CompressTable,
    output: Vec<u8>,
}

/// The staging area of one writer.
pub(in crate::vault) struct Staging {
    free: ArrayQueue<Box<Slab>>,
    scratches: ArrayQueue<Box<Scratch>>,
    slab_record_bytes_max: usize,
    own_bytes: AtomicU64,
    own_bytes_max: u64,
    compression: Compression,
}

/// The staged bytes of one record; they return to the staging area when dropped.
pub(in crate::vault) struct Body {
    staging: Arc<Staging>,
    stored_len: usize,
    memory: Memory,
}

enum Memory {
    Slabs(Option<Box<Slab>>),
    Own { attrs: Vec<u8>, payload: Vec<u8>, reserved_bytes: u64 },
}

/// A record as the writer thread takes it: everything but its number and place.
pub(in crate::vault) struct StagedRecord {
    pub(in crate::vault) signal: u8,
    pub(in crate::vault) codec: Codec,
    pub(in crate::vault) received_unix_ns: u64,
    pub(in crate::vault) raw_len: u32,
    pub(in crate::vault) stored_len: u32,
    pub(in crate::vault) raw_crc: u32,
    pub(in crate::vault) stored_crc: u32,
    pub(in crate::vault) attrs_len: u16,
    pub(in crate::vault) body: Body,
}

impl StagedRecord {
    /// Bytes this record takes inside a commit group.
    pub(in crate::vault) fn span_bytes(&self) -> u64 {
        format::record_span_bytes(u64::from(self.stored_len))
    }
}

impl Staging {
    /// Makes all slabs and compression memory.
    pub(in crate::vault) fn new(staging_bytes: u64, compression: Compression) -> Arc<Self> {
        let own_bytes_max = staging_bytes / 4;
        let slab_bytes = size_of::<Slab>() as u64;
        let slabs = usize::try_from((staging_bytes - own_bytes_max) / slab_bytes).unwrap_or(1);
        let free = ArrayQueue::new(slabs.max(1));
        for _ in 0..free.capacity() {
            let slab = Box::new(Slab { next: None, data: [0; SLAB_DATA_BYTES] });
            let is_full = free.push(slab).is_err();
            debug_assert!(!is_full, "the queue has room for each slab");
        }
        let slab_record_bytes_max =
            SLAB_RECORD_BYTES_MAX.min(free.capacity() * SLAB_DATA_BYTES / 4);
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
        Arc::new(Self {
            slab_record_bytes_max,
            free,
            scratches,
            own_bytes: AtomicU64::new(0),
            own_bytes_max,
            compression,
        })
    }

    /// Compresses, checksums and copies a record, or returns `None` when there is no room.
    ///
    /// Lengths were checked by the caller.
    pub(in crate::vault) fn stage(
        self: &Arc<Self>,
        record: &NewRecord<'_>,
    ) -> Option<StagedRecord> {
        if self.free.is_empty() {
            return None;
        }
        let raw_crc = format::crc(record.payload);
        if record.payload.len() <= self.slab_record_bytes_max {
            self.stage_in_slabs(record, raw_crc)
        } else {
            self.stage_in_own_memory(record, raw_crc)
        }
    }

    /// Whether a record of ordinary size would find room now.
    pub(in crate::vault) fn has_room(&self) -> bool {
        self.slab_record_bytes_max <= self.free.len() * SLAB_DATA_BYTES
    }

    fn stage_in_slabs(
        self: &Arc<Self>,
        record: &NewRecord<'_>,
        raw_crc: u32,
    ) -> Option<StagedRecord> {
        // With every scratch in use the payload is stored as it came: never wait.
        let mut scratch = match self.compression {
            Compression::Lz4 => self.scratches.pop(),
            Compression::None => None,
        };
        let compressed =
            scratch.as_deref_mut().and_then(|scratch| scratch.compress(record.payload));
        let (codec, payload) = match compressed {
            Some(bytes) => (Codec::Lz4, bytes),
            None => (Codec::Raw, record.payload),
        };
        let memory = self.copy_to_slabs(record.attrs, payload);
        let staged = memory.map(|memory| self.finish(record, raw_crc, codec, payload, memory));
        if let Some(scratch) = scratch {
            let is_full = self.scratches.push(scratch).is_err();
            debug_assert!(!is_full, "a scratch returns to its own place");
        }
        staged
    }

    fn stage_in_own_memory(
        self: &Arc<Self>,
        record: &NewRecord<'_>,
        raw_crc: u32,
    ) -> Option<StagedRecord> {
        let max = match self.compression {
            Compression::Lz4 => get_maximum_output_size(record.payload.len()),
            Compression::None => record.payload.len(),
        };
        let reserved_bytes = (max + record.attrs.len()) as u64;
        self.reserve_own(reserved_bytes)?;
        let mut payload = Vec::new();
        let mut codec = Codec::Raw;
        if self.compression == Compression::Lz4 {
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
        let body = Body { staging: Arc::clone(self), stored_len, memory };
        Some(staged(record, raw_crc, codec, stored_crc, body))
    }

    /// Reserves memory for a large record: within the limit, or alone.
    fn reserve_own(&self, bytes: u64) -> Option<()> {
        let max = self.own_bytes_max;
        let admit = |used: u64| (used == 0 || used + bytes <= max).then_some(used + bytes);
        self.own_bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, admit).ok().map(|_| ())
    }

    fn finish(
        self: &Arc<Self>,
        record: &NewRecord<'_>,
        raw_crc: u32,
        codec: Codec,
        payload: &[u8],
        memory: Memory,
    ) -> StagedRecord {
        let stored_crc = if codec == Codec::Raw && record.attrs.is_empty() {
            raw_crc
        } else {
            stored_crc(record.attrs, payload)
        };
        let stored_len = record.attrs.len() + payload.len();
        let body = Body { staging: Arc::clone(self), stored_len, memory };
        staged(record, raw_crc, codec, stored_crc, body)
    }

    /// Copies attributes and payload into a chain of slabs, built from its last slab to its first.
    fn copy_to_slabs(&self, attrs: &[u8], payload: &[u8]) -> Option<Memory> {
        let total = attrs.len() + payload.len();
        let mut chain = None;
        for idx in (0..total.div_ceil(SLAB_DATA_BYTES)).rev() {
            let Some(mut slab) = self.free.pop() else {
                self.give_back(chain);
                return None;
            };
            let start = idx * SLAB_DATA_BYTES;
            let end = total.min(start + SLAB_DATA_BYTES);
            copy_part(attrs, payload, start, &mut slab.data[..end - start]);
            slab.next = chain;
            chain = Some(slab);
        }
        Some(Memory::Slabs(chain))
    }

    /// Returns a chain slab by slab: a recursive drop could exhaust a small stack.
    fn give_back(&self, mut chain: Option<Box<Slab>>) {
        while let Some(mut slab) = chain {
            chain = slab.next.take();
            let is_full = self.free.push(slab).is_err();
            debug_assert!(!is_full, "a slab returns to its own place");
        }
    }
}

impl Body {
    /// Hands the stored bytes to `take`, piece by piece, in order.
    pub(in crate::vault) fn for_each<E>(
        &self,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match &self.memory {
            Memory::Own { attrs, payload, .. } => {
                take(attrs)?;
                take(payload)
            }
            Memory::Slabs(chain) => {
                let mut left = self.stored_len;
                let mut next = chain.as_deref();
                while let Some(slab) = next {
                    let len = left.min(SLAB_DATA_BYTES);
                    take(&slab.data[..len])?;
                    left -= len;
                    next = slab.next.as_deref();
                }
                Ok(())
            }
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        match &mut self.memory {
            Memory::Slabs(chain) => self.staging.give_back(chain.take()),
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
fn scratch_count(compression: Compression) -> usize {
    match compression {
        Compression::None => 1,
        Compression::Lz4 => std::thread::available_parallelism().map_or(4, |n| n.get() + 2),
    }
}

fn staged(
    record: &NewRecord<'_>,
    raw_crc: u32,
    codec: Codec,
    stored_crc: u32,
    body: Body,
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

/// Copies the part of `attrs` followed by `payload` that starts at `start`.
fn copy_part(attrs: &[u8], payload: &[u8], start: usize, target: &mut [u8]) {
    let from_attrs = attrs.len().saturating_sub(start).min(target.len());
    if 0 < from_attrs {
        target[..from_attrs].copy_from_slice(&attrs[start..start + from_attrs]);
    }
    let rest = &mut target[from_attrs..];
    let start = (start + from_attrs) - attrs.len().min(start + from_attrs);
    rest.copy_from_slice(&payload[start..start + rest.len()]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(staging: &Arc<Staging>, attrs: &[u8], payload: &[u8]) -> Option<StagedRecord> {
        staging.stage(&NewRecord { signal: 1, received_unix_ns: 0, attrs, payload })
    }

    #[test]
    fn attributes_and_payload_of_any_length_are_staged_in_order() {
        let staging = Staging::new(1 << 20, Compression::None);
        for attrs_len in [0, 1, 8175, 8176, 8177, 20_000] {
            for payload_len in [0, 1, 8176, 16_352, 50_000] {
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
        assert!(staging.free.is_full());
    }

    #[test]
    fn a_full_area_refuses_and_recovers() {
        let staging = Staging::new(256 << 10, Compression::None);
        let payload = vec![1; 40_000];
        let held: Vec<_> = (0..).map_while(|_| stage(&staging, &[], &payload)).collect();
        assert_eq!(held.len(), 4);
        assert!(!staging.has_room());
        drop(held);
        assert!(staging.free.is_full());
        assert!(stage(&staging, &[], &payload).is_some());
    }
}

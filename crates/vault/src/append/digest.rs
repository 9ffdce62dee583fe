//! The digest of a segment, taken from the commit buffers after they were written.
//!
//! A thread of its own does it, beside the writer that waits for the disk, so that sealing does not read
//! the segment back while the disk is busy with new records. What the disk really kept is read later,
//! see `scrub.rs`.
//!
//! ```text
//!  writer --full buffer--> digest thread --empty buffer--> writer
//!         --end of segment-->           --digest--> helper, for the footer
//! ```

use std::io;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::channel;
use std::sync::mpsc::sync_channel;

use crate::append::worker_thread::WorkerThread;
use crate::buffer::AlignedBuffer;
use crate::format;
use crate::segment::seal::Digested;

/// Buffers in turn: one is filled and written while the other is digested.
const BUFFERS: usize = 2;

enum Message {
    Bytes { buffer: AlignedBuffer, len: usize },
    EndOfSegment(Sender<Digested>),
    Abandon,
}

/// The writer's end of the digest thread.
pub(crate) struct Digester {
    messages: WorkerThread<Message>,
    empty: Receiver<AlignedBuffer>,
}

impl Digester {
    /// Starts the thread; returns with it the first buffer, of `buffer_bytes`, to fill. So many may be added
    /// later.
    pub(crate) fn start(
        last_digest: [u8; 32],
        buffer_bytes: usize,
        added_max: usize,
    ) -> io::Result<(Self, AlignedBuffer)> {
        let buffers_max = BUFFERS + added_max;
        let (give_back, empty) = sync_channel(buffers_max);
        for _ in 1..BUFFERS {
            let buffer = AlignedBuffer::new_touched(buffer_bytes)?;
            give_back.try_send(buffer).map_err(io::Error::other)?;
        }
        let run = move |messages: &Receiver<Message>| digest_all(last_digest, messages, &give_back);
        let messages = WorkerThread::start("vault-digest", buffers_max * 2, run)?;
        Ok((Self { messages, empty }, AlignedBuffer::new_touched(buffer_bytes)?))
    }

    /// Hands over the first `len` bytes of a buffer, which are on disk. A buffer more than there were is
    /// one more to fill.
    pub(crate) fn give(&self, buffer: AlignedBuffer, len: usize) -> io::Result<()> {
        self.messages.send(Message::Bytes { buffer, len })
    }

    /// Returns an empty buffer, as soon as there is one.
    pub(crate) fn take_empty(&self) -> io::Result<AlignedBuffer> {
        self.empty.recv().map_err(io::Error::other)
    }

    /// Everything of the segment was handed over: its digest will come.
    pub(crate) fn end_segment(&self) -> Receiver<Digested> {
        let (answer, digested) = channel();
        // With the thread gone nobody answers, and the segment is read back instead.
        drop(self.messages.send(Message::EndOfSegment(answer)));
        digested
    }

    /// The segment failed: what was handed over of it counts for nothing.
    pub(crate) fn abandon_segment(&self) {
        drop(self.messages.send(Message::Abandon));
    }
}

fn digest_all(
    last_digest: [u8; 32],
    received: &Receiver<Message>,
    give_back: &SyncSender<AlignedBuffer>,
) {
    let mut prev_digest = last_digest;
    let mut hasher = format::digest_after(&prev_digest);
    while let Ok(message) = received.recv() {
        match message {
            Message::Bytes { buffer, len } => {
                hasher.update(&buffer[..len]);
                if give_back.send(buffer).is_err() {
                    return;
                }
            }
            Message::EndOfSegment(answer) => {
                let digest = *hasher.finalize().as_bytes();
                // Nobody waits for it when the vault ended first.
                let _closed = answer.send(Digested { prev_digest, digest });
                prev_digest = digest;
                hasher = format::digest_after(&prev_digest);
            }
            Message::Abandon => hasher = format::digest_after(&prev_digest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: usize = 4096;

    fn digest_of(prev_digest: [u8; 32], bytes: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&prev_digest).update(bytes);
        *hasher.finalize().as_bytes()
    }

    fn exchange(digester: &Digester, buffer: AlignedBuffer, len: usize) -> AlignedBuffer {
        digester.give(buffer, len).unwrap();
        digester.take_empty().unwrap()
    }

    #[test]
    fn an_abandoned_segment_leaves_the_chain_as_it_was() {
        let (digester, mut buffer) = Digester::start([7; 32], BYTES, 2).unwrap();
        buffer.fill(1);
        let mut buffer = exchange(&digester, buffer, 100);
        digester.abandon_segment();
        buffer.fill(2);
        let mut buffer = exchange(&digester, buffer, BYTES);
        let first = digester.end_segment().recv().unwrap();
        assert_eq!((first.prev_digest, first.digest), ([7; 32], digest_of([7; 32], &[2; BYTES])));
        buffer.fill(3);
        exchange(&digester, buffer, 10);
        let second = digester.end_segment().recv().unwrap();
        assert_eq!(second.prev_digest, first.digest);
        assert_eq!(second.digest, digest_of(first.digest, &[3; 10]));
    }
}

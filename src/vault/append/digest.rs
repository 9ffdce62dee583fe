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
use std::thread::JoinHandle;

use crate::vault::buffer::AlignedBuffer;

/// Buffers in turn: one is filled and written while the other is digested.
const BUFFERS: usize = 2;

/// The digest of a segment, and that of the segment it was made to follow.
#[derive(Debug, Clone, Copy)]
pub(in crate::vault) struct Digested {
    pub(in crate::vault) prev_digest: [u8; 32],
    pub(in crate::vault) digest: [u8; 32],
}

enum Message {
    Bytes { buffer: AlignedBuffer, len: usize },
    EndOfSegment(Sender<Digested>),
    Abandon,
}

/// The writer's end of the digest thread.
pub(in crate::vault) struct Digester {
    /// Taken when dropped: that ends the thread.
    messages: Option<SyncSender<Message>>,
    empty: Receiver<AlignedBuffer>,
    thread: Option<JoinHandle<()>>,
}

impl Digester {
    /// Starts the thread; returns with it the first buffer, of `buffer_bytes`, to fill.
    pub(in crate::vault) fn start(
        last_digest: [u8; 32],
        buffer_bytes: usize,
    ) -> io::Result<(Self, AlignedBuffer)> {
        let (messages, received) = sync_channel(BUFFERS * 2);
        let (give_back, empty) = sync_channel(BUFFERS);
        for _ in 1..BUFFERS {
            let buffer = AlignedBuffer::new_touched(buffer_bytes)?;
            give_back.try_send(buffer).map_err(io::Error::other)?;
        }
        let run = move || digest_all(last_digest, &received, &give_back);
        let thread = std::thread::Builder::new().name("vault-digest".to_owned()).spawn(run)?;
        let digester = Self { messages: Some(messages), empty, thread: Some(thread) };
        Ok((digester, AlignedBuffer::new_touched(buffer_bytes)?))
    }

    /// Hands over the first `len` bytes of a buffer, which are on disk; returns an empty one, as soon as
    /// there is one.
    pub(in crate::vault) fn exchange(
        &self,
        buffer: AlignedBuffer,
        len: usize,
    ) -> io::Result<AlignedBuffer> {
        self.send(Message::Bytes { buffer, len })?;
        self.empty.recv().map_err(io::Error::other)
    }

    /// Everything of the segment was handed over: its digest will come.
    pub(in crate::vault) fn end_segment(&self) -> Receiver<Digested> {
        let (answer, digested) = channel();
        // With the thread gone nobody answers, and the segment is read back instead.
        drop(self.send(Message::EndOfSegment(answer)));
        digested
    }

    /// The segment failed: what was handed over of it counts for nothing.
    pub(in crate::vault) fn abandon_segment(&self) {
        drop(self.send(Message::Abandon));
    }

    fn send(&self, message: Message) -> io::Result<()> {
        let gone = || io::Error::other("the digest thread has ended");
        self.messages.as_ref().ok_or_else(gone)?.send(message).map_err(|_| gone())
    }
}

impl Drop for Digester {
    fn drop(&mut self) {
        drop(self.messages.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn digest_all(
    last_digest: [u8; 32],
    received: &Receiver<Message>,
    give_back: &SyncSender<AlignedBuffer>,
) {
    let after = |digest: &[u8; 32]| {
        let mut hasher = blake3::Hasher::new();
        hasher.update(digest);
        hasher
    };
    let mut prev_digest = last_digest;
    let mut hasher = after(&prev_digest);
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
                hasher = after(&prev_digest);
            }
            Message::Abandon => hasher = after(&prev_digest),
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

    #[test]
    fn an_abandoned_segment_leaves_the_chain_as_it_was() {
        let (digester, mut buffer) = Digester::start([7; 32], BYTES).unwrap();
        buffer.fill(1);
        let mut buffer = digester.exchange(buffer, 100).unwrap();
        digester.abandon_segment();
        buffer.fill(2);
        let mut buffer = digester.exchange(buffer, BYTES).unwrap();
        let first = digester.end_segment().recv().unwrap();
        assert_eq!((first.prev_digest, first.digest), ([7; 32], digest_of([7; 32], &[2; BYTES])));
        buffer.fill(3);
        digester.exchange(buffer, 10).unwrap();
        let second = digester.end_segment().recv().unwrap();
        assert_eq!(second.prev_digest, first.digest);
        assert_eq!(second.digest, digest_of(first.digest, &[3; 10]));
    }
}

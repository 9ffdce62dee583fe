//! A thread of the vault that does what it is sent, in order, and ends with whoever sends.

use std::io;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

/// The sending end. Dropped, it waits until everything sent is done.
pub(crate) struct WorkerThread<M> {
    /// Taken when dropped: that ends the thread.
    messages: Option<SyncSender<M>>,
    thread: Option<JoinHandle<()>>,
    name: &'static str,
}

impl<M: Send + 'static> WorkerThread<M> {
    /// Starts the thread; at most `waiting_max` messages wait for it.
    pub(crate) fn start(
        name: &'static str,
        waiting_max: usize,
        run: impl FnOnce(&Receiver<M>) + Send + 'static,
    ) -> io::Result<Self> {
        let (messages, received) = sync_channel(waiting_max);
        let builder = std::thread::Builder::new().name(name.to_owned());
        let thread = builder.spawn(move || run(&received))?;
        Ok(Self { messages: Some(messages), thread: Some(thread), name })
    }

    /// Sends a message, waiting for room; an error says that the thread has ended.
    pub(crate) fn send(&self, message: M) -> io::Result<()> {
        let gone = || io::Error::other(format!("the {} thread has ended", self.name));
        self.messages.as_ref().ok_or_else(gone)?.send(message).map_err(|_| gone())
    }
}

impl<M> Drop for WorkerThread<M> {
    fn drop(&mut self) {
        drop(self.messages.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Makes this thread one that comes first. Linux keeps the nice value by thread. Under CPU saturation it
/// decides the commit latency.
pub(crate) fn prefer() {
    if let Err(error) = rustix::process::setpriority_process(None, -10) {
        tracing::debug!(%error, "Cannot raise the priority of a vault thread.");
    }
}

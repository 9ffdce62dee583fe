//! Groups on their way to the disk, and the thread that writes and syncs them.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::sync_channel;
use std::thread::Thread;

use crate::append::group::CommitGroup;
use crate::append::group::FLIGHTS_MAX;
use crate::append::group::GroupLoad;
use crate::append::worker_thread::WorkerThread;
use crate::append::worker_thread::prefer;
use crate::fs::File;
use crate::segment::id::SegmentId;

/// Where a group lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed {
    pub(super) segment: SegmentId,
    pub(super) first_seq: u64,
    /// What its header tells to be durable.
    pub(super) durable_seq: u64,
    /// Where it ends in the segment.
    pub(super) end: u64,
}

/// A group on its way to the disk.
pub(crate) struct InFlightGroup<C> {
    pub(super) group: CommitGroup<C>,
    pub(super) placed: Placed,
}

/// A group for the disk thread.
pub(super) struct DiskOrder {
    pub(super) segment: SegmentId,
    pub(super) file: Arc<dyn File>,
    pub(super) load: GroupLoad,
    pub(super) is_synced: bool,
}

/// What became of an order.
pub(super) struct Landed {
    pub(super) load: GroupLoad,
    pub(super) result: io::Result<()>,
}

/// The writer's end of the disk thread.
pub(crate) struct DiskThread {
    pub(super) orders: WorkerThread<DiskOrder>,
    pub(super) landed: Receiver<Landed>,
}

impl DiskThread {
    /// Starts the thread, which wakes `owner` after each group.
    pub(super) fn start(owner: Thread) -> io::Result<Self> {
        let (done, landed) = sync_channel(FLIGHTS_MAX);
        let run = move |orders: &Receiver<DiskOrder>| write_all(orders, &done, &owner);
        let orders = WorkerThread::start("vault-disk", FLIGHTS_MAX, run)?;
        Ok(Self { orders, landed })
    }
}

/// The disk thread.
fn write_all(orders: &Receiver<DiskOrder>, done: &SyncSender<Landed>, owner: &Thread) {
    prefer();
    let mut failed = None;
    while let Ok(DiskOrder { segment, file, load, is_synced }) = orders.recv() {
        let result = if failed == Some(segment) {
            // Never write behind a gap, and never sync again for credit.
            Err(io::Error::other("a write before it failed"))
        } else {
            load.write(&*file).and_then(|()| if is_synced { file.sync_data() } else { Ok(()) })
        };
        if result.is_err() {
            failed = Some(segment);
        }
        if done.send(Landed { load, result }).is_err() {
            return;
        }
        owner.unpark();
    }
}

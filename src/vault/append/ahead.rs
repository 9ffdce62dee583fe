//! Writing ahead: under load a thread of its own writes and syncs one group while the writer thread puts
//! the next one together, so that the disk never waits for the processor.
//!
//! ```text
//!  writer thread     put together 1 | put together 2 | answer 1, put together 3 | answer 2 ...
//!  disk thread                      | write, sync 1  | write, sync 2            | write, sync 3
//! ```
//!
//! Groups are written one after the other, each only after the one before it is durable: what is on
//! disk looks as if the writer thread had done all by itself. After a failure nothing more is written
//! to that segment, and every group on its way is written again elsewhere, in order.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::sync_channel;
use std::thread::Thread;

use crate::vault::append::commit::Committer;
use crate::vault::append::commit::Placed;
use crate::vault::append::commit::prefer;
use crate::vault::append::group::Group;
use crate::vault::append::group::Load;
use crate::vault::append::servant::Servant;
use crate::vault::append::spare::SegmentId;
use crate::vault::append::writer::Completion;
use crate::vault::fs::File;
use crate::vault::options::Durability;

/// Groups on their way at once: one that is written, and one that is ready when it is done.
pub(in crate::vault) const FLIGHTS_MAX: usize = 2;

/// A group on its way to the disk.
pub(in crate::vault) struct Flight<C> {
    group: Group<C>,
    placed: Placed,
}

/// A group for the disk thread.
struct Order {
    segment: SegmentId,
    file: Arc<dyn File>,
    load: Load,
    is_synced: bool,
}

/// What became of an order.
struct Landed {
    load: Load,
    result: io::Result<()>,
}

/// The writer's end of the disk thread.
pub(in crate::vault) struct Disk {
    orders: Servant<Order>,
    landed: Receiver<Landed>,
}

impl Disk {
    /// Starts the thread, which wakes `owner` after each group.
    fn start(owner: Thread) -> io::Result<Self> {
        let (done, landed) = sync_channel(FLIGHTS_MAX);
        let run = move |orders: &Receiver<Order>| write_all(orders, &done, &owner);
        let orders = Servant::start("vault-disk", FLIGHTS_MAX, run)?;
        Ok(Self { orders, landed })
    }
}

/// The disk thread.
fn write_all(orders: &Receiver<Order>, done: &SyncSender<Landed>, owner: &Thread) {
    prefer();
    let mut failed = None;
    while let Ok(Order { segment, file, load, is_synced }) = orders.recv() {
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

impl<C: Completion> Committer<C> {
    /// Whether groups can be written ahead. The thread is started when it is first wanted: a vault at
    /// rest has neither it nor its buffers.
    pub(in crate::vault) fn has_disk_thread(&mut self) -> bool {
        if self.disk.is_none() {
            match self.start_disk_thread() {
                Ok(disk) => self.disk = Some(disk),
                Err(error) => tracing::debug!(%error, "The vault does not write ahead."),
            }
        }
        self.disk.is_some()
    }

    fn start_disk_thread(&self) -> io::Result<Disk> {
        let disk = Disk::start(std::thread::current())?;
        self.buffer.add_buffers(FLIGHTS_MAX)?;
        Ok(disk)
    }

    /// Sends a full group on its way to the disk thread; gives it back when that cannot be done.
    pub(in crate::vault) fn send_ahead(
        &mut self,
        group: Group<C>,
    ) -> Result<(), (Group<C>, io::Error)> {
        match self.try_send_ahead(&group) {
            Ok(placed) => {
                self.next_seq += group.len();
                self.flights.push_back(Flight { group, placed });
                Ok(())
            }
            Err(error) => Err((group, error)),
        }
    }

    fn try_send_ahead(&mut self, group: &Group<C>) -> io::Result<Placed> {
        let is_synced = self.durability == Durability::Synced;
        let placed = self.assemble(group)?;
        let load = self.buffer.detach()?;
        let active = self.active.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let (segment, file) = (active.id, Arc::clone(&active.file));
        let disk = self.disk.as_ref().ok_or(io::ErrorKind::NotFound)?;
        disk.orders.send(Order { segment, file, load, is_synced })?;
        Ok(placed)
    }

    /// Answers for the groups that are done by now.
    pub(in crate::vault) fn land_finished(&mut self) {
        while !self.flights.is_empty() {
            let Some(disk) = &self.disk else { return };
            let Ok(landed) = disk.landed.try_recv() else { return };
            self.land(landed);
        }
    }

    /// Waits for the oldest group on its way, and answers for it.
    pub(in crate::vault) fn land_next(&mut self) {
        match self.disk.as_ref().map(|disk| disk.landed.recv()) {
            Some(Ok(landed)) => self.land(landed),
            // The disk thread has panicked: what became of its groups is unknown.
            _ => self.lose_flights(),
        }
    }

    /// Waits for every group on its way.
    pub(in crate::vault) fn land_all(&mut self) {
        while !self.flights.is_empty() {
            self.land_next();
        }
    }

    fn land(&mut self, landed: Landed) {
        let Some(flight) = self.flights.pop_front() else { return };
        match landed.result {
            Ok(()) => {
                let filled = landed.load.filled;
                self.buffer.attach(landed.load.buffer, filled);
                self.shared.gauges.commits_ahead.fetch_add(1, Ordering::Relaxed);
                self.publish(flight.group, flight.placed);
            }
            Err(error) => {
                self.buffer.attach(landed.load.buffer, 0);
                self.write_again(flight, &error);
            }
        }
    }

    /// A group failed: writes it and those behind it again in the next segment.
    fn write_again(&mut self, first: Flight<C>, error: &io::Error) {
        self.next_seq = first.placed.first_seq;
        let mut groups = VecDeque::from([first.group]);
        while let Some(flight) = self.flights.pop_front() {
            groups.push_back(flight.group);
            if let Some(Ok(landed)) = self.disk.as_ref().map(|disk| disk.landed.recv()) {
                self.buffer.attach(landed.load.buffer, 0);
            }
        }
        self.suspect(error);
        for group in groups {
            self.commit_elsewhere(group);
        }
    }

    fn lose_flights(&mut self) {
        tracing::error!("Vault has failed: its disk thread has ended.");
        self.shared.gauges.has_failed.store(true, Ordering::Release);
        let lost: Vec<_> = self.flights.drain(..).collect();
        for flight in lost {
            self.fail(flight.group);
        }
    }
}

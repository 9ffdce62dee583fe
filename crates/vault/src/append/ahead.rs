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

use crate::append::commit::Committer;
use crate::append::flight::DiskOrder;
use crate::append::flight::DiskThread;
use crate::append::flight::InFlightGroup;
use crate::append::flight::Landed;
use crate::append::flight::Placed;
use crate::append::group::CommitGroup;
use crate::append::group::FLIGHTS_MAX;
use crate::append::record::Completion;
use crate::options::Durability;

impl<C: Completion> Committer<C> {
    /// Whether groups can be written ahead. The thread is started when it is first wanted: a vault at
    /// rest has neither it nor its buffers.
    pub(crate) fn has_disk_thread(&mut self) -> bool {
        if self.disk.is_none() {
            match self.start_disk_thread() {
                Ok(disk) => self.disk = Some(disk),
                Err(error) => tracing::debug!(%error, "The vault cannot write ahead."),
            }
        }
        self.disk.is_some()
    }

    fn start_disk_thread(&self) -> io::Result<DiskThread> {
        let disk = DiskThread::start(std::thread::current())?;
        self.buffer.add_buffers(FLIGHTS_MAX)?;
        Ok(disk)
    }

    /// Sends a full group on its way to the disk thread; gives it back when that cannot be done.
    pub(crate) fn send_ahead(
        &mut self,
        group: CommitGroup<C>,
    ) -> Result<(), (CommitGroup<C>, io::Error)> {
        match self.try_send_ahead(&group) {
            Ok(placed) => {
                self.next_seq += group.len();
                self.flights.push_back(InFlightGroup { group, placed });
                Ok(())
            }
            Err(error) => Err((group, error)),
        }
    }

    fn try_send_ahead(&mut self, group: &CommitGroup<C>) -> io::Result<Placed> {
        let is_synced = self.durability == Durability::Synced;
        let placed = self.assemble(group)?;
        let load = self.buffer.detach()?;
        let active = self.active.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let (segment, file) = (active.id, Arc::clone(&active.file));
        let disk = self.disk.as_ref().ok_or(io::ErrorKind::NotFound)?;
        disk.orders.send(DiskOrder { segment, file, load, is_synced })?;
        Ok(placed)
    }

    /// Answers for the groups that are done by now.
    pub(crate) fn land_finished(&mut self) {
        while !self.flights.is_empty() {
            let Some(disk) = &self.disk else { return };
            let Ok(landed) = disk.landed.try_recv() else { return };
            self.land(landed);
        }
    }

    /// Waits for the oldest group on its way, and answers for it.
    pub(crate) fn land_next(&mut self) {
        match self.disk.as_ref().map(|disk| disk.landed.recv()) {
            Some(Ok(landed)) => self.land(landed),
            // The disk thread has panicked: what became of its groups is unknown.
            _ => self.lose_flights(),
        }
    }

    /// Waits for every group on its way.
    pub(crate) fn land_all(&mut self) {
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
    fn write_again(&mut self, first: InFlightGroup<C>, error: &io::Error) {
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
        self.is_over = true;
        self.shared.gauges.has_failed.store(true, Ordering::Release);
        let lost: Vec<_> = self.flights.drain(..).collect();
        for flight in lost {
            self.fail(flight.group);
        }
    }
}

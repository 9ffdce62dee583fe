//! Room for the next segment: the helper makes spares, and finds or makes the room they need.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::append::helper::Helper;
use crate::append::waits::SpareTrouble;
use crate::append::waits::longer;
use crate::fs::is_no_room;
use crate::options::WhenFull;
use crate::segment::id::SegmentId;
use crate::segment::spare;

/// While full, space is looked for this often.
const RETRY_EVERY: Duration = Duration::from_millis(200);

impl Helper {
    /// Makes a spare and says how that went; returns when to try again.
    pub(super) fn stock_up(&mut self) -> Instant {
        let made = self.find_room();
        let now = Instant::now();
        let next_try = match &made {
            Ok(()) => now,
            Err(error) if is_no_room(error) => now + RETRY_EVERY,
            Err(error) => now + self.wait_for_disk(error, now),
        };
        if made.as_ref().err().is_none_or(is_no_room)
            && let Some(trouble) = self.trouble.take()
        {
            let lasted_seconds = (now - trouble.began).as_secs_f64();
            tracing::warn!(lasted_seconds, "Vault can create spare segments again.");
        }
        self.gauges.has_disk_trouble.store(self.trouble.is_some(), Ordering::Release);
        self.spare_pool.announce(&self.log.is_full, made.is_ok());
        next_try
    }

    /// Tells of trouble once; returns how long to wait.
    fn wait_for_disk(&mut self, error: &io::Error, now: Instant) -> Duration {
        let before = self.trouble.as_ref();
        if before.is_none() {
            tracing::warn!(%error, dir = %self.log.dir.display(),
                "Cannot create a spare segment; the vault retries.");
        }
        let delay = longer(before.map_or(Duration::ZERO, |trouble| trouble.delay));
        self.trouble =
            Some(SpareTrouble { began: before.map_or(now, |trouble| trouble.began), delay });
        delay
    }

    /// Makes a spare. When there is no room the waiting jobs come first: a sealed segment lets go of
    /// what it did not use, and may be deleted.
    fn find_room(&mut self) -> io::Result<()> {
        loop {
            match self.make_spare() {
                Err(error) if is_no_room(&error) => {
                    let Some(job) = self.spare_pool.next_job() else { return Err(error) };
                    self.work(job);
                }
                made => return made,
            }
        }
    }

    fn make_spare(&mut self) -> io::Result<()> {
        let bytes = self.options.segment_bytes;
        self.see_place()?;
        self.ensure_room(bytes)?;
        let id = SegmentId(self.next_segment);
        let made = spare::create_spare(&*self.log.files, &self.log.dir, id, bytes);
        // A number is never used twice, not even after a failure that may have left a file.
        self.next_segment += 1;
        if made.as_ref().is_err_and(is_quota) && self.options.when_full == WhenFull::DropOldest {
            // What the file system said to be free is not for this user.
            self.log.drop_oldest()?;
        }
        self.spare_pool.add_spare(made?);
        self.log.used_bytes.fetch_add(bytes, Ordering::AcqRel);
        Ok(())
    }

    /// Sees that a spare has room: by retention, and by dropping the oldest segment if that was asked
    /// for.
    fn ensure_room(&self, bytes: u64) -> io::Result<()> {
        if !self.is_short_of(bytes)? {
            return Ok(());
        }
        self.tidy();
        if !self.is_short_of(bytes)? {
            return Ok(());
        }
        // One at a time: space may come back late, when a reader lets go of the file.
        if self.options.when_full == WhenFull::DropOldest
            && self.log.drop_oldest()?
            && !self.is_short_of(bytes)?
        {
            return Ok(());
        }
        Err(io::ErrorKind::StorageFull.into())
    }

    /// Whether a segment would be too much for the budget or the disk, on which one more stays free for
    /// what lives beside the segments.
    fn is_short_of(&self, bytes: u64) -> io::Result<bool> {
        let log = &self.log;
        Ok(self.options.max_bytes < log.used_bytes() + bytes
            || log.files.available_bytes(&log.dir)? < 2 * bytes)
    }

    /// Drops the oldest segments for a record that is larger than one, and comes again.
    pub(super) fn make_room_asked_for(&self) -> io::Result<()> {
        let asked = self.gauges.asked_bytes.swap(0, Ordering::AcqRel);
        if asked == 0 || self.options.when_full != WhenFull::DropOldest {
            return Ok(());
        }
        while self.options.max_bytes < self.log.used_bytes() + asked {
            if !self.log.drop_oldest()? {
                break;
            }
        }
        Ok(())
    }
}

/// Whether an error says that deleting something helps, whatever the file system says to be free.
fn is_quota(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

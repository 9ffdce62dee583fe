//! The one writer of a vault: what callers hold.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::thread::Thread;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;

use crate::append::commit::Committer;
use crate::append::compression_policy::AreShort;
use crate::append::helper::Helper;
use crate::append::place::FilePresence;
use crate::append::place::HeldLock;
use crate::append::queue::QUEUE_RECORDS_MAX;
use crate::append::queue::Shared;
use crate::append::record::Completion;
use crate::append::spare_pool::SparePool;
use crate::append::staging::Staging;
use crate::append::unread::Scrub;
use crate::error::AppendError;
use crate::error::VaultError;
use crate::fs::FileSystem;
use crate::log::dropped::DropObserver;
use crate::log::view::Log;
use crate::options::Options;
use crate::options::WhenFull;
use crate::recover::directory;
use crate::recover::recovery;
use crate::recover::report::RecoveryReport;
use crate::state::VaultGauges;
use crate::state::lock;
use crate::system::SystemFileSystem;
use crate::throttle::Throttle;

struct Threads {
    writer: JoinHandle<()>,
    helper: JoinHandle<()>,
}

/// The one writer of a vault directory. Shared by reference or `Arc` among any number of threads.
pub struct Writer<C: Completion> {
    pub(crate) options: Options,
    pub(crate) staging: Arc<Staging>,
    pub(crate) shared: Arc<Shared<C>>,
    pub(crate) log: Arc<Log>,
    spare_pool: Arc<SparePool>,
    pub(crate) committer: Thread,
    threads: Mutex<Option<Threads>>,
    lock_file: HeldLock,
}

impl<C: Completion> Writer<C> {
    /// Locks the directory, recovers what is there and starts the writer and helper threads.
    ///
    /// Recovery deletes nothing that ever held a record, and succeeds on a full disk.
    ///
    /// # Errors
    ///
    /// [`VaultError::InvalidOptions`], [`VaultError::Locked`], [`VaultError::Foreign`] or
    /// [`VaultError::Io`].
    pub fn open(options: Options) -> Result<(Self, RecoveryReport), VaultError> {
        let files: Arc<dyn FileSystem> = Arc::new(SystemFileSystem);
        Self::open_on(&files, options)
    }

    /// As [`Writer::open`], on a file system of the caller's.
    ///
    /// # Errors
    ///
    /// As [`Writer::open`].
    pub fn open_on(
        files: &Arc<dyn FileSystem>,
        options: Options,
    ) -> Result<(Self, RecoveryReport), VaultError> {
        options.validate()?;
        let lock_file = directory::lock_directory(&**files, &options.dir)?;
        let lock_file: HeldLock = Arc::new(Mutex::new(Some(lock_file)));
        let recovered = recovery::recover(files, &options.dir, &options.known)?;
        let gauges = Arc::new(VaultGauges::default());
        let log = recovered.log.with_limit(options.max_bytes);
        let log = Arc::new(log.with_read_patience(options.read_patience));
        if options.when_full == WhenFull::DropOldest {
            log.prepare_to_drop().map_err(VaultError::io("prepare dropping in", &options.dir))?;
        }
        let spare_pool = Arc::new(SparePool::new(recovered.spares));
        let staging = Staging::new(options.staging_bytes, options.compression)
            .map_err(VaultError::io("map staging area of", &options.dir))?;
        let queue = ArrayQueue::new(QUEUE_RECORDS_MAX);
        let shared = Arc::new(Shared { queue, gauges: Arc::clone(&gauges) });
        let helper = Helper {
            options: options.clone(),
            log: Arc::clone(&log),
            spare_pool: Arc::clone(&spare_pool),
            gauges,
            next_segment: recovered.next_segment,
            last_digest: recovered.last_digest,
            scrub: Scrub::default(),
            suspects: Vec::new(),
            trouble: None,
            presence: FilePresence::new(&**files, &options.dir, Arc::clone(&lock_file)),
        };
        let committer = Committer::new(
            &options,
            Arc::clone(&shared),
            Arc::clone(&log),
            Arc::clone(&spare_pool),
            recovered.next_seq,
            recovered.predecessor,
            recovered.last_digest,
        )
        .map_err(VaultError::io("map commit buffer of", &options.dir))?;
        let threads = start(committer, helper, &spare_pool)
            .map_err(VaultError::io("start threads of", &options.dir))?;
        let writer = Self {
            options,
            staging,
            shared,
            log,
            spare_pool,
            committer: threads.writer.thread().clone(),
            threads: Mutex::new(Some(threads)),
            lock_file,
        };
        Ok((writer, recovered.report))
    }

    /// Returns how much of the disk budget is used, in thousandths.
    #[must_use]
    pub fn fill_permille(&self) -> u32 {
        self.log.fill_permille()
    }

    /// Whether there is no room on the disk or in its budget.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.log.is_full() && !self.gauges().has_disk_trouble.load(Ordering::Acquire)
    }

    /// Whether nothing can be written because the disk fails, for now.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        let gauges = self.gauges();
        gauges.has_failed.load(Ordering::Acquire)
            || (self.log.is_full() && gauges.has_disk_trouble.load(Ordering::Acquire))
    }

    /// Returns the view readers open on.
    #[must_use]
    pub fn log(&self) -> Arc<Log> {
        Arc::clone(&self.log)
    }

    /// Names who is told about records that are dropped because the vault is full; from the helper
    /// thread, never while an append waits.
    pub fn observe_drops(&self, observer: Arc<DropObserver>) {
        self.log.observe_drops(observer);
    }

    /// Names who is asked, at each append, whether processors are short: with `RecordCompression::Auto`
    /// payloads are then stored as they came. A second call has no effect.
    pub fn spare_processors(&self, are_short: Arc<AreShort>) {
        self.staging.compression_policy.ask(are_short);
    }

    /// Names who is asked how much background work (reading back what was sealed) may be done; from
    /// the helper thread. Without it there is no limit.
    pub fn govern(&self, throttle: Throttle) {
        self.spare_pool.govern(throttle);
    }

    /// Stores everything accepted, syncs, seals the open segment, ends the threads and lets go of the
    /// directory. A second call does nothing. Readers keep working on what is there.
    ///
    /// # Errors
    ///
    /// [`VaultError::Failed`] when the disk fails just then, [`VaultError::Io`] when a segment could not
    /// be sealed; its records are durable all the same.
    pub fn close(&self) -> Result<(), VaultError> {
        let mut threads = lock(&self.threads);
        let Some(running) = threads.take() else { return Ok(()) };
        self.gauges().is_closing.store(true, Ordering::SeqCst);
        self.committer.unpark();
        let is_panic = running.writer.join().is_err();
        self.shared.drain(self.end_reason());
        self.spare_pool.stop();
        let is_panic = running.helper.join().is_err() || is_panic;
        self.log.close();
        lock(&self.lock_file).take();
        if is_panic || self.gauges().has_failed.load(Ordering::Acquire) {
            return Err(VaultError::Failed { path: self.options.dir.clone() });
        }
        match self.spare_pool.first_error() {
            None => Ok(()),
            Some(text) => {
                let source = std::io::Error::other(text);
                Err(VaultError::io("seal a segment of", &self.options.dir)(source))
            }
        }
    }

    pub(crate) fn gauges(&self) -> &VaultGauges {
        &self.shared.gauges
    }

    pub(crate) fn commit_latency(&self) -> Duration {
        Duration::from_nanos(self.gauges().commit_latency_ns.load(Ordering::Relaxed))
    }

    pub(crate) fn end_reason(&self) -> AppendError {
        if self.gauges().has_failed.load(Ordering::Acquire) {
            AppendError::Failed
        } else {
            AppendError::Closed
        }
    }
}

impl<C: Completion> Drop for Writer<C> {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "Vault did not close cleanly.");
        }
    }
}

fn start<C: Completion>(
    committer: Committer<C>,
    helper: Helper,
    spare_pool: &SparePool,
) -> std::io::Result<Threads> {
    let helper =
        std::thread::Builder::new().name("vault-helper".to_owned()).spawn(move || helper.run())?;
    let writer =
        std::thread::Builder::new().name("vault-writer".to_owned()).spawn(move || committer.run());
    match writer {
        Ok(writer) => Ok(Threads { writer, helper }),
        Err(error) => {
            spare_pool.stop();
            drop(helper.join());
            Err(error)
        }
    }
}
